"""Our TarDAL generator against the outputs of the authors' module, and its parameter."""

from pathlib import Path

import pytest
import torch
from golden_tools import check_arrays, check_keys, fill, stored, zoo_input
from torch import Tensor

from fusion.errors import InputError
from fusion.methods.tardal import BatchNormMode, TarDAL
from fusion.pairs import read_gray
from fusion.registry import load_method


def filled(bn_mode: BatchNormMode = "eval") -> TarDAL:
    method = TarDAL(bn_mode=bn_mode).eval()
    fill(method, stored("tardal")["fill"])
    return method


def raw(method: TarDAL, height: int, width: int) -> Tensor:
    with torch.inference_mode():
        return method.raw(torch.cat(zoo_input(height, width, batch=2), dim=1))


def test_golden_keys() -> None:
    check_keys("tardal", TarDAL())


@pytest.mark.parametrize(("height", "width"), [(64, 64), (96, 80)])
def test_golden_outputs(height: int, width: int) -> None:
    method, size = filled(), f"{height}x{width}"
    fused = method.fuse(*zoo_input(height, width, batch=2))
    check_arrays("tardal", {f"raw_{size}": raw(method, height, width), f"out_{size}": fused}, 1e-4)


def test_golden_statistics_of_the_batch() -> None:
    check_arrays("tardal", {"raw_trainbn_64x64": raw(filled("batch"), 64, 64)}, 1e-4)


def test_batch_mode_takes_each_image_alone_and_stores_nothing() -> None:
    method, (infrared, visible) = filled("batch"), zoo_input(33, 47, batch=3)
    before = {key: value.clone() for key, value in method.state_dict().items()}
    method.train()
    together = method.fuse(infrared, visible)
    alone = [method.fuse(infrared[i : i + 1], visible[i : i + 1]) for i in range(3)]
    assert torch.allclose(together, torch.cat(alone), atol=1e-5)
    assert not torch.allclose(together, filled().fuse(infrared, visible), atol=1e-2)
    assert all(torch.equal(before[key], value) for key, value in method.state_dict().items())


@pytest.mark.parametrize("bn_mode", ["eval", "batch"])
def test_one_pixel(bn_mode: BatchNormMode) -> None:
    fused = filled(bn_mode).fuse(*zoo_input(1, 1))
    assert fused.shape == (1, 1, 1, 1)
    assert bool(fused.isfinite().all())


def test_later_files_hold_the_generator_among_other_things(tmp_path: Path) -> None:
    generator, critic = filled().state_dict(), {"conv.weight": torch.zeros(3)}
    whole = {"fuse": {**generator, "use_eval": True}, "disc": {"t": critic, "d": critic}}
    for name, content in (("dt.pth", whole), ("bare.pt", generator)):
        torch.save(content, tmp_path / name)
        loaded = load_method("tardal", tmp_path / name).state_dict()
        assert all(torch.equal(value, loaded[key]) for key, value in generator.items())


@pytest.mark.parametrize("value", ["train", None, True])
def test_bn_mode_is_checked(value: object) -> None:
    with pytest.raises(InputError, match=r'tardal: bn_mode is .* must be "eval" or "batch"'):
        load_method("tardal", bn_mode=value)


def test_golden_checkpoint_fuses_a_real_pair(data_home: Path) -> None:
    folder, weights = data_home / "data/msrs/test", data_home / "weights/fusion"
    name = min(path.name for path in (folder / "ir").glob("*D.png"))
    infrared, visible = (_read(folder / kind / name) for kind in ("ir", "vi"))
    kept, own = (
        load_method("tardal", weights / "VIFB_tardal.pt", preset=preset).fuse(infrared, visible)
        for preset in (None, "image_statistics")
    )
    assert _correlation(kept, infrared) > 0.5
    assert _correlation(own, visible) > 0.9
    assert own.mean() > kept.mean() + 0.1


def _correlation(first: Tensor, second: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([first.flatten(), second.flatten()]))[0, 1])


def _read(path: Path) -> Tensor:
    return torch.from_numpy(read_gray(path)).float()[None, None, 120:360, 160:480] / 255
