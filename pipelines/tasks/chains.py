"""The stages of a cell: what determines each result, and what each is made of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from fusion.perturb import Perturbation
from fusion.settings import Settings
from fusion.weights.published import choose_published, is_word, ready
from pipelines.datasets.dataset import Dataset
from pipelines.specs.method import MethodSpec
from pipelines.specs.tasks import DetectionSpec, ScoringSpec, SegmentationSpec
from pipelines.store import stage
from pipelines.store.digests import derive_seed, digest
from pipelines.store.stage import Stage
from pipelines.tasks.facts import Facts
from pipelines.tasks.kinds import KINDS


def stage_of(
    kind: str,
    spec: dict[str, Any],
    inputs: dict[str, Stage] | None = None,
    local: dict[str, Any] | None = None,
) -> Stage:
    """Return a stage of the current version of its kind; `spec` must be JSON."""
    return stage.stage_of(KINDS[kind], spec, inputs, local)


def method_check(method: MethodSpec, dataset: Dataset, known: Facts) -> Stage:
    """Return the check that builds `method` with its checkpoint."""
    facts: dict[str, Any] = {
        "method": method.name,
        "params": method.params,
        "train": method.train is not None,
        "code": known.code(method.name),
    }
    local: dict[str, Any] = {}
    if method.checkpoint is not None:
        facts["checkpoint"] = weights_digest(method, method.checkpoint, known)
        local["checkpoint"] = str(method.checkpoint)
    images = known.image_folders(method.name, method.params)
    if images:
        found = {key: sorted(names) for key, names in images.items()}
        facts["names"] = digest([found, sorted(dataset.pairs)])
        local |= local_of(dataset)
    return stage_of("check_method", facts, local=local)


HASHED_APART = ("dataset", "initial_checkpoint", "encoder_checkpoint", "seed", "engine")
"""Of files the bytes count and not where they lie, of a seed what is derived; `engine` tests."""
NOT_HASHED = {
    "by_part": "asks for other tables of the same scores",
    "checkpoint_every": "an interrupted training ends with the weights of an uninterrupted one",
}
"""Settings that cannot change a result, with the reason; all others count for its identity."""


def hashed(settings: Settings) -> dict[str, Any]:
    """Return whatever counts for the identity of a result made with `settings`, as plain values."""
    return settings.model_dump(mode="json", exclude={*HASHED_APART, *NOT_HASHED})


def not_hashed(settings: Settings) -> dict[str, Any]:
    """Return the other settings, for a stage's `local`, which does not count for its identity."""
    return {"settings": settings.model_dump(mode="json", include=set(NOT_HASHED))}


Chain = tuple[Stage | None, tuple[Stage, ...]]
"""The check to pass first, if any, and the stages of training, where there is one, and testing."""


def detector_chain(
    spec: DetectionSpec, seed: int, fused: Stage, index: Stage, dataset: Dataset, known: Facts
) -> Chain:
    """Return the chain of stages from fused images to AP."""
    facts = {"settings": hashed(spec), "seed": derive_seed("detection", seed)}
    start, check = _start(spec.initial_checkpoint, "detection.initial_checkpoint", known), None
    if start:
        facts["initial_checkpoint"] = start[0]
        network = {"model": spec.model, "classes": len(dataset.spec.classes)}
        check = stage_of("check_detector", {**network, "checkpoint": start[0]}, local=start[1])
    inputs = {"fused": fused, "index": index}
    where = {**local_of(dataset), **(start[1] if start else {})}
    training = stage_of("train_detector", facts, inputs, where)
    testing = {"detector": training, **inputs}
    seen = {"image_size": spec.image_size}
    # The engines agree: only who asks for the slow one gets a result of his own.
    engine = {} if spec.engine == "faster" else {"engine": spec.engine}
    final = stage_of("detect", {**seen, **engine}, testing, local_of(dataset))
    return check, (training, final)


def segmenter_chain(
    spec: SegmentationSpec, seed: int, fused: Stage, index: Stage, dataset: Dataset, known: Facts
) -> Chain:
    """Return the chain of stages from fused images to IoU."""
    facts = {"settings": hashed(spec), "seed": derive_seed("segmentation", seed)}
    start = _start(spec.encoder_checkpoint, "segmentation.encoder_checkpoint", known)
    network = {"architecture": spec.architecture, "encoder": spec.encoder}
    network_facts: dict[str, Any] = {**network, "classes": len(dataset.spec.classes)}
    if start:
        facts["encoder_checkpoint"] = network_facts["checkpoint"] = start[0]
    local = start[1] if start else {}
    inputs = {"fused": fused, "index": index}
    training = stage_of("train_segmenter", facts, inputs, {**local_of(dataset), **local})
    final = stage_of("segment", {}, {"segmenter": training, **inputs}, local_of(dataset))
    return stage_of("check_segmenter", network_facts, local=local), (training, final)


def scoring_chain(
    spec: ScoringSpec, seed: int, fused: Stage, index: Stage, dataset: Dataset, known: Facts
) -> Chain:
    """Return the chain of stages from fused images to quality metrics, which draw no lots."""
    facts = {**hashed(spec), "code": known.module("fusion.quality")}
    inputs = {"fused": fused, "index": index}
    return None, (stage_of("score", facts, inputs, local_of(dataset)),)


def perturbed_stages(clean: Stage, perturbation: Perturbation, known: Facts) -> tuple[Stage, ...]:
    """Return the stages from disturbed test pairs to the scores; `clean` holds the clean scores.

    They differ from the clean chain in what is fused and looked at, not in any network.
    """
    fused, index = clean.inputs["fused"], clean.inputs["index"]
    facts = {
        "pairs": fused.spec["pairs"],
        "split": index.spec["split"],
        "kind": perturbation.kind,
        "strength": perturbation.strength,
        "code": known.module("fusion.perturb"),
    }
    sources = stage_of("perturb", facts, local={"dataset": fused.local["dataset"]})
    again = replace(
        fused,
        spec={**fused.spec, "perturbed": perturbation.modality},
        inputs={**fused.inputs, "perturbed": sources},
    )
    return sources, again, replace(clean, inputs={**clean.inputs, "fused": again})


def _start(path: Path | None, key: str, known: Facts) -> tuple[str, dict[str, Any]] | None:
    """Return digest and place of the weights that a training starts from."""
    if path is None:
        return None
    return known.file(path, key), {key.split(".")[1]: str(path)}


def local_of(dataset: Dataset) -> dict[str, Any]:
    """Return where a dataset lies, which does not count for its identity."""
    return {"dataset": dataset.spec.model_dump(mode="json")}


def weights_digest(method: MethodSpec, given: Path, known: Facts) -> str:
    """Return the digest of a method's weights: a file, a folder of files, or published ones.

    Raises InputError when they are missing, or when published ones have not been fetched.
    """
    path = given
    if is_word(given):
        path = ready(choose_published(method.name, str(given), method.params.get("preset")))
    return known.weights(path, f"{method.row}.checkpoint")
