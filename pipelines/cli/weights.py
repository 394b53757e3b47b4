"""The commands that list, check, find and fetch published checkpoints."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fusion.weights.catalogue import Published
# As in the other commands: each import below is paid for by its own command only.


def weights_list(options: argparse.Namespace) -> int:
    """List the published checkpoints: size, licence, and what is here."""
    from fusion.weights import catalogue
    from fusion.weights.published import weights_home

    for entry in catalogue.published():
        print(f"{entry.name:18}  {_state(entry):12}  {_size(entry):>9}  licence: {entry.licence}")
        print(f"{'':18}  {', '.join(file.name for file in entry.files)}")
        print(f"{'':18}  from {entry.files[0].source}")
    print(f"\nThey lie, or would lie, in {weights_home()}; FUSE_THEN_WEIGHTS names another folder.")
    return 0


def weights_verify(options: argparse.Namespace) -> int:
    """Say which published checkpoint a file is, by its digest."""
    from fusion.weights.published import recognise

    entry, file = recognise(Path(options.file))
    print(f"{options.file} is the published {entry.name} ({file.name}), byte for byte")
    return 0


def weights_path(options: argparse.Namespace) -> int:
    """Print where a checkpoint lies, or would lie."""
    from fusion.weights.published import find_published, place_of

    print(place_of(find_published(options.name)))
    return 0


def weights_fetch(options: argparse.Namespace) -> int:
    """Download a checkpoint to where `checkpoint="published"` finds it."""
    from fusion.weights.fetch import fetch
    from fusion.weights.published import files_of, find_published
    from pipelines.execution.progress import Screen

    entry = find_published(options.name)
    screen = Screen()
    screen.say(f"{entry.name}: licence {entry.licence}; from {entry.files[0].source}")
    for file, path in files_of(entry):
        with screen.live(), screen.step(file.name) as report:
            fetch(file, path, lambda done, total: report(done, total or done, "bytes"))
        print(path)
    return 0


def _state(entry: Published) -> str:
    """Return "here", "to fetch", or "by hand" where no file has a direct address."""
    from fusion.weights.published import files_of

    if all(path.is_file() for _, path in files_of(entry)):
        return "here"
    return "to fetch" if all(file.url for file in entry.files) else "by hand"


def _size(entry: Published) -> str:
    sizes = [file.bytes for file in entry.files]
    known = [size for size in sizes if size is not None]
    return f"{sum(known) / 1000:.0f} kB" if len(known) == len(sizes) else "?"
