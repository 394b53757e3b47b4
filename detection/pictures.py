"""Pictures of a detector's work: precision-recall curves and images with boxes drawn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from detection.ap import Detection, PrecisionRecall
from detection.datasets import Box
from fusion.pairs import Image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Line = Literal["solid", "dashed"]
HIT, FALSE, FOUND, MISSED = "#39ff14", "#ff3b30", "#ffffff", "#ffd60a"
"""Line colours: a right detection, a wrong one, a found object and a missed one."""


def plot_precision_recall(curves: PrecisionRecall, path: Path, title: str = "") -> None:
    """Draw one precision-recall curve per class (IoU 0.5) into an image file, 800 x 600 pixels."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 6), dpi=100, layout="constrained")
    axes = figure.subplots()
    for name, precision in curves.precision.items():
        label = f"{name} (AP50 {100 * np.mean(precision):.1f})"
        axes.plot(curves.recall, precision, linewidth=2, label=label)
    axes.set(xlabel="Recall", ylabel="Precision", title=title, xlim=(0, 1), ylim=(0, 1.02))
    axes.grid(visible=True, alpha=0.3)
    if curves.precision:
        axes.legend(loc="upper right")
    figure.savefig(path)


def draw_detections(
    image: Image,
    ground_truth: Sequence[Box],
    detections: Sequence[Detection],
    classes: Sequence[str],
    confidence: float = 0.25,
) -> Image:
    """Return a picture of `image` (gray or RGB) with its objects and detections; RGB, uint8.

    Detections with a score of at least `confidence` are hits (green) when they overlap an object
    of their class that no surer detection has taken by IoU >= 0.5, else false alarms (red);
    objects are thin white when found, dashed yellow when missed. The picture is at least 960
    pixels wide, so that the captions can be read.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = sorted(
        (d for d in detections if d["score"] >= confidence), key=lambda d: -float(d["score"])
    )
    taken = match(ground_truth, shown)
    height, width = image.shape[:2]
    zoom = max(1.0, 960 / width)
    figure = Figure(figsize=(width * zoom / 100, height * zoom / 100 + 0.4), dpi=100)
    axes = figure.add_axes((0, 0, 1, height * zoom / (height * zoom + 40)))
    axes.imshow(image, cmap="gray", vmin=0, vmax=255)
    axes.axis("off")
    _draw_objects(axes, ground_truth, set(taken), classes)
    _draw_found(axes, shown, taken, classes)
    _draw_key(figure)
    canvas: Any = FigureCanvasAgg(figure)  # matplotlib leaves its methods untyped
    canvas.draw()
    return np.ascontiguousarray(np.asarray(canvas.buffer_rgba(), dtype=np.uint8)[..., :3])


def match(ground_truth: Sequence[Box], detections: Sequence[Detection]) -> list[int | None]:
    """Return, per detection (surest first), the index of the object it hits, or None.

    Greedy as in COCO's evaluation: same class, IoU >= 0.5, each object taken once.
    """
    taken: list[int | None] = []
    for item in detections:
        free = [
            (overlap(box, item), index)
            for index, box in enumerate(ground_truth)
            if index not in taken and box.label + 1 == item["category_id"]
        ]
        best, index = max(free, default=(0.0, 0))
        taken.append(index if best >= 0.5 else None)
    return taken


def overlap(box: Box, detection: Detection) -> float:
    """Return the intersection over union, in [0, 1], of an object and a detection."""
    x, y, width, height = detection["bbox"]
    across = min(box.x2, x + width) - max(box.x1, x)
    down = min(box.y2, y + height) - max(box.y1, y)
    common = max(across, 0.0) * max(down, 0.0)
    union = (box.x2 - box.x1) * (box.y2 - box.y1) + width * height - common
    return float(common / union) if union > 0 else 0.0


def _draw_objects(
    axes: Axes, boxes: Sequence[Box], found: set[int | None], classes: Sequence[str]
) -> None:
    for index, box in enumerate(boxes):
        rectangle = (box.x1, box.y1, box.x2 - box.x1, box.y2 - box.y1)
        if index in found:
            _rectangle(axes, rectangle, FOUND, 1.0, "solid")
        else:
            _rectangle(axes, rectangle, MISSED, 2.0, "dashed")
            _caption(axes, box.x1, box.y2, classes[box.label], MISSED, "top")


def _draw_found(
    axes: Axes, shown: Sequence[Detection], taken: Sequence[int | None], classes: Sequence[str]
) -> None:
    for item, index in zip(shown, taken, strict=True):
        color = FALSE if index is None else HIT
        x, y, width, height = item["bbox"]
        _rectangle(axes, (x, y, width, height), color, 2.0, "solid")
        text = f"{classes[item['category_id'] - 1]} {item['score']:.2f}"
        _caption(axes, x, y, text, color, "bottom")


def _rectangle(
    axes: Axes, box: tuple[float, float, float, float], color: str, width: float, style: Line
) -> None:
    from matplotlib.patches import Rectangle

    x, y, w, h = box
    axes.add_patch(
        Rectangle((x, y), w, h, fill=False, edgecolor=color, linewidth=width, linestyle=style)
    )


def _caption(axes: Axes, x: float, y: float, text: str, color: str, side: str) -> None:
    bottom, top = axes.get_ylim()  # an image's y axis points down
    y = min(y, bottom - 0.02 * (bottom - top)) if side == "top" else y
    y = max(y, top + 0.03 * (bottom - top))
    plate = {"facecolor": "black", "alpha": 0.7, "edgecolor": "none", "pad": 1.5}
    axes.text(x, y, text, color=color, fontsize=9, va=side, bbox=plate, clip_on=True)


def _draw_key(figure: Figure) -> None:
    from matplotlib.lines import Line2D

    figure.set_facecolor("#303030")
    styles: dict[str, tuple[str, Line, float]] = {
        "hit": (HIT, "solid", 2.0),
        "false alarm": (FALSE, "solid", 2.0),
        "object, found": (FOUND, "solid", 1.0),
        "object, missed": (MISSED, "dashed", 2.0),
    }
    lines = [Line2D([], [], color=c, linestyle=s, linewidth=w) for c, s, w in styles.values()]
    figure.legend(
        lines, list(styles), loc="upper center", ncols=4, frameon=False, labelcolor="white"
    )
