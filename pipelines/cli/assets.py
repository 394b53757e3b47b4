"""The commands for what an experiment needs: datasets and published weights."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from fusion.errors import InputError
from fusion.weights import catalogue
from fusion.weights.fetch import fetch
from fusion.weights.published import (
    files_of,
    find_published,
    place_of,
    recognise,
    weights_home,
)
from pipelines.cli.options import Dataset, ExperimentOptions

if TYPE_CHECKING:
    from fusion.weights.catalogue import Published
    from pipelines.specs.dataset import DatasetSpec

AS_WRITTEN = ExperimentOptions()


def data_verify(dataset: Dataset, /, *, options: ExperimentOptions = AS_WRITTEN) -> int:
    """Decode a dataset whole and print what it holds and what is wrong with it."""
    from pipelines.datasets.inspection import inspect
    from pipelines.datasets.opening import open_dataset
    from pipelines.execution.progress import Screen
    from pipelines.planning.preparation import Preparation
    from pipelines.store.store import open_store

    store, screen = open_store(options.store), Screen()
    spec = _spec(dataset, options)
    with screen.live():
        try:
            settled = Preparation(store, screen.reporter()).settle(spec)
        except InputError:  # an image that cannot be read: it is listed below with all the others
            settled = spec.model_copy(update={"split": None})
        opened = open_dataset(settled)
        with screen.step(f"checking {spec.name}") as report:
            found = inspect(opened, lambda done, total: report(done, total, ""))
    sizes = ", ".join(f"{size}: {count}" for size, count in found.sizes.most_common())
    print(f"{spec.name}: {len(opened.pairs)} pairs, layout {spec.layout}, root {settled.root}")
    print(f"sizes     {sizes or 'none readable'}")
    for split, names in opened.splits.items():
        classes = found.histogram.get(split, Counter())
        counts = ", ".join(f"{name} {classes.get(name, 0)}" for name in spec.classes)
        print(f"{split:8}  {len(names)} pairs{f'; {counts}' if counts else ''}")
    print(f"pairs     {opened.pairs_digest(store.digests)}")
    if opened.labels:
        print(f"labels    {opened.labels_digest(store.digests)}")
    for problem in found.problems:
        print(f"problem   {problem}")
    print(f"{len(found.problems)} problems")
    return 2 if found.problems else 0


def data_split(
    dataset: Dataset,
    /,
    *,
    out: Annotated[Path, Parameter(metavar="FILE.yaml", help="The file to write.")],
    ratios: Annotated[
        tuple[int, int, int],
        Parameter(
            metavar="TRAIN VAL TEST",
            help="The parts' sizes, as ratios (default: 8 1 1).",
            show_default=False,
        ),
    ] = (8, 1, 1),
    folds: Annotated[
        int | None,
        Parameter(metavar="K", help="Instead, K folds that test every pair once, such as 5."),
    ] = None,
    seed: Annotated[int, Parameter(metavar="N", help="Another number, another split.")] = 0,
    options: ExperimentOptions = AS_WRITTEN,
) -> int:
    """Write a seeded split that keeps near-duplicate neighbours together, and its picture."""
    from pipelines.datasets.opening import open_dataset
    from pipelines.datasets.splitting.drawing import draw_file
    from pipelines.execution.progress import Screen
    from pipelines.specs.dataset import SplitSpec
    from pipelines.specs.loading import validate
    from pipelines.store.store import open_store
    from pipelines.views.charts.designs.splits import split_chart
    from pipelines.views.charts.theme import write_both

    spec = _spec(dataset, options)
    if spec.comes_split or spec.scenes is not None:
        raise InputError(f'The dataset "{spec.name}" comes with its split; there is none to draw.')
    opened = open_dataset(spec.model_copy(update={"split": None}))
    screen = Screen()
    with screen.live(), screen.step("finding near-duplicate frames") as report:
        digest = opened.pairs_digest(open_store(options.store).digests)
        asked = {"ratios": ratios, "seed": seed, "folds": folds}
        split = validate(SplitSpec, asked, Path("--ratios, --seed, --folds"))
        drawn = draw_file(out, opened, split, digest, lambda d, total: report(d, total, ""))
    sizes = ", ".join(f"{name} {len(names)}" for name, names in drawn.parts.items())
    largest = max(map(len, drawn.scenes))
    print(f"{out}: {sizes} pairs from {len(drawn.scenes)} scenes, the largest {largest}")
    what = f"{folds} folds" if folds else "split"
    title = f"{spec.name}, {what} of seed {seed}"
    picture = split_chart(drawn.scenes, drawn.parts, drawn.shares, title)
    for path in write_both(picture, out.with_suffix("")):
        print(path)
    return 0


def _spec(dataset: str, options: ExperimentOptions) -> DatasetSpec:
    from pipelines.specs.loading import load_dataset

    return load_dataset(dataset, options.overrides)


PublishedName = Annotated[
    str,
    Parameter(
        help="NAME, as fuse-then weights list prints it.",
        completer=lambda _: [entry.name for entry in catalogue.published()],
    ),
]


def weights_list() -> int:
    """List the published checkpoints: size, licence, and what is here."""
    for entry in catalogue.published():
        print(f"{entry.name:18}  {_state(entry):12}  {_size(entry):>9}  licence: {entry.licence}")
        print(f"{'':18}  {', '.join(file.name for file in entry.files)}")
        print(f"{'':18}  from {entry.files[0].source}")
    print(f"\nThey lie, or would lie, in {weights_home()}; FUSE_THEN_WEIGHTS names another folder.")
    return 0


def weights_verify(file: Annotated[Path, Parameter(help="Any file.")], /) -> int:
    """Say which published checkpoint a file is, by its digest."""
    entry, published = recognise(file)
    print(f"{file} is the published {entry.name} ({published.name}), byte for byte")
    return 0


def weights_path(name: PublishedName, /) -> int:
    """Print where a checkpoint lies, or would lie."""
    print(place_of(find_published(name)))
    return 0


def weights_fetch(
    name: Annotated[
        str | None,
        Parameter(
            help="NAME, as fuse-then weights list prints it.",
            completer=lambda _: [entry.name for entry in catalogue.published()],
        ),
    ] = None,
    /,
    *,
    experiment: Annotated[
        str | None,
        Parameter(metavar="NAME", help="Instead, all that the rows of an experiment lack."),
    ] = None,
) -> int:
    """Download checkpoints to where ``checkpoint: published`` finds them; 2 if one is left."""
    if (name is None) == (experiment is None):
        raise InputError("Name either a checkpoint or, with --experiment, an experiment.")
    if name is not None:
        _fetch(find_published(name))
        return 0
    from pipelines.planning.lacks import assumed_data, lacks_of
    from pipelines.specs.loading import load_experiment

    with assumed_data():
        spec = load_experiment(str(experiment))
    lacking = lacks_of(spec).weights
    if not lacking:
        print(f"{spec.name} lacks no published weights.")
    return max((_fetched(entry) for entry in lacking), default=0)


def _fetched(entry: Published) -> int:
    """Fetch one of several checkpoints, and say what is wrong with it; the others go on."""
    try:
        _fetch(entry)
    except InputError as error:
        print(f"{entry.name}: {error}", file=sys.stderr)
        return 2
    return 0


def _fetch(entry: Published) -> None:
    from pipelines.execution.progress import Screen

    screen = Screen()
    screen.say(f"{entry.name}: licence {entry.licence}; from {entry.files[0].source}")
    for file, path in files_of(entry):
        with screen.live(), screen.step(file.name) as report:
            fetch(file, path, lambda done, total: report(done, total or done, "bytes"))
        print(path)


def _state(entry: Published) -> str:
    """Return "here", "to fetch", or "by hand" where no file has a direct address."""
    if all(path.is_file() for _, path in files_of(entry)):
        return "here"
    return "to fetch" if all(file.url for file in entry.files) else "by hand"


def _size(entry: Published) -> str:
    sizes = [file.bytes for file in entry.files]
    known = [size for size in sizes if size is not None]
    return f"{sum(known) / 1000:.0f} kB" if len(known) == len(sizes) else "?"
