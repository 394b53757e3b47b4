"""Boxes as COCO has them: one JSON file of images, annotations and categories.

An image belongs to the pair that is called like its `file_name` without folder and ending. Ids
are any numbers or texts; categories become classes by their names. `labels` is the file, with
"{split}" in its name where the dataset comes split.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PureWindowsPath
from typing import Any, TypeGuard

from detection.datasets import Annotation, Box, fit_box, label_of
from fusion.errors import InputError
from fusion.opening import check_file, read_bytes
from pipelines.datasets.labels import boxes
from pipelines.specs.layout import Labels, Layout, Size

MOST_BYTES, MOST_VALUES = 200_000_000, 10_000_000
"""Of a file: what it says, and what that becomes in memory, fit into a gigabyte together."""
Id = int | float | str
Entry = dict[str, Any]


@dataclass(frozen=True)
class Coco:
    """A file's images by name, the annotations of each image's id, and the categories' names."""

    images: Mapping[str, Entry]
    annotations: Mapping[Id, list[Entry]]
    categories: Mapping[Id, str]


def find(path: Path) -> Mapping[str, Path]:
    """Return the file for every name that it has an image of."""
    return dict.fromkeys(_load(path).images, path)


def read(path: Path, name: str, classes: Sequence[str], size: Size) -> Labels:
    """Read the boxes of one image; crowds and what is to be ignored are refused.

    Raises InputError naming the file and the image's or the annotation's id.
    """
    file = _load(path)
    image = file.images[name]
    _check_size(f"{path}: image {_shown(image['id'])}", image, size)
    found = [_box(path, entry, file, classes, size) for entry in file.annotations[image["id"]]]
    return boxes(Annotation(*size, tuple(found)), classes)


def _check_size(where: str, image: Entry, size: Size) -> None:
    declared = image.get("width"), image.get("height")
    if declared != size:
        raise InputError(
            f"{where} declares {_shown(declared[0])}x{_shown(declared[1])} pixels, but the image "
            f"is {size[0]}x{size[1]}; the boxes would be misplaced, so correct one of them."
        )


def _box(path: Path, entry: Entry, file: Coco, classes: Sequence[str], size: Size) -> Box:
    where = f"{path}: annotation {_shown(entry.get('id'))}"
    for mark in ("iscrowd", "ignore"):
        if entry.get(mark):
            raise InputError(
                f'{where} is marked "{mark}": it stands for no single object, and no score here '
                f"leaves it out; remove it, or box each of its objects."
            )
    category = entry.get("category_id")
    if not _is_id(category) or category not in file.categories:
        raise InputError(
            f"{where} has the category_id {_shown(category)}, which no category has; correct it."
        )
    label = label_of(file.categories[category], classes, where)
    numbers = entry.get("bbox")
    if not isinstance(numbers, list) or len(numbers) != 4 or not all(map(_is_number, numbers)):
        raise InputError(
            f"{where} has the bbox {_shown(numbers)}; write four numbers: left, top, width, height."
        )
    left, top, width, height = numbers
    return fit_box(Box(label, left, top, left + width, top + height), size, where)


def _load(path: Path) -> Coco:
    check_file(path, MOST_BYTES, "add the file, or split it")
    state = path.stat()
    return _parsed(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=3)  # train, val and test
def _parsed(path: Path, _changed: int, _bytes: int) -> Coco:
    content = read_bytes(path, MOST_BYTES)
    if (values := sum(map(content.count, (b",", b"[", b"{")))) > MOST_VALUES:
        raise InputError(
            f"{path} holds some {values:,} values, and at most {MOST_VALUES:,} are read; split it."
        )
    try:
        data = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not a readable JSON file ({error}); replace it.") from error
    images: dict[str, Entry] = {}
    annotations: dict[Id, list[Entry]] = {}
    for image in _entries(path, data, "images"):
        name = _name(path, image)
        if name in images or image["id"] in annotations:
            raise InputError(
                f"{path}: image {_shown(image['id'])} has the id or the name ({name}) of another "
                f"image; each image must have its own, so correct or remove one."
            )
        images[name], annotations[image["id"]] = image, []
    for entry in _entries(path, data, "annotations"):
        owner = entry.get("image_id")
        if not _is_id(owner) or owner not in annotations:
            raise InputError(
                f"{path}: annotation {_shown(entry.get('id'))} has the image_id {_shown(owner)}, "
                f"which no image has; correct or remove it."
            )
        annotations[owner].append(entry)
    return Coco(images, annotations, _categories(path, _entries(path, data, "categories")))


def _entries(path: Path, data: Any, key: str) -> list[Entry]:
    """Return a list of the file whose items must be mappings with, but for annotations, an id."""
    found = data.get(key) if isinstance(data, dict) else None
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise InputError(f'{path} has no list of objects "{key}"; export it as COCO JSON.')
    for number, entry in enumerate(found, 1):
        if key != "annotations" and not _is_id(entry.get("id")):
            raise InputError(
                f'{path}: number {number} of "{key}" has the id {_shown(entry.get("id"))}; '
                f"give it a number or a text."
            )
    return found


def _name(path: Path, image: Entry) -> str:
    name = image.get("file_name")
    if not isinstance(name, str) or not PureWindowsPath(name).stem:
        raise InputError(
            f"{path}: image {_shown(image['id'])} has the file_name {_shown(name)}; "
            f"write the name of its file."
        )
    return PureWindowsPath(name).stem  # either kind of slash


def _categories(path: Path, entries: list[Entry]) -> dict[Id, str]:
    names: dict[Id, str] = {}
    for entry in entries:
        if not isinstance(entry.get("name"), str) or entry["id"] in names:
            raise InputError(
                f"{path}: category {_shown(entry['id'])} has no name or the id of another; "
                f"give every category a name and an id of its own."
            )
        names[entry["id"]] = entry["name"]
    return names


def _is_id(value: Any) -> TypeGuard[Id]:
    return isinstance(value, int | float | str) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return known and abs(value) < 1e9  # neither NaN nor too large for arithmetic


def _shown(value: Any) -> str:
    """Return a value as it stands in the file, cut short."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:37]}..."


LAYOUT = Layout(
    labels="annotations.json",
    task="detection",
    classes_are="a list with the names of its categories",
    find=find,
    read=read,
)
