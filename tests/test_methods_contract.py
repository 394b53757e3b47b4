"""Every registered method keeps the contract: a new file is tested without a new test."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from fusion import build_method, cards, load_method
from fusion.errors import InputError
from fusion.method import FusionMethod
from fusion.method_card import MethodCard
from fusion.pairs import write_png
from fusion.registry import method_class

CARDS = {card.name: card for card in cards()}
COMPUTED = [name for name, card in CARDS.items() if not card.by_name]
BY_NAME = [name for name, card in CARDS.items() if card.by_name]
TRAINABLE = [name for name, card in CARDS.items() if card.trainable]
SIZES = [(33, 47), (64, 64), (100, 140)]


def preset(card: MethodCard) -> str | None:
    return "tiny" if "tiny" in card.presets else None


def make(name: str) -> FusionMethod:
    torch.manual_seed(0)
    return load_method(name, preset=preset(CARDS[name]))


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


@pytest.mark.parametrize("name", COMPUTED)
def test_every_size_gives_its_own_size_in_range(name: str) -> None:
    method = make(name)
    for height, width in SIZES:
        infrared, visible = batch(1, 1, height, width)
        copies = infrared.clone(), visible.clone()
        fused = method.fuse(infrared, visible)
        assert fused.shape == (1, 1, height, width)
        assert fused.dtype == torch.float32
        assert not fused.requires_grad
        assert bool(((fused >= 0) & (fused <= 1)).all())
        assert torch.equal(infrared, copies[0])
        assert torch.equal(visible, copies[1])


@pytest.mark.parametrize("name", COMPUTED)
def test_same_input_same_output(name: str) -> None:
    method, pair = make(name), batch(1, 1, 33, 47)
    method.train()  # fuse itself must leave training mode
    assert torch.equal(method.fuse(*pair), method.fuse(*pair))
    assert not method.training


@pytest.mark.parametrize("name", COMPUTED)
def test_a_batch_equals_its_single_images(name: str) -> None:
    method, (infrared, visible) = make(name), batch(3, 1, 32, 40)
    together = method.fuse(infrared, visible)
    alone = [method.fuse(infrared[i : i + 1], visible[i : i + 1]) for i in range(3)]
    assert torch.allclose(together, torch.cat(alone), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", COMPUTED)
def test_float64_is_accepted(name: str) -> None:
    pair = batch(1, 1, 33, 47, dtype=torch.float64)
    precise = make(name).double().fuse(*pair)
    assert precise.dtype == torch.float64
    single = make(name).fuse(*(image.float() for image in pair))
    assert torch.allclose(precise.float(), single, atol=1e-3)


@pytest.mark.parametrize("name", COMPUTED)
def test_wrong_batches_are_refused(name: str) -> None:
    method, (infrared, visible) = make(name), batch(1, 1, 16, 16)
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


@pytest.mark.parametrize("name", TRAINABLE)
def test_every_weight_learns(name: str) -> None:
    torch.manual_seed(0)
    method = build_method(name, preset=preset(CARDS[name])).train()
    losses = method.loss(*batch(4, 1, 32, 32))
    assert all(value.ndim == 0 for value in losses.values())
    losses["total"].backward()
    still = [k for k, p in method.named_parameters() if p.grad is None]
    assert still == []


@pytest.mark.parametrize("name", TRAINABLE)
def test_validation_changes_nothing(name: str) -> None:
    torch.manual_seed(0)
    method, pair = build_method(name, preset=preset(CARDS[name])).eval(), batch(2, 1, 32, 32)
    before = {key: value.clone() for key, value in method.state_dict().items()}
    with torch.no_grad():
        first, second = (method.loss(*pair)["total"] for _ in range(2))
    assert not method.training, "loss must leave the mode to its caller"
    assert torch.equal(first, second)
    assert all(torch.equal(before[k], v) for k, v in method.state_dict().items())


@pytest.mark.parametrize("name", [n for n in COMPUTED if n not in TRAINABLE])
def test_inference_only_methods_say_so(name: str) -> None:
    with pytest.raises(InputError, match="inference only"):
        make(name).loss(*batch(1, 1, 16, 16))


@pytest.mark.parametrize("name", BY_NAME)
def test_methods_by_name(name: str, tmp_path: Path) -> None:
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
