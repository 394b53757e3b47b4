"""How often a training of any kind writes down where it stands."""

from __future__ import annotations

import threading
import time

from pydantic import Field

from fusion.settings import Settings


class Checkpointed(Settings):
    """The setting that all trainings share: minutes between two of their states on disk.

    A state is written at the end of an epoch, when as much time has passed since the last one; 0
    means after every epoch.
    """

    checkpoint_minutes: float = Field(default=10.0, ge=0)


_asked = threading.Event()


def ask_for_states() -> None:
    """Let every training of this process write its state at the end of the epoch: it is to end."""
    _asked.set()


class Interval:
    """Tells when the minutes between two states are over, or a state is asked for."""

    def __init__(self, minutes: float) -> None:
        self._seconds, self._last = 60 * minutes, time.monotonic()

    def is_over(self) -> bool:
        """Whether it is time for another state; if so, the next interval begins."""
        now = time.monotonic()
        over = now - self._last >= self._seconds or _asked.is_set()
        if over:
            self._last = now
        return over
