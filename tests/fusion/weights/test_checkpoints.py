"""The authors' files: parts and wrappings undone, everything strict, nothing unsafe read."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from fusion.errors import InputError
from fusion.method import FusionMethod
from fusion.weights.checkpoints import FORMAT, load_into, read_checkpoint, save_checkpoint


class Parts(FusionMethod):
    """An encoder and a head whose weights the authors keep apart."""

    nested: ClassVar[Mapping[str, str]] = {"Encoder": "encoder.", "Head": "head."}
    ignored: ClassVar[tuple[str, ...]] = (r"head\.unused", "discriminator$")
    optional: ClassVar[tuple[str, ...]] = (r".*num_batches_tracked$",)

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
        self.head = nn.Conv2d(2, 1, 1)

    def forward(self, infrared: Tensor, visible: Tensor) -> Tensor:
        return self.head(self.encoder(infrared + visible))


class Files(Parts):
    nested: ClassVar[Mapping[str, str]] = {"encoder.pth": "encoder.", "head.pth": "head."}


def parts(prefix: str = "module.") -> dict[str, Any]:
    """Return the weights as the authors would keep them."""
    method = Parts()
    return {
        name: {prefix + key: value for key, value in module.state_dict().items()}
        for name, module in (("Encoder", method.encoder), ("Head", method.head))
    }


def load(path: Path, kind: type[FusionMethod] = Parts) -> FusionMethod:
    method = kind()
    load_into(method, read_checkpoint(path, kind), "parts")
    return method


def save(content: object, path: Path) -> Path:
    torch.save(content, path)
    return path


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("wrapped", [False, True])
def test_parts_of_one_file_get_their_prefix(tmp_path: Path, prefix: str, wrapped: bool) -> None:
    content = parts(prefix)
    path = save({"epoch": 3, "state_dict": content} if wrapped else content, tmp_path / "w.pth")
    state = load(path).state_dict()
    assert torch.equal(state["encoder.0.weight"], content["Encoder"][f"{prefix}0.weight"])
    assert torch.equal(state["head.bias"], content["Head"][f"{prefix}bias"])


def test_a_bare_state_dict_is_accepted_too(tmp_path: Path) -> None:
    state = Parts().state_dict()
    loaded = load(save(state, tmp_path / "w.pth")).state_dict()
    assert all(torch.equal(state[key], value) for key, value in loaded.items())


def test_a_folder_of_files_is_one_checkpoint(tmp_path: Path) -> None:
    content = parts()
    save({"model": content["Encoder"]}, tmp_path / "encoder.pth")
    with pytest.raises(InputError, match=r"the folder that holds encoder\.pth and head\.pth\.$"):
        load(tmp_path / "encoder.pth", Files)
    with pytest.raises(InputError, match=rf"{tmp_path} lacks head\.pth; put it there"):
        load(tmp_path, Files)
    save(content["Head"], tmp_path / "head.pth")
    state = load(tmp_path, Files).state_dict()
    assert torch.equal(state["encoder.0.weight"], content["Encoder"]["module.0.weight"])
    assert torch.equal(state["head.weight"], content["Head"]["module.weight"])
    save({"weight": torch.full((1, 2, 1, 1), torch.nan)}, tmp_path / "head.pth")
    with pytest.raises(
        InputError, match=r'head\.pth has NaN or infinite weights in "head\.weight"'
    ):
        load(tmp_path, Files)
    (tmp_path / "head.pth").write_bytes(b"half")
    with pytest.raises(InputError, match=r"head\.pth cannot be read as a checkpoint"):
        load(tmp_path, Files)
    save(torch.ones(1), tmp_path / "head.pth")
    with pytest.raises(InputError, match=r"1 unexpected \(head\.pth\)"):
        load(tmp_path, Files)


def test_a_folder_for_a_method_of_one_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"{tmp_path} is a folder, but the weights .* one file"):
        read_checkpoint(tmp_path)


def test_ignored_entries_may_be_anything(tmp_path: Path) -> None:
    content = parts() | {"discriminator": ["not", "weights"]}
    content["Head"]["module.unused"] = torch.tensor(torch.nan)
    load(save(content, tmp_path / "w.pth"))
    content["discriminator2"] = 1
    with pytest.raises(InputError, match='holds "discriminator2", a int, among its weights'):
        load(save(content, tmp_path / "w.pth"))


def test_only_optional_entries_may_be_missing(tmp_path: Path) -> None:
    content = parts()
    del content["Encoder"]["module.1.num_batches_tracked"]
    assert (
        load(save(content, tmp_path / "w.pth")).state_dict()["encoder.1.num_batches_tracked"] == 0
    )
    del content["Encoder"]["module.1.running_mean"]
    with pytest.raises(InputError, match=r"1 missing \(encoder\.1\.running_mean\)"):
        load(save(content, tmp_path / "w.pth"))
    del content["Head"]
    with pytest.raises(InputError, match=r"3 missing \(encoder\.1\.running_mean, head\.bias, head"):
        load(save(content, tmp_path / "w.pth"))


def test_another_methods_weights_are_refused(tmp_path: Path) -> None:
    path = save(nn.Linear(2, 2).state_dict(), tmp_path / "other.pth")
    with pytest.raises(InputError, match=r'other\.pth does not fit the method "parts".*2 unexp'):
        load(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_old_files_with_cuda_tensors_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zipped: bool
) -> None:
    with monkeypatch.context() as patched:  # as if saved where there is a GPU
        patched.setattr(torch.serialization, "location_tag", lambda _: "cuda:0")
        torch.save(parts(), tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    assert b"cuda:0" in (tmp_path / "w.pth").read_bytes()
    assert {value.device.type for value in load(tmp_path / "w.pth").state_dict().values()} == {
        "cpu"
    }


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, ("evil-was-here",))


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_part_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zipped: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    content = parts() | {"discriminator": Evil()}  # ignored, and yet never built
    torch.save(content, tmp_path / "evil.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(InputError, match=r"evil\.pth holds more than tensors"):
        load(tmp_path / "evil.pth")
    assert not (tmp_path / "evil-was-here").exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_truncated_files_are_refused(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "w.pth"
    torch.save(parts(), path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    for kept in (0, 1, len(whole) // 3, len(whole) - 1):
        path.write_bytes(whole[:kept])
        with pytest.raises(InputError, match=r"w\.pth cannot be read as a checkpoint"):
            load(path)


def test_a_mapping_that_holds_itself_ends(tmp_path: Path) -> None:
    content: dict[str, Any] = {}
    content["state_dict"] = content
    with pytest.raises(InputError, match="it holds itself"):
        read_checkpoint(save(content, tmp_path / "w.pth"))


def test_our_format_without_its_facts(tmp_path: Path) -> None:
    path = save({"format": FORMAT, "state_dict": {"w": torch.ones(1)}}, tmp_path / "w.pt")
    with pytest.raises(InputError, match="does not say what it belongs to"):
        read_checkpoint(path)


def test_our_own_files_hold_no_objects(tmp_path: Path) -> None:
    method = Parts().requires_grad_(True)
    save_checkpoint(tmp_path / "w.pt", "parts", {"width": 2, "sides": (1, 2)}, method.state_dict())
    content = torch.load(tmp_path / "w.pt", weights_only=True)
    assert {type(value) for value in content["state_dict"].values()} == {Tensor}
    assert not any(value.requires_grad for value in content["state_dict"].values())
    assert content["params"] == {"width": 2, "sides": (1, 2)}
    loaded = read_checkpoint(tmp_path / "w.pt", Parts)
    assert loaded.state_dict.keys() == method.state_dict().keys()
