"""A dataset as ultralytics wants it: real folders of images and labels, no links to folders."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from detection.datasets import Annotation
from fusion.errors import InputError, did_you_mean

SPLITS = ["train", "val", "test"]


def export(
    images: Mapping[str, Path],
    annotations: Mapping[str, Annotation],
    splits: Mapping[str, Sequence[str]],
    classes: Sequence[str],
    out: Path,
    channels: int = 3,
) -> Path:
    """Write the tree that ultralytics trains on and return the path of its ``data.yaml``.

    ``out/images/SPLIT/NAME.png`` are hard links, or copies where links are impossible;
    ``out/labels/SPLIT/NAME.txt`` hold normalised boxes. Splits are named train (needed), val and
    test; without val, data.yaml names the training images there, because ultralytics wants an
    entry, and ``select="best"`` is then refused. `channels` are those of the images. Raises
    InputError for an empty or unknown split, a name in two splits, and a name without image or
    annotation.
    """
    _check_splits(images, annotations, splits)
    for split, names in splits.items():
        for kind in ("images", "labels"):
            (out / kind / split).mkdir(parents=True, exist_ok=True)
        for name in names:
            _place(images[name], out / "images" / split / f"{name}{images[name].suffix}")
            label = out / "labels" / split / f"{name}.txt"
            label.write_text(_yolo_text(annotations[name]), encoding="utf-8")
    root = out.resolve()
    entries = {split: str(root / "images" / split) for split in splits}
    entries.setdefault("val", entries["train"])
    colour = {} if channels == 3 else {"channels": channels}
    labels = {"names": dict(enumerate(classes))}
    data: dict[str, object] = {"path": str(root), **entries, **labels, **colour}
    path = root / "data.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return path


def _place(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    # ultralytics rewrites damaged JPEG files in place, so it never gets a link to one.
    if source.suffix.lower() not in {".jpg", ".jpeg"}:
        try:
            target.hardlink_to(source.resolve())
        except OSError:
            pass  # another file system, or links forbidden
        else:
            return
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        raise InputError(
            f"{source} cannot be copied ({error.strerror}); check the file."
        ) from error


def _yolo_text(annotation: Annotation) -> str:
    width, height = annotation.width, annotation.height
    return "".join(
        f"{box.label} {(box.x1 + box.x2) / 2 / width:.8f} {(box.y1 + box.y2) / 2 / height:.8f} "
        f"{(box.x2 - box.x1) / width:.8f} {(box.y2 - box.y1) / height:.8f}\n"
        for box in annotation.boxes
    )


def _check_splits(
    images: Mapping[str, Path],
    annotations: Mapping[str, Annotation],
    splits: Mapping[str, Sequence[str]],
) -> None:
    if "train" not in splits:
        raise InputError("The split has no train list; a detector cannot be trained without one.")
    owner: dict[str, str] = {}
    for split, names in splits.items():
        if split not in SPLITS:
            raise InputError(f'split: "{split}" is not known.{did_you_mean(split, SPLITS)}')
        if not names:
            raise InputError(f"The {split} split is empty; list at least one image, or drop it.")
        for name in names:
            if name in owner:
                raise InputError(
                    f'The image "{name}" is in the {owner[name]} split and again in {split}; '
                    f"list it once, or the results are not to be trusted."
                )
            owner[name] = split
            for kind, known in (("image", images), ("annotation", annotations)):
                if name not in known:
                    raise InputError(
                        f'The {split} split lists "{name}", which has no {kind}; add it, or '
                        f"remove the name from the split."
                    )
