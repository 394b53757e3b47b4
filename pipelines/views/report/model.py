"""What the page shows, as plain data: the page is a function of a `Report` alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pipelines.results.agreement import Agreement, Evidence
from pipelines.results.robustness import Curve
from pipelines.results.values import Table
from segmentation.iou import Confusion

MarkKind = Literal["hit", "false", "found", "missed"]


@dataclass(frozen=True)
class Line:
    """A curve of one method; `style` says what it is where a method has several."""

    method: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    style: Literal["train", "val"] = "train"


@dataclass(frozen=True)
class Mark:
    """A box on a picture, in the picture's own pixels."""

    kind: MarkKind
    box: tuple[float, float, float, float]
    text: str


@dataclass(frozen=True)
class Picture:
    """One image of a strip: a data URI of a picture of ``width x height``, and what is drawn on it.

    `uri` is empty where the store no longer holds the image; `remark` is what came out on it.
    """

    title: str
    remark: str
    uri: str
    width: int
    height: int
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True)
class Strip:
    """A test image on which methods differ: the sources, then every method."""

    name: str
    remark: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class Speed:
    """Seconds to fuse one pair, with reading and writing, and on what."""

    method: str
    seconds: float
    device: str


@dataclass(frozen=True)
class TaskReport:
    """One table with all that is drawn beside it; what is missing is empty.

    `curves` are precision over recall by class, `confusions` pixels by method summed over seeds,
    `legend` the colours of classes on the strips, `lost` cells whose files cannot be read any more.
    """

    evidence: Evidence
    images: int
    curves: Mapping[str, tuple[Line, ...]] = field(default_factory=dict)
    confusions: Mapping[str, Confusion] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    strips: tuple[Strip, ...] = ()
    strip_notes: tuple[str, ...] = ()
    legend: tuple[tuple[str, str], ...] = ()
    speeds: tuple[Speed, ...] = ()
    lost: tuple[str, ...] = ()


@dataclass(frozen=True)
class Robustness:
    """One task on disturbed test pairs: its table and the curves behind it."""

    table: Table
    curves: tuple[Curve, ...]


@dataclass(frozen=True)
class CellRecord:
    """Where one number comes from: `facts` by column; `again` is the command that makes it."""

    title: str
    finished: bool
    facts: Mapping[str, str]
    versions: Mapping[str, str]
    again: str


@dataclass(frozen=True)
class Report:
    """An experiment's report; `methods` are rows with their method's name, in the tables' order.

    `losses` are training curves by what was trained, `days` the first and last day of the results.
    """

    name: str
    made: str
    days: str
    methods: tuple[tuple[str, str], ...]
    seeds: tuple[int, ...]
    tasks: tuple[TaskReport, ...]
    agreements: tuple[Agreement, ...]
    losses: Mapping[str, tuple[Line, ...]]
    robustness: tuple[Robustness, ...]
    cells: tuple[CellRecord, ...]
    blocked: tuple[tuple[str, str], ...]
