"""A foreign program as a method: what it is given, what it must leave, and how it ends."""

from __future__ import annotations

import gc
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fusion import load_method
from fusion.errors import InputError
from fusion.generation.folder import fuse_folder
from fusion.pairs import ImagePair, list_pairs, read_rgb, write_png
from fusion.programs import run_program
from pipelines.specs.method import MethodSpec
from pipelines.store.files import FileDigests
from pipelines.tasks.facts import Facts
from pipelines.tasks.fusion import method_check

Program = Callable[..., str]
PLACES = "{infrared} {visible} {output}"
COPY = """
import shutil, sys
from pathlib import Path
infrared, visible, output = map(Path, sys.argv[1:4])
print("given", sorted(path.name for path in infrared.iterdir()))
for path in visible.iterdir():
    shutil.copy(path, output)
"""
HOLD = """
import subprocess, sys, threading
inner = "import sys, threading; f = open(sys.argv[1], 'w'); f.write('x'); f.flush(); "
inner += "threading.Event().wait()"
subprocess.Popen([sys.executable, "-c", inner, sys.argv[1]])
threading.Event().wait()
"""


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Return the command line of a Python program with this text, and the three places."""

    def write(text: str, rest: str = PLACES) -> str:
        path = tmp_path / "the program.py"
        path.write_text(text)
        return f"{shlex.join([sys.executable, str(path)])} {rest}"

    return write


@pytest.fixture
def pairs(tmp_path: Path) -> list[ImagePair]:
    """Three pairs: colour PNG, gray PNG, and JPEG."""
    rng = np.random.default_rng(0)
    for folder in ("ir", "vi"):
        (tmp_path / folder).mkdir()
        write_png(tmp_path / folder / "a b.png", rng.integers(0, 256, (6, 9, 3), dtype=np.uint8))
        write_png(tmp_path / folder / "gray.png", rng.integers(0, 256, (8, 7), dtype=np.uint8))
        block = np.kron(rng.integers(0, 256, (1, 2, 3)), np.ones((8, 8, 1))).astype(np.uint8)
        cv2.imwrite(str(tmp_path / folder / "photo.jpg"), block)
    return list_pairs(tmp_path / "ir", tmp_path / "vi")


def test_the_program_s_images_are_taken_as_they_are(
    program: Program, pairs: list[ImagePair], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    before = [path.read_bytes() for pair in pairs for path in (pair.infrared, pair.visible)]
    method = load_method("command", command=program(COPY))
    summary = fuse_folder(method, pairs, tmp_path / "out", batch=2)
    assert summary.count == 3
    for pair in pairs:
        written = read_rgb(tmp_path / "out" / f"{pair.name}.png")
        assert np.array_equal(written, read_rgb(pair.visible))
    log = (tmp_path / "out.log").read_text()
    assert log == "given ['a b.png', 'gray.png', 'photo.png']\n"
    assert before == [path.read_bytes() for pair in pairs for path in (pair.infrared, pair.visible)]
    assert len(list((tmp_path / "scratch").iterdir())) == 1
    del method
    gc.collect()
    assert list((tmp_path / "scratch").iterdir()) == []


def test_the_program_may_spoil_its_input(program: Program, pairs: list[ImagePair], tmp_path: Path):
    spoil = COPY + "\nfor path in visible.iterdir():\n    path.write_bytes(b'spoilt')\n"
    before = pairs[0].visible.read_bytes()
    fuse_folder(load_method("command", command=program(spoil)), pairs, tmp_path / "out")
    assert pairs[0].visible.read_bytes() == before


def test_surroundings(
    program: Program, pairs: list[ImagePair], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/not/for/others")
    show = COPY + "import os\nprint(os.getcwd(), os.environ['LEVEL'], 'PYTHONPATH' in os.environ)\n"
    (tmp_path / "there").mkdir()
    given: dict[str, Any] = {"workdir": str(tmp_path / "there"), "env": {"LEVEL": 3}}
    method = load_method("command", command=program(show), **given)
    fuse_folder(method, pairs, tmp_path / "out")
    last = (tmp_path / "out.log").read_text().splitlines()[-1]
    assert last == f"{tmp_path / 'there'} 3 False"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "print('no GPU here'); raise SystemExit(3)",
            r"ended with code 3 \(no GPU here\); its log",
        ),
        ("import os; os.kill(os.getpid(), 9)", r"ended with code 137; its log is .*out\.log"),
        ("pass", r"no image of 3 of 3 pairs \(a b, gray, photo\) into .*printed is in .*out\.log"),
        (COPY + "(output / 'gray.png').unlink()", r"no image of 1 of 3 pairs \(gray\) into"),
        (COPY + "(output / 'gray.png').write_bytes(b'?')", r"gray\.png cannot be read as an image"),
        (
            COPY + "shutil.copy(visible / 'gray.png', output / 'a b.png')",
            r'The fused image of "a b" is 7x8 but its pair .* is 9x6',
        ),
        (COPY + "shutil.copy(visible / 'gray.png', output / 'gray.jpg')", "keep only one of them"),
    ],
)
def test_what_the_program_gets_wrong(
    program: Program, pairs: list[ImagePair], tmp_path: Path, text: str, said: str
) -> None:
    method = load_method("command", command=program(text))
    with pytest.raises(InputError, match=said):
        fuse_folder(method, pairs, tmp_path / "out")


def test_a_program_that_is_not_there(pairs: list[ImagePair], tmp_path: Path) -> None:
    method = load_method("command", command=f"no-such-program {PLACES}")
    with pytest.raises(InputError, match=r"code 127 \(no-such-program cannot be started: No such"):
        fuse_folder(method, pairs, tmp_path / "out")


@pytest.fixture
def held(tmp_path: Path) -> tuple[Path, Callable[[], bytes]]:
    """A pipe's path, and a function that reads from it: b"" once no process holds it any more."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(reader, True)
    writer = os.open(path, os.O_WRONLY)  # until the program has it: else the first read ends

    def read() -> bytes:
        nonlocal writer
        got = os.read(reader, 1)
        if writer is not None:
            os.close(writer)
            writer = None
        return got

    return path, read


def test_at_the_timeout_all_its_processes_end(
    program: Program, held: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, read = held
    stock = subprocess.Popen.wait

    def wait(self: Any, timeout: float | None = None) -> int:
        if timeout is None:
            return stock(self)
        assert read() == b"x"  # the program's own child is at work
        raise subprocess.TimeoutExpired("x", timeout)

    monkeypatch.setattr(subprocess.Popen, "wait", wait)
    words = shlex.split(program(HOLD, str(path)))
    with pytest.raises(InputError, match=r"took more than 5 s and was ended; .*log, .*x\.log"):
        run_program(words, tmp_path / "x.log", 5.0)
    assert read() == b""


def test_the_timeout_is_real(program: Program, tmp_path: Path) -> None:
    words = shlex.split(program("import threading; threading.Event().wait()", ""))
    with pytest.raises(InputError, match=r"took more than 0\.05 s"):
        run_program(words, tmp_path / "x.log", 0.05)


def test_it_ends_with_whoever_started_it(program: Program, held: Any, tmp_path: Path) -> None:
    path, read = held
    words = shlex.split(program(HOLD, str(path)))
    code = "import sys; from pathlib import Path; from fusion.programs import run_program; "
    code += "run_program(sys.argv[2:], Path(sys.argv[1]), 100.0)"
    starter = [sys.executable, "-c", code, str(tmp_path / "x.log"), *words]
    with subprocess.Popen(
        starter, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ) as p:
        assert read() == b"x"
        p.send_signal(signal.SIGKILL)
    assert read() == b""


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"command": "fuse {infrared} {output}"}, r"lacks \{visible\}; write these words"),
        ({"command": "fuse 'unclosed"}, "is not a command line"),
        ({"command": 3}, "is not a command line"),
        ({"command": PLACES, "timeout_seconds": 0}, "timeout_seconds is 0; use a number > 0"),
        ({"command": PLACES, "timeout_seconds": "1 h"}, "timeout_seconds is '1 h'"),
        ({"command": PLACES, "workdir": "/no/where"}, "the workdir /no/where does not exist"),
        ({}, 'needs the parameter "command"'),
    ],
)
def test_parameters_are_checked(params: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        load_method("command", **params)


def test_an_image_without_a_run() -> None:
    with pytest.raises(InputError, match='The command has not run on a pair "a"'):
        load_method("command", command=PLACES).ready_image("a")


def test_the_command_s_text_identifies_its_results(tmp_path: Path) -> None:
    facts = Facts(FileDigests(tmp_path / "digests.sqlite"))
    stages = [
        method_check(
            MethodSpec(name="command", params={"command": f"fuse {PLACES} -{v}"}), None, facts
        )
        for v in (1, 2)
    ]
    assert stages[0].key != stages[1].key
