"""Everything here that reads what somebody else wrote, as functions of bytes, with true samples.

A parser ends with a result or with an InputError; `outcome` says which, or what it did instead.
"""

from __future__ import annotations

import io
import json
import os
import resource
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from fusion.errors import InputError

SECONDS, MEGABYTES = 2.0, 1000
"""What one reading may take, at most; a busy machine is given more by its callers."""
SCRATCH = "FUSE_THEN_SCRATCH"
CLASSES, SIZE = ("car", "person"), (16, 12)
Parse = Callable[[Path], object]


@dataclass(frozen=True)
class Parser:
    """What reads a file of a name, and samples of what it reads."""

    file: str
    parse: Parse
    samples: Callable[[], list[bytes]]


@dataclass(frozen=True)
class Outcome:
    """How a reading ended: "read", "refused", "traceback", "slow" or "large", and where."""

    kind: str
    detail: str = ""
    seconds: float = 0.0

    @property
    def allowed(self) -> bool:
        """Whether it is a result or a sentence, in time."""
        return self.kind in ("read", "refused")


def outcome(parser: Parser, content: bytes, folder: Path, seconds: float = SECONDS) -> Outcome:
    """Let a parser read some bytes, from a file in `folder`."""
    path = folder / parser.file
    path.write_bytes(content)
    return watched(lambda: parser.parse(path), seconds)


def watched(read: Callable[[], object], seconds: float = SECONDS) -> Outcome:
    """Call what reads, and say how it ended."""
    before, started = _megabytes(), time.perf_counter()
    try:
        read()
        found = Outcome("read")
    except InputError as error:
        found = Outcome("refused", str(error))
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"
        found = Outcome("traceback", f"{place}: {str(error)[:200]}")
    took, more = time.perf_counter() - started, _megabytes() - before
    if took > seconds:
        return Outcome("slow", f"{took:.1f} s, then {found.kind} {found.detail[:100]}", took)
    if more > MEGABYTES:
        return Outcome("large", f"{more:.0f} MB, then {found.kind}", took)
    if found.kind == "refused" and (len(found.detail) > 20_000 or not found.detail.strip()):
        return Outcome("traceback", f"a sentence of {len(found.detail)} characters", took)
    return Outcome(found.kind, found.detail, took)


def _megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _experiment(path: Path) -> object:
    from pipelines.specs.loading import load_experiment

    return load_experiment(str(path))


def _dataset(path: Path) -> object:
    from pipelines.specs.loading import load_dataset

    return load_dataset(str(path))


def _set(path: Path) -> object:
    from pipelines.specs.loading import load_dataset, parse_overrides

    items = path.read_bytes().decode("utf-8", "surrogateescape").split("\0")
    base = path.with_name("base.yaml")
    if not base.exists():
        base.write_bytes(DATASET)
    return load_dataset(str(base), parse_overrides(items))


def _layout(name: str) -> Parse:
    def parse(path: Path) -> object:
        from pipelines.specs.layout import layout_of

        read = layout_of(name).read
        assert read is not None
        return read(path, "a", CLASSES, SIZE)

    return parse


def _coco(path: Path) -> object:
    from pipelines.datasets.layouts import coco

    names = list(coco.find(path))
    return [coco.read(path, name, CLASSES, SIZE) for name in names[:100]]


def _image(path: Path) -> object:
    from fusion.pairs import channels_of, read_gray, read_rgb, read_shown

    return channels_of(path), read_rgb(path), read_gray(path), read_shown(path)


def _checkpoint(path: Path) -> object:
    from fusion.weights.checkpoints import read_checkpoint

    return read_checkpoint(path)


def _detector(path: Path) -> object:
    from detection.yolo.checkpoints import load_network, read_checkpoint

    found = read_checkpoint(path)
    load_network(path, CLASSES)
    return found


def _params(path: Path) -> object:
    from fusion.opening import read_text
    from fusion.registry import load_method
    from pipelines.specs.yaml_text import MOST_BYTES, parse_yaml

    found = parse_yaml(read_text(path, MOST_BYTES), str(path))
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        return None
    given = {key: value for key, value in found.items() if key not in ("checkpoint", "device")}
    return load_method(str(given.pop("name", "laplacian")), **given)


def _manifest(path: Path) -> object:
    from pipelines.store.stage import Kind, stage_of
    from pipelines.store.store import MANIFEST, open_store

    store = open_store(path.parent / "store")
    stage = stage_of(Kind("kind", 1, ""), {"a": 1})
    place = store.directory(stage)
    place.mkdir(parents=True, exist_ok=True)
    (place / MANIFEST).write_bytes(path.read_bytes())
    return store.manifest(stage)


def _remembered(path: Path) -> object:
    from pipelines.planning.memory import FOLDER, recall
    from pipelines.store.store import open_store

    store = open_store(path.parent / "remembering")
    (store.root / FOLDER).mkdir(exist_ok=True)
    (store.root / FOLDER / "x.json").write_bytes(path.read_bytes())
    return recall(store)


def _split(path: Path) -> object:
    from fusion.pairs import ImagePair
    from pipelines.datasets.split_files import read_scenes, read_split
    from pipelines.specs.dataset import DatasetSpec

    given = {"name": "x", "layout": "pairs", "root": "/x", "split": {"file": path}}
    spec = DatasetSpec.model_validate(given)
    read_scenes(spec)
    return read_split(spec, {name: ImagePair(name, path, path) for name in "abc"})


def _lent(path: Path) -> object:
    from pipelines.planning.lending import lender
    from pipelines.specs.loading import load_experiment
    from pipelines.store.store import open_store

    changes = {"seed_variance": f"from {path}"}
    return lender(load_experiment("smoke", changes), open_store(path.parent / "lending"))


EXPERIMENT = b"""name: x
methods: [average, {name: laplacian, params: {levels: 3}, grid: {levels: [2, 3]}}]
seeds: [0, 1]
detection:
  model: yolov5n
  epochs: 1
  dataset: {name: d, layout: yolo, root: /x, infrared: a, visible: b, classes: [car, person]}
"""
DATASET = b"""name: d
layout: m3fd
root: /x
classes: [car, person]
split: {ratios: [8, 1, 1], seed: 3}
notes: [a, b]
"""
VOC = b"""<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE annotation [<!ELEMENT annotation ANY>]>
<annotation><size><width>16</width><height>12</height></size><object><name>car</name><bndbox>
<xmin>1</xmin><ymin>2</ymin><xmax>9</xmax><ymax>8.5</ymax></bndbox></object></annotation>
"""
BOX = {"id": 1, "image_id": 7, "category_id": 3, "bbox": [1, 2, 3.5, 4], "iscrowd": 0}
COCO = {
    "images": [{"id": 7, "file_name": "x/a.png", "width": 16, "height": 12}],
    "annotations": [BOX],
    "categories": [{"id": 3, "name": "car"}],
}
SPLIT = b"version: 2\ntrain: [a]\nval: []\ntest: [b, 'c']\nscenes: {a: [a, b], c: [c]}\nseed: 0\n"
TABLES = [{"task": "detection", "rows": [{"kind": "ours", "values": [{"sd": 0.1, "seeds": 2}]}]}]
SOURCE = {"kind": "k", "key": "0", "digest": "0"}
MACHINE = {"system": "s", "processor": "p", "cores": 2, "accelerators": []}
MANIFEST_FIELDS = {
    **{"kind": "kind", "key": "0" * 16, "version": 1, "spec": {"a": 1}, "local": {}},
    **{"inputs": {"x": SOURCE}, "digest": "0", "metrics": {"a": [0.5, None]}},
    **{"started": "2026-01-01T00:00:00", "seconds": 1.5, "device": "cpu", "threads": 1},
    **{"commit": "0", "versions": {"python": "3"}, "machine": MACHINE, "command": "c"},
}


@cache
def _picture() -> Any:
    return np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)


def _images() -> list[bytes]:
    endings = (".png", ".jpg", ".bmp", ".tif")
    shapes = (_picture(), _picture()[..., 0], np.dstack([_picture(), _picture()[..., :1]]))
    return [bytes(cv2.imencode(end, one)[1]) for end in endings for one in shapes]


def _masks() -> list[bytes]:
    from PIL import Image

    ids = Image.fromarray(_picture()[..., 0] % 2)
    palette = ids.copy()
    palette.putpalette([0, 0, 0, 255, 0, 0])
    return [_saved(lambda stream, one=one: one.save(stream, "PNG")) for one in (ids, palette)]  # type: ignore[misc]


def _saved(save: Callable[[io.BytesIO], object]) -> bytes:
    stream = io.BytesIO()
    save(stream)
    return stream.getvalue()


def _weights() -> list[bytes]:
    tensors = {"a.weight": torch.ones(2, 2), "b": torch.zeros(3, dtype=torch.int64)}
    ours = {"format": "fuse-then/1", "method": "x", "params": {"a": (1,)}, "extra": {}}
    contents = (tensors, {"state_dict": tensors, "epoch": 3}, {**ours, "state_dict": tensors})
    detector = {"model": "yolov5n", "classes": list(CLASSES), "state_dict": tensors}
    return [
        _saved(
            lambda stream, one=one, new=new: torch.save(
                one, stream, _use_new_zipfile_serialization=new
            )
        )  # type: ignore[misc]
        for one in (*contents, detector)
        for new in (True, False)
    ]


def _safetensors() -> list[bytes]:
    from safetensors.torch import save

    return [save({"a": torch.ones(2, 2), "b": torch.zeros(3)}, {"format": "pt"})]


def _is(*samples: bytes | object) -> Callable[[], list[bytes]]:
    """Return what returns samples; what is no bytes is JSON."""
    return lambda: [
        one if isinstance(one, bytes) else json.dumps(one, indent=1).encode() for one in samples
    ]


PARSERS: dict[str, Parser] = {
    "experiment": Parser("x.yaml", _experiment, _is(EXPERIMENT)),
    "dataset": Parser("x.yaml", _dataset, _is(DATASET)),
    "set": Parser("x.txt", _set, _is(b"root=/data", b"split.seed=3\0notes.0=b", b"classes=[a, b]")),
    "voc": Parser("x.xml", _layout("m3fd"), _is(VOC)),
    "yolo": Parser("x.txt", _layout("yolo"), _is(b"0 0.5 0.5 0.25 0.5\n1 .2 2e-1 0.1 0.1\n", b"")),
    "coco": Parser("x.json", _coco, _is(COCO)),
    "mask": Parser("x.png", _layout("msrs"), _masks),
    "image": Parser("x.png", _image, _images),
    "checkpoint": Parser("x.pt", _checkpoint, _weights),
    "safetensors": Parser("x.safetensors", _checkpoint, _safetensors),
    "detector": Parser("x.pt", _detector, _weights),
    "params": Parser(
        "x.yaml", _params, _is(b"levels: 3", b"name: dcinn\nbase: max", b"name: ifcnn")
    ),
    "manifest": Parser("x.json", _manifest, _is(MANIFEST_FIELDS)),
    "remembered": Parser("x.json", _remembered, _is({"spec": {}, "cells": [], "stages": {}})),
    "split": Parser("x.yaml", _split, _is(SPLIT)),
    "tables": Parser("x.json", _lent, _is(TABLES)),
}


@cache
def scratch() -> Path:
    """Return a folder for the files of a process: that which its parent will remove, if it says."""
    return Path(os.environ.get(SCRATCH) or tempfile.mkdtemp(prefix="fuse-then-parsers-"))
