"""A call of making two stages fails: a sentence, and then what was to be made.

``FUSE_THEN_EVERY_CALL=1 pytest tests/pipelines/execution/test_failing_calls.py`` lets every call
fail, and ``python -m benchmarks.fault_injection`` does the same to a whole run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.injection.shim import FailingCalls, compiler

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(compiler() is None, reason="no C compiler, or not Linux"),
]
EVERY = os.environ.get("FUSE_THEN_EVERY_CALL", "23")
"""Which calls fail; with 1 every one does, in two minutes."""
PROGRAM = """
import json, os, shutil, sys
from pathlib import Path
from benchmarks.injection.shim import FailingCalls
from pipelines.execution.runner import make_here, refusals_told
from pipelines.execution.worker import StageFailed
from pipelines.store.stage import Kind, Stage
from pipelines.store.store import Store

home, every = Path(sys.argv[1]), int(sys.argv[2])
place, calls = home / "store", FailingCalls(home)

def first(job):
    (job.out / "images").mkdir(exist_ok=True)
    for name in "ab":
        (job.out / "images" / f"{name}.png").write_bytes(bytes(100))
    return {"images": 2}

def second(job):
    found = sorted(path.name for path in (job.inputs["first"] / "images").iterdir())
    (job.out / "result").write_text(" ".join(found))
    return {"found": found}

one = Stage(Kind("one", 1, "__main__:first", ("images",), resumable=True), {})
two = Stage(Kind("two", 1, "__main__:second", ("result",)), {}, {"first": one})

def make():
    with refusals_told(place):  # as a run is
        store = Store(place)
        for stage in (one, two):
            make_here(stage, store, lambda *_: None)
        return [store.manifest(stage).digest for stage in (one, two)]

def attempt():
    # A process each, as a command has: nothing that failed stays in memory.
    reading, writing = os.pipe()
    if (pid := os.fork()) == 0:
        try:
            said = make()
        except StageFailed as error:
            said = str(error)
        except BaseException as error:
            said = {"bug": repr(error)}
        os.write(writing, json.dumps(said).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        said = json.loads(stream.read())
    os.waitpid(pid, 0)
    return said

make_here(Stage(Kind("warm", 1, "__main__:first", ("images",)), {}), Store(home / "warm"), print)
whole = attempt()
for error in ("EIO", "ENOSPC", "EROFS"):
    shutil.rmtree(place)
    place.mkdir()
    calls.arm([place], error, 0)
    attempt()
    for call in range(1, calls.disarm()[0] + 1, every):
        shutil.rmtree(place)
        place.mkdir()
        calls.arm([place], error, call)
        said, (*_, what) = attempt(), calls.disarm()
        again, left = attempt() == whole, os.listdir(place / "partial")
        print(json.dumps([error, call, what, said, again, left]))
"""


def test_each_call_that_fails_is_a_sentence_and_then_all_is_made(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    library = tmp_path / "failing_calls.so"
    state = tmp_path / "calls"
    environment = {**os.environ, "LD_PRELOAD": str(library), "FAILING_CALLS": str(state)}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))

    FailingCalls(tmp_path)  # built before it is loaded
    done = subprocess.run(
        [sys.executable, "-P", str(program), str(tmp_path), EVERY],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    outcomes = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stderr
    assert {error for error, *_ in outcomes} == {"EIO", "ENOSPC", "EROFS"}
    for error, call, what, said, remade, partial in outcomes:
        told = f"{error} at call {call}, {what}: {said}"
        # Where it was only looked at a folder, or cleaned up, all may have been made all the same.
        assert isinstance(said, list) or said.endswith((".", "run again.")), told
        assert remade, told
        assert partial == [], told
