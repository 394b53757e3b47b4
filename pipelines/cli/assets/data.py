"""The commands for datasets: look at one before using it, and split it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from fusion.errors import InputError
from pipelines.cli.options import Dataset, ExperimentOptions, Overwrite, check_new

if TYPE_CHECKING:
    from pipelines.specs.dataset import DatasetSpec

AS_WRITTEN = ExperimentOptions()


def verify(dataset: Dataset, /, *, options: ExperimentOptions = AS_WRITTEN) -> int:
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


def split(
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
    overwrite: Overwrite = False,
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

    check_new(overwrite, out)
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
