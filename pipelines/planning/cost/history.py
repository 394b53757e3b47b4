"""What the store's finished stages have cost, as a measure for those that are to come."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from fusion.errors import InputError
from pipelines.store.stage import Kind, Manifest, Stage
from pipelines.store.store import MANIFEST, Store
from pipelines.tasks import fusion, reconstruction
from pipelines.tasks.task import tasks
from pipelines.tasks.work import Measure, Sizes, Work, sizes_of


@dataclass(frozen=True)
class Past:
    """A finished stage: how much work it was, and what it cost.

    `processor` is as in `Manifest.processor`; `stored` are the bytes that are its own.
    """

    title: str
    work: Work
    seconds: float
    processor: str
    megabytes: float | None
    stored: int

    @property
    def kind(self) -> str:
        """The name of its kind."""
        return self.title.partition("/")[0]


class Works:
    """Measures the work of stages; every dataset is looked at once."""

    def __init__(self) -> None:
        self._measures: dict[str, Measure] = {**fusion.WORKS, **reconstruction.WORKS}
        for task in tasks():
            self._measures |= task.works
        self._sizes: dict[str, Sizes] = {}

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of stages whose work can be measured."""
        return tuple(self._measures)

    def of(self, stage: Stage) -> Work | None:
        """Return the work of a stage; None for a kind that does not say."""
        measure = self._measures.get(stage.kind.name)
        return measure(stage, self.sizes(stage.local)) if measure else None

    def sizes(self, local: Mapping[str, Any]) -> Sizes:
        """Return the sizes of the dataset that a stage's `local` names."""
        key = json.dumps(local.get("dataset"), sort_keys=True)
        if key not in self._sizes:
            self._sizes[key] = sizes_of(local["dataset"])
        return self._sizes[key]


def read_history(store: Store, works: Works) -> tuple[Past, ...]:
    """Return what is finished in a store, on whatever machine it was made.

    What can no longer be measured, because its dataset is gone or an older version wrote it, is
    left out.
    """
    return tuple(_pasts(store, works))


def _pasts(store: Store, works: Works) -> Iterator[Past]:
    @cache
    def manifest(title: str) -> Manifest | None:
        try:
            content = (store.root / "stages" / title / MANIFEST).read_bytes()
            return Manifest.model_validate_json(content)
        except (OSError, ValueError):
            return None

    for kind in works.kinds:
        for folder in sorted((store.root / "stages" / kind).glob("*")):
            made = manifest(f"{kind}/{folder.name}")
            if made is None:
                continue
            inputs = {
                role: _stage(source)
                for role, given in made.inputs.items()
                if (source := manifest(f"{given.kind}/{given.key}")) is not None
            }
            try:
                work = works.of(_stage(made, inputs))
            except (KeyError, TypeError, InputError):
                continue
            if work is not None and work.known:
                yield Past(
                    f"{kind}/{folder.name}",
                    work,
                    made.seconds,
                    made.processor,
                    made.peak_memory_megabytes,
                    _own_bytes(folder),
                )


def _stage(made: Manifest, inputs: Mapping[str, Stage] | None = None) -> Stage:
    # Only measured, never made again: it needs no body.
    return Stage(Kind(made.kind, made.version, ""), made.spec, inputs or {}, made.local)


def _own_bytes(folder: Path) -> int:
    """Return the bytes of a stage's files, without links to another stage's images."""
    files = [(file, file.stat()) for file in folder.rglob("*") if file.is_file()]
    shared = (file.relative_to(folder).parts[0] != "images" for file, _ in files)
    return sum(
        about.st_size
        for (_, about), linked in zip(files, shared, strict=True)
        if not (linked and about.st_nlink > 1)
    )
