"""Words: what is wrong with them, and what help, completion and version say."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from functools import reduce
from importlib import metadata
from pathlib import Path
from typing import get_args

import pytest
from cyclopts import ArgumentCollection

from pipelines.cli.app import app, main
from pipelines.cli.commands import COMMANDS
from pipelines.cli.plan import Format
from pipelines.views.formats import RENDERERS

pytestmark = pytest.mark.process


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nonsense"], 'Unknown command "nonsense"'),
        (["compar", "demo"], 'Unknown command "compar". Did you mean "compare"?'),
        (["weights", "fech", "x"], 'Unknown command "fech". Did you mean "fetch"?'),
        (["plan"], "EXPERIMENT is missing. fuse-then plan --help says more."),
        (["plan", "x", "y"], '"y" is one word too many.'),
        (["table", "x", "--devices", "cpu"], "Unknown option: --devices."),
        (["compare", "x", "--devics", "cpu"], "--devics. Did you mean --devices?"),
        (["compare", "x", "--jobs"], "--jobs requires a value. fuse-then compare --help"),
        (["compare", "x", "--jobs", "two"], 'for --jobs: unable to convert "two" into int.'),
        (["fuse", "average", "--infrared", "a", "--visible", "b"], "--out is missing."),
        (
            ["table", "x", "--format", "pdf"],
            'Invalid value "pdf" for --format. Choose from: "text"',
        ),
        (["table", "x", "--format", "latx"], 'Did you mean "latex"?'),
        (["data", "split", "m3fd", "--out", "x", "--ratios", "1"], "--ratios requires 3 values."),
        (["plan", "demo", "--set", "seeds"], '"--set seeds" is not of the form key=value'),
    ],
)
def test_words_that_are_no_command_end_with_two(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("fuse-then: ")
    assert said in printed.err
    assert printed.out == ""


@pytest.mark.parametrize("words", [[], ["data"], ["weights"], ["mlflow"], ["store"]])
def test_a_missing_command_ends_with_two_and_help(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    missing = capsys.readouterr().out
    assert main([*words, "--help"]) == 0
    assert missing == capsys.readouterr().out
    assert missing.startswith(" ".join(("Usage: fuse-then", *words, "COMMAND")))


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"fuse-then {metadata.version('fuse-then')}\n"


NAMES = [words for commands in COMMANDS.values() for words, *_ in commands]
OPTIONS = {
    "compare": "--set --store --devices --jobs --skip-blocked --hours --paranoid",
    "detect": "--set --store --devices --jobs --skip-blocked --hours --paranoid",
    "segment": "--set --store --devices --jobs --skip-blocked --hours --paranoid",
    "score": "--set --store --devices --jobs --infrared --visible --fused --convention --metrics "
    "--json --per-image --device --skip-blocked",
    "train-fusion": "--set --store --devices --jobs --skip-blocked --paranoid",
    "plan": "--set --store --devices --jobs --calibrate",
    "power": "--set --store --difference --task --power --from --out --seed-sd --image-sd "
    "--scene-effect --images",
    "table": "--set --store --format --task --columns --no-intervals --out --overwrite",
    "paper": "--format",
    "report": "--set --store --out",
    "mlflow sync": "--uri --store",
    "fuse": "--infrared --visible --out --checkpoint --set --device --gray --overwrite",
    "methods": "--json",
    "sheet": "--infrared --visible --out --pairs --sources --zoom",
    "explain": "--infrared --visible --layer --checkpoint --set --patch --out --device",
    "profile": "--size --device --threads --repeats --json --scores --plot",
    "data verify": "--set --store",
    "data split": "--out --seed --ratios --folds --set --store",
    "schema": "",
    "weights list": "",
    "weights verify": "",
    "weights path": "",
    "weights fetch": "--experiment",
    "store verify": "--repair --store",
}
"""What scripts out there may say: to these may be added, and none may go."""


def arguments_of(name: str) -> ArgumentCollection:
    command = reduce(lambda parent, word: parent[word], name.split(), app)
    return command.assemble_argument_collection(parse_docstring=True)


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_its_options_help_and_an_example_that_parses(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*name.split(), "--help"]) == 0
    page = " ".join(capsys.readouterr().out.split())
    assert page.startswith(f"Usage: fuse-then {name} ")
    known = {option for argument in arguments_of(name) for option in argument.names}
    assert {option for option in known if option.startswith("--")} >= set(
        OPTIONS.get(name, "").split()
    )
    _, example = page.split(" Example: ")
    words = shlex.split(example)
    assert words[: 1 + len(name.split())] == ["fuse-then", *name.split()]
    command, bound, _ = app.parse_args(words[1:])
    assert bound.arguments or not known
    assert callable(command)


@pytest.mark.parametrize("name", NAMES)
def test_every_option_says_what_it_does(name: str) -> None:
    shown = [argument for argument in arguments_of(name) if argument.show]
    assert [argument.name for argument in shown if not argument.parameter.help] == []


def test_no_command_that_scripts_may_call_is_gone() -> None:
    assert set(NAMES) >= set(OPTIONS)


def test_help_lists_every_command_and_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    listed = [line.split()[0] for line in out.splitlines() if line.startswith("  ")]
    assert {name.split()[0] for name in NAMES} <= set(listed)
    for title in COMMANDS:
        assert f"\n{title}\n" in out
    for code in ("0 done", "1 a stage failed", "2 the words", "130 stopped"):
        assert code in " ".join(out.split())


@pytest.mark.parametrize(
    "words", [["--help"], ["compare", "--help"], ["explain", "--help"], ["nonsense"]]
)
def test_no_help_needs_a_slow_framework(words: list[str]) -> None:
    slow = {"torch", "prefect", "mlflow", "ultralytics", "matplotlib", "altair"}
    code = (
        f"import sys; from pipelines.cli.app import main; main({words}); "
        f"slow = {slow} & set(sys.modules); assert not slow, slow"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_formats_offered_are_those_there_are() -> None:
    assert set(get_args(Format)) == set(RENDERERS)


def test_help_imports_no_command() -> None:
    modules = {path.split(":")[0] for group in COMMANDS.values() for _, path, *_ in group}
    code = (
        "import sys; from pipelines.cli.app import main; main(['--help']); "
        "print(*(name.removeprefix('pipelines.cli.') for name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert modules & set(done.stdout.splitlines()[-1].split()) == set()


def test_the_shell_completes_commands_options_and_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert main(["--install-completion", "--shell", "fish"]) == 0
    script = (tmp_path / ".config" / "fish" / "completions" / "fuse-then.fish").read_text()
    for word in ("train-fusion", "fetch", "per-image", "latex"):
        assert word in script
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").touch()
    capsys.readouterr()
    for words, wanted in (
        (["compare", "s"], {"smoke", "scenes"}),
        (["compare", "m"], {"mine.yaml", "msrs-real"}),
        (["data", "verify", "h"], {"harvard"}),
        (["fuse", "la"], {"laplacian"}),
        (["weights", "fetch", ""], {"mmdrfuse/student"}),
    ):
        assert main(["__complete", *words]) == 0
        offered = {line.split("\t")[0] for line in capsys.readouterr().out.splitlines()}
        assert wanted <= offered, (words, offered)


def test_the_module_is_the_command() -> None:
    for module in ("pipelines.cli", "pipelines.cli.app"):
        command = [sys.executable, "-m", module, "--version"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.startswith("fuse-then ")


def test_an_option_given_twice_counts_as_last_written() -> None:
    _, bound, _ = app.parse_args(["compare", "x", "--jobs", "1", "--jobs", "3"])
    assert bound.arguments["options"].jobs == 3


def test_changes_add_up(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["plan", "x", "--set", "detection.epochs=2", "--set", "seeds=[0, 1]"]
    _, bound, _ = app.parse_args(words)
    assert bound.arguments["options"].overrides == {"detection.epochs": 2, "seeds": [0, 1]}


@pytest.mark.parametrize("words", ["methods --json", "methods", "--help", "weights list"])
def test_a_reader_that_has_seen_enough_is_no_error(words: str) -> None:
    command = f"{sys.executable} -m pipelines.cli.app {words} | head -c 10"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 141)
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


@pytest.mark.parametrize("words", ["methods", "--help", "weights list"])
def test_a_reader_that_reads_nothing_is_no_error(words: str) -> None:
    command = [sys.executable, "-m", "pipelines.cli.app", *words.split()]
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")
