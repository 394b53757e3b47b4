"""Prefect's server for one command: nothing is left of it when the command is gone, or killed.

Without a server of the user's own, Prefect starts one itself; that one outlives a parent that is
killed, with its 200 MB. This one watches its stdin, which ends when the parent ends.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

from fusion.errors import InputError

START_SECONDS = 180.0
"""The first start creates Prefect's database, which takes a busy machine more than a minute."""
STOP_SECONDS = 10.0


@contextmanager
def prefect_server() -> Iterator[None]:
    """Let the block talk to the configured Prefect API, or to a server of its own.

    Raises InputError when that server does not start.
    """
    from prefect.settings import (
        PREFECT_API_URL,
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
        temporary_settings,
    )

    if PREFECT_API_URL.value():
        yield
        return
    port = _free_port()
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "pipelines.cli.prefect_server", str(port)],
        stdin=subprocess.PIPE,
        env={**os.environ, "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"},
        start_new_session=True,  # Ctrl-C is for us; the server ends after our last request
    )
    try:
        import_module("pipelines.flows")  # takes as long as the server's start: do both at once
        url = f"http://127.0.0.1:{port}/api"
        _wait(process, url)
        # Nobody hears heartbeats here, and their thread ends up to a second after its flow.
        own = {PREFECT_API_URL: url, PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}
        with temporary_settings(own):
            yield
    finally:
        _stop(process)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _wait(process: subprocess.Popen[bytes], url: str) -> None:
    import httpx

    deadline = time.monotonic() + START_SECONDS
    with httpx.Client(timeout=5) as client:  # one: to make one costs more than to ask
        while process.poll() is None and time.monotonic() < deadline:
            try:
                if client.get(f"{url}/health").status_code == httpx.codes.OK:
                    return
            except httpx.TransportError:
                time.sleep(0.1)
    raise InputError(
        f"Prefect's server did not start on {url} within {START_SECONDS:.0f} s; run "
        f"`prefect server start` to see why, or set PREFECT_API_URL to a server of yours."
    )


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def main() -> None:
    """Serve Prefect's API on the port given until stdin ends."""
    import uvicorn

    threading.Thread(target=_watch, daemon=True).start()
    application = "prefect.server.api.server:create_app"
    port = int(sys.argv[1])
    uvicorn.run(application, factory=True, host="127.0.0.1", port=port, log_level="error")


def _watch() -> None:
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
