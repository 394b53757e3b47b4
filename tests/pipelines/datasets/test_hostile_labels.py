"""Labels and split files that nobody means well: one sentence each, and soon."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.hostile_files import NO_FILES, large_png, png
from fusion.errors import InputError
from pipelines.datasets.layouts import coco
from pipelines.datasets.split_files import read_split
from pipelines.specs.dataset import DatasetSpec
from pipelines.specs.layout import layout_of

pytestmark = pytest.mark.timeout(10)

CLASSES, SIZE = ("car", "person"), (64, 48)
HEAD = "<annotation><size><width>64</width><height>48</height></size>"
BOX = (
    "<object><name>car</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax>"
    "</bndbox></object>"
)
LAUGHS = "".join(f'<!ENTITY l{n + 1} "{f"&l{n};" * 10}">' for n in range(9))
VOC: dict[str, bytes | str] = {
    "entities of entities": f'<!DOCTYPE x [<!ENTITY l0 "ha">{LAUGHS}]><a>&l9;</a>',
    "a long entity": f'<!DOCTYPE x [<!ENTITY a "{"a" * 10**6}">]><a>{"&a;" * 1000}</a>',
    "an entity of a file": '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><a>&a;</a>',
    "an entity of an address": '<!DOCTYPE x [<!ENTITY a SYSTEM "http://127.0.0.1:9/">]><a>&a;</a>',
    "a parameter entity": '<!DOCTYPE x [<!ENTITY % a SYSTEM "file:///etc/passwd"> %a;]><a/>',
    "a description elsewhere": '<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd"><annotation/>',
    "an inclusion": (
        '<annotation xmlns:xi="http://www.w3.org/2001/XInclude">'
        '<xi:include href="file:///etc/passwd" parse="text"/></annotation>'
    ),
    "an unknown encoding": b'<?xml version="1.0" encoding="klingon"?><annotation/>',
    "an encoding of many bytes": b'<?xml version="1.0" encoding="shift_jis"?><annotation/>',
    "an encoding that is none": b'<?xml version="1.0" encoding="rot13"?><annotation/>',
    "a deep tree": "<a>" * 200_000,
    "a deep tree that ends": "<a>" * 200_000 + "</a>" * 200_000,
    "many objects": HEAD + BOX * 10_001 + "</annotation>",
    "a large file": HEAD + "<!--" + "x" * 4_000_000 + "--></annotation>",
    "a number of digits": HEAD + BOX.replace("<xmax>9", f"<xmax>{'9' * 5000}") + "</annotation>",
    "no number": HEAD + BOX.replace("<xmax>9", "<xmax>nan") + "</annotation>",
    "a class of digits": HEAD + BOX.replace("car", "9" * 5000) + "</annotation>",
    "a class that rings": HEAD + BOX.replace("car", "&#155;[31m") + "</annotation>",
    "a zero": b"\0" * 100,
    "nothing": b"",
}
YOLO: dict[str, bytes | str] = {
    "a class of digits": f"{'9' * 5000} 0.5 0.5 0.1 0.1",
    "a class in other digits": "\u0967\u0968 0.5 0.5 0.1 0.1",
    "a number of digits": f"0 {'9' * 5000} 0.5 0.1 0.1",
    "no numbers": "0 nan inf 0.1 0.1",
    "many lines": "0 0.5 0.5 0.1 0.1\n" * 10_001,
    "many values": "0 " * 10**6,
    "a large file": " " * 4_000_001,
    "other bytes": b"\xff\xfe0\0",
    "a class that rings": "\x1b[2J 0.5 0.5 0.1 0.1",
}
MASKS: dict[str, bytes | str] = {
    "a header of more than all memory": png(2**31 - 1, 2**31 - 1, colour=0),
    "more pixels than are read": large_png(6400, colour=0),
    "a header alone": png(64, 48, colour=0),
    "colours": large_png(48, colour=2),
    "another format": b"GIF89a",
    "nothing": b"",
}
IMAGE = {"id": 1, "file_name": "a.png", "width": 64, "height": 48}
OBJECT = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9]}
COCO: dict[str, bytes | str] = {
    "deep lists": "[" * 100_000,
    "deep mappings": '{"a":' * 100_000,
    "a large file": " " * 32_000_001,
    "other bytes": b"\xff\xfe{\0",
    "digits": f'{{"images": {"9" * 5000}}}',
    "a list": "[]",
    **{
        kind: json.dumps(
            {
                "images": [{**IMAGE, **image}],
                "annotations": [{**OBJECT, **entry}],
                "categories": [{"id": 1, "name": "car"}],
            }
        )
        for kind, image, entry in (
            ("no name", {"file_name": "/"}, {}),
            ("no number", {}, {"bbox": [float("nan")] * 4}),
            ("a large number", {}, {"bbox": [10**400, 1, 2, 2]}),
            ("a deep box", {}, {"bbox": [[[[[[1]]]]]]}),
            ("a class that is a list", {}, {"category_id": [1]}),
            ("a crowd", {}, {"iscrowd": 1}),
            ("another size", {"width": 10**30}, {}),
        )
    },
}
LABELS = {
    (layout, kind): (f"x{ending}", content)
    for layout, ending, kinds in (
        ("m3fd", ".xml", VOC),
        ("yolo", ".txt", YOLO),
        ("msrs", ".png", MASKS),
        ("coco", ".json", COCO),
    )
    for kind, content in kinds.items()
}


def refusal(call: Callable[[], Any]) -> str:
    """Return the one sentence that a call ends with, within two seconds."""
    started = time.perf_counter()
    with pytest.raises(InputError) as caught:
        call()
    assert time.perf_counter() - started < 2
    assert len(str(caught.value)) < 1000
    return str(caught.value)


@pytest.mark.parametrize(("layout", "kind"), LABELS)
def test_a_label_beyond_the_limits_is_one_sentence_soon(
    tmp_path: Path, layout: str, kind: str
) -> None:
    name, content = LABELS[layout, kind]
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    read = layout_of(layout).read
    assert read is not None
    sentence = refusal(lambda: read(path, "a", CLASSES, SIZE))
    assert sentence.startswith(str(path))
    assert sentence.isprintable()


@pytest.mark.parametrize("kind", [kind for kind in NO_FILES if kind != "broken link"])
@pytest.mark.parametrize("layout", ["m3fd", "yolo", "msrs", "coco"])
def test_a_label_that_is_no_file_is_refused(tmp_path: Path, layout: str, kind: str) -> None:
    path = tmp_path / "x.png"
    NO_FILES[kind][0](path)
    read = layout_of(layout).read
    assert read is not None
    refusal(lambda: read(path, "a", CLASSES, SIZE))


@pytest.mark.parametrize(("layout", "ending"), [("m3fd", "xml"), ("yolo", "txt"), ("msrs", "png")])
def test_a_folder_of_labels_holds_files_with_names(
    tmp_path: Path, layout: str, ending: str
) -> None:
    find = layout_of(layout).find
    assert find is not None
    for kind in ("pipe", "folder", "device"):
        folder = tmp_path / kind
        folder.mkdir()
        NO_FILES[kind][0](folder / f"x.{ending}")
        assert "not a file" in refusal(lambda folder=folder: find(folder))  # type: ignore[misc]
    folder = tmp_path / "names"
    folder.mkdir()
    (folder / f"\x1b[2J.{ending}").touch()
    assert r"\x1b[2J" in refusal(lambda: find(folder))


def test_a_file_of_coco_that_is_no_file_is_refused_when_it_is_listed(tmp_path: Path) -> None:
    for kind, (make, _) in NO_FILES.items():
        path = tmp_path / kind
        make(path)
        refusal(lambda path=path: coco.find(path))  # type: ignore[misc]


def test_a_file_of_coco_that_would_fill_the_memory_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"[" + b"[]," * (coco.MOST_VALUES // 2) + b"[]]")
    assert "holds some 10,000,002 values" in refusal(lambda: coco.find(path))


SPLITS = {
    "a bomb": "a: &a [x]\n" + "".join(f"{n}: &{n} [*a]\n" for n in "b") + "train: [[[" * 50,
    "names that are lists": "train: [[a]]\ntest: [a]",
    "names that are numbers": "train: [1]\ntest: [a]",
    "folds that are names": "folds: [a, b]",
    "folds that are a name": "folds: a",
    "an unknown key": f"{'x' * 9000}: 1",
    "a name of another place": "train: [../a]\ntest: [a]",
    "other bytes": b"\xff",
    "a list": "[a]",
    "nothing": "",
}


@pytest.mark.parametrize("kind", SPLITS)
def test_a_split_file_beyond_the_limits_is_one_sentence_soon(tmp_path: Path, kind: str) -> None:
    path, content = tmp_path / "split.yaml", SPLITS[kind]
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    folds = 2 if "folds" in kind else None
    spec = DatasetSpec.model_validate(
        {"name": "x", "layout": "pairs", "root": "/x", "split": {"file": path, "folds": folds}}
    )
    assert str(path) in refusal(lambda: read_split(spec, {"a": None, "b": None}))  # type: ignore[dict-item]
