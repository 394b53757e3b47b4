"""The options that several commands share, each described once."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.completion import CompletionContext

from fusion.errors import InputError


def _shipped(kind: str, typed: str) -> list[str]:
    """Return what the shell offers for a YAML: shipped names, and files that begin as typed."""
    names = [file.name for file in resources.files("configs").joinpath(kind).iterdir()]
    stems = [name.removesuffix(".yaml") for name in names if name.endswith(".yaml")]
    folder, _, start = typed.rpartition("/")
    files = Path(folder or typed[: typed.startswith("/")]).glob(f"{start}*.yaml")
    return [*sorted(stems), *sorted(map(str, files))]


def _experiments(context: CompletionContext) -> list[str]:
    return _shipped("experiments", context.incomplete)


def _datasets(context: CompletionContext) -> list[str]:
    return _shipped("datasets", context.incomplete)


def _methods(_: CompletionContext) -> list[tuple[str, str]]:
    from fusion.registry import cards

    return [(card.name, card.summary) for card in cards()]


Experiment = Annotated[
    str,
    Parameter(
        help="A YAML file of yours, or the name of a shipped one: smoke, demo, scenes, table4, ...",
        completer=_experiments,
    ),
]
Dataset = Annotated[
    str,
    Parameter(
        help="A YAML file of yours, or the name of a shipped one: m3fd, msrs, harvard, ...",
        completer=_datasets,
    ),
]
Method = Annotated[
    str, Parameter(help="NAME as fuse-then methods lists it, or NAME/PRESET.", completer=_methods)
]
StorePlace = Annotated[
    str | None,
    Parameter(metavar="DIR", help="Where results live (default: $FUSE_THEN_STORE, else ./runs)."),
]
Changes = Annotated[
    list[str] | None,
    Parameter(
        name="--set",
        metavar="KEY=VALUE",
        help="Change a key of the YAML, as in detection.epochs=3 or root=/data; may be given "
        "several times.",
    ),
]
MethodParameters = Annotated[
    list[str] | None,
    Parameter(
        name="--set",
        metavar="KEY=VALUE",
        help="A parameter of the method, as in levels=5; may be given several times.",
    ),
]
Checkpoint = Annotated[
    str | None,
    Parameter(
        metavar="FILE",
        help='Trained weights, or the word "published" for the authors\' own (default: none).',
    ),
]
Device = Annotated[str, Parameter(metavar="NAME", help="Where to compute: cpu, cuda or cuda:N.")]
InfraredFolder = Annotated[
    Path, Parameter(name="--infrared", metavar="DIR", help="The folder of infrared images.")
]
VisibleFolder = Annotated[
    Path,
    Parameter(
        name="--visible", metavar="DIR", help="The folder of visible images, of the same names."
    ),
]
Overwrite = Annotated[
    bool, Parameter(help="Write over what is already there.", show_default=False, negative="")
]


def check_new(overwrite: bool, *paths: Path | None) -> None:
    """Raise InputError for a file that a command would write over unasked, or for a folder."""
    for path in paths:
        if path is None:
            continue
        if path.is_dir():
            raise InputError(f"{path} is a folder; give the name of a file.")
        if path.exists() and not overwrite:
            raise InputError(f"{path} is already there; give another name, or add --overwrite.")


@Parameter(name="*")
@dataclass(frozen=True)
class ExperimentOptions:
    """What is changed in an experiment's YAML, and where its results live."""

    changes: Changes = None
    store: StorePlace = None

    @property
    def overrides(self) -> dict[str, Any]:
        """Return the changes as dotted keys and their values; InputError when one is neither."""
        from pipelines.specs.loading import parse_overrides

        return parse_overrides(self.changes or [])


@Parameter(name="*")
@dataclass(frozen=True)
class WorkOptions(ExperimentOptions):
    """The same, and where to compute."""

    devices: Annotated[
        str | None,
        Parameter(
            metavar="NAME,NAME",
            help="One training at a time on each: cpu, or cuda:0,cuda:1 (default: every GPU that "
            "is there, else cpu); rehearse:2 walks the way of two GPUs on the processor.",
        ),
    ] = None
    jobs: Annotated[
        int | None,
        Parameter(
            metavar="N",
            help="Trainings at once on the processor, which share its cores (default: 2 where "
            "there are two cores).",
        ),
    ] = None
    skip_blocked: Annotated[
        bool,
        Parameter(help="Run what can run; leave out methods whose weights or data are missing."),
    ] = False
    paranoid: Annotated[
        bool,
        Parameter(
            help="Read every finished image before it is used, and not a sample of them: what a "
            "bad disk has changed is made again."
        ),
    ] = False

    @property
    def asked(self) -> dict[str, Any]:
        """Return what a flow is told only when it is asked for."""
        named = {"skip_blocked": self.skip_blocked, "paranoid": self.paranoid}
        return {key: value for key, value in named.items() if value}


@Parameter(name="*")
@dataclass(frozen=True)
class RaceOptions(WorkOptions):
    """The same, and how long seeds may be raced."""

    hours: Annotated[
        float | None,
        Parameter(
            metavar="N",
            help="Where seeds are raced: begin no round that is not expected to end within so many "
            "hours; what every method gets is trained anyway.",
        ),
    ] = None
