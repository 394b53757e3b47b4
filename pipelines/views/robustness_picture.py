"""Robustness curves drawn, and written into the store's folder of results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fusion.perturb import KINDS
from pipelines.planning.plan import Plan
from pipelines.results.robustness import HEADLINES, Curve, curves, robustness_tables
from pipelines.specs.dataset import Task
from pipelines.specs.perturbation import WORDS
from pipelines.store.store import Store
from pipelines.views.formats import render

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = (
    *("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd"),
    *("#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf"),
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""As many as share no divisor with the colours: seventy methods get looks of their own."""


def figure(found: Sequence[Curve], task: Task, title: str = "") -> Figure:
    """Draw one panel per kind: the headline in percent against the strength, a line per method.

    Bands are one standard deviation over seeds; "lost" has no strength and gets points. `found`
    holds at least one curve of `task`.
    """
    from matplotlib.figure import Figure

    mine = [curve for curve in found if curve.task == task]
    kinds = [kind for kind in KINDS if any(curve.kind == kind for curve in mine)]
    methods = list(dict.fromkeys(curve.method for curve in mine))
    across = min(3, len(kinds))
    down = -(-len(kinds) // across)
    size = (1.5 + 3.3 * across, 1.0 + 2.9 * down + 0.2 * -(-len(methods) // (across + 1)))
    made = Figure(figsize=size, dpi=120, layout="constrained")
    panels = made.subplots(down, across, sharey=True, squeeze=False).ravel()
    for axes, kind in zip(panels, kinds, strict=False):
        _panel(axes, [curve for curve in mine if curve.kind == kind], methods)
    for axes in panels[len(kinds) :]:
        axes.remove()
    for axes in panels[: len(kinds) : across]:
        axes.set_ylabel(f"{HEADLINES[task][0]} in percent")
    panels[0].set_ylim(bottom=0)
    handles, labels = panels[0].get_legend_handles_labels()
    made.legend(handles, labels, loc="outside lower center", ncols=across + 1, frameon=False)
    made.suptitle(title or f"{task} on disturbed pairs")
    return made


def _panel(axes: Axes, found: Sequence[Curve], methods: Sequence[str]) -> None:
    kind, labels = found[0].kind, found[0].labels
    for curve in found:
        _draw(axes, curve, methods)
    axes.set_title(WORDS[kind], fontsize=10)
    axes.set_xlabel(found[0].unit)
    if kind == "lost":
        axes.set_xticks(range(len(labels)), labels)
        axes.set_xlim(-0.5, len(labels) - 0.5)
    else:
        axes.set_xticks([float(strength) for strength in found[0].strengths])
    axes.grid(visible=True, alpha=0.3)


def _draw(axes: Axes, curve: Curve, methods: Sequence[str]) -> None:
    """Draw what is finished of one curve; a single modality's line is dashed."""
    place, lost = methods.index(curve.method), curve.kind == "lost"
    color, marker = COLORS[place % len(COLORS)], MARKERS[place % len(MARKERS)]
    aside = 0.6 * ((place + 0.5) / len(methods) - 0.5)  # else points of equal height hide others
    across = [i + aside for i in range(len(curve.strengths))] if lost else curve.strengths
    points = zip(across, curve.values, curve.sd, strict=True)
    known = [(float(x), y, sd or 0.0) for x, y, sd in points if y is not None]
    xs, ys, sds = ([point[i] for point in known] for i in range(3))
    low = [y - sd for y, sd in zip(ys, sds, strict=True)]
    high = [y + sd for y, sd in zip(ys, sds, strict=True)]
    single = curve.method in ("infrared", "visible")
    style = "none" if lost else "dashed" if single else "solid"
    axes.plot(
        xs, ys, label=curve.method, color=color, marker=marker, markersize=4.5, linestyle=style
    )
    if lost:
        axes.vlines(xs, low, high, colors=color, linewidth=1)
    else:
        faint = min(0.15, 0.9 / len(methods))  # many bands lie over one another
        axes.fill_between(xs, low, high, color=color, alpha=faint, linewidth=0)


def figures(plan: Plan, store: Store) -> Iterator[tuple[str, Figure]]:
    """Yield name and picture of every task that was disturbed."""
    found = curves(plan, store)
    for task in HEADLINES:
        if any(curve.task == task for curve in found):
            title = f"{plan.experiment.name}: {task} on disturbed pairs"
            yield f"{task}-robustness", figure(found, task, title)


def write_robustness(plan: Plan, store: Store, folder: Path) -> list[Path]:
    """Write a picture, a Markdown table and a CSV per task into `folder`, if there are curves."""
    written = []
    for name, drawn in figures(plan, store):
        written.append(folder / f"{name}.png")
        drawn.savefig(written[-1])
    for table in robustness_tables(plan, store):
        for form in ("md", "csv"):
            written.append(folder / f"{table.name}.{form}")
            written[-1].write_text(render(table, form).rstrip("\n") + "\n", encoding="utf-8")
    return written
