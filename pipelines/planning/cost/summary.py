"""What an experiment will cost, as the end of a plan: by kind of stage, and in all."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from statistics import median

from pipelines.execution.devices import Slot
from pipelines.execution.job import Progress
from pipelines.execution.runner import Start
from pipelines.execution.worker import Worker
from pipelines.planning.cost.estimates import Estimate, Estimator, two_digits
from pipelines.planning.cost.history import Works, read_history
from pipelines.planning.cost.networks import Networks, processor_of
from pipelines.planning.cost.sketches import blocked_stages, own_stages
from pipelines.planning.plan import Plan
from pipelines.store.stage import Stage
from pipelines.store.store import Store

HEAD = ("kind", "of", "stages", "time", "disk", "memory", "known from")
UNKNOWN = "unknown"


def cost_lines(
    plan: Plan,
    store: Store,
    slots: Sequence[Slot],
    report: Callable[[str], Progress],
    calibrate: bool = False,
    start: Start = Worker,
) -> list[str]:
    """Return the lines that say what a plan costs on `slots`; see `Networks` for the others.

    Finished stages cost nothing; how they would have been estimated is said beside.
    """
    works, where, own = Works(), processor_of(slots[0]), list(own_stages(plan))
    blocked = blocked_stages(plan, store)
    with Networks(store, slots, report, start) as networks:
        if calibrate:
            asked = (works.of(stage) for stage in (*own, *blocked.values()))
            networks.calibrate([work for work in asked if work is not None])
        estimator = Estimator(where, read_history(store, works), works, networks)
        return _summary(plan, store, estimator, slots, where, own, blocked.values())


def _summary(
    plan: Plan,
    store: Store,
    estimator: Estimator,
    slots: Sequence[Slot],
    where: str,
    own: Sequence[Stage],
    blocked: Iterable[Stage],
) -> list[str]:
    finished = {s.title: store.manifest(s) if store.is_finished(s) else None for s in own}
    to_run = {s.title: estimator.estimate(s) for s in own if finished[s.title] is None}
    rows = [
        *_rows(to_run.values(), ""),
        *_rows(map(estimator.estimate, blocked), "blocked: "),
    ]
    lines = [f"Cost on {where}:" if rows else "Cost: nothing is to be made."]
    if rows:
        lines += _columns([HEAD, *rows])
    if to_run:
        lines += [_total(plan, to_run, slots, store.root)]
    seconds = {title: made.seconds for title, made in finished.items() if made is not None}
    if seconds:
        cached = [stage for stage in own if stage.title in seconds]
        lines += _compared(cached, seconds, estimator)
    return lines


def _rows(found: Iterable[Estimate | None], prefix: str) -> Iterator[tuple[str, ...]]:
    """Yield a row for each kind and each way of knowing."""
    groups: dict[tuple[str, str], list[Estimate]] = {}
    for one in found:
        if one is not None:
            groups.setdefault((one.kind, one.basis), []).append(one)
    for (kind, basis), group in groups.items():
        stored, memory = [one.stored for one in group], [one.megabytes for one in group]
        yield (
            f"{prefix}{kind}",
            _names(group),
            str(len(group)),
            _time_of(group),
            UNKNOWN if None in stored else size(_sum(stored)),
            UNKNOWN if None in memory else size(1e6 * max(m for m in memory if m is not None)),
            basis,
        )


def _names(group: Sequence[Estimate]) -> str:
    names = list(dict.fromkeys(one.network for one in group))
    return f"{len(names)} networks" if names[2:] else ", ".join(names)


def _time_of(group: Sequence[Estimate]) -> str:
    seconds = [one.seconds for one in group]
    if None in seconds:
        return UNKNOWN
    low, high = _sum([one.low for one in group]), _sum([one.high for one in group])
    spread = f" ({duration(low)} to {duration(high)})" if high > 1.1 * low else ""
    return duration(_sum(seconds)) + spread


def _total(plan: Plan, found: dict[str, Estimate | None], slots: Sequence[Slot], root: Path) -> str:
    """Say what all unfinished stages cost; what runs at once is divided."""
    known = {t: one.seconds for t, one in found.items() if one and one.seconds is not None}
    chains = [
        sum(known.get(stage.title, 0.0) for stage in cell.stages)
        for cell in (*plan.cells, *plan.perturbed)
    ]
    alone = sum(known.values())
    together = max(alone / len(slots), max(chains, default=0.0))
    at_once = f", {duration(together)} with {len(slots)} at once" if len(slots) > 1 else ""
    disk = _sum([one.stored for one in found.values() if one])
    left = shutil.disk_usage(root).free
    free = f"{size(left)} free{', which is too little' if disk > left else ''}"
    lacking = len(found) - len(known)
    but = f"; without {_stages(lacking)} of unknown time" if lacking else ""
    return f"In all {duration(alone)}{at_once}; {size(disk)} of disk, {free}{but}."


def _compared(
    stages: Sequence[Stage], seconds: dict[str, float], estimator: Estimator
) -> list[str]:
    """Say how far estimates from the other stages are from what these took, by kind."""
    ratios: dict[str, list[float]] = {}
    for stage in stages:
        found = estimator.estimate(stage)
        if found is not None and found.seconds and seconds[stage.title] > 0:
            ratios.setdefault(found.kind, []).append(found.seconds / seconds[stage.title])
    took = duration(sum(seconds.values()))
    lines = [f"{_stages(len(stages))} cached and cost nothing; made in {took}."]
    if ratios:
        lines += ["Time estimated without the stage itself, as a multiple of what it took:"]
    for kind, own in ratios.items():
        off = max(own, key=lambda ratio: abs(math.log(ratio)))
        typical = f"{two_digits(median(own))} in the median, " if len(own) > 1 else ""
        worst = f"{two_digits(off)} at worst, " if len(own) > 1 else f"{two_digits(off)}, "
        lines.append(f"  {kind}: {typical}{worst}of {_stages(len(own))}")
    return lines


def _stages(count: int) -> str:
    return "1 stage" if count == 1 else f"{count} stages"


def duration(seconds: float) -> str:
    """Return a time in two digits: 41 s, 6.5 min, 74 h."""
    for unit, length in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 99.5 * length / 60:
            return f"{two_digits(seconds / length)} {unit}"
    return f"{two_digits(seconds)} s"


def size(number: float) -> str:
    """Return bytes in two digits: 6.6 MB."""
    for power, unit in ((12, "TB"), (9, "GB"), (6, "MB")):
        if number >= 0.995 * 10**power:
            return f"{two_digits(number / 10**power)} {unit}"
    return f"{two_digits(number / 1000)} kB"


def _sum(numbers: Iterable[float | None]) -> float:
    return sum(number for number in numbers if number is not None)


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = ([cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows)
    return ["  " + "  ".join(row).rstrip() for row in padded]
