"""Every registered method keeps the contract: a new file is tested without a new test."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from fusion import cards, load_method
from fusion.errors import InputError
from fusion.method import FusionMethod
from fusion.pairs import write_png
from fusion.registry import method_class
from fusion.weights.checkpoints import save_checkpoint

CARDS = {card.name: card for card in cards()}
COMPUTED = [name for name, card in CARDS.items() if not card.by_name]
TRAINABLE = [name for name, card in CARDS.items() if card.trainable]
IN_TWO = [name for name, card in CARDS.items() if card.pretrained]
SMALL = [(33, 47), (64, 64), (51, 34)]
LARGE = [(768, 1024), (480, 640), (192, 256), (96, 128)]
AFFORDABLE = 16e9
"""Multiply-adds that one test may cost: about a second on one core."""


def variants(names: list[str]) -> list[str]:
    """Return NAME and every NAME/PRESET; of a method with a tiny preset, that one alone."""
    found = []
    for name in names:
        presets = CARDS[name].presets
        chosen = [f"{name}/{preset}" for preset in presets]
        found += [f"{name}/tiny"] if "tiny" in presets else [name, *chosen]
    return found


def make(variant: str) -> FusionMethod:
    torch.manual_seed(0)
    name, _, preset = variant.partition("/")
    return load_method(name, preset=preset or None)


def largest(method: FusionMethod) -> tuple[int, int]:
    """Return the largest size that is affordable, by the multiply-adds of a small one."""
    with FlopCounterMode(display=False) as counter:
        method.fuse(*batch(1, 1, 64, 64))
    each = counter.get_total_flops() / 2 / 64**2
    return next((s for s in LARGE if each * s[0] * s[1] <= AFFORDABLE), LARGE[-1])


def state(method: FusionMethod) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in method.state_dict().items()}


def batch(*shape: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    first, second = (torch.rand(shape, generator=generator, dtype=dtype) for _ in range(2))
    return first, second


@pytest.mark.parametrize("name", CARDS)
def test_card_is_complete_and_true(name: str) -> None:
    card, cls = CARDS[name], method_class(name)
    assert card.summary.endswith(".")
    assert card.paper
    assert card.licence
    assert card.checkpoint
    assert set(card.presets) == set(cls.presets)
    switches = (card.trainable, card.needs_checkpoint, card.by_name)
    assert switches == (cls.trainable, cls.needs_checkpoint, cls.by_name)
    assert (card.premade, card.image_folders) == (cls.premade(), cls.image_folders)
    assert set(card.image_folders) <= set(card.parameters)
    assert (card.pretrained, card.pretraining_ignores) == (cls.pretrained, cls.pretraining_ignores)
    assert set(card.pretraining_ignores) <= set(card.parameters)
    assert cls.trainable or not cls.pretrained


@pytest.mark.parametrize("variant", variants(COMPUTED))
def test_every_size_gives_its_own_size_in_range(variant: str) -> None:
    method = make(variant)
    for height, width in [*SMALL, largest(method)]:
        infrared, visible = batch(1, 1, height, width)
        copies = infrared.clone(), visible.clone()
        fused = method.fuse(infrared, visible)
        assert fused.shape == (1, 1, height, width)
        assert fused.dtype == torch.float32
        assert not fused.requires_grad
        assert bool(((fused >= 0) & (fused <= 1)).all())
        assert torch.equal(infrared, copies[0])
        assert torch.equal(visible, copies[1])


@pytest.mark.parametrize("variant", variants(COMPUTED))
def test_fusing_is_repeatable_and_changes_nothing(variant: str) -> None:
    method, pair = make(variant), batch(1, 1, 33, 47)
    method.train()  # fuse itself must leave training mode
    before = state(method)
    first = method.fuse(*pair)
    method.fuse(*batch(2, 1, 40, 32))
    torch.manual_seed(1)
    assert torch.equal(method.fuse(*pair), first)
    assert not method.training
    after = method.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], value) for key, value in after.items())
    assert all(parameter.grad is None for parameter in method.parameters())


@pytest.mark.parametrize("variant", variants(COMPUTED))
def test_a_batch_equals_its_single_images(variant: str) -> None:
    method, (infrared, visible) = make(variant), batch(3, 1, 32, 40)
    together = method.fuse(infrared, visible)
    alone = [method.fuse(infrared[i : i + 1], visible[i : i + 1]) for i in range(3)]
    assert torch.allclose(together, torch.cat(alone), atol=1e-5, rtol=0)


@pytest.mark.parametrize("variant", variants(COMPUTED))
def test_float64_is_accepted(variant: str) -> None:
    pair = batch(1, 1, 33, 47, dtype=torch.float64)
    precise = make(variant).double().fuse(*pair)
    assert precise.dtype == torch.float64
    single = make(variant).fuse(*(image.float() for image in pair))
    assert torch.allclose(precise.float(), single, atol=1e-3)


@pytest.mark.parametrize("variant", variants(COMPUTED))
def test_everything_moves_with_the_device(variant: str) -> None:
    """A tensor that is neither parameter nor buffer would stay behind."""
    method, pair = make(variant), batch(1, 1, 33, 47)
    first = method.fuse(*pair)
    for module in method.modules():
        own = {id(tensor) for tensor in (*module.parameters(False), *module.buffers(False))}
        for key, value in vars(module).items():
            held = value if isinstance(value, list | tuple) else [value]
            left = [v for v in held if isinstance(v, Tensor) and id(v) not in own]
            assert not left, f"{type(module).__name__}.{key}"
    if torch.cuda.is_available():
        fused = method.to("cuda").fuse(*(image.to("cuda") for image in pair))
        assert fused.device.type == "cuda"
        assert torch.allclose(fused.cpu(), first, atol=1e-3)
    assert torch.equal(method.to("cpu").fuse(*pair), first)


@pytest.mark.parametrize("variant", variants(COMPUTED))
def test_weights_are_saved_without_pickled_objects(variant: str, tmp_path: Path) -> None:
    method, (name, _, preset) = make(variant), variant.partition("/")
    path = tmp_path / "weights.pt"
    params = dict(type(method).presets[preset]) if preset else {}
    save_checkpoint(path, name, params, method.state_dict())
    if not method.state_dict():
        with pytest.raises(InputError, match=r"has no weights|holds no weights"):
            load_method(name, path)
        return
    content = torch.load(path, weights_only=True)["state_dict"]
    assert {type(value) for value in content.values()} == {Tensor}
    torch.manual_seed(1)
    loaded = load_method(name, path)
    assert loaded.state_dict().keys() == content.keys()
    pair = batch(1, 1, 32, 40)
    assert torch.equal(loaded.fuse(*pair), method.fuse(*pair))


@pytest.mark.parametrize("name", COMPUTED)
def test_wrong_batches_are_refused(name: str) -> None:
    method, (infrared, visible) = make(variants([name])[0]), batch(1, 1, 16, 16)
    wrong = [
        (infrared[0], visible[0], "must be a float tensor"),
        (infrared.repeat(1, 3, 1, 1), visible, "must be a float tensor"),
        ((infrared * 255).to(torch.uint8), visible, "must be a float tensor"),
        (infrared * 255, visible, "outside"),
        (infrared, visible - 1, "outside"),
        (infrared * torch.nan, visible, "outside"),
        (infrared, visible[..., :-1], "aligned and of one size"),
    ]
    for first, second, said in wrong:
        with pytest.raises(InputError, match=said):
            method.fuse(first, second)


@pytest.mark.parametrize("variant", variants(TRAINABLE))
def test_every_weight_learns(variant: str) -> None:
    method = make(variant).train()
    losses = method.loss(*batch(4, 1, 32, 32))
    assert all(value.ndim == 0 for value in losses.values())
    losses["total"].backward()
    assert learning(method) == others(method)


def learning(method: FusionMethod) -> set[str]:
    return {k for k, p in method.named_parameters() if p.grad is not None or not p.requires_grad}


def others(method: FusionMethod) -> set[str]:
    """All parameters but those of a part that has a training of its own."""
    names = {name for name, _ in method.named_parameters()}
    return {n for n in names if not (method.pretrained and n.startswith(f"{method.pretrained}."))}


@pytest.mark.parametrize("variant", variants(IN_TWO))
def test_every_weight_of_a_part_learns_in_its_own_training(variant: str) -> None:
    method = make(variant).train()
    assert not other_weights_count(method)
    losses = method.pretraining_loss(*batch(4, 1, 32, 32))
    assert all(value.ndim == 0 for value in losses.values())
    losses["total"].backward()
    assert learning(method) == {name for name, _ in method.named_parameters()} - others(method)
    assert learning(method)


def other_weights_count(method: FusionMethod) -> bool:
    """Whether the first training's loss changes with weights that it does not train."""
    results = []
    for factor in (1.0, 2.0):
        for key, value in method.state_dict().items():
            if key in others(method):
                value *= factor
        torch.manual_seed(0)
        results.append(float(method.pretraining_loss(*batch(2, 1, 32, 32))["total"].detach()))
    return results[0] != results[1]


@pytest.mark.parametrize("variant", variants(IN_TWO))
def test_a_part_does_not_depend_on_what_its_training_ignores(variant: str) -> None:
    name, _, preset = variant.partition("/")
    cls, before = method_class(name), make(variant)
    for key in cls.pretraining_ignores:
        torch.manual_seed(0)
        value = getattr(before, key)
        again = load_method(name, preset=preset or None, **{key: changed(value)})
        for own, other in zip(part(before), part(again), strict=True):
            assert torch.equal(own, other), key
        torch.manual_seed(0)
        first = before.pretraining_loss(*batch(2, 1, 32, 32))["total"]
        torch.manual_seed(0)
        assert torch.equal(first, again.pretraining_loss(*batch(2, 1, 32, 32))["total"]), key


def part(method: FusionMethod) -> list[Tensor]:
    return list(method.get_submodule(method.pretrained).state_dict().values())


def changed(value: object) -> object:
    """Return another value for a parameter: of what these methods have, all that there is."""
    words = {"linear": "cosine", "cosine": "linear", "seeded": "none", "none": "seeded"}
    if isinstance(value, str):
        return words[value]
    return value + 1 if isinstance(value, int) else tuple(value)[:-1]


@pytest.mark.parametrize("variant", variants(TRAINABLE))
def test_validation_changes_nothing(variant: str) -> None:
    method, pair = make(variant).eval(), batch(2, 1, 32, 32)
    before = state(method)
    losses = [method.loss, *([method.pretraining_loss] if method.pretrained else [])]
    for loss in losses:
        with torch.no_grad():
            first, second = (loss(*pair)["total"] for _ in range(2))
        assert not method.training, "loss must leave the mode to its caller"
        assert torch.equal(first, second)
    assert all(torch.equal(before[k], v) for k, v in method.state_dict().items())


@pytest.mark.parametrize("name", [n for n in COMPUTED if n not in TRAINABLE])
def test_inference_only_methods_say_so(name: str) -> None:
    with pytest.raises(InputError, match="inference only"):
        make(name).loss(*batch(1, 1, 16, 16))


@pytest.mark.parametrize("name", [n for n in TRAINABLE if n not in IN_TWO])
def test_methods_with_one_training_say_so(name: str) -> None:
    with pytest.raises(InputError, match="has one training only"):
        make(variants([name])[0]).pretraining_loss(*batch(1, 1, 16, 16))


def test_precomputed_images(tmp_path: Path) -> None:
    name = "precomputed"
    rng = np.random.default_rng(0)
    gray = rng.integers(0, 256, (6, 9), dtype=np.uint8)
    colour = rng.integers(0, 256, (6, 9, 3), dtype=np.uint8)
    write_png(tmp_path / "gray.png", gray)
    write_png(tmp_path / "colour.png", colour)
    (tmp_path / "broken.png").write_bytes(b"no image")
    method = load_method(name, folder=tmp_path)
    for key, image in (("gray", gray), ("colour", colour)):
        assert np.array_equal(method.ready_image(key), image)
    with pytest.raises(InputError, match="computes no image from tensors"):
        method.fuse(*batch(1, 1, 8, 8))
    with pytest.raises(InputError, match=r"4 of 5 pairs \(a, b, c, \.\.\.\)"):
        method.require_names(["a", "b", "gray", "c", "d"])
    with pytest.raises(InputError, match=r"broken\.png cannot be read"):
        method.ready_image("broken")
    with pytest.raises(InputError, match="does not exist"):
        load_method(name, folder=tmp_path / "nowhere")


def test_simple_methods_compute_what_they_say() -> None:
    infrared, visible = batch(2, 1, 9, 7)
    want = {
        "infrared": infrared,
        "visible": visible,
        "maximum": torch.maximum(infrared, visible),
        "average": (infrared + visible) / 2,
    }
    for name, image in want.items():
        assert torch.equal(load_method(name).fuse(infrared, visible), image)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 3), (5, 1), (17, 31)])
@pytest.mark.parametrize("levels", [1, 4, 7])
def test_laplacian_rebuilds_equal_images(size: tuple[int, int], levels: int) -> None:
    image = batch(1, 1, *size, dtype=torch.float64)[0]
    fused = load_method("laplacian", levels=levels).fuse(image, image)
    assert torch.allclose(fused, image, atol=1e-12)


def test_laplacian_keeps_the_detail_of_either_and_the_mean_of_the_base() -> None:
    flat = torch.full((1, 1, 32, 32), 0.5)
    spot = flat.clone()
    spot[..., 16, 16] = 1.0
    spotted = load_method("laplacian").fuse(spot, flat)
    assert torch.allclose(spotted, spot, atol=0.01)  # a mean would halve the spot
    assert torch.allclose(load_method("laplacian").fuse(flat, flat * 0), flat / 2, atol=1e-6)


@pytest.mark.parametrize("levels", [0, 13, 2.0, "4", True])
def test_laplacian_levels_are_checked(levels: object) -> None:
    with pytest.raises(InputError, match="laplacian: levels is"):
        load_method("laplacian", levels=levels)
