"""Prefect's own server for one command: it answers, and it never outlives us."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from fusion.errors import InputError
from pipelines.cli import prefect_server as server

PARENT = """
import sys, time
from pipelines.cli.prefect_server import prefect_server
from prefect.settings import PREFECT_API_URL
with prefect_server():
    print(PREFECT_API_URL.value(), flush=True)
    time.sleep(600)
"""


def test_a_configured_server_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.subprocess, "Popen", None)  # starting one would fail
    with temporary_settings({PREFECT_API_URL: "http://elsewhere/api"}), server.prefect_server():
        assert PREFECT_API_URL.value() == "http://elsewhere/api"


def test_it_answers_until_its_parent_is_killed(tmp_path: Path) -> None:
    environment = {**os.environ, "PREFECT_HOME": str(tmp_path / "prefect")}
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, env=environment
    ) as parent:
        assert parent.stdout is not None
        url = parent.stdout.readline().strip()
        assert httpx.get(f"{url}/health", timeout=30).status_code == 200
        (child,) = [c for c in psutil.Process(parent.pid).children() if _is_server(c)]
        parent.send_signal(signal.SIGKILL)
    child.wait(60)  # raises when it still runs


def _is_server(process: psutil.Process) -> bool:
    return "pipelines.cli.prefect_server" in process.cmdline()


def test_a_server_that_does_not_start_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []

    def broken(_command: list[str], **options: object) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.PIPE)
        started.append(process)
        return process

    # The real module stays for everybody else.
    monkeypatch.setattr(server, "subprocess", _With(subprocess, Popen=broken))
    told = pytest.raises(InputError, match="Prefect's server did not start on http")
    with temporary_settings({PREFECT_API_URL: None}), told, server.prefect_server():
        pytest.fail("the block ran without a server")
    assert [process.poll() for process in started] == [0]


class _With:
    """A module with one name replaced."""

    def __init__(self, module: object, **names: object) -> None:
        self._module = module
        self.__dict__.update(names)

    def __getattr__(self, name: str) -> object:
        return getattr(self._module, name)
