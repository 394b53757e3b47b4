"""Training curves as the stages leave them."""

from __future__ import annotations

from pipelines.results.finished import Results
from pipelines.results.values import Line


def training_curves(results: Results) -> dict[str, tuple[Line, ...]]:
    """Return by what was trained one curve for each finished training, in the plan's order.

    The loss on validation images is drawn, too, where there are some to validate on.
    """
    found: dict[str, list[Line]] = {}
    for cell, training in results.trainings:
        history, rows = training.history, training.epochs
        if history is None or not rows:
            continue
        method, epochs = cell.method.row, tuple(row["epoch"] for row in rows)
        lines = found.setdefault(history.title, [])
        lines.append(Line(method, epochs, tuple(map(history.loss, rows))))
        if history.validation is not None:
            losses = tuple(map(history.validation, rows))
            if any(loss > 0 for loss in losses):
                lines.append(Line(method, epochs, losses, "val"))
    return {title: tuple(lines) for title, lines in found.items()}
