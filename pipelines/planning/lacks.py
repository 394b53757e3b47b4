"""What an experiment lacks before it can run, row by row, and how to get it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fusion.errors import InputError
from fusion.weights.catalogue import Published
from fusion.weights.published import choose_published, files_of, is_word
from pipelines.datasets.opening import open_dataset
from pipelines.specs.dataset import DatasetSpec
from pipelines.specs.experiment import ExperimentSpec
from pipelines.specs.method import MethodSpec

DATA, ASSUMED = "FUSE_THEN_DATA", "data"
UNSET = (
    f"{DATA} is not set: this is planned as if it were ./{ASSUMED}. Set it to the folder that "
    f"holds your data: export {DATA}=FOLDER"
)


@contextmanager
def assumed_data() -> Iterator[bool]:
    """Let an experiment be read where nobody has said yet where the data are; yields whether so."""
    unset = DATA not in os.environ
    if unset:
        os.environ[DATA] = ASSUMED
    try:
        yield unset
    finally:
        if unset:
            del os.environ[DATA]


@dataclass(frozen=True)
class Lacks:
    """By row what it lacks, in a few words; the datasets, and the published weights in question."""

    rows: dict[str, tuple[str, ...]]
    datasets: tuple[DatasetSpec, ...]
    weights: tuple[Published, ...]

    def lines(self, words: str) -> Iterator[str]:
        """Yield the rows, then the command or sentence that gets each thing; `words` name all."""
        if not self.rows:
            return
        yield "What each row lacks:"
        width = max(map(len, self.rows))
        yield from (f"  {row:{width}}  {'; '.join(what)}" for row, what in self.rows.items())
        yield "How to get it:"
        for spec in self.datasets:
            source = f" ({spec.source})" if spec.source else ""
            yield f"  data {spec.name}: put it into {spec.root}{source}"
        if any(_addressed(entry) for entry in self.weights):
            yield f"  weights: fuse-then weights fetch --experiment {words}"
        for entry in self.weights:
            if not _addressed(entry):
                yield f"  weights {entry.name}, by hand: {by_hand(entry)}"


def by_hand(entry: Published) -> str:
    """Return what to get where, and where to put it, for weights without an address."""
    lacking = [(file, path) for file, path in files_of(entry) if not path.is_file()]
    return "; ".join(f"{file.name} from {file.source}, to {path}" for file, path in lacking)


def lacking_weights(method: MethodSpec) -> Published | None:
    """Return the published checkpoint that a row names, unless all its files are there."""
    if method.checkpoint is None or not is_word(method.checkpoint):
        return None
    entry = choose_published(method.name, str(method.checkpoint), method.params.get("preset"))
    return None if all(path.is_file() for _, path in files_of(entry)) else entry


def lacks_of(experiment: ExperimentSpec) -> Lacks:
    """Return what an experiment lacks; only names of files are looked at."""
    opened: dict[str, bool] = {}
    rows, datasets, weights = {}, {}, {}
    for method in experiment.methods:
        own = [section.dataset for section in experiment.sections.values()]
        own += [method.train.dataset] if method.train is not None else []
        missing = {spec.name: spec for spec in own if not _there(spec, opened)}
        found = [f"data {name}" for name in missing]
        datasets.update(missing)
        entry = lacking_weights(method)
        if entry is not None:
            weights[entry.name] = entry
            found.append(f"weights {entry.name}")
        elif method.checkpoint is not None and not is_word(method.checkpoint):
            found += [] if method.checkpoint.exists() else [f"the file {method.checkpoint}"]
        if found:
            rows[method.row] = tuple(found)
    return Lacks(rows, tuple(datasets.values()), tuple(weights.values()))


def _there(spec: DatasetSpec, opened: dict[str, bool]) -> bool:
    if spec.name not in opened:
        try:
            opened[spec.name] = spec.scenes is not None or bool(
                open_dataset(spec.model_copy(update={"split": None})).pairs
            )
        except InputError:
            opened[spec.name] = False
    return opened[spec.name]


def _addressed(entry: Published) -> bool:
    return all(file.url is not None for file in entry.files)
