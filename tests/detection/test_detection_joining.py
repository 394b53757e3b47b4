"""Boxes of two detectors, joined by weighted box fusion; the numbers are worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from detection.joining import join_boxes

SIZES = {"a": (100, 50), "b": (200, 100)}


def box(image: str, bbox: list[float], score: float, label: int = 1) -> dict[str, Any]:
    return {"image": image, "category_id": label, "bbox": bbox, "score": score}


def test_two_boxes_of_one_object_become_their_mean_weighted_by_score() -> None:
    first, second = box("a", [10, 10, 20, 20], 0.9), box("a", [14, 10, 20, 20], 0.3)
    (joined,) = join_boxes([[first], [second]], SIZES)
    # x from (0.9 * 10 + 0.3 * 14) / 1.2, score (0.9 + 0.3) / 2
    assert joined["bbox"] == pytest.approx([11, 10, 20, 20], abs=1e-4)
    assert joined["score"] == pytest.approx(0.6)
    assert (joined["image"], joined["category_id"]) == ("a", 1)


def test_a_box_that_one_detector_finds_alone_gets_half_its_score() -> None:
    joined = join_boxes([[box("b", [0, 0, 50, 50], 0.8)], []], SIZES)
    assert [one["score"] for one in joined] == pytest.approx([0.4])
    assert joined[0]["bbox"] == pytest.approx([0, 0, 50, 50], abs=1e-4)


def test_boxes_of_other_classes_images_and_places_stay_apart() -> None:
    first = [box("a", [10, 10, 20, 20], 0.9), box("b", [10, 10, 20, 20], 0.9)]
    second = [box("a", [10, 10, 20, 20], 0.8, label=2), box("a", [60, 10, 20, 20], 0.7)]
    joined = join_boxes([first, second], SIZES)
    found = [(one["image"], one["category_id"], round(one["score"], 3)) for one in joined]
    assert found == [("a", 1, 0.45), ("a", 2, 0.4), ("a", 1, 0.35), ("b", 1, 0.45)]


@pytest.mark.parametrize(("shift", "boxes"), [(5.0, 1), (6.0, 2)])
def test_boxes_are_of_one_object_from_an_overlap_of_55_percent(shift: float, boxes: int) -> None:
    # Two squares of 20, moved by 5: 300 / 500 = 0.6; by 6: 280 / 520 = 0.54.
    first, second = box("a", [10, 10, 20, 20], 0.9), box("a", [10 + shift, 10, 20, 20], 0.9)
    assert len(join_boxes([[first], [second]], SIZES)) == boxes


def test_edges_that_rounding_leads_outside_are_taken_back() -> None:
    outside = box("a", [-0.001, 0, 100.002, 50.001], 0.9)
    (joined,) = join_boxes([[outside], [outside]], SIZES)
    assert joined["bbox"] == pytest.approx([0, 0, 100, 50], abs=1e-4)


def test_an_image_keeps_no_more_boxes_than_of_one_detector() -> None:
    many = [box("b", [(n % 20) * 10, (n // 20) * 5, 8, 4], 0.5, 1 + n % 7) for n in range(400)]
    assert len(join_boxes([many, []], SIZES)) == 300
    assert join_boxes([[], []], SIZES) == []
