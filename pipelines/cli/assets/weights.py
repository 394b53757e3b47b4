"""The commands for published weights: list, check, find and fetch them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from fusion.errors import InputError
from fusion.weights import catalogue
from fusion.weights.fetch import fetch
from fusion.weights.published import (
    files_of,
    find_published,
    place_of,
    recognise,
    weights_home,
)

if TYPE_CHECKING:
    from fusion.weights.catalogue import Published

PublishedName = Annotated[
    str,
    Parameter(
        help="NAME, as fuse-then weights list prints it.",
        completer=lambda _: [entry.name for entry in catalogue.published()],
    ),
]


def weights_list() -> int:
    """List the published checkpoints: size, licence, and what is here."""
    for entry in catalogue.published():
        print(f"{entry.name:18}  {_state(entry):12}  {_size(entry):>9}  licence: {entry.licence}")
        print(f"{'':18}  {', '.join(file.name for file in entry.files)}")
        print(f"{'':18}  from {entry.files[0].source}")
    print(f"\nThey lie, or would lie, in {weights_home()}; FUSE_THEN_WEIGHTS names another folder.")
    return 0


def weights_verify(file: Annotated[Path, Parameter(help="Any file.")], /) -> int:
    """Say which published checkpoint a file is, by its digest."""
    entry, published = recognise(file)
    print(f"{file} is the published {entry.name} ({published.name}), byte for byte")
    return 0


def weights_path(name: PublishedName, /) -> int:
    """Print where a checkpoint lies, or would lie."""
    print(place_of(find_published(name)))
    return 0


def weights_fetch(
    name: Annotated[
        str | None,
        Parameter(
            help="NAME, as fuse-then weights list prints it.",
            completer=lambda _: [entry.name for entry in catalogue.published()],
        ),
    ] = None,
    /,
    *,
    experiment: Annotated[
        str | None,
        Parameter(metavar="NAME", help="Instead, all that the rows of an experiment lack."),
    ] = None,
) -> int:
    """Download checkpoints to where ``checkpoint: published`` finds them; 2 if one is left."""
    if (name is None) == (experiment is None):
        raise InputError("Name either a checkpoint or, with --experiment, an experiment.")
    if name is not None:
        _fetch(find_published(name))
        return 0
    from pipelines.planning.lacks import assumed_data, lacks_of
    from pipelines.specs.loading import load_experiment

    with assumed_data():
        spec = load_experiment(str(experiment))
    lacking = lacks_of(spec).weights
    if not lacking:
        print(f"{spec.name} lacks no published weights.")
    return max((_fetched(entry) for entry in lacking), default=0)


def _fetched(entry: Published) -> int:
    """Fetch one of several checkpoints, and say what is wrong with it; the others go on."""
    try:
        _fetch(entry)
    except InputError as error:
        print(f"{entry.name}: {error}", file=sys.stderr)
        return 2
    return 0


def _fetch(entry: Published) -> None:
    from pipelines.execution.progress import Screen

    screen = Screen()
    screen.say(f"{entry.name}: licence {entry.licence}; from {entry.files[0].source}")
    for file, path in files_of(entry):
        with screen.live(), screen.step(file.name) as report:
            fetch(file, path, lambda done, total: report(done, total or done, "bytes"))
        print(path)


def _state(entry: Published) -> str:
    """Return "here", "to fetch", or "by hand" where no file has a direct address."""
    if all(path.is_file() for _, path in files_of(entry)):
        return "here"
    return "to fetch" if all(file.url for file in entry.files) else "by hand"


def _size(entry: Published) -> str:
    sizes = [file.bytes for file in entry.files]
    known = [size for size in sizes if size is not None]
    return f"{sum(known) / 1000:.0f} kB" if len(known) == len(sizes) else "?"
