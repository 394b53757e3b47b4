"""Resampled AP and IoU against the plain functions on data that really repeats its images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from detection.ap import evaluate
from detection.datasets import Annotation, Box, coco_ground_truth
from detection.matching import rankings
from detection.resampling import ApResampler, ResampledAp
from segmentation.iou import scores
from segmentation.resampling import resampled_iou

CLASSES = ("person", "bicycle", "car")
Case = tuple[dict[str, Annotation], list[dict[str, Any]]]


def case(seed: int, *, images: int = 8, objects: int = 6, found: int = 25, digits: int = 9) -> Case:
    """Boxes of classes 1 and 2, the second in few images, and detections near and beside them."""
    rng = np.random.default_rng(seed)
    annotations, detections = {}, []
    for name in (f"{number:03d}" for number in range(images)):
        corners = rng.uniform(0, 150, (rng.integers(0, objects + 1), 2))
        sizes = rng.uniform(0.5, 50, corners.shape)
        boxes = tuple(
            Box(int(rng.random() < 0.2), *map(float, (*corner, *(corner + size))))
            for corner, size in zip(corners, sizes, strict=True)
        )
        annotations[name] = Annotation(200, 200, boxes)
        for _ in range(rng.integers(0, found + 1)):
            x, y, width, height = rng.uniform(0.01, 60, 4)
            label = int(rng.integers(0, 3))
            if boxes and rng.random() < 0.7:
                box = boxes[rng.integers(len(boxes))]
                label, width, height = box.label, (box.x2 - box.x1) * 1.1, (box.y2 - box.y1) * 0.95
                x, y = box.x1 + rng.normal(0, 2), box.y1 + rng.normal(0, 2)
            score = round(float(rng.random()), digits)
            item = {"image": name, "category_id": label + 1, "score": score}
            detections.append({**item, "bbox": [x, y, width, height]})
    rng.shuffle(detections)
    return annotations, detections


def repeated(case: Case, counts: np.ndarray) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return ground truth and detections with every image in as many renamed copies."""
    annotations, detections = case
    copies = {
        name: [f"{name}-{copy:03d}" for copy in range(count)]
        for name, count in zip(sorted(annotations), counts.tolist(), strict=True)
    }
    truth = {copy: annotations[name] for name in annotations for copy in copies[name]}
    found = [{**item, "image": copy} for item in detections for copy in copies[item["image"]]]
    return coco_ground_truth(truth, CLASSES), found


def resampler(case: Case) -> ApResampler:
    annotations, detections = case
    return ApResampler(rankings(coco_ground_truth(annotations, CLASSES), detections, CLASSES))


def draws(seed: int, images: int, resamples: int = 12) -> np.ndarray:
    """Multinomial draws, the data itself, one image many times, and large counts."""
    rng = np.random.default_rng(seed)
    usual = rng.multinomial(images, np.full(images, 1 / images), resamples)
    single = np.zeros((1, images), int)
    single[0, rng.integers(images)] = 9
    return np.concatenate([usual, np.ones((1, images), int), single, 3 * usual[:2]])


def assert_exact(case: Case, counts: np.ndarray) -> ResampledAp:
    found = resampler(case).resample(counts)
    for row, count in enumerate(counts):
        expected = evaluate(*repeated(case, count), CLASSES).scores
        ours = [found.ap50[row], found.ap[row], [found.map50[row]], [found.map[row]]]
        theirs = [
            list(expected.ap50.values()),
            list(expected.ap.values()),
            [expected.map50],
            [expected.map],
        ]
        np.testing.assert_allclose(np.concatenate(ours), np.concatenate(theirs), rtol=0, atol=1e-12)
    return found


CASES: dict[str, dict[str, int]] = {
    "usual": {},
    "tied scores": {"digits": 1},
    "all scores equal": {"digits": 0, "found": 12},
    "over 100 boxes": {"images": 3, "objects": 30, "found": 450},
    "over 100 tied boxes": {"images": 3, "objects": 30, "found": 450, "digits": 2},
    "one image": {"images": 1},
    "nothing found": {"found": 0},
    "nothing to find": {"objects": 0},
}


@pytest.mark.parametrize("name", CASES)
def test_ap_of_a_resample_is_that_of_images_really_repeated(name: str) -> None:
    for seed in range(4):
        made = case(seed, **CASES[name])
        assert_exact(made, draws(seed, len(made[0])))


def test_the_cases_have_what_they_are_about() -> None:
    """The comparison means nothing unless ties, full images and absent classes occur in it."""
    _, found = case(0, **CASES["over 100 tied boxes"])
    places = [(item["image"], item["category_id"], item["score"]) for item in found]
    assert len(set(places)) < len(places) - 50
    images = [place[:2] for place in places]
    assert max(images.count(one) for one in set(images)) > 100
    several = [resampler(case(seed)).resample(draws(seed, 8)) for seed in range(4)]
    usual = np.concatenate([found.map50 for found in several])
    assert 0.1 < usual.mean() < 0.95
    assert usual.std() > 0.05
    absent = np.isnan(np.concatenate([found.ap50 for found in several]))
    assert absent[:, 2].all()
    assert 0 < absent[:, 1].sum() < len(absent)


def test_every_drawn_recall_is_the_floating_point_one_of_coco() -> None:
    """100 boxes, 35 found: the recall 0.35 is 35 * 0.01 > 35 / 100, and so not reached."""
    boxes = tuple(
        Box(0, 20 * (n % 10), 20 * (n // 10), 20 * (n % 10) + 9, 20 * (n // 10) + 9)
        for n in range(100)
    )
    found = [
        {"image": "one", "category_id": 1, "score": 0.9 - n / 100, "bbox": [box.x1, box.y1, 9, 9]}
        for n, box in enumerate(boxes[:35])
    ]
    made = ({"one": Annotation(200, 200, boxes)}, found)
    counts = np.arange(1, 6)[:, None]
    assert assert_exact(made, counts).ap50[0, 0] == pytest.approx(35 / 101)


def test_parts_that_fit_the_cache_give_the_same_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    made = case(2)
    counts = draws(2, 8, 40)
    whole = resampler(made).resample(counts)
    monkeypatch.setattr("detection.resampling.CHUNK", 200)
    parts = resampler(made).resample(counts)
    assert np.array_equal(whole.ap50, parts.ap50, equal_nan=True)
    assert np.array_equal(whole.ap, parts.ap, equal_nan=True)


def test_no_resample_and_no_class() -> None:
    made = case(0)
    assert resampler(made).resample(np.empty((0, 8), int)).map50.shape == (0,)
    empty = ApResampler(rankings(coco_ground_truth({"a": Annotation(9, 9, ())}, ()), [], ()))
    assert np.isnan(empty.resample(np.ones((2, 1), int)).map).all()


@pytest.fixture
def confusion() -> np.ndarray:
    """Of 9 images and 4 classes; class 2 is true in the first alone, class 3 nowhere."""
    rng = np.random.default_rng(0)
    made = rng.integers(0, 2**33, (9, 4, 4))
    made[1:, 2], made[:, 3] = 0, 0
    return made


def test_iou_of_a_resample_is_that_of_images_really_repeated(confusion: np.ndarray) -> None:
    counts = draws(0, 9)
    found = resampled_iou(confusion, counts)
    for row, count in enumerate(counts):
        expected = scores(np.repeat(confusion, count, axis=0).sum(axis=0), list("abcd"))
        ours = [*found.iou[row], found.miou[row], found.miou_foreground[row]]
        theirs = [*expected.iou.values(), expected.miou, expected.miou_foreground]
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-15)
    absent = np.isnan(found.iou)
    assert absent[:, 3].all()
    assert (absent[:, 2] == (counts[:, 0] == 0)).all()
    assert 0 < absent[:, 2].sum() < len(counts)


def test_iou_of_background_alone() -> None:
    alone = np.zeros((2, 3, 3), np.int64)
    alone[:, 0, 0] = 5
    found = resampled_iou(alone, np.array([[2, 0], [1, 1]]))
    assert found.miou.tolist() == [1.0, 1.0]
    assert np.isnan(found.miou_foreground).all()
