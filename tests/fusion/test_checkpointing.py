"""When a training writes its state."""

from __future__ import annotations

import time

import pytest
from pydantic import ValidationError

from fusion.checkpointing import Checkpointed, Interval


def test_an_interval_begins_anew_when_it_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    interval, always = Interval(10), Interval(0)
    found = []
    for clock[0] in (1000.0, 1599.0, 1600.0, 1601.0, 2199.0, 2201.0):
        found.append(interval.is_over())
        assert always.is_over()
    assert found == [False, False, True, False, False, True]


def test_minutes_are_not_negative() -> None:
    assert Checkpointed().checkpoint_minutes == 10
    with pytest.raises(ValidationError, match="checkpoint_minutes"):
        Checkpointed(checkpoint_minutes=-1)
