import copy
import json
import math
import sys
from collections import Counter

import numpy as np
import pytest

from detection.ap import ENGINES, evaluate
from detection.datasets import Annotation, Box, coco_ground_truth
from detection.matching import boxes_found, match, rankings
from detection.pictures import draw_detections
from fusion.errors import InputError
from fusion.palette import FALSE_ALARM, HIT, MISSED, rgb

CLASSES = ("person", "bicycle", "car")


def truth(*boxes: Box) -> dict:
    return coco_ground_truth({"one": Annotation(200, 200, boxes)}, CLASSES)


def detection(label: int, box: list[float], score: float, image: str = "one") -> dict:
    return {"image": image, "category_id": label + 1, "bbox": box, "score": score}


TWO = (Box(0, 10, 10, 50, 50), Box(0, 100, 100, 140, 140))


def test_perfect_detections_and_absent_classes():
    found = [detection(0, [10, 10, 40, 40], 0.9), detection(0, [100, 100, 40, 40], 0.8)]
    scores = evaluate(truth(*TWO), found, CLASSES).scores
    assert scores.ap50["person"] == scores.ap["person"] == pytest.approx(1)
    assert math.isnan(scores.ap50["bicycle"])
    assert math.isnan(scores.ap["car"])
    assert scores.map50 == scores.map == pytest.approx(1)  # of the class that is present
    assert scores.objects == {"person": 2, "bicycle": 0, "car": 0}


def test_one_of_two_found_is_51_of_101_recalls():
    scores = evaluate(truth(*TWO), [detection(0, [10, 10, 40, 40], 0.9)], CLASSES).scores
    assert scores.ap50["person"] == pytest.approx(51 / 101)


def test_false_alarm_ranked_first():
    # Precisions along the ranking: 0, 1/2, 2/3; interpolated they are 2/3 at every recall.
    found = [
        detection(0, [150, 10, 20, 20], 0.9),
        detection(0, [10, 10, 40, 40], 0.8),
        detection(0, [100, 100, 40, 40], 0.7),
    ]
    assert evaluate(truth(*TWO), found, CLASSES).scores.ap50["person"] == pytest.approx(2 / 3)


def test_overlap_decides_which_thresholds_count():
    # 40 x 40 against its left 30 columns: IoU 0.75, a hit for 0.50 ... 0.75, six of ten.
    scores = evaluate(truth(TWO[0]), [detection(0, [10, 10, 30, 40], 0.9)], CLASSES).scores
    assert scores.ap50["person"] == pytest.approx(1)
    assert scores.ap["person"] == pytest.approx(0.6)


def test_wrong_class_is_no_hit_and_counts_against_no_absent_class():
    scores = evaluate(truth(TWO[0]), [detection(2, [10, 10, 40, 40], 0.9)], CLASSES).scores
    assert scores.ap50["person"] == 0
    assert math.isnan(scores.ap50["car"])
    assert scores.map50 == 0


def test_mean_over_present_classes():
    boxes = truth(TWO[0], Box(2, 100, 100, 140, 140))
    scores = evaluate(boxes, [detection(0, [10, 10, 40, 40], 0.9)], CLASSES).scores
    assert (scores.ap50["person"], scores.ap50["car"]) == (pytest.approx(1), 0)
    assert scores.map50 == pytest.approx(0.5)


def test_no_detections_is_zero_for_present_classes(capsys):
    scores = evaluate(truth(*TWO), [], CLASSES).scores
    assert scores.ap50["person"] == scores.map50 == scores.map == 0
    assert math.isnan(scores.ap["bicycle"])
    assert capsys.readouterr().out == ""


def test_nothing_to_find_is_nan_and_json_has_null():
    scores = evaluate(truth(), [detection(0, [1, 1, 9, 9], 0.5)], CLASSES).scores
    assert math.isnan(scores.map50)
    text = json.dumps(scores.to_dict(), allow_nan=False)
    assert json.loads(text)["AP50"] == {"person": None, "bicycle": None, "car": None}


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (detection(0, [1, 1, 2, 2], 0.5, "two"), 'image "two", which has no ground truth'),
        (detection(3, [1, 1, 2, 2], 0.5), "category 4, which is not between 1 and 3"),
        (detection(0, [1, 1, 2, 2], math.nan), "not finite"),
    ],
)
def test_bad_detections(bad, message):
    with pytest.raises(InputError, match=message):
        evaluate(truth(*TWO), [bad], CLASSES)


def test_no_images():
    with pytest.raises(InputError, match="no image"):
        evaluate(coco_ground_truth({}, CLASSES), [], CLASSES)


def random_case(seed: int, *, images: int, objects: int, found: int, ties: bool = False) -> tuple:
    """Ground truth of classes 1 and 2 of CLASSES, and detections near it, beside it, and tiny."""
    rng = np.random.default_rng(seed)
    annotations, detections = {}, []
    for name in (f"{number:03d}" for number in range(images)):
        corners = rng.uniform(0, 150, (rng.integers(0, objects + 1), 2))
        sizes = rng.uniform(0.5, 50, corners.shape)
        boxes = tuple(
            Box(int(rng.integers(0, 2)), *map(float, (*corner, *(corner + size))))
            for corner, size in zip(corners, sizes, strict=True)
        )
        annotations[name] = Annotation(200, 200, boxes)
        for _ in range(rng.integers(0, found + 1)):
            x, y, width, height = rng.uniform(0.01, 60, 4)
            label = int(rng.integers(0, 3))
            if boxes and rng.random() < 0.7:
                box = boxes[rng.integers(len(boxes))]
                label = box.label
                x, y = box.x1 + rng.normal(0, 2), box.y1 + rng.normal(0, 2)
                width, height = (box.x2 - box.x1) * 1.1, (box.y2 - box.y1) * 0.95
            score = round(float(rng.random()), 1) if ties else float(rng.random())
            detections.append(detection(label, [x, y, width, height], score, name))
    rng.shuffle(detections)
    return coco_ground_truth(annotations, CLASSES), detections


def pycocotools_precision(ground_truth: dict, detections: list[dict]) -> np.ndarray:
    """What the reference implementation, left as it comes, makes of the same detections."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    ids = {image["file_name"]: image["id"] for image in ground_truth["images"]}
    rows = [
        {**item, "id": n, "image_id": ids[item["image"]], "area": item["bbox"][2] * item["bbox"][3]}
        for n, item in enumerate(detections, start=1)
    ]
    sides = []
    for annotations in (ground_truth["annotations"], [{**row, "iscrowd": 0} for row in rows]):
        coco = COCO()
        coco.dataset = copy.deepcopy({**ground_truth, "annotations": annotations})
        coco.createIndex()
        sides.append(coco)
    evaluation = COCOeval(*sides, iouType="bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation.eval["precision"][..., 0, -1]


CASES = {
    "usual": {"images": 12, "objects": 6, "found": 20},
    "ties": {"images": 12, "objects": 6, "found": 20, "ties": True},
    "crowded": {"images": 2, "objects": 30, "found": 600},  # over 100 of a class in an image
    "crowded ties": {"images": 2, "objects": 30, "found": 600, "ties": True},
    "nothing found": {"images": 4, "objects": 5, "found": 0},
    "nothing to find": {"images": 4, "objects": 0, "found": 9},
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("case", CASES)
def test_the_whole_precision_is_that_of_pycocotools(case, engine, capfd):
    for seed in range(8):
        ground_truth, found = random_case(seed, **CASES[case])
        before = copy.deepcopy((ground_truth, found))
        evaluation = evaluate(ground_truth, found, CLASSES, engine)
        assert (ground_truth, found) == before
        assert capfd.readouterr() == ("", "")
        theirs = pycocotools_precision(ground_truth, found)
        capfd.readouterr()  # what that printed
        assert theirs.shape == (10, 101, 3)
        scores, curves = evaluation.scores, evaluation.curves.precision
        for k, name in enumerate(CLASSES):
            present = theirs[0, :, k].min() > -1
            assert math.isnan(scores.ap50[name]) == math.isnan(scores.ap[name]) != present
            assert (name in curves) == present
            if present:
                np.testing.assert_allclose(curves[name], theirs[0, :, k], rtol=0, atol=1e-12)
                by_iou = theirs[:, :, k].mean(axis=1)
                assert scores.ap50[name] == pytest.approx(by_iou[0], rel=0, abs=1e-12)
                assert scores.ap[name] == pytest.approx(by_iou.mean(), rel=0, abs=1e-12)


def test_the_engines_are_two(monkeypatch):
    """The fast one must not stand in for the reference, nor the other way round."""
    ground_truth, found = random_case(0, **CASES["usual"])
    for engine, other in (("faster", "pycocotools.cocoeval"), ("pycocotools", "faster_coco_eval")):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, other, None)
            assert evaluate(ground_truth, found, CLASSES, engine).scores.map50 > 0


def test_the_random_cases_are_hard():
    """The comparison above means nothing unless its cases have what it is about."""
    ground_truth, found = random_case(0, **CASES["crowded ties"])
    counts = Counter((item["image"], item["category_id"]) for item in found)
    assert max(counts.values()) > 100
    assert len({item["score"] for item in found}) <= 11
    scores = evaluate(ground_truth, found, CLASSES).scores
    assert 0.1 < scores.map50 < 0.99
    assert math.isnan(scores.ap50["car"])


def test_precision_recall_curve():
    found = [detection(0, [10, 10, 40, 40], 0.9), detection(0, [150, 10, 20, 20], 0.8)]
    curves = evaluate(truth(*TWO), found, CLASSES).curves
    assert list(curves.precision) == ["person"]
    assert len(curves.recall) == len(curves.precision["person"]) == 101
    assert curves.recall[50] == pytest.approx(0.5)
    assert curves.precision["person"][50] == pytest.approx(1)
    assert curves.precision["person"][51] == 0


def test_half_an_overlap_is_a_match_and_less_is_none():
    box = Box(0, 0, 0, 10, 10)
    assert match([box], [detection(0, [0, 0, 10, 5], 1)]) == [0]
    assert match([box], [detection(0, [0, 0, 10, 4.9], 1)]) == [None]
    assert match([box], [detection(0, [20, 20, 10, 5], 1)]) == [None]
    assert match([], [detection(0, [20, 20, 10, 5], 1)]) == [None]
    assert match([box], []) == []


def test_match_takes_each_object_once():
    found = [
        detection(0, [10, 10, 40, 40], 0.9),
        detection(0, [10, 10, 40, 40], 0.8),
        detection(1, [100, 100, 40, 40], 0.7),
        detection(0, [100, 100, 40, 40], 0.6),
    ]
    assert match(TWO, found) == [0, None, None, 1]


@pytest.mark.parametrize("case", CASES)
def test_a_whole_set_is_matched_as_its_images_are(case):
    ground_truth, found = random_case(3, **CASES[case])
    taken = boxes_found(rankings(ground_truth, found, CLASSES), len(found))
    for image in ground_truth["images"]:
        kept = ground_truth["annotations"]
        own = [n for n, box in enumerate(kept) if box["image_id"] == image["id"]]
        boxes = []
        for n in own:
            x, y, width, height = kept[n]["bbox"]
            label = kept[n]["category_id"] - 1
            boxes.append(Box(label, x, y, x + width, y + height))
        mine = [n for n, item in enumerate(found) if item["image"] == image["file_name"]]
        alone = match(boxes, [found[n] for n in mine])
        assert [None if n is None else own[n] for n in alone] == [taken[n] for n in mine]
    assert (case.startswith("nothing")) == (set(taken) <= {None})


@pytest.mark.parametrize("shape", [(200, 200), (200, 200, 3)])
def test_draw_detections_tells_hits_from_misses(shape):
    image = np.full(shape, 90, np.uint8)
    before = image.copy()
    found = [detection(0, [10, 10, 40, 40], 0.9), detection(2, [150, 20, 30, 30], 0.6)]
    unsure = detection(1, [60, 150, 30, 30], 0.1)
    picture = draw_detections(image, TWO, [*found, unsure], CLASSES)
    assert picture.shape == (1000, 960, 3)
    assert (image == before).all()
    hit, false, missed = (
        (np.abs(picture[40:].astype(int) - rgb(colour)).sum(-1) < 60).sum()
        for colour in (HIT, FALSE_ALARM, MISSED)
    )
    assert min(hit, false, missed) > 300
    without = draw_detections(image, TWO, found, CLASSES)
    assert (picture == without).all()  # what is below the confidence is not drawn
