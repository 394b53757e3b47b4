"""What a stage will cost: from stages like it that are finished, else from counted operations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from pipelines.planning.cost.history import Past, Works
from pipelines.planning.cost.networks import Networks
from pipelines.store.stage import Stage
from pipelines.tasks.work import Work

ALIKE = 2.0
"""Stages as large as the one that is nearest in size, within this factor, tell its cost."""


@dataclass(frozen=True)
class Estimate:
    """What a stage is expected to cost, and how that is known; None for what is not.

    `low` and `high` (s) are what the slowest and the fastest of the stages behind it say.
    `operations` are counted only where no history tells the seconds. `megabytes` of memory are
    those of the process.
    """

    kind: str
    seconds: float | None
    low: float | None
    high: float | None
    stored: float | None
    megabytes: float | None
    operations: float | None
    basis: str
    network: str


@dataclass(frozen=True)
class _Time:
    seconds: float
    low: float
    high: float
    basis: str


class Estimator:
    """Estimates stages on a `processor`, as manifests name it, from `history` and `networks`."""

    def __init__(
        self, processor: str, history: Sequence[Past], works: Works, networks: Networks
    ) -> None:
        self.works, self._networks = works, networks
        self._here = [past for past in history if past.processor == processor]
        self._anywhere = history

    def estimate(self, stage: Stage) -> Estimate | None:
        """Return what a stage will cost; None for a kind of which nothing is known.

        What the stage itself has cost, when it is finished, is not looked at.
        """
        work = self.works.of(stage)
        if work is None:
            return None
        found, operations = self._from_history(stage, work), None
        if found is None:
            found = self._from_others(stage, work, light=True)
        if found is None:
            found, operations = self._from_operations(work)
        if found is None:
            found = self._from_others(stage, work, light=False)
        stored, memory = self._stored(stage, work), self._memory(stage, work)
        if found is None:
            basis = self._unknown(stage, work)
            times, known = (None, None, None), (stored, memory, self._all(work))
            return Estimate(stage.kind.name, *times, *known, basis, work.name)
        spread, known = (found.seconds, found.low, found.high), (stored, memory, operations)
        return Estimate(stage.kind.name, *spread, *known, found.basis, work.name)

    def stored(self, stage: Stage) -> float | None:
        """Return the bytes that a stage will leave; None where that is not known."""
        work = self.works.of(stage)
        return None if work is None else self._stored(stage, work)

    def _like(self, stage: Stage, work: Work, among: Sequence[Past]) -> list[Past]:
        """Return finished stages of the kind, with the same network, nearest in size."""
        same = [
            past
            for past in among
            if past.kind == stage.kind.name
            and past.title != stage.title
            and past.work.kind == work.kind
        ]
        if not work.known:
            return same
        away = {p.title: abs(math.log(p.work.pixels / work.pixels)) for p in same}
        nearest = min(away.values(), default=0.0)
        return [past for past in same if away[past.title] <= nearest + math.log(ALIKE)]

    def _from_history(self, stage: Stage, work: Work) -> _Time | None:
        like = self._like(stage, work, self._here)
        if not like or not work.known:
            return None
        return _scaled(like, [work.pixels / past.work.pixels for past in like], "made here")

    def _from_operations(self, work: Work) -> tuple[_Time | None, float | None]:
        """Return the time by a measured speed, with the operations where they are known."""
        speed, files = self._networks.speed(work), self._networks.file_speed()
        if not work.known or files is None or speed is None:
            return None, None
        rate, pixels = speed.pixels_per_second, work.pixels
        seconds = speed.start_seconds + work.handled / files + pixels / rate
        operations = self._all(work)
        basis = "calibrated: what images take to be read and written"
        count = self._networks.count(work)
        if operations and count and not count.light:
            at = flop(count.operations_per_pixel * rate)
            basis = f"counted: {flop(operations)} at a measured {at}/s"
        return _Time(seconds, seconds, seconds, basis), operations

    def _from_others(self, stage: Stage, work: Work, light: bool) -> _Time | None:
        """Return what stages with other networks say: if `light` by the images, else by operations.

        What takes its time for reading and writing images tells nothing of a network's.
        """
        mine, like, shares = self._networks.count(work), [], []
        if mine is None or not work.known or mine.light is not light:
            return None
        for past in self._here:
            other = self._networks.count(past.work) if past.kind == stage.kind.name else None
            if other and other.light is light and past.title != stage.title:
                heavier = 1.0 if light else mine.operations_per_pixel / other.operations_per_pixel
                like.append(past)
                shares.append(heavier * work.pixels / past.work.pixels)
        return _scaled(like, shares, "with other networks") if like else None

    def _all(self, work: Work) -> float | None:
        """Return all operations of a work; None where they or the images are not known."""
        count = self._networks.count(work)
        return count.operations_per_pixel * work.pixels if count and work.known else None

    def _unknown(self, stage: Stage, work: Work) -> str:
        """Say what is known of a stage whose time is not."""
        if work.known:
            known = self._all(work)
            counted = f"counted: {flop(known)}; " if known else ""
            return f"{counted}no such stage was made here, see --calibrate"
        name = stage.local.get("dataset", {}).get("name", "its dataset")
        count = self._networks.count(work)
        missing = f'how many images is not known: "{name}" is not there'
        if count is None or not count.operations_per_pixel:
            return missing
        if not math.isfinite(work.height):
            return f"counted: {flop(1e6 * count.operations_per_pixel)} a megapixel; {missing}"
        each = flop(count.operations_per_pixel * work.height * work.width)
        often = f" in each of {work.epochs} epochs" if work.epochs > 1 else ""
        return f"counted: {each} an image{often}; {missing}"

    def _stored(self, stage: Stage, work: Work) -> float | None:
        """Return the bytes that a stage will leave: as others did, else by its own reckoning."""
        like = self._like(stage, work, self._anywhere)
        if like and work.data_bytes == 0:
            return median(past.stored for past in like)
        if math.isnan(work.data_bytes):
            return None
        if like:
            shares = [past.stored / past.work.data_bytes for past in like if past.work.data_bytes]
            return work.data_bytes * median(shares or [1.0])
        if not work.parameter_bytes:
            return work.data_bytes
        count = self._networks.count(work)
        return work.data_bytes + work.parameter_bytes * count.parameters if count else None

    def _memory(self, stage: Stage, work: Work) -> float | None:
        like = self._like(stage, work, self._here)
        known = [past.megabytes for past in like if past.megabytes and past.work.step == work.step]
        return max(known, default=None)


def _scaled(like: Sequence[Past], shares: Sequence[float], where: str) -> _Time:
    """Return the time that stages like it say, each by its own share of the work."""
    found = [past.seconds * share for past, share in zip(like, shares, strict=True)]
    scale = median(shares)
    by = "" if 0.99 < scale < 1.01 else f", scaled by {scale:.2g}"
    made = f"from {len(like)} stage{'s' * (len(like) > 1)} {where}{by}"
    return _Time(median(found), min(found), max(found), made)


def flop(operations: float) -> str:
    """Return operations in two digits: 240 PFLOP."""
    for power, prefix in ((18, "E"), (15, "P"), (12, "T"), (9, "G"), (6, "M")):
        if operations >= 0.995 * 10**power:
            return f"{two_digits(operations / 10**power)} {prefix}FLOP"
    return f"{two_digits(operations)} FLOP"


def two_digits(number: float) -> str:
    """Return a number rounded to two digits, or to a whole number of three."""
    if number == 0:
        return "0"
    places = max(0, 1 - math.floor(math.log10(abs(number))))
    return f"{round(number, places):.{places}f}" if abs(number) < 100 else f"{number:.0f}"
