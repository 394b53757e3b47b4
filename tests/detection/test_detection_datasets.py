from pathlib import Path

import pytest

from detection.datasets import (
    M3FD_CLASSES,
    Annotation,
    Box,
    coco_ground_truth,
    read_voc,
    read_yolo,
)
from fusion.errors import InputError

CLASSES = ("person", "bicycle", "car")
SIZE = (100, 50)


def voc(folder: Path, *objects: tuple, size: tuple[int, int] = SIZE) -> Path:
    items = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{a}</xmin><ymin>{b}</ymin><xmax>{c}</xmax>"
        f"<ymax>{d}</ymax></bndbox></object>"
        for name, a, b, c, d in objects
    )
    path = folder / "00001.xml"
    path.write_text(
        f"<annotation><size><width>{size[0]}</width><height>{size[1]}</height></size>{items}"
        f"</annotation>"
    )
    return path


def yolo(folder: Path, text: str) -> Path:
    path = folder / "00001.txt"
    path.write_text(text)
    return path


def test_voc_pixels_become_edges(tmp_path):
    path = voc(tmp_path, ("Car", 11, 21, 30, 40), ("Truck", 1, 1, 100, 50))
    assert read_voc(path, M3FD_CLASSES, SIZE) == Annotation(
        100, 50, (Box(1, 10, 20, 30, 40), Box(5, 0, 0, 100, 50))
    )


def test_voc_without_objects(tmp_path):
    assert read_voc(voc(tmp_path), M3FD_CLASSES, SIZE).boxes == ()


def test_voc_overhang_of_one_pixel_is_clipped(tmp_path):
    path = voc(tmp_path, ("Car", 0, 0, 101, 51))
    assert read_voc(path, M3FD_CLASSES, SIZE).boxes == (Box(1, 0, 0, 100, 50),)


@pytest.mark.parametrize("box", [(-1, 5, 9, 9), (5, -1, 9, 9), (5, 5, 102, 9), (5, 5, 9, 52)])
def test_voc_box_outside(tmp_path, box):
    path = voc(tmp_path, ("Car", 1, 1, 5, 5), ("Car", *box))
    with pytest.raises(InputError, match=r"00001\.xml: object 2 .*outside its image of 100x50"):
        read_voc(path, M3FD_CLASSES, SIZE)


@pytest.mark.parametrize("box", [(9, 5, 8, 9), (5, 9, 9, 8), (9, 5, 3, 9), ("nan", 5, 9, 9)])
def test_voc_box_without_area(tmp_path, box):
    with pytest.raises(InputError, match=r"object 1 has a box without area"):
        read_voc(voc(tmp_path, ("Car", *box)), M3FD_CLASSES, SIZE)


def test_voc_box_without_area_after_clipping(tmp_path):
    with pytest.raises(InputError, match="no area inside its image"):
        read_voc(voc(tmp_path, ("Car", 101, 5, 101, 9)), M3FD_CLASSES, SIZE)


def test_voc_unknown_class(tmp_path):
    with pytest.raises(InputError, match=r'object 1 .*"Lamb".* Did you mean "Lamp"\?'):
        read_voc(voc(tmp_path, ("Lamb", 1, 1, 5, 5)), M3FD_CLASSES, SIZE)


def test_voc_declared_size(tmp_path):
    with pytest.raises(InputError, match=r"declares an image of 50x100 pixels.*is 100x50"):
        read_voc(voc(tmp_path, size=(50, 100)), M3FD_CLASSES, SIZE)


def test_voc_malformed(tmp_path):
    path = tmp_path / "bad.xml"
    path.write_text("<annotation><object>")
    with pytest.raises(InputError, match=r"bad\.xml is not a readable XML"):
        read_voc(path, M3FD_CLASSES, SIZE)


def test_voc_entities_are_refused(tmp_path):
    path = tmp_path / "bomb.xml"
    path.write_text('<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>')
    with pytest.raises(InputError, match="not a readable XML"):
        read_voc(path, M3FD_CLASSES, SIZE)


def test_voc_missing_pieces(tmp_path):
    with pytest.raises(InputError, match="cannot be opened"):
        read_voc(tmp_path / "none.xml", M3FD_CLASSES, SIZE)
    with pytest.raises(InputError, match='object 1 has "x" for xmax; it must be a number'):
        read_voc(voc(tmp_path, ("Car", 1, 1, "x", 5)), M3FD_CLASSES, SIZE)
    with pytest.raises(InputError, match="object 1 lacks <bndbox/ymax>"):
        read_voc(voc(tmp_path, ("Car", 1, 1, 5, "")), M3FD_CLASSES, SIZE)


def test_yolo_boxes_and_trailing_spaces(tmp_path):
    path = yolo(tmp_path, "2  0.5  0.5  0.2  0.4  \n\n0 0.1 0.2 0.2 0.4\n")
    first, second = read_yolo(path, CLASSES, SIZE).boxes
    assert first == Box(2, 40, 15, 60, 35)
    assert second == Box(0, 0, 0, 20, 20)


def test_yolo_empty_is_no_object_but_missing_is_an_error(tmp_path):
    assert read_yolo(yolo(tmp_path, ""), CLASSES, SIZE) == Annotation(100, 50, ())
    with pytest.raises(InputError, match=r"none\.txt cannot be opened"):
        read_yolo(tmp_path / "none.txt", CLASSES, SIZE)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 0.5 0.5 0.2", "line 2 has 4 values instead of 5"),
        ("3 0.5 0.5 0.2 0.2", "line 2 has the class 3, .* from 0 to 2"),
        ("-1 0.5 0.5 0.2 0.2", "line 2 has the class -1"),
        ("1.5 0.5 0.5 0.2 0.2", r"line 2 has the class 1\.5"),
        ("0 0.5 half 0.2 0.2", 'line 2 has "half" for centre y'),
        ("0 0.5 0.5 0 0.2", "line 2 has a box without area"),
        ("0 0.95 0.5 0.2 0.2", "line 2 has a box .* outside"),
    ],
)
def test_yolo_bad_line(tmp_path, line, message):
    with pytest.raises(InputError, match=message):
        read_yolo(yolo(tmp_path, f"0 0.5 0.5 0.2 0.2\n{line}\n"), CLASSES, SIZE)


def test_yolo_binary_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(InputError, match="not a text file"):
        read_yolo(path, CLASSES, SIZE)


def test_coco_ground_truth():
    truth = coco_ground_truth(
        {"b": Annotation(100, 50, (Box(2, 10, 20, 30, 45),)), "a": Annotation(8, 9, ())}, CLASSES
    )
    assert truth["images"] == [
        {"id": 1, "file_name": "a", "width": 8, "height": 9},
        {"id": 2, "file_name": "b", "width": 100, "height": 50},
    ]
    assert truth["annotations"] == [
        {
            "id": 1,
            "image_id": 2,
            "category_id": 3,
            "bbox": [10, 20, 20, 25],
            "area": 500,
            "iscrowd": 0,
        }
    ]
    assert truth["categories"][2] == {"id": 3, "name": "car"}
