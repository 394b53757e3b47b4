"""Scoring: how good a method's fused images look, by the metrics of the field."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import model_validator

from fusion.quality.settings import ScoreSettings
from pipelines.execution.job import Job
from pipelines.specs.tasks import TaskSpec
from pipelines.store.stage import Kind, Metrics, Stage, stage_of
from pipelines.tasks.facts import Facts, hashed, local_of
from pipelines.tasks.task import Chain, Floats, Images, Score, Task
from pipelines.tasks.work import Sizes, Work

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

SCORES = "scores.csv"
# After a crash made anew: 0.3 s an image on one core, less than between two checkpoints.
TEST = Kind("score", 1, f"{__name__}:score", (SCORES,))
MEAN_RANK = "mean rank"
"""The last column of the table: a method's mean place over the metrics, the lowest is best."""


class ScoringSpec(ScoreSettings, TaskSpec):
    """The quality metrics that each method's fused images get, on the test split if there is one.

    `by_part` asks for one table per part of the dataset in place of one for all.
    """

    by_part: bool = False

    @model_validator(mode="after")
    def _check(self) -> ScoringSpec:
        if self.by_part and not self.dataset.parts:
            raise ValueError(f"by_part: the dataset {self.dataset.name} has no parts")
        return self


def chain(spec: ScoringSpec, seed: int, images: Images, known: Facts) -> Chain:
    """Return the one stage from fused images to quality metrics, which draw no lots."""
    facts = {**hashed(spec), "code": known.module("fusion.quality.reading")}
    return Chain((stage_of(TEST, facts, images.stages, local_of(images.dataset)),))


def score(job: Job) -> Metrics:
    """Score the fused test images; keep every image's values beside their means."""
    from fusion.quality.folders import score_images, summary
    from fusion.torch_tools import resolve_device

    dataset = job.dataset()
    scores = score_images(
        [dataset.pairs[name] for name in dataset.test],
        job.images(dataset.test),
        job.spec["metrics"],
        job.spec["convention"],
        str(resolve_device(job.device)),  # a rehearsal's is no name that torch knows
        job.progress("scoring"),
    )
    write_scores(job.out / SCORES, scores.names, scores.metrics, scores.values)
    return {"images": len(scores.names), "metrics": summary(scores)}


def write_scores(path: Path, names: Sequence[str], metrics: Sequence[str], values: Floats) -> None:
    """Write ``images x metrics`` values, unrounded; an undefined one is an empty field."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["image", *metrics])
        for name, row in zip(names, values.tolist(), strict=True):
            writer.writerow([name, *("" if math.isnan(value) else repr(value) for value in row)])


def read_scores(folder: Path) -> tuple[tuple[str, ...], tuple[str, ...], Floats]:
    """Return names, metrics and values of the file `SCORES` in a folder."""
    with (folder / SCORES).open(encoding="utf-8", newline="") as stream:
        head, *lines = csv.reader(stream)
    values = [[float(text) if text else math.nan for text in line[1:]] for line in lines]
    return tuple(line[0] for line in lines), tuple(head[1:]), np.array(values, dtype=np.float64)


def logged(metrics: Mapping[str, Any]) -> dict[str, Score]:
    """Return every metric's mean over the test images, in its own unit."""
    return {name: entry["mean"] for name, entry in metrics["metrics"].items()}


def deviations(spec: ScoringSpec) -> tuple[str, ...]:
    """Return what the paper leaves open about its metrics, in sentences."""
    source = {
        "paper": "found by reproducing its Table 3 from the authors' images",
        "released": "those of its released evaluator, which do not give its Table 3",
    }[spec.convention]
    return (f"The paper does not define its metrics; ours are {source}.",)


def testing_work(stage: Stage, sizes: Sizes) -> Work:
    """Return the work of scoring: three images a pair are read, and the metrics computed."""
    pixels = sizes.test * sizes.pixels
    return Work(
        f"{__name__}:network",
        {"metrics": list(stage.spec["metrics"]), "convention": stage.spec["convention"]},
        sizes.test,
        sizes.height,
        sizes.width,
        handled=3 * pixels,
        data_bytes=200.0 * sizes.test,
        code=stage.spec["code"],
    )


def network(
    given: Mapping[str, Any], device: str, training: bool
) -> tuple[nn.Module, Callable[[int, int, int], Tensor]]:
    """Return no network, and what computes the metrics of random images."""
    import torch

    from fusion.quality.scoring import score as metrics_of

    def forward(batch: int, height: int, width: int) -> Tensor:
        images = torch.randint(0, 256, (3, batch, height, width)).to(device, torch.uint8)
        metrics_of(images[0], images[1], images[2], given["metrics"], given["convention"])
        return torch.zeros(())

    return torch.nn.Identity(), forward


TASK = Task(
    name="scoring",
    verb="score",
    command="score",
    metric="image quality",
    headline=MEAN_RANK,
    section=ScoringSpec,
    columns=lambda spec: spec.metrics,
    chain=chain,
    logged=logged,
    works={TEST.name: testing_work},
    per_image=True,
    seeded=False,
    paper="table3",
    deviations=deviations,
    order=30,
)
