"""The commands that measure: what a fusion method costs, and how good a folder of images is."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Group, Parameter

from fusion.errors import InputError, did_you_mean
from fusion.looking import profiling
from fusion.opening import read_text
from fusion.registry import card, cards
from pipelines.cli.fuse import method_of
from pipelines.cli.options import Device, Overwrite, check_new

if TYPE_CHECKING:
    from fusion.looking.profiling import Profile, ProfileSettings
    from fusion.pairs import ImagePair
    from fusion.quality.folders import Scores


def profile(
    methods: Annotated[
        list[str] | None, Parameter(help="NAME or NAME/PRESET (default: all methods).")
    ] = None,
    /,
    *,
    size: Annotated[
        str, Parameter(metavar="WxH", help="Width and height of the pair, in pixels.")
    ] = "640x480",
    device: Device = "cpu",
    threads: Annotated[
        int | None,
        Parameter(metavar="N", help="Threads on the processor (default: torch's choice)."),
    ] = None,
    repeats: Annotated[
        int, Parameter(metavar="N", help="How often to time it; the median counts.")
    ] = 5,
    json: Annotated[
        Path | None, Parameter(metavar="FILE", help="Write the numbers there, too.")
    ] = None,
    scores: Annotated[
        Path | None,
        Parameter(metavar="FILE", help='Draw time against {"METHOD": MEAN RANK} of this file.'),
    ] = None,
    plot: Annotated[Path, Parameter(metavar="FILE", help="Where to draw it.")] = Path(
        "speed-rank.png"
    ),
    overwrite: Overwrite = False,
) -> int:
    """Measure parameters, time and memory of methods; 1 when one of them could not be."""
    from pipelines.execution.progress import Screen

    check_new(overwrite, json)
    settings = _settings(size, device, threads, repeats)
    asked = ["/".join(filter(None, method_of(title))) for title in methods or ()]
    titles = asked or [known.name for known in cards() if not known.by_name]
    for title in titles:
        card(title.partition("/")[0])  # an unknown name is told before an hour of measuring
    ranks = None if scores is None else _ranks(scores)
    rows: list[Profile] = []
    screen = Screen()
    with screen.live(), screen.step("measuring") as report:
        for number, title in enumerate(titles):
            report(number, len(titles), title)
            rows.append(profiling.profile(title, settings))
    _print_costs(rows, settings)
    if json is not None:
        _write_costs(json, rows, settings)
    if ranks is not None:
        draw(rows, ranks, plot)
        print(plot)
    return int(any(row.failed for row in rows))


def _settings(size: str, device: str, threads: int | None, repeats: int) -> ProfileSettings:
    sides = re.fullmatch(r"(\d+)x(\d+)", size)
    if sides is None:
        raise InputError(f'--size is "{size}"; write WIDTHxHEIGHT, such as 640x480.')
    return profiling.ProfileSettings(
        height=int(sides[2]), width=int(sides[1]), device=device, threads=threads, repeats=repeats
    )


def _print_costs(rows: Sequence[Profile], settings: ProfileSettings) -> None:
    size = f"{settings.width}x{settings.height}"
    headings = ("method", "parameters", "GMACs", "ms", "peak MB")
    _print_table(f"one pair of {size} on {settings.device}", headings, map(_costs, rows))
    for row in rows:
        if row.failed:
            print(f"{row.method}: {row.failed}", file=sys.stderr)


def _costs(row: Profile) -> tuple[str, ...]:
    if row.failed:
        return (row.method, "-", "-", "-", "-")
    numbers = (f"{row.gmacs:.3g}", f"{row.milliseconds:.4g}", f"{row.peak_megabytes:.0f}")
    return (row.method, f"{row.parameters:,}", *numbers)


def _print_table(title: str, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console = Console(highlight=False, soft_wrap=True)
    with console.capture() as text:  # as rich would end with 1 where the reader is gone
        console.print(table)
    print(text.get(), end="")


def _write_costs(path: Path, rows: Sequence[Profile], settings: ProfileSettings) -> None:
    import platform
    from importlib.metadata import version

    facts: dict[str, Any] = {
        "settings": asdict(settings),
        "torch": version("torch"),
        "machine": platform.platform(),
        "methods": [asdict(row) for row in rows],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


MOST_BYTES = 1_000_000


def _ranks(path: Path) -> dict[str, float]:
    """Read ``{method: mean rank}``; InputError when the file holds anything else."""
    try:
        found = json.loads(read_text(path, MOST_BYTES))
    except (InputError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is not readable JSON ({error}); check the file.") from error
    if not isinstance(found, dict) or any(type(v) not in (int, float) for v in found.values()):
        raise InputError(f'{path} must map methods to mean ranks: {{"average": 3.5, ...}}.')
    return {str(key): float(value) for key, value in found.items()}


def draw(rows: Sequence[Profile], ranks: Mapping[str, float], path: Path) -> None:
    """Draw time (logarithmic) against mean rank, the best bottom left, as the paper's Figure 7.

    Raises InputError when no measured method has a rank.
    """
    from pipelines.views.charts.speed import Point, scatter
    from pipelines.views.charts.theme import looks, png

    shown = [row for row in rows if row.method in ranks and not row.failed]
    if not shown:
        raise InputError("No measured method has a rank in the scores; use the same names.")
    given = looks([(row.method, row.method.partition("/")[0]) for row in shown])
    points = [Point(row.method, row.milliseconds / 1000, ranks[row.method], None) for row in shown]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(scatter(points, "mean rank (1 is best)", given, lower=True)))


@Parameter(
    name="*",
    group=Group("Without an experiment: three folders, their images matched by file stem"),
)
@dataclass(frozen=True)
class FolderOptions:
    """Which images `score` reads when no experiment says it, and what it writes."""

    infrared: Annotated[Path | None, Parameter(metavar="DIR", help="The infrared images.")] = None
    visible: Annotated[Path | None, Parameter(metavar="DIR", help="The visible images.")] = None
    fused: Annotated[Path | None, Parameter(metavar="DIR", help="The fused images.")] = None
    convention: Annotated[
        Literal["paper", "released"] | None,
        Parameter(help="Whose definitions: the paper's, or its evaluator's (default: paper)."),
    ] = None
    metrics: Annotated[
        list[str] | None,
        Parameter(
            metavar="NAME...", consume_multiple=True, help="SD, SSIM, ... (default: all twelve)."
        ),
    ] = None
    json: Annotated[
        Path | None, Parameter(metavar="FILE", help="Write means, intervals and counts there.")
    ] = None
    per_image: Annotated[
        Path | None, Parameter(metavar="CSV", help="Write one line an image there.")
    ] = None
    device: Device = "cpu"
    overwrite: Overwrite = False

    def check(self, alone: bool) -> None:
        """Raise InputError unless all folders are given (`alone`), or nothing but the device."""
        places = (self.infrared, self.visible, self.fused)
        if any(place is None for place in places) if alone else any(places):
            raise InputError(
                "score takes either an EXPERIMENT or all of --infrared DIR --visible DIR "
                "--fused DIR."
            )
        given = [key for key in ("convention", "metrics", "json", "per_image") if vars(self)[key]]
        if given and not alone:
            raise InputError(
                f"--{given[0].replace('_', '-')} is for folders; an experiment has "
                f"scoring.metrics and scoring.convention (--set changes them), and fuse-then "
                f"table --format json."
            )


def score_folders(options: FolderOptions) -> int:
    """Score the images of one folder against both sources, and print the table."""
    from fusion.pairs import list_pairs
    from fusion.quality.folders import fused_images, summary

    options.check(alone=True)
    assert options.infrared is not None  # checked
    assert options.visible is not None
    assert options.fused is not None
    pairs = list_pairs(options.infrared, options.visible)
    fused = fused_images(options.fused, pairs)
    check_new(options.overwrite, options.json, options.per_image)
    for path in (options.json, options.per_image):  # told before the work, not after it
        if path is not None and not path.parent.is_dir():
            raise InputError(f"The folder of {path} does not exist; make it first.")
    found = _scored(pairs, fused, _metrics(options.metrics), options)
    scenes = _scenes(pairs)
    means = _with_intervals(summary(found), found, scenes)
    _write_scores(found, means, options)
    convention = options.convention or "paper"
    many = len(set(scenes.values()))
    of_scenes = f" of {many} scenes" if many < len(pairs) else ""
    title = f"{options.fused}: {len(pairs)} images{of_scenes}, convention {convention}"
    _print_scores(means, len(pairs), title)
    return 0


def _metrics(given: list[str] | None) -> list[str]:
    """Return the wanted metrics in the order given, each once; all of them by default."""
    from fusion.quality.settings import METRICS

    known: list[str] = list(METRICS)
    by_word = {name.casefold(): name for name in known}
    words = [word for text in given or known for word in text.split(",") if word]
    for word in words:
        if word.casefold() not in by_word:
            raise InputError(f'There is no metric "{word}".{did_you_mean(word, known)}')
    return list(dict.fromkeys(by_word[word.casefold()] for word in words))


def _scored(
    pairs: list[ImagePair], fused: dict[str, Path], metrics: list[str], options: FolderOptions
) -> Scores:
    from fusion.quality.folders import score_images
    from pipelines.execution.progress import Screen

    convention = options.convention or "paper"
    screen = Screen()
    with screen.live(), screen.step(f"scoring {options.fused}") as report:

        def on_progress(done: int, total: int) -> None:
            report(done, total, "")

        return score_images(pairs, fused, metrics, convention, options.device, on_progress)


def _write_scores(found: Scores, means: dict[str, Any], options: FolderOptions) -> None:
    from pipelines.tasks.scoring import write_scores

    if options.per_image is not None:
        write_scores(options.per_image, found.names, found.metrics, found.values)
    if options.json is not None:
        convention = options.convention or "paper"
        facts = {"metrics": means, "convention": convention, "images": len(found.names)}
        options.json.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def _scenes(pairs: list[ImagePair]) -> dict[str, str]:
    """Return the scene of each pair, near-duplicate neighbours being of one, by its first name."""
    from pipelines.datasets.splitting.near_duplicates import scenes_of

    groups = scenes_of({pair.name: pair for pair in pairs})
    return {name: group[0] for group in groups for name in group}


def _with_intervals(
    means: dict[str, dict[str, Any]], scores: Scores, scenes: dict[str, str]
) -> dict[str, dict[str, Any]]:
    """Return the means with their 95 % intervals over scenes."""
    from pipelines.results.statistics.bootstrap import intervals, numbered

    ends = intervals(scores.values, numbered(scores.names, scenes))
    return {
        metric: {"mean": entry["mean"], "ci95": list(ci95) if ci95 else None, **entry}
        for (metric, entry), ci95 in zip(means.items(), ends, strict=True)
    }


def _print_scores(means: dict[str, dict[str, Any]], images: int, title: str) -> None:
    headings = ("metric", "mean", "95 % interval", "images")
    _print_table(title, headings, [_mean(metric, entry) for metric, entry in means.items()])
    for metric, entry in means.items():
        for reason, count in entry.get("undefined", {}).items():
            print(f"{metric} is undefined for {count} of {images} images: {reason}")


def _mean(metric: str, entry: dict[str, Any]) -> tuple[str, ...]:
    mean = "-" if entry["mean"] is None else f"{entry['mean']:.4f}"
    ci95 = "-" if entry["ci95"] is None else "{:.4f} .. {:.4f}".format(*entry["ci95"])
    return (metric, mean, ci95, str(entry["n"]))
