"""Power cuts: a small experiment of all tasks, and the disk as it may be after each of many cuts.

    python -m benchmarks.power_cuts [--snapshots 200] [--reruns 3] [--keep FOLDER]

All that a run does to the files of its store is written down, call by call (power/recorder.c, which
needs a C compiler), and played again on a disk that keeps only what was synced (power/disk.py). At
moments drawn by lot, half of them close to a rename that finishes a stage, the power is cut: what
was not synced is lost, emptied, cut or left, name by name and file by file. Our code then opens
that store. Counted are stages that it believes though a product is not what the run made: by their
manifests alone, which is what syncing buys, and with the look at every use. Some of the stores are
run to the end: their tables must be those of the whole run.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from benchmarks.common import Row, table
from benchmarks.power.recording import Player, calls, record
from pipelines.execution.runner import drop_torn
from pipelines.planning.memory import recall
from pipelines.store.contents import CONTENTS, read_contents
from pipelines.store.store import MANIFEST, Store
from pipelines.store.trust import damage

SNAPSHOTS, RERUNS, NEAR = 200, 3, 20
RECIPE = {"epochs": 2, "batch_size": 4, "crop": 32, "learning_rate": 1e-3, "checkpoint_minutes": 0}
OFTEN = {"epochs": 2, "batch": 4, "checkpoint_minutes": 0}
EXPERIMENT: dict[str, Any] = {
    "name": "cuts",
    "methods": [
        "visible",
        {"use": "lkc_funet-tiny", "train": {"dataset": "smoke-segmentation", **RECIPE}},
    ],
    "detection": {
        **{"dataset": "smoke-detection", "model": "yolov5n", "image_size": 96},
        **OFTEN,
    },
    "segmentation": {
        **{"dataset": "smoke-segmentation", "architecture": "DeepLabV3Plus"},
        **{"encoder": "mobilenet_v2", "height": 96, "width": 96, "learning_rate": 0.01},
        **OFTEN,
    },
    "scoring": {"dataset": "smoke-detection"},
}
Tree = Mapping[str, bytes | None]


def run(snapshots: int = SNAPSHOTS, reruns: int = RERUNS, home: Path | None = None) -> list[Row]:
    """Record a run, or take the one in `home`; cut its power, and count what is believed."""
    with tempfile.TemporaryDirectory(prefix="power-") as folder:
        home = home or Path(folder)
        home.mkdir(parents=True, exist_ok=True)
        if not (home / "log").exists():
            _recorded(home)
        shutil.rmtree(home / "cut", ignore_errors=True)
        again = set(random.Random(1).sample(range(snapshots), min(reruns, snapshots)))
        counts, kept = _cut(home, snapshots, again)
        unsynced, _ = _cut(home, snapshots, set(), syncs=False)
        same = _rerun(home, kept)
    stores = f"{snapshots} stores"
    believed = f"{counts['believed']} finished stages in {stores}"
    shown = f"{unsynced['bare']} of {unsynced['believed']}; at use {unsynced['looked']}"
    return [
        _none("stages believed by their manifests that are not whole", believed, counts["bare"]),
        _none("stages believed at use that are not whole", believed, counts["looked"]),
        _none("stores that our code cannot open", stores, counts["refused"]),
        Row("the same if nothing were synced", stores, shown, "some", unsynced["bare"] > 0),
        Row(
            *("reruns that end with the same tables", "the whole run"),
            *(f"{same} of {len(kept)}", "all", same == len(kept)),
        ),
    ]


def _none(what: str, against: str, count: int) -> Row:
    return Row(what, against, str(count), "0", count == 0)


def _recorded(home: Path) -> None:
    (home / "cuts.yaml").write_text(yaml.safe_dump(EXPERIMENT), encoding="utf-8")
    done = record(_command(home), _environment(home), home / "store", home)
    if done.returncode:
        raise RuntimeError(f"the run ended with {done.returncode}: {done.stderr}")
    (home / "tables.txt").write_text(_tables(done.stdout), encoding="utf-8")


def _command(home: Path) -> list[str]:
    words = ["compare", str(home / "cuts.yaml"), "--store", str(home / "store"), "--jobs", "1"]
    return [sys.executable, "-P", "-m", "pipelines.cli.app", *words]


def _environment(home: Path) -> dict[str, str]:
    here = str(Path(__file__).resolve().parent.parent)
    return {**os.environ, "PREFECT_HOME": str(home / "prefect"), "PYTHONPATH": here}


def _tables(printed: str) -> str:
    return printed.partition("\nPictures ")[0]


def _cut(
    home: Path, snapshots: int, again: Collection[int], *, syncs: bool = True
) -> tuple[Counter[str], list[Path]]:
    """Cut the power at many moments; return what was counted, and the stores to run `again`."""
    done, truth = calls(home), _products(home / "store")
    moments = _moments([call.what == "R" and "/stages/" in call.to for call in done], snapshots)
    player, at = Player(home / "store"), 0
    counts: Counter[str] = Counter()
    kept = []
    for number, moment in enumerate(moments):
        for call in done[at:moment]:
            if syncs or call.what != "S":
                player.play(call)
        at = moment
        tree = player.disk.after_cut(number)
        place = home / "cut" / f"{number}{'' if syncs else '-unsynced'}"
        counts += _judged(tree, place, truth)
        if number in again:
            kept.append(place)
            write(tree, place)
    for call in done[at:]:
        player.play(call)
    _check_model(player, home / "store")
    return counts, kept


def _moments(finishing: list[bool], count: int) -> list[int]:
    """Return numbers of calls, sorted: half anywhere, half near one that finishes a stage."""
    lots = random.Random(0)
    renames = [number for number, is_one in enumerate(finishing) if is_one]
    near = [lots.choice(renames) + lots.randint(-NEAR, NEAR) for _ in range(count // 2)]
    anywhere = [lots.randrange(len(finishing)) for _ in range(count - count // 2)]
    return sorted(max(0, min(number, len(finishing))) for number in near + anywhere)


def _check_model(player: Player, store: Path) -> None:
    """Raise RuntimeError when the model's disk is not the real one: a call was not seen."""
    now = player.disk.now()
    for path in (path for path in store.rglob("*") if path.is_file() and not path.is_symlink()):
        if now.get(str(path.relative_to(store))) != path.read_bytes():
            raise RuntimeError(f"the recorder has not seen how {path} was written")


Truth = Mapping[str, Mapping[str, str]]
"""By stage, as ``stages/KIND/KEY``: the sha256 of each product that a whole run made."""


def _products(store: Path) -> Truth:
    return {
        str(path.parent.relative_to(store)): {
            name: sha for name, (_, sha) in read_contents(path).products.items()
        }
        for path in store.glob(f"stages/*/*/{CONTENTS}")
    }


def _judged(tree: Tree, place: Path, truth: Truth) -> Counter[str]:
    """Open a store with our code, and count what it believes, rightly or not."""
    write(tree, place)
    counts: Counter[str] = Counter()
    try:
        store = Store(place)
        store.say = lambda _: None
        for folder in sorted(place.glob("stages/*/*")):
            counts += _believed(store, folder, tree, truth)
        recall(store)
        store.digests.of([])
        for partial in place.glob("partial/*"):
            drop_torn(partial, store.say)
    except Exception as error:  # whatever it is: a store must open
        print(f"{place}: {type(error).__name__}: {error}", file=sys.stderr)
        counts["refused"] += 1
    shutil.rmtree(place)
    return counts


def _believed(store: Store, folder: Path, tree: Tree, truth: Truth) -> Counter[str]:
    name = str(folder.relative_to(store.root))
    try:
        manifest = store.manifests.read(folder / MANIFEST)
    except (OSError, ValueError):
        return Counter()
    known = truth.get(name, {})
    found = {path: tree.get(f"{name}/{path}") for path in known}
    whole = all(
        content is not None and sha256(content).hexdigest() == known[path]
        for path, content in found.items()
    )
    looked = damage(folder, manifest) is None
    return Counter(believed=1, bare=not whole, looked=looked and not whole)


def write(tree: Tree, place: Path) -> None:
    """Write files and folders (of which the bytes are None) under a folder."""
    place.mkdir(parents=True)
    for path, content in tree.items():
        if content is None:
            (place / path).mkdir()
        else:
            (place / path).write_bytes(content)


def _rerun(home: Path, stores: Sequence[Path]) -> int:
    """Run the experiment to the end on what cuts have left; count where the tables are the same."""
    (home / "store").rename(home / "whole")
    same = 0
    try:
        for store in stores:
            store.rename(home / "store")
            same += _run_again(home, store.name)
            shutil.rmtree(home / "store")
    finally:
        shutil.rmtree(home / "store", ignore_errors=True)
        (home / "whole").rename(home / "store")
    return same


def _run_again(home: Path, name: str) -> bool:
    command, environment = _command(home), _environment(home)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    same = done.returncode == 0 and _tables(done.stdout) == (home / "tables.txt").read_text("utf-8")
    told = [line for line in done.stderr.splitlines() if "broken" in line or "Error" in line]
    print(f"cut {name}: {'the same tables' if same else f'ended with {done.returncode}'}")
    print(*told, sep="\n")
    return same


def _options() -> Iterator[Any]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.power_cuts", description=__doc__)
    parser.add_argument("--snapshots", type=int, default=SNAPSHOTS)
    parser.add_argument("--reruns", type=int, default=RERUNS)
    parser.add_argument("--keep", type=Path, help="record into, or take a recording from, a folder")
    options = parser.parse_args()
    yield from (options.snapshots, options.reruns, options.keep)


if __name__ == "__main__":
    table("power cuts", [vars(row) for row in run(*_options())])
