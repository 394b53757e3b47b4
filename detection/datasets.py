"""Boxes on disk: VOC XML and YOLO text files, read, verified and turned into COCO ground truth."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fusion.errors import InputError, did_you_mean
from fusion.opening import read_bytes, read_text

M3FD_CLASSES = ("People", "Car", "Bus", "Lamp", "Motorcycle", "Truck")
"""The six classes of M3FD, spelled as in its annotation files."""

MOST_OBJECTS, MOST_BYTES = 10_000, 4_000_000
"""Of one image; files of boxes that say more are not annotations."""
OVERHANG = 1.0
"""How far, in pixels, a box may stick out of its image; it is then clipped (rounding, 0-based)."""

Size = tuple[int, int]
"""Width and height of an image, in pixels."""


@dataclass(frozen=True)
class Box:
    """One object: label (0-based) and edges in pixels, continuous, 0-based: 0 <= x1 < x2 <= W."""

    label: int
    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True)
class Annotation:
    """All objects of one image, whose width and height are in pixels."""

    width: int
    height: int
    boxes: tuple[Box, ...]


MISSING = "add the annotation file (an empty text file means that the image shows no object)"
Reader = Callable[[Path, Sequence[str], Size], Annotation]


def read_voc(path: Path, classes: Sequence[str], size: Size) -> Annotation:
    """Read one VOC XML file; `size` is the width and height of the decoded image.

    VOC counts pixels from 1 and includes both edges, so x1 = xmin - 1 and x2 = xmax. A box that
    sticks out by at most one pixel (M3FD has coordinates from 0 here and there) is clipped.
    Raises InputError naming the file and the object, counted from 1.
    """
    root = _parse_xml(path)
    _check_declared_size(path, root, size)
    boxes = []
    for number, item in enumerate(root.iter("object"), start=1):
        where = f"{path}: object {number}"
        _check_number(path, number)
        label = label_of(_text(item, "name", where), classes, where)
        left, top, right, bottom = (
            _number(_text(item, f"bndbox/{key}", where), key, where)
            for key in ("xmin", "ymin", "xmax", "ymax")
        )
        boxes.append(fit_box(Box(label, left - 1, top - 1, right, bottom), size, where))
    return Annotation(*size, tuple(boxes))


def read_yolo(path: Path, classes: Sequence[str], size: Size) -> Annotation:
    """Read one YOLO text file, ``class centre_x centre_y width height`` a line, all in [0, 1].

    `size` is the width and height of the image. An empty file means that there is no object; a
    missing one is an error. Raises InputError naming the file and the line, counted from 1.
    """
    boxes: list[Box] = []
    for number, line in enumerate(read_text(path, MOST_BYTES, MISSING).splitlines(), start=1):
        if line.strip():
            where = f"{path}: line {number}"
            _check_number(path, len(boxes) + 1)
            boxes.append(fit_box(_yolo_box(line.split(), classes, size, where), size, where))
    return Annotation(*size, tuple(boxes))


def fit_box(box: Box, size: Size, where: str) -> Box:
    """Return `box` clipped to an image of `size`; `where` says whose it is.

    Raises InputError for a box without area, or one that sticks out by more than one pixel.
    """
    width, height = size
    edges = (box.x1, box.y1, box.x2, box.y2)
    shown = "x1={:g} y1={:g} x2={:g} y2={:g}".format(*edges)
    if not all(map(math.isfinite, edges)) or box.x2 <= box.x1 or box.y2 <= box.y1:
        raise InputError(f"{where} has a box without area ({shown}); correct or remove it.")
    outside = max(-box.x1, -box.y1, box.x2 - width, box.y2 - height)
    # The sixth decimal is where normalised text files end.
    if outside > OVERHANG + 1e-6:
        raise InputError(
            f"{where} has a box ({shown}) outside its image of {width}x{height} pixels; "
            f"correct the box, or check that it belongs to this image."
        )
    left, top = max(box.x1, 0.0), max(box.y1, 0.0)
    right, bottom = min(box.x2, float(width)), min(box.y2, float(height))
    if right <= left or bottom <= top:
        raise InputError(f"{where} has a box ({shown}) with no area inside its image; remove it.")
    return Box(box.label, left, top, right, bottom)


def label_of(name: str, classes: Sequence[str], where: str) -> int:
    """Return the label of the class `name`; InputError, which begins with `where`, for no class."""
    if name not in classes:
        raise InputError(
            f'{where} has the unknown class "{_shown(name)}".{did_you_mean(name, list(classes))}'
        )
    return list(classes).index(name)


def coco_ground_truth(
    annotations: Mapping[str, Annotation], classes: Sequence[str]
) -> dict[str, Any]:
    """Return COCO ground truth: images by sorted name with ids from 1, categories with ids from 1.

    ``file_name`` is the image's name; boxes are ``[x, y, width, height]`` in pixels.
    """
    images: list[dict[str, Any]] = []
    boxes: list[dict[str, Any]] = []
    for image_id, name in enumerate(sorted(annotations), start=1):
        item = annotations[name]
        size = {"width": item.width, "height": item.height}
        images.append({"id": image_id, "file_name": name, **size})
        for box in item.boxes:
            width, height = box.x2 - box.x1, box.y2 - box.y1
            boxes.append(
                {
                    "id": len(boxes) + 1,
                    "image_id": image_id,
                    "category_id": box.label + 1,
                    "bbox": [box.x1, box.y1, width, height],
                    "area": width * height,
                    "iscrowd": 0,
                }
            )
    categories = [{"id": number, "name": name} for number, name in enumerate(classes, start=1)]
    return {"images": images, "annotations": boxes, "categories": categories}


def _yolo_box(fields: list[str], classes: Sequence[str], size: Size, where: str) -> Box:
    if len(fields) != 5:
        raise InputError(
            f"{where} has {len(fields)} values instead of 5 (class, centre x, centre y, width, "
            f"height); correct the line."
        )
    if not fields[0].isdecimal() or len(fields[0]) > 9 or int(fields[0]) >= len(classes):
        raise InputError(
            f"{where} has the class {_shown(fields[0])}, which is not a number from 0 to "
            f"{len(classes) - 1} ({', '.join(classes)}); correct the line or the class list."
        )
    keys = ("centre x", "centre y", "width", "height")
    x, y, w, h = (_number(v, k, where) for v, k in zip(fields[1:], keys, strict=True))
    width, height = size
    left, right = (x - w / 2) * width, (x + w / 2) * width
    return Box(int(fields[0]), left, (y - h / 2) * height, right, (y + h / 2) * height)


def _check_number(path: Path, number: int) -> None:
    if number > MOST_OBJECTS:
        raise InputError(
            f"{path} has more than {MOST_OBJECTS:,} objects, which is no annotation of one image; "
            f"replace it."
        )


def _shown(text: str) -> str:
    """Return a value as it stands in the file, cut short."""
    return text if len(text) <= 40 else f"{text[:37]}..."


def _parse_xml(path: Path) -> Any:
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import ParseError, fromstring

    content = read_bytes(path, MOST_BYTES, "add the annotation file")
    try:
        return fromstring(content)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:  # of encodings
        raise InputError(f"{path} is not a readable XML file ({error}); replace it.") from error


def _check_declared_size(path: Path, root: Any, size: Size) -> None:
    where = f"{path}: size"
    declared = tuple(
        _number(_text(root, f"size/{k}", where), k, where) for k in ("width", "height")
    )
    if declared != size:
        raise InputError(
            f"{path} declares an image of {declared[0]:g}x{declared[1]:g} pixels, but the image "
            f"is {size[0]}x{size[1]}; the boxes would be misplaced, so correct one of them."
        )


def _text(item: Any, key: str, where: str) -> str:
    text = item.findtext(key)
    if text is None or not text.strip():
        raise InputError(f"{where} lacks <{key}>; complete the annotation.")
    return str(text).strip()


def _number(text: str, key: str, where: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f'{where} has "{_shown(text)}" for {key}; it must be a number.') from None
