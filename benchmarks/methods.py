"""Latency and peak memory of every published network at 640x480, beside its direct form.

    python -m benchmarks.methods [--repeats 3] [NAME ...]

"Direct" is the time of the network written down layer by layer as its description has it, as far
as that was measured (2 threads on a CPU of the same kind, torch 2.13). The weights are random,
which does not change the time; memory counts what a process takes beyond its imports.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from benchmarks.common import Row, table
from fusion.looking.profiling import Profile, ProfileSettings, profile

DIRECT_SECONDS = {
    "cddfuse": 28.0,  # half of the processor time: no idle machine was at hand
    "dcinn": None,
    "dm_fnet": None,
    "emma": 1.235,
    "fatfusion": None,
    "gesenet": None,
    "ifcnn": None,
    "lrrnet": 11.5,
    "mmdrfuse/student": 0.0045,
    "mmdrfuse/teacher": 0.928,
    "seafusion": None,
    "segmif": None,
    "ship": 3.4,
    "tardal": None,
}
PEAK_MEGABYTES = 4000


def run(names: Sequence[str] = tuple(DIRECT_SECONDS), repeats: int = 3) -> list[Row]:
    """Return a row for each method; met when its memory stays below the limit."""
    settings = ProfileSettings(threads=2, repeats=repeats)
    return [_row(profile(name, settings), DIRECT_SECONDS[name]) for name in names]


def _row(found: Profile, direct: float | None) -> Row:
    what = f"{found.method}, fuse 640x480, 2 threads"
    if found.failed:
        return Row(what, "-", found.failed, f"below {PEAK_MEGABYTES} MB", False)
    seconds = found.milliseconds / 1000
    against = "no direct time known" if direct is None else f"direct: {direct:g} s"
    told = f"{seconds:.3g} s, {found.gmacs:.3g} GMACs, {found.peak_megabytes:.0f} MB"
    if direct is not None:
        told += f", {direct / seconds:.2g}x"
    met = found.peak_megabytes < PEAK_MEGABYTES
    return Row(what, against, told, f"below {PEAK_MEGABYTES} MB", met)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", default=list(DIRECT_SECONDS))
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    rows = run(options.names, options.repeats)
    table("methods", [{**row.__dict__, "met": "yes" if row.met else "NO"} for row in rows])


if __name__ == "__main__":
    main()
