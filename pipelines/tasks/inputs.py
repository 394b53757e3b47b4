"""What every plan begins with: scenes and splits drawn, every file of a dataset read."""

from __future__ import annotations

import json

from fusion.errors import InputError
from pipelines.datasets.scenes.scene import SCENES_VERSION
from pipelines.datasets.splitting.near_duplicates import VERSION
from pipelines.datasets.splitting.splits import SPLIT_VERSION
from pipelines.execution.job import Job
from pipelines.specs.dataset import SplitSpec
from pipelines.store.stage import Kind, Metrics

SCENES_FILE = "scenes.yaml"
SCENES = Kind("scenes", SCENES_VERSION, f"{__name__}:scenes", ("m3fd", "msrs"))
SPLIT = Kind("split", SPLIT_VERSION, f"{__name__}:split", ("split.yaml",))
NEAR_DUPLICATES = Kind("near_duplicates", VERSION, f"{__name__}:near_duplicates", (SCENES_FILE,))
INDEX = Kind("index", 1, f"{__name__}:index", ("index.json",))


def scenes(job: Job) -> Metrics:
    """Draw the embedded dataset in both layouts."""
    from pipelines.datasets.scenes.writing import write_scenes

    spec = job.spec
    total = spec["train"] + spec["val"] + spec["test"]
    sizes = {key: spec[key] for key in ("seed", "train", "val", "test", "height", "width")}
    write_scenes(job.out, **sizes, on_progress=lambda done: job.report(done, total, ""))
    return {"images": total}


def split(job: Job) -> Metrics:
    """Draw train, val and test, or folds, with near-duplicate neighbours kept together."""
    from pipelines.datasets.splitting.drawing import draw_file

    drawn = draw_file(
        job.out / "split.yaml",
        job.dataset(),
        SplitSpec(**{key: job.spec[key] for key in ("ratios", "seed", "folds") if key in job.spec}),
        job.spec["pairs"],
        job.progress(),
    )
    return {"scenes": len(drawn.scenes), **{n: len(own) for n, own in drawn.parts.items()}}


def near_duplicates(job: Job) -> Metrics:
    """Find the scenes that the test images fall into."""
    from pipelines.datasets.split_files import write_scenes
    from pipelines.datasets.splitting.near_duplicates import RULE, scenes_of

    dataset = job.dataset()
    groups = scenes_of({n: dataset.pairs[n] for n in sorted(dataset.test)}, job.progress())
    write_scenes(job.out / SCENES_FILE, groups, method=RULE)
    return {"images": len(dataset.test), "scenes": len(groups)}


def index(job: Job) -> Metrics:
    """Decode every image and label once; any problem stops the work before training."""
    from pipelines.datasets.inspection import inspect

    found = inspect(job.dataset(), job.progress())
    if found.problems:
        name = job.local["dataset"]["name"]
        more = len(found.problems) - 1
        also = f" ({more} more: fuse-then data verify {name})" if more else ""
        raise InputError(f"{found.problems[0]}{also}")
    (job.out / "index.json").write_text(json.dumps(found.index), encoding="utf-8")
    return {
        "sizes": dict(found.sizes),
        "histogram": {k: dict(v) for k, v in found.histogram.items()},
    }
