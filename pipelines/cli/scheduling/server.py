"""Prefect's server for one command: nothing is left of it when the command is gone, or killed.

Without a server of the user's own, Prefect starts one itself; that one outlives a parent that is
killed, with its 200 MB. This one watches its stdin, which ends when the parent ends, and Linux
kills it then even where it has been stopped.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from typing import Any

from pipelines.cli.scheduling.database import prepare_database
from pipelines.execution.dispensable import LIMIT_SECONDS, PREFECT, missing

STOP_SECONDS = 5.0
REQUEST_SECONDS, RETRIES = 5.0, 1
"""A flow that has lost Prefect makes two requests in vain: together they take `LIMIT_SECONDS`."""
LATER = "This run, or its end, is not seen in Prefect; the store and MLflow have it."


@contextmanager
def prefect_server(say: Callable[[str], None]) -> Iterator[str | None]:
    """Let the block talk to the configured Prefect API, or to a server of its own.

    Yields its address, or None where none answers in time, after `say` was told so in a line.
    """
    begun, port = time.monotonic(), _free_port()
    # To import Prefect takes a second, in which its server starts; where another one turns out to
    # be configured in a profile, ours is stopped again.
    known = "prefect" in sys.modules or os.environ.get("PREFECT_API_URL")
    process = None if known else _start(port)
    try:
        from prefect.settings import PREFECT_API_URL

        if configured := PREFECT_API_URL.value():
            if process is not None:
                _stop(process)
            with _limited():
                yield _configured(configured, say)
        else:
            process = process or _start(port)
            url = f"http://127.0.0.1:{port}/api"
            import_module("pipelines.flows")  # takes as long as the server's start
            why = _wait(process, url, begun + LIMIT_SECONDS)
            if why is not None:
                say(missing(PREFECT, why, f"{LATER} See why with `prefect server start`."))
            with _limited(url):
                yield url if why is None else None
    finally:
        if process is not None:
            _stop(process)


def _limited(own: str | None = None) -> AbstractContextManager[Any]:
    """Let no request to Prefect take long, and go to our `own` server where there is one."""
    from prefect.settings import (
        PREFECT_API_REQUEST_TIMEOUT,
        PREFECT_API_URL,
        PREFECT_CLIENT_MAX_RETRIES,
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
        temporary_settings,
    )

    limits: dict[Any, Any] = {
        PREFECT_API_REQUEST_TIMEOUT: REQUEST_SECONDS,
        PREFECT_CLIENT_MAX_RETRIES: RETRIES,
    }
    if own is not None:
        # Nobody hears heartbeats here, and their thread ends up to a second after its flow.
        limits |= {PREFECT_API_URL: own, PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}
    return temporary_settings(limits)


def _configured(url: str, say: Callable[[str], None]) -> str | None:
    if answers(url):
        return url
    say(missing(PREFECT, f"no server answers at {url} (PREFECT_API_URL)", LATER))
    return None


def answers(url: str) -> bool:
    """Whether somebody answers at the address of an API, be it that we are not known there."""
    import httpx

    try:
        answer = httpx.get(f"{url}/health", timeout=REQUEST_SECONDS)
    except httpx.HTTPError:
        return False
    return answer.status_code < httpx.codes.INTERNAL_SERVER_ERROR


def _start(port: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "pipelines.cli.scheduling.server", str(port)],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # what it cannot write, it tells in tracebacks
        env={
            **os.environ,
            "PREFECT__SERVER_EPHEMERAL": "1",
            "PREFECT__SERVER_FINAL": "1",
            "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",  # we use none, and it takes seconds
            "PREFECT_API_DATABASE_MIGRATE_ON_START": "false",  # `prepare_database` does
        },
        start_new_session=True,  # Ctrl-C is for us; the server ends after our last request
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _wait(process: subprocess.Popen[bytes], url: str, deadline: float) -> str | None:
    """Return once the server answers, or why it does not."""
    import httpx

    with httpx.Client(timeout=REQUEST_SECONDS) as client:  # to make one costs more than to ask
        while process.poll() is None and time.monotonic() < deadline:
            try:
                if client.get(f"{url}/health").status_code == httpx.codes.OK:
                    return None
            except httpx.TransportError:
                time.sleep(0.1)
    if (code := process.poll()) is not None:
        return f"its server ended with code {code} when it started"
    return f"its server was not there within {LIMIT_SECONDS:.0f} s"


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
    die_with_the_parent()
    threading.Thread(target=_watch, daemon=True).start()
    if prepare_database():
        # Prefect keeps to the database that it has made, under its first name: begin anew.
        os.execv(sys.executable, sys.orig_argv)
    import uvicorn

    application = "prefect.server.api.server:create_app"
    port = int(sys.argv[1])
    uvicorn.run(application, factory=True, host="127.0.0.1", port=port, log_level="error")


def die_with_the_parent() -> None:
    """Have Linux kill this process when the thread that has started it ends, stopped or not."""
    if sys.platform == "linux":
        signal_at_parents_death = 1  # PR_SET_PDEATHSIG
        ctypes.CDLL(None).prctl(signal_at_parents_death, signal.SIGKILL)


def _watch() -> None:
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
