"""The command that scores a folder of fused images, or runs the scoring of an experiment."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from fusion.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from fusion.pairs import ImagePair
    from fusion.quality import Convention
    from pipelines.tasks.quality import Scores

# Every import below costs seconds somewhere; a command pays only for its own.


def score(options: argparse.Namespace) -> int:
    """Score three folders, or the methods of an experiment, and print the table."""
    folders = (options.infrared, options.visible, options.fused)
    if options.experiment is None and all(folders):
        return _score_folders(options)
    if options.experiment is None or any(folders):
        raise InputError(
            "score takes either an EXPERIMENT or all of --infrared DIR --visible DIR --fused DIR."
        )
    alone = [key for key in ("convention", "metrics", "json", "per_image") if vars(options)[key]]
    if alone:
        raise InputError(
            f"--{alone[0].replace('_', '-')} is for folders; an experiment has scoring.metrics and "
            f"scoring.convention (--set changes them), and fuse-then table --format json."
        )
    from pipelines.cli.run import run_flow

    return run_flow(options)


def _score_folders(options: argparse.Namespace) -> int:
    from fusion.pairs import list_pairs
    from pipelines.tasks.quality import fused_images, summary

    pairs = list_pairs(Path(options.infrared), Path(options.visible))
    fused = fused_images(Path(options.fused), pairs)
    for text in (options.json, options.per_image):  # told before the work, not after it
        if text and not Path(text).parent.is_dir():
            raise InputError(f"The folder of {text} does not exist; make it first.")
    convention: Convention = options.convention or "paper"
    found = _scored(pairs, fused, _metrics(options.metrics), convention, options)
    means = summary(found)
    _write(found, means, convention, options)
    _show(means, len(pairs), f"{options.fused}: {len(pairs)} images, convention {convention}")
    return 0


def _scored(
    pairs: list[ImagePair],
    fused: dict[str, Path],
    metrics: list[str],
    convention: Convention,
    options: argparse.Namespace,
) -> Scores:
    from pipelines.execution.progress import Screen
    from pipelines.tasks.quality import score_images

    screen = Screen()
    with screen.live(), screen.step(f"scoring {options.fused}") as report:

        def on_progress(done: int, total: int) -> None:
            report(done, total, "")

        return score_images(pairs, fused, metrics, convention, options.device, on_progress)


def _write(
    found: Scores, means: dict[str, Any], convention: str, options: argparse.Namespace
) -> None:
    from pipelines.tasks.score_files import write_scores

    if options.per_image:
        write_scores(Path(options.per_image), found.names, found.metrics, found.values)
    if options.json:
        facts = {"metrics": means, "convention": convention, "images": len(found.names)}
        Path(options.json).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def _metrics(given: list[str] | None) -> list[str]:
    """Return the wanted metrics in the order given, each once; all of them by default."""
    from pipelines.specs.tasks import Metric

    known = list(get_args(Metric))
    by_word = {name.casefold(): name for name in known}
    words = [word for text in given or known for word in text.split(",") if word]
    for word in words:
        if word.casefold() not in by_word:
            raise InputError(f'There is no metric "{word}".{did_you_mean(word, known)}')
    return list(dict.fromkeys(by_word[word.casefold()] for word in words))


def _show(means: dict[str, dict[str, Any]], images: int, title: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for number, heading in enumerate(("metric", "mean", "95 % interval", "images")):
        table.add_column(heading, justify="right" if number else "left", no_wrap=True)
    for metric, entry in means.items():
        mean = "-" if entry["mean"] is None else f"{entry['mean']:.4f}"
        ci95 = "-" if entry["ci95"] is None else "{:.4f} .. {:.4f}".format(*entry["ci95"])
        table.add_row(metric, mean, ci95, str(entry["n"]))
    Console(highlight=False, soft_wrap=True).print(table)
    for metric, entry in means.items():
        for reason, count in entry.get("undefined", {}).items():
            print(f"{metric} is undefined for {count} of {images} images: {reason}")
