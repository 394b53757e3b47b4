"""What a test stage found, drawn from the files that it left: for MLflow and the folder of results.

A chart is drawn once and kept in the store's ``charts``; the next view takes it from there.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

from fusion.files import write_atomically
from fusion.whole import is_whole_png
from pipelines.store.digests import digest
from pipelines.store.stage import Stage
from pipelines.store.store import Store
from pipelines.tasks.detection import kept_curves

if TYPE_CHECKING:
    from pipelines.views.charts.theme import Chart

LOOK = 1
"""The version of these charts' look: under a new one all are drawn again."""


def stage_charts(stage: Stage, store: Store, title: str) -> list[Path]:
    """Return the pictures of a finished stage, of most stages none; `title` says of what.

    What the store no longer holds, readably, is left out.
    """
    folder = store.directory(stage)
    drawn = []
    for name, (file, draw) in CHARTS.items():
        if not (folder / file).is_file():
            continue
        path = store.root / "charts" / f"{stage.key}-{digest([LOOK, title])[:8]}" / name
        if not is_whole_png(path) or path.stat().st_mtime < (folder / file).stat().st_mtime:
            try:
                chart = draw(folder, stage.inputs["index"].local["dataset"]["classes"], title)
            except (OSError, ValueError, KeyError, BadZipFile):
                continue
            _write(chart, path)
        drawn.append(path)
    return drawn


def _write(chart: Chart, path: Path) -> None:
    from pipelines.views.charts.theme import png

    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, png(chart))


def _precision_recall(folder: Path, classes: list[str], title: str) -> Chart:
    from pipelines.views.charts.curves import class_precision_recall

    return class_precision_recall(kept_curves(folder, classes), title)


def _confusion(folder: Path, classes: list[str], title: str) -> Chart:
    import numpy as np

    from pipelines.views.charts.matrices import confusion_matrix

    with np.load(folder / "confusion.npz", allow_pickle=False) as stored:
        return confusion_matrix(title, stored["confusion"].sum(axis=0), classes)


CHARTS = {
    "precision_recall.png": ("predictions.json", _precision_recall),
    "confusion.png": ("confusion.npz", _confusion),
}
"""By picture: the file of a stage that it is drawn of, and how."""
