"""Prefect's cancel button, for a run that a command has started.

Prefect itself stops only what its workers and runners have started.
"""

from __future__ import annotations

import contextlib
import contextvars
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

ASK_SECONDS = 3.0
CANCELLED = "cancelled in Prefect"


class CancelButton:
    """Stops a run, as SIGTERM does, when its flow run is cancelled in Prefect."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._ended = threading.Event()
        self.pressed = False

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Watch the flow run while its function works."""
        from prefect import runtime

        if (run := runtime.flow_run.id) is not None:
            # A thread does not inherit which server the settings name.
            watch = contextvars.copy_context().run
            threading.Thread(target=watch, args=(self._watch, UUID(run)), daemon=True).start()
        try:
            yield
        finally:
            self._ended.set()

    def state(self) -> Any:
        """Return the state of a run that was cancelled."""
        from prefect.states import Cancelled

        return Cancelled(message=CANCELLED)

    def _watch(self, run: UUID) -> None:
        while not self._ended.wait(ASK_SECONDS):
            with contextlib.suppress(Exception):  # a server that is gone cancels nothing
                self._ask(run)

    def _ask(self, run: UUID) -> None:
        from prefect.client.orchestration import get_client

        with get_client(sync_client=True) as client:
            while not self._ended.wait(ASK_SECONDS):
                state: Any = client.read_flow_run(run).state
                if state is not None and (state.is_cancelling() or state.is_cancelled()):
                    self.pressed = True
                    self._ended.set()
                    self._say(CANCELLED)
                    os.kill(os.getpid(), signal.SIGTERM)
