"""Fusion: what every task begins with. Train a network, fuse a dataset, disturb its test pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusion.errors import InputError
from fusion.perturb import Perturbation
from pipelines.datasets.dataset import Dataset
from pipelines.execution.job import Job, pictured
from pipelines.specs.method import MethodSpec, PretrainingSpec
from pipelines.store.digests import derive_seed, digest, names_digest
from pipelines.store.stage import Kind, Metrics, Stage, stage_of
from pipelines.tasks.facts import Facts, hashed, local_of, not_hashed, weights_digest
from pipelines.tasks.task import History
from pipelines.tasks.work import Measure, Sizes, Work, crops_work

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from fusion.method import FusionMethod
    from fusion.pairs import ImagePair

CHECK = Kind("check_method", 1, f"{__name__}:check_method")
TRAIN = Kind("train_fusion", 2, f"{__name__}:train_fusion", ("weights.pt",), resumable=True)
PRETRAIN = Kind("pretrain_fusion", 1, f"{__name__}:train_fusion", ("weights.pt",), resumable=True)
FUSE = Kind("fuse", 3, f"{__name__}:fuse", ("images",), resumable=True)
PERTURB = Kind("perturb", 1, f"{__name__}:perturb", ("images",), resumable=True)
TRAININGS = (PRETRAIN.name, TRAIN.name)
"""The kinds of stages that train a fusion network, in their order; the last leaves it whole."""
HISTORIES = {
    PRETRAIN.name: History(
        "Fusion network's first part: its own loss on the training pairs",
        "history.csv",
        lambda row: row["total"],
    ),
    TRAIN.name: History(
        "Fusion network: total loss on the training pairs", "history.csv", lambda row: row["total"]
    ),
}


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
    if method.train is not None and method.train.pretrained is not None:
        facts["pretrained"] = _pretrained(method, method.train.pretrained, known)
        local["pretrained"] = str(method.train.pretrained)
    images = known.image_folders(method.name, method.params)
    if images:
        found = {key: sorted(names) for key, names in images.items()}
        facts["names"] = digest([found, sorted(dataset.pairs)])
        local |= local_of(dataset)
    return stage_of(CHECK, facts, local=local)


def training_stages(
    method: MethodSpec, dataset: Dataset, index: Stage, seed: int, known: Facts
) -> tuple[Stage, ...]:
    """Return the stages that train `method` on a dataset that has a split.

    The last leaves its weights; before it comes the training of its part, where it has one.
    Raises InputError when that is lacking, or asked of a method that is trained at once.
    """
    recipe = method.train
    if recipe is None:
        raise ValueError(f"{method.row} is not trained")
    _check_recipe(method, known)
    fixed = recipe.seed if recipe.seed is not None else seed
    facts = {
        **_facts(method, known),
        "pairs": known.splits(dataset, index.key),
        "settings": hashed(recipe),
        "seed": derive_seed("fusion", fixed),
    }
    local = {**local_of(dataset), **not_hashed(recipe)}
    if recipe.pretrained is not None:
        facts["pretrained"] = _pretrained(method, recipe.pretrained, known)
        local["pretrained"] = str(recipe.pretrained)
    if recipe.pretrain is None:
        return (stage_of(TRAIN, facts, local=local),)
    first = _pretraining_stage(method, recipe.pretrain, facts, fixed, known)
    first = replace(first, local={**local_of(dataset), **not_hashed(recipe.pretrain)})
    return first, stage_of(TRAIN, facts, {"pretrained": first}, local)


def _pretraining_stage(
    method: MethodSpec, own: PretrainingSpec, rest: Mapping[str, Any], seed: int, known: Facts
) -> Stage:
    """Return the first training, which knows nothing of what only the second depends on."""
    ignored = known.card(method.name).pretraining_ignores
    facts = {
        **rest,
        "params": {key: value for key, value in method.params.items() if key not in ignored},
        "settings": hashed(own),
        "seed": derive_seed("pretraining", own.seed if own.seed is not None else seed),
    }
    return stage_of(PRETRAIN, facts)


def _check_recipe(method: MethodSpec, known: Facts) -> None:
    part, recipe = known.card(method.name).pretrained, method.train
    given = recipe is not None and bool(recipe.pretrain or recipe.pretrained)
    if part and not given:
        raise InputError(
            f'{method.row}: the method "{method.name}" is trained in two, its {part} first; give '
            f"train.pretrain (epochs, learning_rate, ...), or train.pretrained, the weights that "
            f"such a training has left."
        )
    if given and not part:
        raise InputError(
            f'{method.row}: the method "{method.name}" is trained at once; take "pretrain" and '
            f'"pretrained" out of its "train".'
        )


def _pretrained(method: MethodSpec, path: Path, known: Facts) -> str:
    return known.file(path, f"{method.row}.train.pretrained")


def fusing_stage(
    method: MethodSpec, dataset: Dataset, index: Stage, training: Stage | None, known: Facts
) -> Stage:
    """Return the stage that fuses a dataset, with the weights that `training` leaves if any."""
    facts = {
        **_facts(method, known),
        "pairs": index.spec["pairs"],
        "color": dataset.spec.color,
    }
    local = local_of(dataset)
    if method.checkpoint is not None:
        facts["checkpoint"] = weights_digest(method, method.checkpoint, known)
        local["checkpoint"] = str(method.checkpoint)
    images = known.image_folders(method.name, method.params)
    if images:  # made elsewhere, so that they count by their bytes
        facts["images"] = {key: names_digest(found) for key, found in images.items()}
    return stage_of(FUSE, facts, {"weights": training} if training else {}, local)


def _facts(method: MethodSpec, known: Facts) -> dict[str, Any]:
    code = known.code(method.name)
    return {"method": method.name, "params": method.params, "code": code}


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
    sources = stage_of(PERTURB, facts, local={"dataset": fused.local["dataset"]})
    made = {sources.key: sources}

    def again(stage: Stage) -> Stage:
        """Return a stage as it is of disturbed pairs; trainings and what they rest on stay."""
        if "weights.pt" in stage.kind.products:
            return stage
        if stage.kind.name == FUSE.name:
            spec = {**stage.spec, "perturbed": perturbation.modality}
            changed = replace(stage, spec=spec, inputs={**stage.inputs, "perturbed": sources})
        else:
            inputs = {role: again(source) for role, source in stage.inputs.items()}
            if all(inputs[role] is source for role, source in stage.inputs.items()):
                return stage
            changed = replace(stage, inputs=inputs)
        return made.setdefault(changed.key, changed)

    again(clean)
    return tuple(made.values())


def check_method(job: Job) -> Metrics:
    """Build a fusion method with its checkpoint, before anything is trained."""
    from fusion.registry import load_method, method_class

    name = job.spec["method"]
    if job.spec["train"] and not method_class(name).trainable:
        raise InputError(f'The method "{name}" is inference only; take its "train" out.')
    _check_pretrained(job)
    method = load_method(name, job.local.get("checkpoint"), **job.spec["params"])
    if "dataset" in job.local:
        method.require_names(list(job.dataset().pairs))
    if method.needs_checkpoint and not job.spec["train"] and "checkpoint" not in job.local:
        raise InputError(
            f'The method "{name}" has no weights in this experiment; give "checkpoint" or "train".'
        )
    return {"parameters": sum(p.numel() for p in method.parameters())}


def _check_pretrained(job: Job) -> None:
    """Raise InputError when the weights that a training is to go on from do not belong there."""
    if "pretrained" not in job.local:
        return
    from fusion.registry import build_method, method_class, resolve_params
    from fusion.training.parts import load_part

    name, params = job.spec["method"], dict(job.spec["params"])
    preset = params.pop("preset", None)
    arguments = resolve_params(name, method_class(name), preset, params)
    load_part(build_method(name, **arguments), name, arguments, Path(job.local["pretrained"]))


def train_fusion(job: Job) -> Metrics:
    """Train a fusion network on the training pairs, or its part that is trained first."""
    from fusion.training.settings import PretrainSettings, TrainSettings
    from fusion.training.train import train

    dataset = job.dataset()
    chosen = {
        name: [dataset.pairs[n] for n in dataset.splits.get(name, ())] for name in ("train", "val")
    }
    kind = PretrainSettings if job.kind == PRETRAIN.name else TrainSettings
    settings = kind(**job.spec["settings"], **job.local["settings"])
    first = job.inputs.get("pretrained")

    def on_epoch(row: Mapping[str, float]) -> None:
        job.report(int(row["epoch"]), settings.epochs, f"loss {row['total']:.3f}")

    result = train(
        job.spec["method"],
        dict(job.spec["params"]),
        chosen["train"],
        chosen["val"],
        settings,
        job.out,
        seed=job.spec["seed"],
        device=job.device,
        threads=job.threads,
        on_epoch=on_epoch,
        pretrained=first / "weights.pt" if first else job.path("pretrained"),
    )
    (job.out / "state.pt").unlink()
    return {"final": result.history[-1], "epochs": len(result.history)}


def perturb(job: Job) -> Metrics:
    """Disturb one image of every test pair, for all methods, into ``images/NAME.png``."""
    from fusion.generation.remaining import remaining
    from fusion.pairs import read_image, write_png
    from fusion.perturb import Perturbation, perturb

    dataset, images = job.dataset(), job.out / "images"
    perturbation = Perturbation(job.spec["kind"], job.spec["strength"])
    images.mkdir(exist_ok=True)
    sources = {n: getattr(dataset.pairs[n], perturbation.modality) for n in dataset.test}
    left = remaining(sources, images)
    for done, (name, source) in enumerate(left.items(), 1 + len(sources) - len(left)):
        write_png(images / f"{name}.png", perturb(read_image(source), perturbation, name))
        job.report(done, len(dataset.test), perturbation.label)
    return {"images": len(dataset.test)}


def fuse(job: Job) -> Metrics:
    """Fuse every pair of a dataset, or its disturbed test pairs, into ``images/NAME.png``.

    What an interrupted run has fused is kept; the seconds are those of the others.
    """
    from fusion import load_method
    from fusion.generation.folder import FuseSummary, fuse_folder
    from fusion.generation.remaining import remaining_pairs
    from fusion.looking.contact_sheet import contact_sheet
    from fusion.pairs import read_rgb, read_shown

    dataset = job.dataset()
    method = load_method(
        job.spec["method"],
        job.local.get("checkpoint") or _weights(job),
        job.device,
        **job.spec["params"],
    )
    pairs = _perturbed(job, method) if "perturbed" in job.inputs else dataset.pairs
    images = job.out / "images"
    left = remaining_pairs(list(pairs.values()), images)
    kept, summary = len(pairs) - len(left), FuseSummary(0, 0.0, 0.0)
    if left:
        summary = fuse_folder(
            method,
            left,
            images,
            device=job.device,
            color=dataset.spec.color,
            on_progress=lambda done, _: job.report(kept + done, len(pairs), ""),
        )
    rows = []
    for name in pictured(list(dataset.splits.get("test", dataset.pairs))):
        pair = pairs[name]
        sources = [read_rgb(path) for path in (pair.infrared, pair.visible)]
        rows.append((name, [*sources, read_shown(images / f"{name}.png")]))
    contact_sheet(rows, ["infrared", "visible", job.spec["method"]], job.out / "samples.png")
    seconds = round(summary.network_seconds, 3)
    return {"images": len(pairs), "kept": kept, "network_seconds": seconds}


def _weights(job: Job) -> Path | None:
    return job.inputs["weights"] / "weights.pt" if "weights" in job.inputs else None


def _perturbed(job: Job, method: FusionMethod) -> dict[str, ImagePair]:
    """Return the test pairs with the disturbed image in the place of the clean one.

    They are files like any other pair, so that a method that reads files itself sees them, too.
    """
    if method.premade():
        raise InputError(
            f'The method "{job.spec["method"]}" fuses nothing here: its images were made of clean '
            f"pairs; take it, or perturb, out of the experiment."
        )
    dataset, folder = job.dataset(), job.inputs["perturbed"] / "images"
    found = {}
    for name in dataset.test:
        pair, image = dataset.pairs[name], folder / f"{name}.png"
        first = job.spec["perturbed"] == "infrared"
        found[name] = replace(pair, infrared=image) if first else replace(pair, visible=image)
    return found


def pretraining_work(stage: Stage, sizes: Sizes) -> Work:
    """Return the work of the first training, in which a part sees both images of a pair."""
    return replace(training_work(stage, sizes), network=f"{__name__}:part", partly=False)


def training_work(stage: Stage, sizes: Sizes) -> Work:
    """Return the work of training: crops of pairs that are decoded once, in full batches."""
    from fusion.registry import card

    work = crops_work(f"{__name__}:network", _network_of(stage), stage, sizes, 2)
    return replace(work, partly=bool(card(stage.spec["method"]).pretrained))


def fusing_work(stage: Stage, sizes: Sizes) -> Work:
    """Return the work of fusing: two images are read and one is written, as large as the visible.

    Images that are found by name are only copied.
    """
    from fusion.registry import card

    images = sizes.test if "perturbed" in stage.spec else sizes.pairs
    return Work(
        "" if card(stage.spec["method"]).by_name else f"{__name__}:network",
        _network_of(stage),
        images,
        sizes.height,
        sizes.width,
        handled=3 * images * sizes.pixels,
        data_bytes=images * sizes.png_bytes,
        code=stage.spec["code"],
    )


def perturbing_work(stage: Stage, sizes: Sizes) -> Work:
    """Return the work of disturbing one image of every test pair."""
    return Work(
        "",
        {"kind": stage.spec["kind"]},
        sizes.test,
        sizes.height,
        sizes.width,
        handled=2 * sizes.test * sizes.pixels,
        data_bytes=sizes.test * sizes.png_bytes,
    )


def _network_of(stage: Stage) -> dict[str, Any]:
    return {"method": stage.spec["method"], "params": dict(stage.spec["params"])}


def part(
    given: Mapping[str, Any], device: str, training: bool
) -> tuple[nn.Module, Callable[[int, int, int], Tensor]]:
    """Return a method's part that is trained first, and what shows it random pairs."""
    import torch

    from fusion.registry import load_method

    method = load_method(given["method"], device=device, **given["params"]).train(training)

    def forward(batch: int, height: int, width: int) -> Tensor:
        pair = torch.rand(2, batch, 1, height, width, device=device)
        return method.pretraining_loss(*pair)["total"]

    return method.get_submodule(method.pretrained), forward


def network(
    given: Mapping[str, Any], device: str, training: bool
) -> tuple[nn.Module, Callable[[int, int, int], Tensor]]:
    """Return a method without trained weights, and what shows it random pairs."""
    import torch

    from fusion.registry import load_method

    method = load_method(given["method"], device=device, **given["params"]).train(training)

    def forward(batch: int, height: int, width: int) -> Tensor:
        pair = torch.rand(2, batch, 1, height, width, device=device)
        return method.loss(*pair)["total"] if training else method(*pair).sum()

    return method, forward


WORKS: Mapping[str, Measure] = {
    PRETRAIN.name: pretraining_work,
    TRAIN.name: training_work,
    FUSE.name: fusing_work,
    PERTURB.name: perturbing_work,
}
