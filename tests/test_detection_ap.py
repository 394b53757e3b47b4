import json
import math

import numpy as np
import pytest

from detection.ap import average_precision, precision_recall
from detection.datasets import Annotation, Box, coco_ground_truth
from detection.pictures import draw_detections, match, overlap, plot_precision_recall
from fusion.errors import InputError

CLASSES = ("person", "bicycle", "car")


def truth(*boxes: Box) -> dict:
    return coco_ground_truth({"one": Annotation(200, 200, boxes)}, CLASSES)


def detection(label: int, box: list[float], score: float, image: str = "one") -> dict:
    return {"image": image, "category_id": label + 1, "bbox": box, "score": score}


TWO = (Box(0, 10, 10, 50, 50), Box(0, 100, 100, 140, 140))


def test_perfect_detections_and_absent_classes():
    found = [detection(0, [10, 10, 40, 40], 0.9), detection(0, [100, 100, 40, 40], 0.8)]
    scores = average_precision(truth(*TWO), found, CLASSES)
    assert scores.ap50["person"] == scores.ap["person"] == pytest.approx(1)
    assert math.isnan(scores.ap50["bicycle"])
    assert math.isnan(scores.ap["car"])
    assert scores.map50 == scores.map == pytest.approx(1)  # of the class that is present
    assert scores.objects == {"person": 2, "bicycle": 0, "car": 0}


def test_one_of_two_found_is_51_of_101_recalls():
    scores = average_precision(truth(*TWO), [detection(0, [10, 10, 40, 40], 0.9)], CLASSES)
    assert scores.ap50["person"] == pytest.approx(51 / 101)


def test_false_alarm_ranked_first():
    # Precisions along the ranking: 0, 1/2, 2/3; interpolated they are 2/3 at every recall.
    found = [
        detection(0, [150, 10, 20, 20], 0.9),
        detection(0, [10, 10, 40, 40], 0.8),
        detection(0, [100, 100, 40, 40], 0.7),
    ]
    assert average_precision(truth(*TWO), found, CLASSES).ap50["person"] == pytest.approx(2 / 3)


def test_overlap_decides_which_thresholds_count():
    # 40 x 40 against its left 30 columns: IoU 0.75, a hit for 0.50 ... 0.75, six of ten.
    scores = average_precision(truth(TWO[0]), [detection(0, [10, 10, 30, 40], 0.9)], CLASSES)
    assert scores.ap50["person"] == pytest.approx(1)
    assert scores.ap["person"] == pytest.approx(0.6)


def test_wrong_class_is_no_hit_and_counts_against_no_absent_class():
    scores = average_precision(truth(TWO[0]), [detection(2, [10, 10, 40, 40], 0.9)], CLASSES)
    assert scores.ap50["person"] == 0
    assert math.isnan(scores.ap50["car"])
    assert scores.map50 == 0


def test_mean_over_present_classes():
    boxes = truth(TWO[0], Box(2, 100, 100, 140, 140))
    scores = average_precision(boxes, [detection(0, [10, 10, 40, 40], 0.9)], CLASSES)
    assert (scores.ap50["person"], scores.ap50["car"]) == (pytest.approx(1), 0)
    assert scores.map50 == pytest.approx(0.5)


def test_no_detections_is_zero_for_present_classes(capsys):
    scores = average_precision(truth(*TWO), [], CLASSES)
    assert scores.ap50["person"] == scores.map50 == scores.map == 0
    assert math.isnan(scores.ap["bicycle"])
    assert capsys.readouterr().out == ""


def test_nothing_to_find_is_nan_and_json_has_null():
    scores = average_precision(truth(), [detection(0, [1, 1, 9, 9], 0.5)], CLASSES)
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
        average_precision(truth(*TWO), [bad], CLASSES)


def test_no_images():
    with pytest.raises(InputError, match="no image"):
        average_precision(coco_ground_truth({}, CLASSES), [], CLASSES)


def test_precision_recall_curve(tmp_path):
    found = [detection(0, [10, 10, 40, 40], 0.9), detection(0, [150, 10, 20, 20], 0.8)]
    curves = precision_recall(truth(*TWO), found, CLASSES)
    assert list(curves.precision) == ["person"]
    assert len(curves.recall) == len(curves.precision["person"]) == 101
    assert curves.recall[50] == pytest.approx(0.5)
    assert curves.precision["person"][50] == pytest.approx(1)
    assert curves.precision["person"][51] == 0
    plot_precision_recall(curves, tmp_path / "pr.png", "visible")
    assert (tmp_path / "pr.png").stat().st_size > 10_000


def test_overlap_of_half():
    assert overlap(Box(0, 0, 0, 10, 10), detection(0, [0, 0, 10, 5], 1)) == pytest.approx(0.5)
    assert overlap(Box(0, 0, 0, 10, 10), detection(0, [20, 20, 10, 5], 1)) == 0


def test_match_takes_each_object_once():
    found = [
        detection(0, [10, 10, 40, 40], 0.9),
        detection(0, [10, 10, 40, 40], 0.8),
        detection(1, [100, 100, 40, 40], 0.7),
        detection(0, [100, 100, 40, 40], 0.6),
    ]
    assert match(TWO, found) == [0, None, None, 1]


@pytest.mark.parametrize("shape", [(200, 200), (200, 200, 3)])
def test_draw_detections_tells_hits_from_misses(shape):
    image = np.full(shape, 90, np.uint8)
    before = image.copy()
    found = [detection(0, [10, 10, 40, 40], 0.9), detection(2, [150, 20, 30, 30], 0.6)]
    unsure = detection(1, [60, 150, 30, 30], 0.1)
    picture = draw_detections(image, TWO, [*found, unsure], CLASSES)
    assert picture.shape == (1000, 960, 3)
    assert (image == before).all()
    green, red, yellow = (
        (np.abs(picture.astype(int) - color).sum(-1) < 60).sum()
        for color in ((57, 255, 20), (255, 59, 48), (255, 214, 10))
    )
    assert min(green, red, yellow) > 300
    without = draw_detections(image, TWO, found, CLASSES)
    assert (picture == without).all()  # what is below the confidence is not drawn
