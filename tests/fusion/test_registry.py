"""Names to methods: cards without imports, plugins, presets, checkpoints and their errors."""

import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from fusion import build_method, cards, load_method, method_class, registry
from fusion.errors import InputError
from fusion.method import FusionMethod
from fusion.method_card import read_card
from fusion.weights.checkpoints import Checkpoint, load_into, read_checkpoint, save_checkpoint

GOOD = '''"""Plug: adds a learned offset.

Paper: Somebody, A Paper,
    2026
Licence: MIT
Checkpoint: none
"""
import torch
from fusion.method import FusionMethod

class Plug(FusionMethod):
    """An offset."""

    needs_checkpoint = True
    trainable = True
    presets = {"small": {"width": 2}, "large": {"width": 8}}

    def __init__(self, width: int, bias: float = 0.0):
        super().__init__()
        self.bias = bias
        self.offset = torch.nn.Parameter(torch.zeros(width))

    def forward(self, infrared, visible):
        return (infrared + visible) / 2 + self.offset.mean() + self.bias
'''


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Register module text as a plugin: plugin(text, name="plug")."""
    monkeypatch.syspath_prepend(str(tmp_path))
    points: list[EntryPoint] = []
    monkeypatch.setattr(registry, "entry_points", lambda **_: points)

    def add(text: str, name: str = "plug") -> Path:
        module = f"{name}_{tmp_path.name.replace('-', '_')}"
        path = tmp_path / f"{module}.py"
        path.write_text(text)
        points.append(EntryPoint(name, module, registry.PLUGIN_GROUP))
        monkeypatch.delitem(sys.modules, module, raising=False)
        return path

    return add


def test_cards_do_not_import_torch() -> None:
    code = (
        "import sys, fusion; names = [c.name for c in fusion.cards()]; "
        "assert 'average' in names and 'laplacian' in names, names; "
        "assert 'torch' not in sys.modules and 'cv2' not in sys.modules"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run([sys.executable, "-c", code], check=True, env=env)


def test_built_in_methods_are_listed_sorted() -> None:
    names = [card.name for card in cards()]
    assert names == sorted(names)
    assert {"average", "infrared", "laplacian", "maximum", "precomputed", "visible"} <= set(names)


def test_card_tells_what_the_file_says(plugin) -> None:
    path = plugin(GOOD)
    card = registry.card("plug")
    assert card in cards()
    assert card.summary == "Plug: adds a learned offset."
    assert card.paper == "Somebody, A Paper, 2026"
    assert (card.licence, card.checkpoint, card.path) == ("MIT", "none", path)
    assert card.parameters == ("width", "bias")
    assert card.presets == ("small", "large")
    assert (card.trainable, card.needs_checkpoint, card.by_name) == (True, True, False)
    assert path.stem not in sys.modules


READY = '''"""Ready: images from two folders.

Paper: none
Licence: MIT
Checkpoint: none
"""

from fusion.method import FusionMethod


class Ready(FusionMethod):
    by_name = True
    image_folders = ("day", "night")

    def __init__(self, day, night=None):
        super().__init__()
'''


def test_card_tells_where_images_that_exist_already_lie(plugin) -> None:
    plugin(READY)
    card = registry.card("plug")
    assert (card.premade, card.image_folders) == (True, ("day", "night"))
    assert registry.method_class("plug").premade()
    assert not registry.card("average").premade


def test_a_method_that_prepares_its_images_makes_them(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text(READY + "\n    def prepare(self, pairs, out):\n        pass\n")
    assert not read_card("m", tmp_path / "m.py").premade
    assert registry.method_class("precomputed").premade()
    assert not registry.method_class("command").premade()


@pytest.mark.parametrize("wrapped", ["{}", "MappingProxyType({})"])
def test_card_finds_presets_kept_apart(tmp_path: Path, wrapped: str) -> None:
    inline = '{"small": {"width": 2}, "large": {"width": 8}}'
    assert inline in GOOD
    text = GOOD.replace(inline, "PRESETS") + "\nPRESETS = " + wrapped.replace("{}", inline) + "\n"
    (tmp_path / "m.py").write_text(text)
    assert read_card("m", tmp_path / "m.py").presets == ("small", "large")


@pytest.mark.parametrize("key", ["Paper", "Licence", "Checkpoint"])
def test_incomplete_card_names_file_and_line(plugin, key: str) -> None:
    path = plugin(GOOD.replace(f"{key}:", "Other:"))
    with pytest.raises(InputError, match=rf'{path}:1 has no "{key}:" line'):
        registry.card("plug")


def test_unparsable_file_names_its_line(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text("x = 1\ny = (\n")
    with pytest.raises(InputError, match=r"m\.py:2 is not a readable Python file"):
        read_card("m", tmp_path / "m.py")


def test_unknown_name_is_corrected() -> None:
    with pytest.raises(InputError, match=r'no fusion method "laplace"\. Did you mean "laplacian"'):
        load_method("laplace")


def test_a_plugin_of_a_known_name_is_left_out(plugin, caplog: pytest.LogCaptureFixture) -> None:
    plugin(GOOD, name="average")
    assert "average" in [card.name for card in cards()]
    assert method_class("average").__module__ == "fusion.methods.average"
    (said,) = caplog.messages
    assert 'registers the method "average", which is already fusion.methods.average' in said


def test_of_two_plugins_of_a_name_one_is_left_out(
    plugin, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    points = [EntryPoint("x", module, registry.PLUGIN_GROUP) for module in ("one", "two")]
    monkeypatch.setattr(registry, "entry_points", lambda **_: points)
    assert registry.method_modules()["x"] == "one"
    assert 'The plugin two registers the method "x", which is already one' in caplog.messages[0]


def test_a_plugin_that_is_gone_stops_nobody_else(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    point = EntryPoint("gone", "no_such_package.module", registry.PLUGIN_GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda **_: [point])
    assert {"average", "gone"}.intersection(card.name for card in cards()) == {"average"}
    assert "no_such_package.module, which cannot be found" in caplog.messages[0]
    with pytest.raises(InputError, match=r"no_such_package\.module, which cannot be found"):
        registry.card("gone")
    with pytest.raises(InputError, match="needs the package no_such_package"):
        load_method("gone")


def test_one_class_a_file(plugin) -> None:
    plugin(GOOD + "\nclass Second(FusionMethod):\n    pass\n", name="two")
    plugin("from fusion.methods.average import Average\n", name="zero")
    with pytest.raises(InputError, match=r"defines 2 \(Plug, Second\)"):
        method_class("two")
    with pytest.raises(InputError, match=r"defines 0 \(none\)"):
        method_class("zero")


def test_presets_and_parameters(plugin) -> None:
    plugin(GOOD)
    assert build_method("plug", preset="small").offset.shape == (2,)
    changed = load_method("plug", preset="small", width=5, bias=0.25)
    assert (changed.offset.shape, changed.bias) == ((5,), 0.25)
    assert not changed.training
    assert changed.weights == "untrained"
    assert load_method("average").weights == "none"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"preset": "smal"}, r'no preset "smal"\. Did you mean "small"'),
        ({"width": 2, "bais": 1.0}, r'no parameter "bais"\. Did you mean "bias"'),
        ({}, r'needs the parameter "width"'),
        ({"width": 2, "device": "gpu"}, r'Unknown device "gpu"'),
        ({"width": 2, "device": "cuda:99"}, r'"cuda:99" is not on this machine'),
        ({"width": 2, "device": "meta"}, r'"meta" is not supported'),
    ],
)
def test_wrong_arguments(plugin, arguments: dict, said: str) -> None:
    plugin(GOOD)
    with pytest.raises(InputError, match=said):
        load_method("plug", **arguments)


def test_methods_without_parameters_or_presets() -> None:
    with pytest.raises(InputError, match=r'no parameter "levels"\. It takes no parameters'):
        load_method("average", levels=3)
    with pytest.raises(InputError, match=r'no preset "tiny"\. It has no presets'):
        load_method("average", preset="tiny")


def test_our_checkpoint_brings_its_parameters(plugin, tmp_path: Path) -> None:
    plugin(GOOD)
    trained = build_method("plug", width=3, bias=0.125)
    nn.init.constant_(trained.offset, 0.5)
    path = tmp_path / "deep" / "weights.pt"
    params = {"width": 3, "bias": 0.125}
    save_checkpoint(path, "plug", params, trained.state_dict(), {"epochs": 4})
    loaded = load_method("plug", path)
    assert torch.equal(loaded.offset, trained.offset)
    assert (loaded.bias, loaded.weights) == (0.125, str(path))
    assert load_method("plug", path, bias=0.0).bias == 0.0
    assert read_checkpoint(path).extra == {"epochs": 4}
    assert [p.name for p in path.parent.iterdir()] == ["weights.pt"]
    with pytest.raises(InputError, match=r"offset \(3,\) instead of \(2,\)"):
        load_method("plug", path, preset="small")
    with pytest.raises(InputError, match='weights of the method "plug", not of "average"'):
        load_method("average", path)


def test_a_method_without_weights_takes_none(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(1)}, tmp_path / "w.pt")
    with pytest.raises(InputError, match=r'"average" has no weights, so the checkpoint .*w\.pt'):
        load_method("average", tmp_path / "w.pt")


@pytest.mark.parametrize("nest", [(), ("state_dict",), ("model",), ("net", "params")])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_foreign_layouts_are_unwrapped(tmp_path: Path, nest: tuple, prefix: str) -> None:
    content: dict = {f"{prefix}offset": torch.arange(3.0)}
    for key in nest:
        content = {"epoch": 3, key: content}
    torch.save(content, tmp_path / "w.pt")
    loaded = read_checkpoint(tmp_path / "w.pt")
    assert list(loaded.state_dict) == ["offset"]
    assert loaded.method is None


def test_safetensors_are_read(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"offset": np.arange(3, dtype=np.float32)}, tmp_path / "w.safetensors")
    loaded = read_checkpoint(tmp_path / "w.safetensors")
    assert torch.equal(loaded.state_dict["offset"], torch.arange(3.0))


class Evil:
    def __reduce__(self):
        return (os.mkdir, ("evil-was-here",))


def test_a_pickle_that_runs_code_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"w": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(InputError, match=r"evil\.pt holds more than tensors"):
        read_checkpoint(tmp_path / "evil.pt")
    assert not (tmp_path / "evil-was-here").exists()


def test_damaged_files_are_named(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(99)}, tmp_path / "whole.pt")
    whole = (tmp_path / "whole.pt").read_bytes()
    contents = {"half.pt": whole[: len(whole) // 2], "empty.pt": b"", "text.pt": b"hello " * 9}
    contents["bad.safetensors"] = b"hello " * 9
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=rf"{name} cannot be read as a checkpoint"):
            read_checkpoint(tmp_path / name)
    with pytest.raises(InputError, match=r"gone\.pt does not exist"):
        read_checkpoint(tmp_path / "gone.pt")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"w": torch.tensor([1.0, torch.nan])}, 'NaN or infinite weights in "w"'),
        ({"w": torch.tensor([torch.inf])}, 'NaN or infinite weights in "w"'),
        ({"w": 3}, 'holds "w", a int'),
        ({}, "holds no weights by name"),
        (torch.ones(3), "holds no weights by name"),
    ],
)
def test_unusable_weights(tmp_path: Path, content: object, said: str) -> None:
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(InputError, match=said):
        read_checkpoint(tmp_path / "w.pt")


class Line(FusionMethod):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2, 3))
        self.bias = nn.Parameter(torch.zeros(2))


def test_loading_is_strict_and_names_three_keys() -> None:
    state = {"weight": torch.ones(2, 2), **{f"extra{i}": torch.ones(1) for i in range(5)}}
    with pytest.raises(InputError) as caught:
        load_into(Line(), Checkpoint(Path("w.pt"), state), "plug")
    said = str(caught.value)
    assert 'w.pt does not fit the method "plug"' in said
    assert "1 missing (bias)" in said
    assert "5 unexpected (extra0, extra1, extra2)" in said
    assert "weight (2, 2) instead of (2, 3)" in said


def test_checkpoints_hold_plain_values_only(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"params\.folder is a PosixPath|params\.folder is a W"):
        save_checkpoint(tmp_path / "w.pt", "plug", {"folder": tmp_path}, {})
    assert not (tmp_path / "w.pt").exists()
