"""IoU: by hand, against a naive loop, absent classes, whole sets."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from fusion.errors import InputError
from fusion.palette import MASKS
from segmentation.datasets import write_mask
from segmentation.iou import class_iou, confusion_matrix, evaluate, scores

NAMES = ("sky", "car", "person")


def test_by_hand() -> None:
    truth = np.array([[0, 0, 0, 1], [1, 1, 2, 2]], dtype=np.uint8)
    guess = np.array([[0, 0, 1, 1], [1, 0, 2, 0]], dtype=np.uint8)
    confusion = confusion_matrix(truth, guess, 3)
    assert confusion.dtype == np.int64
    assert confusion.tolist() == [[2, 1, 0], [1, 2, 0], [1, 0, 1]]
    result = scores(confusion, NAMES)
    assert result.iou == pytest.approx({"sky": 2 / 5, "car": 2 / 4, "person": 1 / 2})
    assert result.miou == pytest.approx(1.4 / 3)
    assert result.miou_foreground == pytest.approx(0.5)


def test_against_a_naive_loop() -> None:
    rng = np.random.default_rng(3)
    truth, guess = rng.integers(0, 5, (2, 4, 37, 41), dtype=np.uint8)
    naive = [[int(((truth == r) & (guess == c)).sum()) for c in range(5)] for r in range(5)]
    confusion = confusion_matrix(truth, guess, 5)
    assert confusion.tolist() == naive
    result = scores(confusion, "abcde")
    for c, name in enumerate("abcde"):
        both, either = (truth == c) & (guess == c), (truth == c) | (guess == c)
        assert result.iou[name] == both.sum() / either.sum()


def test_many_classes_do_not_overflow_the_pixel_type() -> None:
    truth = np.full((2, 2), 200, dtype=np.uint8)
    assert confusion_matrix(truth, truth, 250)[200, 200] == 4


def test_an_absent_class_is_nan_and_left_out() -> None:
    # "person" is never true; the one pixel predicted so still costs "car" a miss.
    result = scores(np.array([[4, 0, 0], [0, 1, 1], [0, 0, 0]]), NAMES)
    assert math.isnan(result.iou["person"])
    assert result.miou == pytest.approx((1 + 0.5) / 2)
    assert result.miou_foreground == pytest.approx(0.5)
    plain = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert plain["iou"] == {"sky": 1.0, "car": 0.5, "person": None}
    assert plain["confusion"] == [[4, 0, 0], [0, 1, 1], [0, 0, 0]]


def test_background_alone_has_no_foreground_mean() -> None:
    result = scores(np.diag([5, 0, 0]), NAMES)
    assert result.miou == 1.0
    assert math.isnan(result.miou_foreground)
    assert result.to_dict()["miou_foreground"] is None


def test_class_iou_works_on_stacks() -> None:
    stack = np.random.default_rng(1).integers(0, 9, (6, 3, 3))
    assert np.array_equal(class_iou(stack), np.stack([class_iou(one) for one in stack]))


def test_bad_arrays_are_refused() -> None:
    one = np.zeros((2, 2), dtype=np.int64)
    with pytest.raises(InputError, match=r"shape \(2, 2\) but the prediction \(1, 2\)"):
        confusion_matrix(one, one[:1], 3)
    for bad in (-1, 3):
        with pytest.raises(InputError, match=r"truth holds ids outside 0\.\.2"):
            confusion_matrix(one + bad, one, 3)
        with pytest.raises(InputError, match=r"prediction holds ids outside 0\.\.2"):
            confusion_matrix(one, one + bad, 3)


def test_names_must_fit_the_matrix() -> None:
    for names in (("a", "b"), ("a", "b", "a")):
        with pytest.raises(InputError, match="one distinct name per class"):
            scores(np.eye(3, dtype=np.int64), names)


def folder(root: Path, seed: int, count: int = 3) -> dict[str, Path]:
    root.mkdir()
    rng = np.random.default_rng(seed)
    files = {f"i{n}": root / f"i{n}.png" for n in range(count)}
    for n, path in enumerate(files.values()):
        write_mask(path, rng.integers(0, 3, (8 + n, 10), dtype=np.uint8), MASKS)
    return files


def test_evaluate_sums_one_matrix_over_the_set(tmp_path: Path) -> None:
    truth, guess = folder(tmp_path / "t", 0), folder(tmp_path / "p", 1)
    result, per_image = evaluate(dict(reversed(truth.items())), guess, NAMES)
    assert per_image.shape == (3, 3, 3)
    assert per_image.dtype == np.int64
    assert per_image.sum(axis=(1, 2)).tolist() == [80, 90, 100]
    assert np.array_equal(result.confusion, per_image.sum(axis=0))
    assert result.miou == scores(per_image.sum(axis=0), NAMES).miou
    assert evaluate(truth, truth, NAMES)[0].miou == 1.0


def test_evaluate_refuses_sets_that_do_not_match(tmp_path: Path) -> None:
    truth, guess = folder(tmp_path / "t", 0), folder(tmp_path / "p", 1)
    with pytest.raises(InputError, match='"i1" has a mask but no prediction'):
        evaluate(truth, {k: v for k, v in guess.items() if k != "i1"}, NAMES)
    with pytest.raises(InputError, match='"more" has a prediction but no mask'):
        evaluate(truth, guess | {"more": guess["i0"]}, NAMES)
    with pytest.raises(InputError, match="no true mask"):
        evaluate({}, {}, NAMES)
    with pytest.raises(InputError, match=r"is 10x9 but its image is 10x8"):
        evaluate(truth, guess | {"i0": guess["i1"]}, NAMES)
    with pytest.raises(InputError, match=r"holds class ids 2 but"):
        evaluate(truth, guess, NAMES[:2])
