"""The README's own method, snippets and commands do what it says."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest
import torch
import yaml

from fusion import load_method
from fusion.method_card import read_card
from pipelines.cli.app import app
from pipelines.specs.method import MethodSpec

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ROOMS = (ROOT / "pipelines" / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install the example as a package that the README's pyproject registers."""
    source = next(text for text in blocks("python") if "class Mine" in text)
    points = tomllib.loads(blocks("toml")[0])["project"]["entry-points"]["fuse_then.methods"]
    (tmp_path / "my_package").mkdir()
    (tmp_path / "my_package" / "__init__.py").touch()
    (tmp_path / "my_package" / "mine.py").write_text(source)
    info = tmp_path / "my_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
    lines = [f"{name} = {module}" for name, module in points.items()]
    (info / "entry_points.txt").write_text("\n".join(["[fuse_then.methods]", *lines]))
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path / "my_package" / "mine.py"


def test_the_example_is_a_method_that_learns(package: Path) -> None:
    card = read_card("mine", package)
    assert (card.needs_checkpoint, card.trainable, card.parameters) == (True, True, ("width",))
    torch.manual_seed(0)
    method = load_method("mine", width=4)
    pair = torch.rand(2, 2, 1, 33, 47)
    fused = method.fuse(*pair)
    low, high = pair.min(dim=0).values, pair.max(dim=0).values
    assert bool(((fused >= low - 1e-6) & (fused <= high + 1e-6)).all())
    before = method.loss(*pair)["total"]
    before.backward()
    with torch.no_grad():
        for parameter in method.parameters():
            parameter -= 0.01 * parameter.grad
    assert method.loss(*pair)["total"] < before


def test_the_methods_of_the_experiment_are_valid() -> None:
    listed = next(yaml.safe_load(text) for text in blocks("yaml") if "command:" in text)["methods"]
    assert {"train", "checkpoint", "params"} <= {key for entry in listed for key in entry}
    for entry in listed:
        MethodSpec.model_validate({key: v for key, v in entry.items() if key != "train"})
    command = next(entry for entry in listed if entry["name"] == "command")
    params = {key: v for key, v in command["params"].items() if key != "workdir"}
    assert load_method("command", **params).timeout_seconds == 7200


def test_every_command_parses() -> None:
    lines = [line for text in blocks("sh") for line in text.splitlines()]
    commands = [shlex.split(line, comments=True) for line in lines if line.startswith("fuse-then")]
    assert len(commands) >= 10
    for command in commands:
        function, _, _ = app.parse_args(command[1:])
        assert function.__module__.startswith("pipelines.cli."), command


def test_what_happens_when_is_held_by_tests() -> None:
    table = README.split("## What happens when ...")[1].split("\n## ")[0]
    named = re.findall(r"\| `([\w/]+\.py)(?:::(\w+))?` \|$", table, re.MULTILINE)
    lines = [line for line in table.splitlines() if line.startswith("| ")]
    assert len(named) == len(lines) - 1 > 15
    for file, function in named:
        text = (ROOT / file).read_text(encoding="utf-8")
        assert f"def {function or 'test_'}" in text, (file, function)


WORDS = ("NAME", "mine", "my_package", "runs", "*")
"""What makes a path one of the reader's own."""


@pytest.mark.parametrize(("text", "folder"), [(README, ROOT), (ROOMS, ROOT / "pipelines")])
def test_every_path_that_is_named_is_there(text: str, folder: Path) -> None:
    quoted = {word for phrase in re.findall(r"`([^`\n]+)`", text) for word in phrase.split()}
    linked = set(re.findall(r"\]\(([^):]+)\)", text))
    paths = {
        word for word in quoted | linked if re.fullmatch(r"[\w./-]+(/|\.py|\.md|\.yaml)", word)
    }
    known = {path for path in paths if not any(word in path for word in WORDS)}
    assert known
    places = {path: (folder / path, ROOT / path) for path in sorted(known)}
    assert [path for path, of in places.items() if not any(one.exists() for one in of)] == []
