"""Stages that look at the input: checks of networks and weights, scenes, splits, the index."""

from __future__ import annotations

import json
from pathlib import Path

from fusion.errors import InputError
from pipelines.execution.job import Job
from pipelines.store.stage import Metrics


def check_method(job: Job) -> Metrics:
    """Build a fusion method with its checkpoint, before anything is trained."""
    from fusion.registry import load_method, method_class

    name = job.spec["method"]
    if job.spec["train"] and not method_class(name).trainable:
        raise InputError(f'The method "{name}" is inference only; take its "train" out.')
    method = load_method(name, job.local.get("checkpoint"), **job.spec["params"])
    if "dataset" in job.local:
        method.require_names(list(job.dataset().pairs))
    if method.needs_checkpoint and not job.spec["train"] and "checkpoint" not in job.local:
        raise InputError(
            f'The method "{name}" has no weights in this experiment; give "checkpoint" or "train".'
        )
    return {"parameters": sum(p.numel() for p in method.parameters())}


def check_detector(job: Job) -> Metrics:
    """Find out whether the initial checkpoint fits the detector."""
    from detection.yolo.checkpoints import matching_layers

    path = Path(job.local["initial_checkpoint"])
    return {"layers": matching_layers(job.spec["model"], job.spec["classes"], path)}


def check_segmenter(job: Job) -> Metrics:
    """Find out whether the encoder exists and its checkpoint fits."""
    from segmentation.model import build_model

    names = (job.spec["architecture"], job.spec["encoder"], job.spec["classes"])
    _, load = build_model(*names, job.path("encoder_checkpoint"))
    return {"encoder_loaded": load.loaded, "encoder_total": load.total}


def scenes(job: Job) -> Metrics:
    """Draw the embedded dataset in both layouts."""
    from pipelines.datasets.scenes.writing import write_scenes

    spec = job.spec
    total = spec["train"] + spec["val"] + spec["test"]
    sizes = {key: spec[key] for key in ("seed", "train", "val", "test", "height", "width")}
    write_scenes(job.out, **sizes, on_progress=lambda done: job.report(done, total, ""))
    return {"images": total}


def split(job: Job) -> Metrics:
    """Draw train, val and test with near-duplicate neighbours kept together."""
    from pipelines.datasets.splits import METHOD, SPLIT_VERSION, draw_split, scenes_of, write_split

    pairs = job.dataset().pairs
    groups = scenes_of(pairs, job.progress())
    ratios, seed = job.spec["ratios"], job.spec["seed"]
    splits = draw_split(groups, (ratios[0], ratios[1], ratios[2]), seed)
    facts = {"version": SPLIT_VERSION, "method": METHOD, "seed": seed, "ratios": list(ratios)}
    write_split(job.out / "split.yaml", splits, **facts, pairs_digest=job.spec["pairs"])
    return {"scenes": len(groups), **{name: len(names) for name, names in splits.items()}}


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
