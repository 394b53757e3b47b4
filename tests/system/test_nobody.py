"""Nobody is called: the suite hears what it, and every Python process under it, says to others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from prefect.settings import PREFECT_API_URL, temporary_settings

from pipelines.cli.scheduling.server import prefect_server
from pipelines.execution.dispensable import MLFLOW, Absent, dispensable

pytestmark = pytest.mark.system

CALLS = {
    "connect": "import socket; socket.create_connection(('192.0.2.1', 80), timeout=1)",
    "look up": "import socket; socket.getaddrinfo('example.org', 443)",
    "datagram": "import socket; s = socket.socket(type=2); s.sendto(b'x', ('192.0.2.1', 9))",
    "library": "import urllib.request; urllib.request.urlopen('http://example.org', timeout=1)",
}


@pytest.mark.parametrize("call", CALLS)
def test_a_call_of_a_child_is_heard_and_refused(tmp_path: Path, call: str) -> None:
    contacts = tmp_path / "contacts.txt"
    environment = {**os.environ, "FUSE_THEN_CONTACTS": str(contacts)}
    done = subprocess.run(
        [sys.executable, "-c", CALLS[call]], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "is not this machine" in done.stderr
    assert contacts.read_text().startswith("socket.")


def test_this_machine_is_no_stranger(tmp_path: Path) -> None:
    contacts = tmp_path / "contacts.txt"
    environment = {**os.environ, "FUSE_THEN_CONTACTS": str(contacts)}
    code = (
        "import socket; here = socket.create_server(('127.0.0.1', 0))\n"
        "socket.create_connection(here.getsockname()); socket.getaddrinfo('localhost', 80)"
    )
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert not contacts.exists()


def test_nobody_has_been_called() -> None:
    contacts = Path(os.environ["FUSE_THEN_CONTACTS"])
    assert not contacts.exists() or not contacts.read_text(encoding="utf-8")


WORD = "planted-word"


def test_no_password_of_an_address_is_said() -> None:
    """Of Prefect's and MLflow's servers, which are not there."""
    said: list[str] = []
    address = f"http://me:{WORD}@127.0.0.1:1/api"
    with (
        temporary_settings({PREFECT_API_URL: address}),
        prefect_server(said.append) as there,
    ):
        assert there is None
    with dispensable(MLFLOW, "Later.", said.append):
        raise requests.ConnectionError(f"Max retries exceeded with {address}")
    with pytest.raises(Absent) as caught:
        raise Absent(f"There is no MLflow at {address}.")
    assert len(said) == 2
    for line in (*said, str(caught.value)):
        assert "http://***@127.0.0.1:1/api" in line
        assert WORD not in line
