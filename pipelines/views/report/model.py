"""What the page shows, as plain data: the page is a function of a `Report` alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from fusion.palette import FALSE_ALARM, FOUND, HIT, MISSED
from pipelines.results.conclusions.agreement import Agreement
from pipelines.results.conclusions.evidence import Evidence
from pipelines.results.robustness import Curve
from pipelines.results.rounds.runners import Runner
from pipelines.results.values import Line, Table
from segmentation.iou import Confusion

MarkKind = Literal["hit", "false", "found", "missed"]
Side = Literal["truth", "prediction"]
PerImage = Mapping[str, float]
"""A score by the name of a test image."""


@dataclass(frozen=True)
class Box:
    """How boxes of one kind are drawn, what they are called, and whose word they are."""

    name: str
    side: Side
    colour: str
    width: float
    dash: str | None = None


BOXES: dict[MarkKind, Box] = {
    "found": Box("object (ground truth)", "truth", FOUND, 1.4),
    "missed": Box("object missed", "truth", MISSED, 2.2, "5 4"),
    "false": Box("false alarm", "prediction", FALSE_ALARM, 2.0),
    "hit": Box("right detection", "prediction", HIT, 2.0),
}
"""In the order in which they are drawn."""


@dataclass(frozen=True)
class Mark:
    """A box on a picture, in the picture's own pixels."""

    kind: MarkKind
    box: tuple[float, float, float, float]
    text: str


@dataclass(frozen=True)
class Layer:
    """A transparent picture over another one: a mask of the ground truth or of a prediction."""

    side: Side
    uri: str


@dataclass(frozen=True)
class Picture:
    """One image of a strip: a data URI of a picture of ``width x height``, and what lies over it.

    `uri` is empty where the store no longer holds the image; `remark` is what came out on it;
    `method` is the row whose result it is, None for a source and for the ground truth.
    """

    title: str
    remark: str
    uri: str
    width: int
    height: int
    marks: tuple[Mark, ...] = ()
    layer: Layer | None = None
    method: str | None = None


@dataclass(frozen=True)
class Strip:
    """A test image on which methods differ: the sources, then every method.

    `outline` is a transparent picture of the true mask's borders, to be laid over any of them.
    """

    name: str
    remark: str
    pictures: tuple[Picture, ...]
    outline: str = ""


@dataclass(frozen=True)
class Speed:
    """Seconds to fuse one pair, with reading and writing, and on what."""

    method: str
    seconds: float
    device: str


@dataclass(frozen=True)
class TaskReport:
    """One table with all that is drawn beside it; what is missing is empty.

    Its `images` fall into `scenes` and are tested in so many `folds`. `curves` are precision over
    recall by class, `confusions` pixels by method summed over seeds, `legend` the colours of
    classes on the strips, `lost` cells whose files cannot be read any more, `runners` how methods
    went where seeds are raced.
    """

    evidence: Evidence
    images: int
    scenes: int = 0
    folds: int = 1
    curves: Mapping[str, tuple[Line, ...]] = field(default_factory=dict)
    confusions: Mapping[str, Confusion] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    strips: tuple[Strip, ...] = ()
    strip_notes: tuple[str, ...] = ()
    legend: tuple[tuple[str, str], ...] = ()
    speeds: tuple[Speed, ...] = ()
    lost: tuple[str, ...] = ()
    runners: tuple[Runner, ...] = ()


@dataclass(frozen=True)
class Robustness:
    """One task on disturbed test pairs: its table, the curves behind it, and what they show."""

    headline: str
    table: Table
    curves: tuple[Curve, ...]


@dataclass(frozen=True)
class Scans:
    """What shorter scans cost: how near reconstructions come, a table for each, and pictures."""

    nearness: Table | None
    tables: tuple[Table, ...]
    strips: tuple[Strip, ...]


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
    scans: Scans | None = None
