"""The command that measures what each fusion method costs, and draws speed against rank."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusion.errors import InputError

if TYPE_CHECKING:
    from fusion.looking.profiling import Profile, ProfileSettings


def profile(options: argparse.Namespace) -> int:
    """Measure methods one by one; 1 when one of them could not be."""
    from fusion.looking.profiling import profile as measure
    from fusion.registry import card, cards
    from pipelines.execution.progress import Screen

    settings = _settings(options)
    titles = options.methods or [found.name for found in cards() if not found.by_name]
    for title in titles:
        card(title.partition("/")[0])  # an unknown name is told before an hour of measuring
    ranks = _ranks(Path(options.scores)) if options.scores else None
    rows: list[Profile] = []
    screen = Screen()
    with screen.live(), screen.step("measuring") as report:
        for number, title in enumerate(titles):
            report(number, len(titles), title)
            rows.append(measure(title, settings))
    _show(rows, settings)
    if options.json:
        _write_json(Path(options.json), rows, settings)
    if ranks is not None:
        draw(rows, ranks, Path(options.plot))
        print(options.plot)
    return int(any(row.failed for row in rows))


def _settings(options: argparse.Namespace) -> ProfileSettings:
    from fusion.looking.profiling import ProfileSettings

    size = re.fullmatch(r"(\d+)x(\d+)", options.size)
    if size is None:
        raise InputError(f'--size is "{options.size}"; write WIDTHxHEIGHT, such as 640x480.')
    return ProfileSettings(
        height=int(size[2]),
        width=int(size[1]),
        device=options.device,
        threads=options.threads,
        repeats=options.repeats,
    )


def _show(rows: Sequence[Profile], settings: ProfileSettings) -> None:
    from rich.console import Console
    from rich.table import Table

    size = f"{settings.width}x{settings.height}"
    table = Table(title=f"one pair of {size} on {settings.device}", title_justify="left")
    for number, heading in enumerate(("method", "parameters", "GMACs", "ms", "peak MB")):
        table.add_column(heading, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        numbers = (f"{row.gmacs:.3g}", f"{row.milliseconds:.4g}", f"{row.peak_megabytes:.0f}")
        cells = ("-",) * 4 if row.failed else (f"{row.parameters:,}", *numbers)
        table.add_row(row.method, *cells)
    Console(highlight=False).print(table)
    for row in rows:
        if row.failed:
            print(f"{row.method}: {row.failed}", file=sys.stderr)


def _write_json(path: Path, rows: Sequence[Profile], settings: ProfileSettings) -> None:
    import platform
    from importlib.metadata import version

    facts: dict[str, Any] = {
        "settings": asdict(settings),
        "torch": version("torch"),
        "machine": platform.platform(),
        "methods": [asdict(row) for row in rows],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def _ranks(path: Path) -> dict[str, float]:
    """Read ``{method: mean rank}``; InputError when the file holds anything else."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not readable JSON ({error}); check the file.") from error
    if not isinstance(found, dict) or any(type(v) not in (int, float) for v in found.values()):
        raise InputError(f'{path} must map methods to mean ranks: {{"average": 3.5, ...}}.')
    return {str(key): float(value) for key, value in found.items()}


def draw(rows: Sequence[Profile], ranks: Mapping[str, float], path: Path) -> None:
    """Draw time (logarithmic) against mean rank, the best bottom left, as the paper's Figure 7.

    Raises InputError when no measured method has a rank.
    """
    from matplotlib.figure import Figure

    shown = [row for row in rows if row.method in ranks and not row.failed]
    if not shown:
        raise InputError("No measured method has a rank in the scores; use the same names.")
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xscale("log")
    axes.scatter([row.milliseconds for row in shown], [ranks[row.method] for row in shown])
    for row in shown:
        place = (row.milliseconds, ranks[row.method])
        axes.annotate(row.method, place, xytext=(5, 4), textcoords="offset points", fontsize=8)
    axes.set_xlabel("time per pair [ms]")
    axes.set_ylabel("mean rank (1 is best)")
    axes.grid(visible=True, which="both", alpha=0.2)
    axes.margins(x=0.15, y=0.1)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
