"""A small run with all tasks, killed (SIGKILL) at random moments, and run again to its end.

    python -m benchmarks.kill_matrix [--kills 200] [--seed 0] [--kinds command worker ...]

Each experiment is killed a few times: the command, a training's process, one of the processes that
load its images, Prefect's server, or a flow run without our command. At the end its tables and the
digests of all stages are compared with those of an experiment that nobody disturbed, and the
process table, the temporary folder and the unfinished stages are looked at after every kill.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.small_run import COMMAND, Site
from pipelines.cli.scheduling.server import _free_port, _start, _stop, _wait
from pipelines.execution.environment import quiet_environment

KINDS = ("command", "worker", "loader", "server", "flow run")
DEVICES = ("--devices", "rehearse:1")
"""As on one GPU, so that there are processes that load images."""
FLOW = """
import sys
from pipelines.execution.environment import quiet_environment
quiet_environment()
from pipelines.flows import compare
compare(sys.argv[1], None, sys.argv[2], "rehearse:1")
"""
KILLS_EACH = 4
RUN_SECONDS = 1800.0


@dataclass(frozen=True)
class Undisturbed:
    """What an experiment comes to that nobody kills, and how long it takes."""

    seconds: float
    tables: str
    digests: dict[str, str]


def main(arguments: Sequence[str] | None = None) -> int:
    """Kill, run to the end and compare; returns 1 when anything is not as it should be."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kill_matrix")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS, metavar="KIND")
    options = parser.parse_args(arguments)
    lots, killed, wrong = random.Random(options.seed), Counter[str](), list[str]()
    with (
        tempfile.TemporaryDirectory(prefix="kills-", ignore_cleanup_errors=True) as folder,
        _api(Path(folder)) as api,
    ):
        expected = _undisturbed(Site(Path(folder) / "undisturbed"))
        number = 0
        while killed.total() < options.kills:
            number += 1
            site = Site(Path(folder) / f"round{number}")
            kinds = [lots.choice(options.kinds) for _ in range(KILLS_EACH)]
            kinds = kinds[: options.kills - killed.total()]
            found = _round(site, kinds, expected.seconds, lots, api, killed)
            found += _end(site, expected)
            wrong += [f"round {number}: {line}" for line in found]
            told = ", ".join(f"{count} {kind}" for kind, count in sorted(killed.items()))
            print(f"round {number}: {', '.join(found) or 'equal'} (kills: {told})", flush=True)
    print(f"{killed.total()} kills in {number} rounds, {len(wrong)} things wrong")
    print("\n".join(wrong))
    return 1 if wrong else 0


@contextmanager
def _api(folder: Path) -> Iterator[str]:
    """Serve Prefect's API for the flow runs."""
    quiet_environment()
    os.environ["PREFECT_HOME"] = str(folder / "api")
    port = _free_port()
    process = _start(port)
    url = f"http://127.0.0.1:{port}/api"
    why = _wait(process, url, time.monotonic() + 600)
    if why is not None:
        raise SystemExit(f"No flow runs can be killed: {why}.")
    try:
        yield url
    finally:
        _stop(process)


def _undisturbed(site: Site) -> Undisturbed:
    begun = time.monotonic()
    code = site.start([*COMMAND, *site.words(*DEVICES)], "end").wait(RUN_SECONDS)
    if code != 0:
        raise SystemExit(f"The undisturbed run ended with code {code}: {_said(site, 'end')}")
    return Undisturbed(time.monotonic() - begun, site.tables("end"), site.digests())


def _round(
    site: Site,
    kinds: Sequence[str],
    seconds: float,
    lots: random.Random,
    api: str,
    killed: Counter[str],
) -> list[str]:
    """Start and kill once for each kind, until all is made; return what is not as it should be.

    A kill comes within the `seconds` that a whole run takes.
    """
    wrong = []
    for number, kind in enumerate(kinds):
        name = f"run{number}"
        if kind == "flow run":
            words = [str(site.experiment), str(site.store)]
            run = site.start(["-P", "-c", FLOW, *words], name, PREFECT_API_URL=api)
        else:
            run = site.start([*COMMAND, *site.words(*DEVICES)], name)
        # Loading processes live for seconds: any that is seen is a victim.
        if _kill(run, kind, 0.0 if kind == "loader" else lots.uniform(0.0, seconds), lots):
            killed[kind] += 1
        code = run.wait(RUN_SECONDS)
        expected = {"server": (0,), "worker": (0, 1), "loader": (0, 1)}
        if code not in expected.get(kind, (0, -signal.SIGKILL)):
            wrong.append(f"{kind} killed: code {code}: {_said(site, name)}")
        if "Traceback" in (site.root / f"{name}.err").read_text(errors="replace"):
            wrong.append(f"{kind} killed: a traceback")
        wrong += [f"{kind} killed, still there: {line}" for line in site.outlived()]
        if code == 0:
            break
    return wrong


def _kill(run: subprocess.Popen[bytes], kind: str, seconds: float, lots: random.Random) -> bool:
    """Kill a process of a kind as soon as there is one after so long; whether there was one."""
    moment = time.monotonic() + seconds
    while run.poll() is None:
        victims = _victims(run.pid, kind) if time.monotonic() >= moment else []
        if victims:
            time.sleep(0.0 if kind == "loader" else lots.uniform(0.0, 0.3))
            try:
                os.kill(lots.choice(victims), signal.SIGKILL)
            except ProcessLookupError:
                continue
            return True
        time.sleep(0.02)
    return False


def _victims(run: int, kind: str) -> list[int]:
    if kind in ("command", "flow run"):
        return [run]
    try:
        children = {one.pid: " ".join(one.cmdline()) for one in psutil.Process(run).children()}
        if kind == "server":
            return [number for number, words in children.items() if "scheduling.server" in words]
        workers = [number for number, words in children.items() if "execution.child" in words]
        if kind == "worker":
            return workers
        return [one.pid for number in workers for one in psutil.Process(number).children()]
    except psutil.Error:
        return []


def _end(site: Site, expected: Undisturbed) -> list[str]:
    """Run to the end; return what is not as in the undisturbed run."""
    code = site.start([*COMMAND, *site.words(*DEVICES)], "end").wait(RUN_SECONDS)
    wrong = [f"the rerun ended with code {code}: {_said(site, 'end')}"] if code else []
    if site.tables("end") != expected.tables:
        wrong.append("other tables")
    found = site.digests()
    if found != expected.digests:
        others = {key for key, own in expected.digests.items() if found.get(key) != own}
        wrong.append(f"other stages: {', '.join(sorted(others)) or 'more than expected'}")
    return wrong + [f"left: {line}" for line in (*site.outlived(), *site.left())]


def _said(site: Site, name: str) -> str:
    lines = (site.root / f"{name}.err").read_text(errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else "it said nothing"


if __name__ == "__main__":
    sys.exit(main())
