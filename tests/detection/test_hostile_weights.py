"""Weights of detectors that nobody means well: one sentence each, soon, and no code runs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from benchmarks.hostile_checkpoints import KINDS, saved
from detection.yolo.checkpoints import load_network, read_checkpoint
from detection.yolo.ultralytics import prepare
from fusion.errors import InputError
from fusion.torch_tools import write_checkpoint

pytestmark = [pytest.mark.training, pytest.mark.timeout(60)]


@pytest.fixture(autouse=True, scope="module")
def imported() -> None:
    prepare()  # takes seconds, which are no reader's


def doubled(times: int) -> nn.Module:
    found: nn.Module = nn.Conv2d(1, 1, 1)
    for _ in range(times):
        found = nn.Sequential(found, found)
    return found


def hollow() -> nn.Module:
    found = nn.Conv2d(1, 1, 1)
    found.__dict__["_parameters"] = {"weight": 3}
    found.__dict__["_modules"] = {"a": "b"}
    return found


def in_itself() -> nn.Module:
    found = nn.Sequential(nn.Conv2d(1, 1, 1))
    found._modules["1"] = found
    return found


MODULES = {"shared": lambda: doubled(40), "hollow": hollow, "in itself": in_itself}


def refused(path: Path) -> str:
    started = time.perf_counter()
    with pytest.raises(InputError) as caught:
        read_checkpoint(path)
    assert time.perf_counter() - started < 2
    assert len(str(caught.value)) < 1000
    return str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_hostile_checkpoint_is_one_sentence_soon(tmp_path: Path, kind: str) -> None:
    (tmp_path / "x.pt").write_bytes(KINDS[kind](tmp_path / "ran"))
    assert "x.pt" in refused(tmp_path / "x.pt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("kind", MODULES)
def test_a_made_up_network_is_one_sentence_soon(tmp_path: Path, kind: str) -> None:
    (tmp_path / "x.pt").write_bytes(saved({"model": MODULES[kind]()}))
    refused(tmp_path / "x.pt")


@pytest.mark.parametrize(
    "changes",
    [
        {"classes": "People"},
        {"classes": [["People"]]},
        {"classes": [1]},
        {"model": ["yolov5n"]},
        {"model": "../yolov5n"},
        {"state_dict": {}},
        {"state_dict": {"a": 1}},
        {"state_dict": {"a": torch.zeros(2, 10**6)}},
        {"state_dict": [torch.zeros(1)]},
    ],
)
def test_weights_that_are_none_of_ours_are_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    facts = {"model": "yolov5n", "classes": ["People"], "state_dict": {"a": torch.zeros(1)}}
    write_checkpoint(tmp_path / "x.pt", {**facts, **changes})
    with pytest.raises(InputError, match=r"x\.pt (is|was|does)"):
        load_network(tmp_path / "x.pt", ["People"])
