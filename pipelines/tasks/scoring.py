"""The stage of scoring: the quality metrics of every test image."""

from __future__ import annotations

from pipelines.execution.job import Job
from pipelines.store.stage import Metrics
from pipelines.tasks.score_files import SCORES, write_scores


def score(job: Job) -> Metrics:
    """Score the fused test images; keep every image's values beside their means."""
    from pipelines.tasks.quality import score_images, summary

    dataset = job.dataset()
    found = score_images(
        [dataset.pairs[name] for name in dataset.test],
        job.images(dataset.test),
        job.spec["metrics"],
        job.spec["convention"],
        job.device,
        job.progress("scoring"),
    )
    write_scores(job.out / SCORES, found.names, found.metrics, found.values)
    return {"images": len(found.names), "metrics": summary(found)}
