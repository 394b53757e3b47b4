"""configs/prefect.yaml against a real Prefect server and a real worker, from nothing to a table."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Only deadlines: everything is polled, and on an idle machine nothing comes near them.
START_SECONDS, RUN_SECONDS = 180.0, 480.0

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes in /proc"),
    pytest.mark.timeout(900),
]


def wait_for(what: str, ask: Callable[[], Any], seconds: float) -> Any:
    """Poll until `ask` returns something true, and return that."""
    deadline = time.monotonic() + seconds
    while not (answer := ask()):
        if time.monotonic() > deadline:
            pytest.fail(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.2)
    return answer


@dataclass
class Site:
    """A server, its worker, and the Prefect command line that talks to them."""

    home: Path
    port: int
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PREFECT_HOME": str(self.home),
            "PREFECT_API_URL": f"http://127.0.0.1:{self.port}/api",
            "PREFECT_LOGGING_LEVEL": "INFO",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "true",
            "PREFECT_CLI_COLORS": "false",
            "PREFECT_CLI_PROMPT": "false",
        }

    def start(self, *words: str) -> None:
        """Run ``prefect WORDS`` in the background, its output in a log.

        A server is the user's own, not ours: whom it asks for news is refused, and is not held
        against us.
        """
        refused = {"FUSE_THEN_CONTACTS": str(self.home / "contacts.txt")}
        contacts = refused if words[0] == "server" else {}
        with (self.home / f"{words[0]}.log").open("wb") as log:
            self.processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "prefect", *words],
                    env={**self.environment, **contacts},
                    cwd=ROOT,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,
                )
            )

    def prefect(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run ``prefect WORDS`` to its end."""
        return subprocess.run(
            [sys.executable, "-m", "prefect", *words],
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=RUN_SECONDS,
        )

    def api(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """Ask the server's API: GET without a body, else POST."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def answers(self) -> bool:
        """Whether the server is up; fails the test when it has died."""
        if self.processes[0].poll() is not None:
            pytest.fail(f"the server died: {(self.home / 'server.log').read_text()[-3000:]}")
        try:
            return bool(self.api("health"))
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def running(self) -> list[int]:
        """Every living process that was given this site's PREFECT_HOME, whoever started it."""
        mark = f"PREFECT_HOME={self.home}".encode()
        found = []
        for place in Path("/proc").iterdir():
            try:
                if mark in (place / "environ").read_bytes().split(b"\0"):
                    found.append(int(place.name))
            except OSError:  # not ours to read, or gone meanwhile; zombies have none
                continue
        return found

    def end(self) -> None:
        """Stop worker and server politely, then kill whatever is left."""
        for process in reversed(self.processes):
            process.terminate()
        deadline = time.monotonic() + 15
        while self.running() and time.monotonic() < deadline:
            for process in self.processes:
                process.poll()
            time.sleep(0.1)
        for pid in self.running():
            os.kill(pid, signal.SIGKILL)
        for process in self.processes:
            process.wait(timeout=60)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server with the pool, the deployments of configs/prefect.yaml, and one worker."""
    made = Site(tmp_path_factory.mktemp("prefect"), free_port())
    try:
        made.start("server", "start", "--host", "127.0.0.1", "--port", str(made.port))
        wait_for("the server", made.answers, START_SECONDS)
        pool = made.prefect("work-pool", "create", "fuse-then", "--type", "process")
        assert pool.returncode == 0, pool.stdout + pool.stderr
        deployed = made.prefect("deploy", "--prefect-file", "configs/prefect.yaml", "--all")
        assert deployed.returncode == 0, deployed.stdout + deployed.stderr
        made.start("worker", "start", "--pool", "fuse-then", "--limit", "1")
        yield made
    finally:
        made.end()
        assert made.running() == []


def test_deployments_with_their_pool_schedule_and_limit(site: Site) -> None:
    found = {
        name: site.api(f"deployments/name/{name}")
        for name in (
            "fuse-then-detect/m3fd",
            "fuse-then-segment/msrs",
            "fuse-then-score/harvard",
            "compare/scenes",
        )
    }
    experiments = {name: made["parameters"]["experiment"] for name, made in found.items()}
    assert experiments == {
        "fuse-then-detect/m3fd": "table4",
        "fuse-then-segment/msrs": "table5",
        "fuse-then-score/harvard": "table1",
        "compare/scenes": "scenes",
    }
    for made in found.values():
        assert made["work_pool_name"] == "fuse-then"
        assert made["global_concurrency_limit"]["limit"] == 1
        assert made["enforce_parameter_schema"]
        assert "fuse-then" in made["tags"]
        assert made["description"]
        (schedule,) = made["schedules"]
        assert not schedule["active"]
        assert schedule["schedule"]["cron"] == "0 2 * * *"
        properties = made["parameter_openapi_schema"]["properties"]
        assert properties["experiment"]["type"] == "string"
        assert {"type": "integer"} in properties["jobs"]["anyOf"]


@pytest.mark.parametrize("parameter", ["experimnt=smoke", "jobs=many"])
def test_an_unknown_or_mistyped_parameter_is_refused(site: Site, parameter: str) -> None:
    before = site.api("flow_runs/count", {})
    refused = site.prefect("deployment", "run", "compare/scenes", "--param", parameter)
    assert refused.returncode != 0
    assert parameter.split("=")[0] in refused.stdout + refused.stderr
    assert site.api("flow_runs/count", {}) == before


def test_the_worker_makes_the_tables_of_the_smoke_experiment(site: Site, tmp_path: Path) -> None:
    store = tmp_path / "store"
    words = ["deployment", "run", "compare/scenes", "--watch", "--param", "experiment=smoke"]
    run = site.prefect(*words, "--param", f"store={store}")
    logs = "\n".join(path.read_text() for path in site.home.glob("*.log"))
    assert run.returncode == 0, run.stdout + run.stderr + logs[-6000:]

    deployment = site.api("deployments/name/compare/scenes")["id"]
    wanted = {"deployments": {"id": {"any_": [deployment]}}}
    (flow_run,) = site.api("flow_runs/filter", wanted)
    assert flow_run["state"]["type"] == "COMPLETED"
    assert flow_run["parameters"]["experiment"] == "smoke"

    mine = {"artifacts": {"flow_run_id": {"any_": [flow_run["id"]]}}}
    artifacts = {a["key"]: a for a in site.api("artifacts/filter", mine)}
    assert artifacts["table-smoke"]["type"] == "markdown"
    assert "LKC-FUNet (tiny)" in artifacts["table-smoke"]["data"]

    tables = tables_in(store)
    assert [made["task"] for made in tables] == ["detection", "segmentation"]
    for made in tables:
        assert [row["finished"] for row in made["rows"]] == [1, 1]
        assert made["title"] in artifacts["table-smoke"]["data"]


def tables_in(store: Path) -> list[dict[str, Any]]:
    """Return what ``fuse-then table smoke --format json`` prints."""
    command = [sys.executable, "-m", "pipelines.cli.app", "table", "smoke", "--format", "json"]
    done = subprocess.run(
        [*command, "--store", str(store)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    tables: list[dict[str, Any]] = json.loads(done.stdout)
    return tables
