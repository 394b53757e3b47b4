"""The paper beside us: its printed tables, and which of its rows stands beneath which of ours."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from fusion.errors import InputError, did_you_mean
from pipelines.results.protocol.deviations import stated_of
from pipelines.results.protocol.settings import words
from pipelines.results.protocol.stated import Statement, read_stated
from pipelines.results.values import Row, Table, Value
from pipelines.specs.experiment import ExperimentSpec
from pipelines.tasks.task import Task, task_of

Printed = dict[str, dict[str, float | None]]


def paper_rows(
    experiment: ExperimentSpec, task: Task, columns: Sequence[str], part: str
) -> tuple[dict[str, tuple[Value | None, ...]], tuple[str, ...]]:
    """Return the printed rows by the titles of ours, and notes where the paper has none for us.

    A printed row belongs to our row of the same title, or to one of that method whose network is
    the paper's.
    """
    given = experiment.paper.get(task.key)
    if given is None:
        return {}, ()
    name, _, alone = given.partition("/")
    printed, stated = read_paper_table(name, part or alone), stated_of(experiment, task)
    rows, others, lacking = {}, [], []
    for method in experiment.methods:
        titled = method.row != method.name and method.row in printed
        key = method.row if titled else method.name
        if key not in printed:
            lacking.append(method.row)
        elif not titled and stated is not None and not stated.is_its_network(method):
            others.append(method.row)
        else:
            rows[method.row] = _values(printed[key], columns)
    notes = []
    if lacking:
        notes.append(f"The paper's {name} prints no row for: {'; '.join(lacking)}.")
    if others:
        notes.append(
            f"Another network than the paper's, and so no printed row: {'; '.join(others)}."
        )
    return rows, tuple(notes)


def _values(cells: dict[str, float | None], columns: Sequence[str]) -> tuple[Value | None, ...]:
    found = (cells.get(column) for column in columns)
    return tuple(None if value is None else Value(value, None, 1) for value in found)


def read_paper_table(name: str, part: str = "") -> Printed:
    """Return a printed table, ``{method: {column: value or None}}``, from configs/paper.

    Of a table with a column "part" come the rows of that part. Raises InputError for an unknown
    table.
    """
    return {
        row.pop("method"): {key: float(text) if text else None for key, text in row.items()}
        for row in _lines(name)
        if row.pop("part", "") == part
    }


def printed_names() -> list[str]:
    """Return the names of the paper's tables that are on file."""
    return sorted(file.stem for file in _folder().glob("*.csv"))


def _folder() -> Path:
    return Path(str(resources.files("configs"))) / "paper"


def _lines(name: str) -> list[dict[str, str]]:
    path = _folder() / f"{name}.csv"
    if not path.is_file():
        hint = did_you_mean(name, printed_names())
        raise InputError(f'There is no "{name}" in configs/paper.{hint}')
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(line for line in stream if not line.startswith("#")))


def printed_tables(name: str) -> tuple[Table, ...]:
    """Return what the paper printed, a table a part; raises InputError for an unknown table."""
    parts = dict.fromkeys(line.get("part", "") for line in _lines(name))
    return tuple(_as_printed(name, part) for part in parts)


def _as_printed(name: str, part: str) -> Table:
    printed, stated = read_paper_table(name, part), read_stated(name)
    columns = tuple(next(iter(printed.values())))
    rows = tuple(
        Row(method, "paper", _values(cells, columns), 1, 1) for method, cells in printed.items()
    )
    task = task_of(stated.task if stated is not None else "scoring")
    title = f"{stated.title if stated is not None else name}{f', {part}' if part else ''}"
    stating = stated.settings if stated is not None else ()
    settings = [_stated(one) for one in stating]
    told = (f"Stated by the paper: {', '.join(settings)}.",) if settings else ()
    digits = 3 if task.per_image else 1
    return Table(title, task.name, columns, rows, told, (), f"{name}-{part}".strip("-"), digits)


def _stated(one: Statement) -> str:
    section = f" (section {one.section})" if one.section else ""
    return f"{one.setting} {words(one.value)}{section}"
