"""Checkpoints that nobody means well: one sentence each, soon, in little memory; no code runs."""

from __future__ import annotations

import resource
import time
from pathlib import Path

import pytest
import torch

from benchmarks.hostile_checkpoints import KINDS, saved
from benchmarks.hostile_files import NO_FILES
from fusion.errors import InputError
from fusion.registry import build_method, load_method, method_class
from fusion.torch_tools import load_checkpoint, write_checkpoint
from fusion.weights.checkpoints import FORMAT, read_checkpoint

pytestmark = pytest.mark.timeout(20)


@pytest.mark.parametrize("kind", KINDS)
def test_a_hostile_checkpoint_is_one_sentence_soon(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.pt"
    path.write_bytes(KINDS[kind](tmp_path / "ran"))
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError) as caught:
        read_checkpoint(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert time.perf_counter() - started < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("kind", [kind for kind in NO_FILES if kind != "folder"])
def test_a_checkpoint_that_is_no_file_is_refused(tmp_path: Path, kind: str) -> None:
    NO_FILES[kind][0](tmp_path / "x.pt")
    with pytest.raises(InputError, match=r"x\.pt"):
        read_checkpoint(tmp_path / "x.pt")


def test_shared_and_many_tensors_of_an_honest_file_are_read(tmp_path: Path) -> None:
    tied = torch.rand(10)
    content = {
        "a": tied,
        "b": tied,
        "view": tied[2:4],
        "none": torch.zeros(0, 3),
        "bool": torch.ones(3, dtype=torch.bool),
        "epochs": [{"loss": 0.5}] * 1000,
        "lots": (3, tuple(range(625)), None),
    }
    write_checkpoint(tmp_path / "new.pt", content)
    (tmp_path / "old.pt").write_bytes(saved(content, _use_new_zipfile_serialization=False))
    for name in ("new.pt", "old.pt"):
        found = load_checkpoint(tmp_path / name)
        assert found["epochs"] == content["epochs"]
        assert torch.equal(found["view"], tied[2:4])


def test_no_part_of_a_folder_is_a_link_out_of_it(tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    (tmp_path / "secret.pth").write_bytes(saved({"a": torch.zeros(1)}))
    cls = method_class("dm_fnet")
    for name in cls.nested:
        (folder / name).symlink_to(tmp_path / "secret.pth")
    with pytest.raises(InputError, match="out of its folder"):
        read_checkpoint(folder, cls)


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("lkc_funet", {"width": 100_000}),
        ("lkc_funet", {"stem": 10**9}),
        ("lkc_funet", {"width": 2**62}),
        ("dm_fnet", {"width": 10**6}),
        ("dm_fnet", {"steps": [1] * 100_000}),
        ("laplacian", {"levels": 10**9}),
    ],
)
def test_a_network_that_fills_the_memory_is_not_built(
    tmp_path: Path, method: str, params: dict[str, object]
) -> None:
    started = time.perf_counter()
    with pytest.raises(InputError) as caught:
        build_method(method, **params)
    assert next(iter(params)) in str(caught.value)
    assert len(str(caught.value)) < 1000
    facts = {"method": method, "params": params, "extra": {}, "state_dict": {"a": torch.zeros(1)}}
    write_checkpoint(tmp_path / "x.pt", {"format": FORMAT, **facts})
    with pytest.raises(InputError):
        load_method(method, tmp_path / "x.pt")
    assert time.perf_counter() - started < 2
