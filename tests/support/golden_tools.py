"""The published networks' reference inputs and weights, which are formulas, not files."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

Array = NDArray[np.float64]
HERE = Path(__file__).parents[1] / "fusion" / "goldens"
SAMPLES = 200
ZOO = (
    "cddfuse",
    "dcinn",
    "dm_head",
    "dm_pipeline",
    "dm_unet",
    "emma",
    "emma_unet5",
    "fatfusion",
    "gesenet",
    "ifcnn",
    "lrrnet",
    "mmdrfuse_student",
    "mmdrfuse_teacher",
    "mri_cmd",
    "seafusion",
    "segmif",
    "segmif_seg",
    "ship",
    "tardal",
)
"""Published networks with reference outputs, beside LKC-FUNet's."""

_EXTRA: dict[str, Any] = {"mpafm_roles": "dec_enc", "mpafm_residual": True}
_SMALL: dict[str, Any] = {"kernels": (3, 3, 3, 3), "init_kernel": 3}
LKC_CONFIGS: dict[str, dict[str, Any]] = {
    "lkc_release_bn_15_11_5": {"kernels": (15, 11, 5, 5), "norm_init": "bn", **_EXTRA},
    "lkc_in_15_11_5": {"kernels": (15, 11, 5, 5), **_EXTRA},
    "lkc_paper_in_15_7_5": _EXTRA,
    "lkc_paper_strict": {},
    "lkc_paper_swap_res": {"mpafm_residual": True},
    "lkc_abl_I_allbn_3x3": {"norm_init": "bn", "norm_body": "bn", **_SMALL, **_EXTRA},
    "lkc_abl_II_allbn_lkc": {"norm_init": "bn", "norm_body": "bn", **_EXTRA},
    "lkc_abl_III_bn_gn_lkc": {"norm_init": "bn", **_EXTRA},
    "lkc_abl_IV_in_gn_3x3": {**_SMALL, **_EXTRA},
    "lkc_abl_V_nonorm": {"norm_init": "none", "norm_body": "none", **_EXTRA},
    "lkc_abl_VI_no_mpafm": {"mpafm": "concat", **_EXTRA},
}
"""Constructor arguments of each reference network (all but two have the released MPAFM)."""


def fill(module: nn.Module, rules: Sequence[Mapping[str, Any]] = ()) -> None:
    """Overwrite the floating state of `module` by formula, integer entries by 0.

    `rules` are the overrides of a ``<method>_fill.json``; LKC-FUNet has none.
    """
    for key, tensor in module.state_dict().items():
        if not tensor.is_floating_point():
            tensor.zero_()
            continue
        values = _values(key, tuple(tensor.shape), rules)
        if values is not None:
            tensor.copy_(torch.from_numpy(values.astype(np.float32)))


def _values(key: str, shape: tuple[int, ...], rules: Sequence[Mapping[str, Any]]) -> Array | None:
    rule: Mapping[str, Any] = {}
    if not key.endswith("running_var"):
        rule = next((r for r in rules if _applies(r, key, shape)), {})
    if rule.get("keep"):
        return None
    i = np.arange(math.prod(shape), dtype=np.float64)
    angle = 0.37 * i + 1.7 * (zlib.crc32(key.encode()) % 1000)
    if rule.get("chirp"):
        whole = np.arange(i.size, dtype=np.int64)
        angle += 2 * np.pi * (whole * whole % 1009) / 1009
    s: Array = np.sin(angle).reshape(shape)
    if key.endswith("running_var"):
        return 1 + 0.1 * s * s
    scale, offset = 0.05, 1.0 if len(shape) == 1 and key.endswith("weight") else 0.0
    if "fan" in rule:
        scale = rule["fan"] / math.sqrt(math.prod(shape[1:]))
    return np.asarray(rule.get("offset", offset) + rule.get("scale", scale) * s)


def _applies(rule: Mapping[str, Any], key: str, shape: tuple[int, ...]) -> bool:
    return re.search(rule["match"], key) is not None and len(shape) >= rule.get("min_ndim", 0)


def lkc_input(height: int, width: int) -> torch.Tensor:
    """Return the two-channel reference input of LKC-FUNet, 1 x 2 x H x W, float32."""
    c, h, w = np.ogrid[:2, :height, :width]
    x = 0.5 + 0.5 * np.sin(0.11 * h + 0.07 * w + 1.3 * c)
    return torch.from_numpy(x.astype(np.float32))[None]


def key_digest(shapes: Mapping[str, Sequence[int]]) -> str:
    """Return the sha256 of the sorted list of [key, shape]."""
    listed = [[key, list(shape)] for key, shape in sorted(shapes.items())]
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()


def sample(values: Array, count: int = SAMPLES) -> list[float]:
    """Return the values at `count` evenly spaced flat positions."""
    flat = values.reshape(-1)
    return [float(v) for v in flat[np.linspace(0, flat.size - 1, count).astype(int)]]


def zoo_input(height: int, width: int, batch: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the infrared and visible reference inputs, batch x 1 x H x W, float32."""
    b, h, w = np.ogrid[:batch, :height, :width]
    infrared = 0.5 + 0.5 * np.sin(0.11 * h + 0.07 * w + 0.5 * b)
    visible = 0.5 + 0.5 * np.sin(0.05 * h - 0.09 * w + 1.3 + 0.5 * b)
    first, second = (torch.from_numpy(x.astype(np.float32))[:, None] for x in (infrared, visible))
    return first, second


def zoo_colour(height: int, width: int, batch: int = 1) -> torch.Tensor:
    """Return the visible RGB reference input, batch x 3 x H x W, float32."""
    b, k, h, w = np.ogrid[:batch, :3, :height, :width]
    x = 0.5 + 0.5 * np.sin(0.05 * h - 0.09 * w + 1.3 + 0.5 * b + 0.8 * k)
    return torch.from_numpy(x.astype(np.float32))


def check_keys(name: str, module: nn.Module | Mapping[str, torch.Tensor]) -> None:
    """Assert that a state dict has the published keys and shapes, all of them and no others."""
    state = module.state_dict() if isinstance(module, nn.Module) else module
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    want = stored(name)
    assert len(shapes) == want["keys"]
    assert key_digest(shapes) == want["keys_sha256"]


def check_arrays(name: str, got: Mapping[str, torch.Tensor], atol: float) -> None:
    """Assert that outputs equal the references: sampled values always, all where at hand."""
    want = stored(name)["arrays"]
    assert got
    for key, tensor in got.items():
        values = tensor.detach().double().numpy()
        assert list(values.shape) == want[key]["shape"], key
        taken = sample(values, len(want[key]["samples"]))
        np.testing.assert_allclose(taken, want[key]["samples"], rtol=0, atol=atol, err_msg=key)
        assert abs(values.mean() - want[key]["mean"]) <= atol, key
    root = os.environ.get("FUSE_THEN_DATA")
    if root:
        with np.load(Path(root) / "goldens" / f"{name}.npz") as full:
            for key, tensor in got.items():
                np.testing.assert_allclose(
                    tensor.detach().numpy(), full[key], rtol=0, atol=atol, err_msg=key
                )


def stored(name: str) -> dict[str, Any]:
    """Return the small reference file `name` of this repository."""
    found: dict[str, Any] = json.loads((HERE / f"{name}.json").read_text())
    return found


def full_folder() -> Path:
    """Return the folder of complete references, or skip the test when the machine has none."""
    root = os.environ.get("FUSE_THEN_DATA")
    if not root:
        pytest.skip("FUSE_THEN_DATA is not set: the complete reference arrays are not at hand")
    return Path(root) / "goldens"
