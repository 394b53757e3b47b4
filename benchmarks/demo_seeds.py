"""Does the demo say the same whatever its seeds are? ``python -m benchmarks.demo_seeds``.

Runs the demo for several base seeds B, each with the seeds 3B to 3B + 2, fusion's trainings
included, and prints every row's mean score and the rows among which the best is with 95 %
confidence. Some eight minutes a base on two idle cores; a store that is given goes on where it
was.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import table

HEADLINES = {"detection": "mAP50", "segmentation": "mIoU"}
SEEDS = 3


def run(bases: Sequence[int], store: Path, experiment: str = "demo") -> list[dict[str, Any]]:
    """Return a line a base and task: what each row scores, and which may be the best."""
    lines = []
    for base in bases:
        seeds = [SEEDS * base + number for number in range(SEEDS)]
        own = [experiment, "--set", f"seeds={seeds}", "--store", str(store)]
        _command("compare", *own)
        found = json.loads(_command("table", *own, "--format", "json"))
        lines += [_line(base, one) for one in found if one["task"] in HEADLINES]
    return lines


def _line(base: int, found: dict[str, Any]) -> dict[str, Any]:
    headline = HEADLINES[found["task"]]
    place = found["columns"].index(headline)
    scores = {
        row["label"]: f"{row['values'][place]['mean']:.1f} ±{row['values'][place]['sd']:.1f}"
        for row in found["rows"]
        if row["kind"] == "ours"
    }
    best = sorted(found["among_best"].get(headline, ()))
    return {"base": base, "score": headline, **scores, "best among": ", ".join(best)}


def _command(*words: str) -> str:
    command = [sys.executable, "-P", "-m", "pipelines.cli.app", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def agreement(lines: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Return by score how many bases say the same as most of them do."""
    said = {score: Counter[str]() for score in HEADLINES.values()}
    for line in lines:
        said[line["score"]][line["best among"]] += 1
    return {
        score: f"{most[0][1]} of {sum(own.values())}: {most[0][0]}"
        for score, own in said.items()
        if (most := own.most_common(1))
    }


def main() -> None:
    """Run the bases, and print their table and how many agree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bases", type=int, default=10)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--store", type=Path)
    given = parser.parse_args()
    bases = range(given.first, given.first + given.bases)
    with tempfile.TemporaryDirectory(prefix="demo-seeds-") as folder:
        lines = run(bases, given.store or Path(folder) / "store")
    table("the demo's conclusion by base seed", lines)
    for score, said in agreement(lines).items():
        print(f"{score}: {said}")


if __name__ == "__main__":
    main()
