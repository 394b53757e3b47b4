"""What a person sees while work goes on: one line of progress per running step."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from pipelines.execution.job import Progress


class Screen:
    """Progress lines on a terminal; on anything else, one line when a step ends."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False)
        self._progress = Bars(
            TextColumn("  {task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:.0f}/{task.total:.0f} {task.fields[remark]}"),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self._lock = threading.Lock()

    @contextmanager
    def live(self) -> Iterator[Screen]:
        """Show the progress lines while the block runs."""
        with self._progress:
            yield self

    def say(self, text: str) -> None:
        """Print one line above the progress."""
        self.console.print(text, soft_wrap=True, markup=False)

    @contextmanager
    def step(self, title: str) -> Iterator[Progress]:
        """Give a step its line; the line goes when the block ends."""
        task = self._progress.add_task(title, total=1, remark="")
        try:
            yield self._reporter(task)
        finally:
            self._progress.remove_task(task)

    def reporter(self) -> Callable[[str], Progress]:
        """Return a maker of reports for light work that has no step of its own."""
        tasks: dict[str, TaskID] = {}

        def make(title: str) -> Progress:
            def report(done: int, total: int, remark: str) -> None:
                with self._lock:
                    if title not in tasks:
                        tasks[title] = self._progress.add_task(title, total=total, remark="")
                    self._progress.update(tasks[title], completed=done, total=total, remark=remark)
                    if done >= total:
                        self._progress.remove_task(tasks.pop(title))

            return report

        return make

    def _reporter(self, task: TaskID) -> Progress:
        def report(done: int, total: int, remark: str) -> None:
            self._progress.update(task, completed=done, total=total, remark=remark)

        return report
