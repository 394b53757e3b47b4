"""Files and values that nobody means well, given to everything that reads, counted by outcome.

    python -m benchmarks.bad_inputs [--only KIND ...]

Each is to end with a result or with one sentence, within two seconds and one gigabyte; what ends
otherwise is printed, and makes the exit code 1. Where a result is no surprise (an empty file is a
YOLO label without objects, a manifest that is none is a stage to be made again) it is a result.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import table
from benchmarks.hostile_checkpoints import KINDS
from benchmarks.hostile_files import NO_FILES, large_png, png
from benchmarks.parsers import DATASET, PARSERS, Outcome, outcome, watched

Case = tuple[str, Callable[[Path], Outcome]]

BYTES: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda _: b"",
    "a zero": lambda _: b"\0",
    "zeros": lambda _: b"\0" * 100_000,
    "all bytes": lambda _: bytes(range(256)) * 40,
    "UTF-16": lambda one: b"\xff\xfe" + one.decode("latin-1").encode("utf-16-le"),
    "a mark before it": lambda one: b"\xef\xbb\xbf" + one,
    "half of it": lambda one: one[: len(one) // 2],
    "all but its end": lambda one: one[:-1],
    "all but its beginning": lambda one: one[1:],
    "more after it": lambda one: one + b"\0\xff" * 500,
    "it twice": lambda one: one * 2,
    "it a hundred times": lambda one: one * 100,
    "its bytes turned": lambda one: one[::-1],
    "every tenth byte changed": lambda one: bytes(
        byte ^ (255 if n % 10 == 0 else 0) for n, byte in enumerate(one)
    ),
    "digits for its digits": lambda one: one.replace(b"1", b"9" * 5000),
    "controls for its spaces": lambda one: one.replace(b" ", b"\x1b[2J"),
    "brackets": lambda _: b"[" * 100_000,
    "braces": lambda _: b'{"a":' * 100_000,
    "dashes": lambda _: b"- " * 100_000,
    "tags": lambda _: b"<a>" * 100_000,
    "a long line": lambda _: b"x" * 3_000_000,
    "many lines": lambda _: b"x\n" * 1_000_000,
    "a large PNG's header": lambda _: png(2**20 - 1, 2**20 - 1),
    "a large PNG": lambda _: large_png(6400),
    "an archive": lambda _: b"PK\x03\x04" + b"\0" * 100,
    "code in a pickle": lambda _: b"cos\nsystem\n(S'exit 3'\ntR.",
    "code in YAML": lambda _: b"!!python/object/apply:os.system ['exit 3']",
    "a page": lambda _: b"<!doctype html><title>404</title>",
}
VALUES: dict[str, Any] = {
    "nothing": None,
    "true": True,
    "no number": float("nan"),
    "endless": float("inf"),
    "below zero": -1,
    "large": 10**18,
    "many digits": 10**4000,
    "no text": "",
    "a long text": "x" * 100_000,
    "a bell": "\a",
    "half a character": "\udcff",
    "a zero": "a\0b",
    "a turn": "a\u202eb",
    "markup": "<script>alert(1)</script>",
    "a path": "../../etc/passwd",
    "a variable": "$NOBODY_HAS_SET_THIS/x",
    "a list": [],
    "many": list(range(100_000)),
    "lists in lists": [[[[[[[["x"]]]]]]]],
    "a mapping": {},
    "strange keys": {"": 1, "a.b": 2, "__class__": 3},
}
EXPERIMENT_KEYS = (
    *("name", "methods", "methods.0", "seeds", "seed_variance", "perturb", "reconstruction"),
    *("paper", "deviations", "timeout_hours", "detection", "detection.grid", "detection.epochs"),
    *("detection.model", "detection.image_size", "detection.dataset", "detection.dataset.name"),
    *("detection.dataset.scenes", "detection.dataset.scenes.train", "segmentation.encoder"),
)
DATASET_KEYS = (
    *("name", "layout", "root", "infrared", "visible", "labels", "parts", "classes", "color"),
    *("split", "split.seed", "split.ratios", "split.folds", "near_duplicates", "notes", "source"),
)
NAMES = {
    **{kind: VALUES[kind] for kind in ("a bell", "half a character", "markup", "a turn")},
    **{"quotes": "'\";--", "spaces": "a  b ", "letters": "\u591c \u0646\u0641", "format": "%s{0}"},
    **{"TeX": "$\\input{x}$ _^&#", "Markdown": "[a](javascript:x) | `b`", "a long one": "x" * 250},
}


def bytes_of_files() -> Iterator[Case]:
    """Yield every parser with every kind of bytes."""
    for (name, parser), (kind, make) in itertools.product(PARSERS.items(), BYTES.items()):
        sample = parser.samples()[0]
        yield (
            f"{name}: {kind}",
            lambda folder, parser=parser, make=make, sample=sample: outcome(
                parser, make(sample), folder
            ),  # type: ignore[misc]
        )


def kinds_of_files() -> Iterator[Case]:
    """Yield every parser with every kind of what is no plain file."""
    for (name, parser), (kind, (make, _)) in itertools.product(PARSERS.items(), NO_FILES.items()):
        if name in ("set", "manifest", "remembered"):  # whose bytes we copy to a file
            continue

        def read(folder: Path, parser: Any = parser, make: Any = make) -> Outcome:
            make(folder / parser.file)
            return watched(lambda: parser.parse(folder / parser.file))

        yield f"{name}: {kind}", read


def checkpoints() -> Iterator[Case]:
    """Yield every reader of weights with every kind of them; code that ran is a traceback."""
    for name, (kind, make) in itertools.product(("checkpoint", "detector"), KINDS.items()):

        def read(folder: Path, name: str = name, make: Any = make) -> Outcome:
            found = outcome(PARSERS[name], make(folder / "ran"), folder)
            return Outcome("traceback", "its code ran") if (folder / "ran").exists() else found

        yield f"{name}: {kind}", read


def values() -> Iterator[Case]:
    """Yield every key of an experiment and of a data set with every kind of value."""
    from pipelines.specs.loading import load_dataset, load_experiment

    for key, (kind, value) in itertools.product(EXPERIMENT_KEYS, VALUES.items()):
        yield (
            f"experiment, {key}: {kind}",
            lambda _, key=key, value=value: watched(lambda: load_experiment("smoke", {key: value})),  # type: ignore[misc]
        )

    def dataset(folder: Path, key: str, value: Any) -> Outcome:
        (folder / "x.yaml").write_bytes(DATASET)
        return watched(lambda: load_dataset(str(folder / "x.yaml"), {key: value}))

    for key, (kind, value) in itertools.product(DATASET_KEYS, VALUES.items()):
        yield (
            f"dataset, {key}: {kind}",
            lambda folder, key=key, value=value: dataset(folder, key, value),  # type: ignore[misc]
        )


def names() -> Iterator[Case]:
    """Yield names of image files, of parts of a data set, and words of the command line."""
    from fusion.pairs import list_pairs
    from pipelines.specs.loading import config_path, parse_overrides

    def pairs(folder: Path, name: str) -> Outcome:
        for kind in ("ir", "vi"):
            (folder / kind).mkdir()
            (folder / kind / f"{name.replace('/', '|')[:200]}.png").write_bytes(large_png(8))
        return watched(lambda: list_pairs(folder / "ir", folder / "vi"))

    for kind, name in NAMES.items():
        yield f"image: {kind}", lambda folder, name=name: pairs(folder, name)  # type: ignore[misc]
        for what, read in (
            ("experiment's name", lambda name=name: config_path("experiments", name)),  # type: ignore[misc]
            ("experiment's file", lambda name=name: config_path("experiments", f"{name}.yaml")),  # type: ignore[misc]
            ("--set", lambda name=name: parse_overrides([name])),  # type: ignore[misc]
            ("--set's value", lambda name=name: parse_overrides([f"a={name}"])),  # type: ignore[misc]
        ):
            yield f"{what}: {kind}", lambda _, read=read: watched(read)  # type: ignore[misc]


GROUPS: Mapping[str, Callable[[], Iterator[Case]]] = {
    "bytes": bytes_of_files,
    "files": kinds_of_files,
    "checkpoints": checkpoints,
    "values": values,
    "names": names,
}


def counted(group: str) -> dict[str, object]:
    """Return a group's line of the table, and print every case that ends otherwise."""
    from detection.yolo.ultralytics import prepare

    prepare()  # takes seconds, which are no reader's
    ends: Counter[str] = Counter()
    slowest = 0.0
    for title, read in GROUPS[group]():
        folder = Path(tempfile.mkdtemp(prefix="fuse-then-bad-inputs-"))
        try:
            found = read(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        ends[found.kind] += 1
        slowest = max(slowest, found.seconds)
        if not found.allowed:
            print(f"{group}, {title}: {found.kind}: {found.detail}", flush=True)
    others = ends.total() - ends["read"] - ends["refused"]
    tried = {"inputs": group, "tried": ends.total(), "a result": ends["read"]}
    ended = {"a sentence": ends["refused"], "other ends": others}
    return {**tried, **ended, "slowest, s": f"{slowest:.1f}"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Try what was asked for; returns 1 when something ended otherwise than it may."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bad_inputs", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=list(GROUPS), metavar="KIND")
    options = parser.parse_args(arguments)
    os.environ.pop("NOBODY_HAS_SET_THIS", None)
    rows = [counted(group) for group in options.only]
    table("bad inputs by outcome", rows)
    return int(any(row["other ends"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
