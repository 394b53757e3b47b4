"""The commands that look at a dataset and split it."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from fusion.errors import InputError

# Every import below costs seconds somewhere; a command pays only for its own.


def data_verify(options: argparse.Namespace) -> int:
    """Decode a dataset whole and print what it holds and what is wrong with it."""
    from pipelines.datasets.inspection import inspect
    from pipelines.datasets.opening import open_dataset
    from pipelines.execution.progress import Screen
    from pipelines.planning.preparation import Preparation
    from pipelines.specs.loading import load_dataset, parse_overrides
    from pipelines.store.store import open_store

    store, screen = open_store(options.store), Screen()
    spec = load_dataset(options.dataset, parse_overrides(options.set))
    with screen.live():
        try:
            settled = Preparation(store, screen.reporter()).settle(spec)
        except InputError:  # an image that cannot be read: it is listed below with all the others
            settled = spec.model_copy(update={"split": None})
        dataset = open_dataset(settled)
        with screen.step(f"checking {spec.name}") as report:
            found = inspect(dataset, lambda done, total: report(done, total, ""))
    sizes = ", ".join(f"{size}: {count}" for size, count in found.sizes.most_common())
    print(f"{spec.name}: {len(dataset.pairs)} pairs, layout {spec.layout}, root {settled.root}")
    print(f"sizes     {sizes or 'none readable'}")
    for split, names in dataset.splits.items():
        classes = found.histogram.get(split, Counter())
        counts = ", ".join(f"{name} {classes.get(name, 0)}" for name in spec.classes)
        print(f"{split:8}  {len(names)} pairs{f'; {counts}' if counts else ''}")
    print(f"pairs     {dataset.pairs_digest(store.digests)}")
    if dataset.labels:
        print(f"labels    {dataset.labels_digest(store.digests)}")
    for problem in found.problems:
        print(f"problem   {problem}")
    print(f"{len(found.problems)} problems")
    return 2 if found.problems else 0


def data_split(options: argparse.Namespace) -> int:
    """Write a seeded 8:1:1 split that keeps near-duplicate neighbours together."""
    from pipelines.datasets.opening import open_dataset
    from pipelines.datasets.splits import METHOD, SPLIT_VERSION, draw_split, scenes_of, write_split
    from pipelines.execution.progress import Screen
    from pipelines.specs.loading import load_dataset, parse_overrides
    from pipelines.store.store import open_store

    spec = load_dataset(options.dataset, parse_overrides(options.set))
    if spec.comes_split or spec.scenes is not None:
        raise InputError(f'The dataset "{spec.name}" comes with its split; there is none to draw.')
    dataset = open_dataset(spec.model_copy(update={"split": None}))
    screen = Screen()
    with screen.live(), screen.step("finding near-duplicate frames") as report:
        groups = scenes_of(dataset.pairs, lambda done, total: report(done, total, ""))
    ratios = tuple(options.ratios)
    splits = draw_split(groups, (ratios[0], ratios[1], ratios[2]), options.seed)
    digest = dataset.pairs_digest(open_store(options.store).digests)
    facts = {"version": SPLIT_VERSION, "method": METHOD, "seed": options.seed}
    out = Path(options.out)
    write_split(out, splits, **facts, ratios=list(ratios), pairs_digest=digest)
    sizes = ", ".join(f"{name} {len(names)}" for name, names in splits.items())
    print(f"{out}: {sizes} pairs from {len(groups)} scenes, the largest {max(map(len, groups))}")
    return 0
