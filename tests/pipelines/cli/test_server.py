"""Prefect's own server for one command: it answers, and it never outlives us."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import httpx
import psutil
import pytest
from prefect.settings import (
    PREFECT_API_REQUEST_TIMEOUT,
    PREFECT_API_URL,
    temporary_settings,
)

from pipelines.cli.scheduling import server

# Prefect's threads stay in the process, and draw from the generator that trainings draw from.
pytestmark = pytest.mark.system

PARENT = """
import sys, time
from pipelines.cli.scheduling import server
from prefect.settings import PREFECT_API_URL
server.LIMIT_SECONDS = 180.0  # it makes Prefect's database first
with server.prefect_server(print):
    print(PREFECT_API_URL.value(), flush=True)
    time.sleep(600)
"""


@pytest.fixture
def api() -> Iterator[str]:
    """The address of something that answers, if only that it knows nothing."""
    with HTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as listening:
        threading.Thread(target=listening.handle_request, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}/api"


def test_a_configured_server_is_used(monkeypatch: pytest.MonkeyPatch, api: str) -> None:
    monkeypatch.setattr(server.subprocess, "Popen", None)  # starting one would fail
    with temporary_settings({PREFECT_API_URL: api}), server.prefect_server(pytest.fail) as there:
        assert there == PREFECT_API_URL.value() == api
        assert PREFECT_API_REQUEST_TIMEOUT.value() == server.REQUEST_SECONDS


def test_a_configured_server_that_is_gone_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.subprocess, "Popen", None)
    said: list[str] = []
    with (
        temporary_settings({PREFECT_API_URL: "http://127.0.0.1:1/api"}),
        server.prefect_server(said.append) as there,
    ):
        assert there is None
    (line,) = said
    assert line.startswith("  missing  Prefect: no server answers at http://127.0.0.1:1/api")


def test_a_server_that_a_profile_names_is_used_and_ours_is_stopped(tmp_path: Path) -> None:
    profile = 'active = "lab"\n[profiles.lab]\nPREFECT_API_URL = "http://127.0.0.1:1/api"\n'
    (tmp_path / "profiles.toml").write_text(profile)
    code = (
        "import psutil\nfrom pipelines.cli.scheduling.server import prefect_server\n"
        "with prefect_server(print) as there: print(there, psutil.Process().children())"
    )
    environment = {key: v for key, v in os.environ.items() if key != "PREFECT_API_URL"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**environment, "PREFECT_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    line, last = done.stdout.splitlines()
    assert "no server answers at http://127.0.0.1:1/api" in line
    assert last == "None []"


def test_it_answers_until_its_parent_is_killed(tmp_path: Path) -> None:
    environment = {**os.environ, "PREFECT_HOME": str(tmp_path / "prefect")}
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, env=environment
    ) as parent:
        assert parent.stdout is not None
        url = parent.stdout.readline().strip()
        assert httpx.get(f"{url}/health", timeout=30).status_code == 200
        left = {path.name for path in (tmp_path / "prefect").glob("prefect.db*")}
        assert {"prefect.db", "prefect.db.lock"} <= left
        assert not any(".part" in name for name in left)
        (child,) = [c for c in psutil.Process(parent.pid).children() if _is_server(c)]
        child.suspend()  # it cannot hear of anything, and ends all the same
        parent.send_signal(signal.SIGKILL)
    child.wait(60)  # raises when it still runs


def _is_server(process: psutil.Process) -> bool:
    return "pipelines.cli.scheduling.server" in process.cmdline()


@pytest.mark.parametrize(
    ("code", "why"),
    [("", "ended with code 0"), ("input()", "was not there within 1 s")],
)
def test_a_server_that_does_not_start_is_one_line(
    monkeypatch: pytest.MonkeyPatch, code: str, why: str
) -> None:
    started: list[subprocess.Popen[bytes]] = []

    def broken(_command: list[str], **options: object) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
        started.append(process)
        return process

    # The real module stays for everybody else.
    monkeypatch.setattr(server, "subprocess", _With(subprocess, Popen=broken))
    monkeypatch.setattr(server, "LIMIT_SECONDS", 1.0 if code else 30.0)
    said: list[str] = []
    with temporary_settings({PREFECT_API_URL: None}), server.prefect_server(said.append) as there:
        assert there is None
    assert len(said) == 1
    assert why in said[0]
    assert [process.poll() is not None for process in started] == [True]


class _With:
    """A module with one name replaced."""

    def __init__(self, module: object, **names: object) -> None:
        self._module = module
        self.__dict__.update(names)

    def __getattr__(self, name: str) -> object:
        return getattr(self._module, name)
