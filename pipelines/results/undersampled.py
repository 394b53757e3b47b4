"""What shorter scans cost: how near reconstructions come, and what fusion makes of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import fmean, stdev

import numpy as np

from fusion.reconstruction.undersampling import Undersampling
from pipelines.results.finished import FinishedCell, FinishedStage, Results
from pipelines.results.robustness import robustness_tables
from pipelines.results.rows.quality import (
    DIGITS,
    mean_values,
    measured_means,
    quality_row,
    with_mean_ranks,
)
from pipelines.results.rows.shares import covered
from pipelines.results.statistics.bootstrap import numbered
from pipelines.results.statistics.intervals import percentile_interval
from pipelines.results.values import Measured, Row, Table, Value
from pipelines.specs.reconstruction import ReconstructionSpec
from pipelines.tasks.reconstruction import LOWER, MEASURES, NOISE_PERCENT, RECONSTRUCT
from pipelines.tasks.scoring import read_scores
from pipelines.tasks.task import Task

SIMULATED = (
    "Scans are simulated from 8-bit magnitude images, with a smooth phase made up for each slice "
    f"and complex Gaussian noise of {NOISE_PERCENT:g} % of its brightest pixel, through one coil: "
    "easier than a scanner's k-space, and comparable with no published reconstruction."
)
WHOLE = (
    "The infrared image of a pair is the MRI. Fusion networks are those that saw whole slices; "
    "scores compare with the whole slices, not with the reconstructed ones."
)
AGAINST = (
    "Against full: what the shorter scan adds to a method's score, pair by pair and seed by seed, "
    "with its interval over the same resampled scenes; below 0 is a loss, but where the lowest "
    "value is best. These intervals are not corrected for their number."
)
NEARNESS = (
    "PSNR in dB, SSIM of 7x7 windows, NMSE the squared error over the energy: of magnitudes before "
    "they are rounded, over the whole field of view; peak and range are the whole slice's maximum."
)
RECONSTRUCTED = "reconstruction"
"""The name of the table of how near reconstructions come."""
DRAWN = {
    "random": "columns drawn at random",
    "equispaced": "evenly spaced columns",
    "gaussian": "points drawn at random, more of them at low frequencies",
}


def disturbed_tables(results: Results, by_kind: bool = False) -> list[Table]:
    """Return all tables of disturbed pairs: misaligned, noisy, dark or lost, and undersampled."""
    return [*robustness_tables(results, by_kind), *undersampled_tables(results)]


def undersampled_tables(results: Results) -> list[Table]:
    """Return how near reconstructions come, then a table for each of them and part; maybe none."""
    spec = results.plan.experiment.reconstruction
    task = next((task for task in results.plan.tasks if task.per_image), None)
    if spec is None or task is None:
        return []
    section = results.plan.experiment.sections[task.name]
    parts = section.dataset.parts if getattr(section, "by_part", False) else ("",)
    near = [_nearness(results, spec, task)] if any(_reconstructed(results)) else []
    return near + [
        _scored(results, spec, task, how, part) for how in spec.undersamplings for part in parts
    ]


def _reconstructed(results: Results) -> Iterator[tuple[FinishedCell, FinishedStage]]:
    """Yield every finished reconstruction of the test slices once, with a cell that it is for."""
    seen: set[str] = set()
    for one in results.perturbed:
        for made in one.stages:
            if made.stage.kind.name == RECONSTRUCT.name and made.stage.key not in seen:
                seen.add(made.stage.key)
                yield one, made


def _nearness(results: Results, spec: ReconstructionSpec, task: Task) -> Table:
    """Return the measures of each reconstruction, and of the network's against zero-filled."""
    found: dict[Undersampling, tuple[Measured, tuple[Value | None, ...]]] = {}
    for one, made in _reconstructed(results):
        how = one.cell.perturbation
        if isinstance(how, Undersampling):
            names, _, values = read_scores(made.folder)
            known = np.isfinite(values)
            measured = measured_means(values[None], known, numbered(names, one.scenes))
            measured = replace(measured, fixed=True)
            found[how] = measured, mean_values(measured, known)
    rows: list[Row] = []
    for how in spec.undersamplings:
        if how not in found:
            rows.append(Row(how.label, "ours", (None,) * len(MEASURES), 0, 1))
            continue
        rows.append(Row(how.label, "ours", found[how][1], 1, 1))
        zero = Undersampling(how.sampling, "zero-filled")
        if how != zero and zero in found:
            rows.append(_less(found[how][0], found[zero][0], "  against zero-filled"))
    name = results.plan.experiment.name
    dataset = results.plan.experiment.sections[task.name].dataset.name
    return Table(
        f"{name}: the reconstructed MRI of {dataset} against the whole slices",
        task.name,
        MEASURES,
        tuple(rows),
        (NEARNESS, *covered(one for one, _ in found.values()), *_sampled(spec), _network(spec)),
        (SIMULATED,),
        RECONSTRUCTED,
        DIGITS,
        LOWER,
    )


def _scored(
    results: Results, spec: ReconstructionSpec, task: Task, how: Undersampling, part: str
) -> Table:
    """Return the methods' scores on reconstructed slices, with what these cost against whole."""
    experiment = results.plan.experiment
    section = experiment.sections[task.name]
    columns = task.columns(section)
    done: dict[str, list[FinishedCell]] = {}
    for one in results.perturbed:
        if one.cell.perturbation == how:
            done.setdefault(one.cell.method.row, []).append(one)
    planned = {cell.method.row for cell in results.plan.perturbed if cell.perturbation == how}
    rows: list[Row] = []
    notes: list[str] = []
    measured: list[Measured] = []
    for row in (method.row for method in experiment.methods if method.row in planned):
        mine, whole = done.get(row, []), results.of(task.name, row)
        scores, full = quality_row(mine, part, columns), quality_row(whole, part, columns)
        wanted = results.wanted(task.name, row)
        rows.append(Row(row, "ours", scores.values, len(mine), wanted))
        notes += scores.notes
        if scores.measured is not None and full.measured is not None:
            measured.append(replace(scores.measured, fixed=full.measured.fixed))
            rows.append(_less(scores.measured, full.measured, "  against full"))
    whose = f"{section.dataset.name} {part}".strip()
    table = Table(
        f"{experiment.name}: {task.name} on {whose}, MRI {how.label}, {task.metric}",
        task.name,
        columns,
        tuple(rows),
        (WHOLE, AGAINST, *notes, *covered(measured)),
        (SIMULATED,),
        "-".join(filter(None, (task.name, part, how.label.replace(" ", "-")))),
    )
    return with_mean_ranks(table, getattr(section, "convention", "paper"))


def _less(first: Measured, second: Measured, label: str) -> Row:
    """Return the row of first less second, of the same images and seeds."""
    shared = [seed for seed in first.seeds if seed in second.seeds]
    if shared:
        points = np.stack(
            [
                first.points[first.seeds.index(s)] - second.points[second.seeds.index(s)]
                for s in shared
            ]
        )
    else:
        points = first.points - second.points
    apart, units = first.resampled - second.resampled, first.units
    values = tuple(
        _value(own.tolist(), percentile_interval(other, units) if units.several else None)
        for own, other in zip(points.T, apart.T, strict=True)
    )
    return Row(label, "difference", values, len(points), len(points))


def _value(points: Sequence[float], ci95: tuple[float, float] | None) -> Value | None:
    known = [one for one in points if np.isfinite(one)]
    if not known:
        return None
    return Value(fmean(known), stdev(known) if len(known) > 1 else None, len(known), ci95)


def _sampled(spec: ReconstructionSpec) -> Iterator[str]:
    for one in spec.samplings:
        yield (
            f"{one.acceleration:g}x: {DRAWN[one.kind]}, one in {one.acceleration:g}, among them "
            f"{100 * one.centre_fraction:g} % at the lowest frequencies; a mask for each slice, "
            f"the same for every reconstruction and method."
        )


def _network(spec: ReconstructionSpec) -> str:
    train = spec.train
    if train is None or "cmd" not in spec.reconstructions:
        return "Zero-filled: what was not measured is taken to be 0."
    often = f"{train.epochs} epoch{'s' if train.epochs > 1 else ''}"
    return (
        f"Zero-filled: what was not measured is taken to be 0. cmd: the network of arXiv "
        f"2402.03383, preset {train.preset}, trained on {train.dataset.name} for {often} of crops "
        f"of {train.crop}x{train.crop}, batches of {train.batch_size}, Adam "
        f"{train.learning_rate:g}; one network for all accelerations, its last epoch, a new mask "
        f"for every slice (its authors: one acceleration, the best epoch on validation slices, one "
        f"mask for all)."
    )


def reconstruction_folders(results: Results) -> Mapping[Undersampling, FinishedStage]:
    """Return the finished reconstructions of the test slices."""
    found = {}
    for one, made in _reconstructed(results):
        if isinstance(one.cell.perturbation, Undersampling):
            found[one.cell.perturbation] = made
    return found
