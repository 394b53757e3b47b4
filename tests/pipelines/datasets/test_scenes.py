from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
import yaml
from defusedxml import ElementTree

from fusion.errors import InputError
from fusion.pairs import list_pairs, luminance, read_gray, read_rgb
from pipelines.datasets.scenes import scene as scenes
from pipelines.datasets.scenes.canvas import (
    Camera,
    Canvas,
    box_blur,
    halve,
    rectangle,
)
from pipelines.datasets.scenes.scene import BOX_CLASSES, MASK_IDS, Scene, draw_scene
from pipelines.datasets.scenes.vehicles import Vehicle, draw_vehicle
from pipelines.datasets.scenes.writing import write_scenes

SEED, MANY = 5, 36
PINNED = "17229bc1f56ce081f3f71d4ba437ede9c6e1ee47056c6b5c862b194f342b42f7"


def digest(scene: Scene) -> str:
    parts = [scene.visible.tobytes(), scene.infrared.tobytes(), scene.mask.tobytes()]
    return hashlib.sha256(b"".join([*parts, repr(scene.boxes).encode()])).hexdigest()


@pytest.fixture(scope="module")
def many() -> list[Scene]:
    return [draw_scene(SEED, index, 128, 160) for index in range(MANY)]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    write_scenes(folder, seed=SEED, train=5, val=2, test=3, height=96, width=112)
    return folder


def test_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    assert digest(draw_scene(1, 3, 96, 112)) == digest(draw_scene(1, 3, 96, 112))
    assert digest(draw_scene(1, 3, 96, 112)) != digest(draw_scene(2, 3, 96, 112))
    assert digest(draw_scene(1, 3, 96, 112)) != digest(draw_scene(1, 5, 96, 112))


def test_bytes_change_only_with_the_version() -> None:
    assert scenes.SCENES_VERSION == 1
    assert digest(draw_scene(0, 1, 96, 112)) == PINNED


def test_a_scene_has_the_asked_size_and_types() -> None:
    scene = draw_scene(0, 0, 101, 133)
    assert scene.visible.shape == (101, 133, 3)
    assert scene.infrared.shape == scene.mask.shape == (101, 133)
    assert {a.dtype for a in (scene.visible, scene.infrared, scene.mask)} == {np.dtype(np.uint8)}


def test_too_small_a_scene_is_refused() -> None:
    with pytest.raises(InputError, match="200x95 are too small"):
        draw_scene(0, 0, 95, 200)


def test_half_the_scenes_are_dark(many: list[Scene]) -> None:
    for scene in many:
        dark = bool(luminance(scene.visible).mean() < 52)
        assert dark == scene.name.endswith("N"), scene.name
    assert sum(scene.name.endswith("N") for scene in many) == MANY // 2


def test_every_class_appears_in_boxes_and_masks(many: list[Scene]) -> None:
    assert {box[0] for scene in many for box in scene.boxes} == set(BOX_CLASSES)
    ids = {int(i) for scene in many for i in np.unique(scene.mask)}
    assert ids == set(range(9)) == {0, *MASK_IDS.values()}


def test_boxes_agree_with_the_mask(many: list[Scene]) -> None:
    """Each side of a box is touched by its class; Lamp is a box without a mask."""
    for scene in many:
        for name, x1, y1, x2, y2 in scene.boxes:
            assert 0 <= x1 < x2 <= 160
            assert 0 <= y1 < y2 <= 128
            if name != "Lamp":
                inside = scene.mask[y1:y2, x1:x2] == MASK_IDS[name]
                assert all(
                    edge.any() for edge in (inside[0], inside[-1], inside.T[0], inside.T[-1])
                )
                assert inside.sum() >= 12


def painted(*covers: float) -> Canvas:
    """Draw a car of 40 x 20 canvas pixels and cover these shares of it from the left."""
    canvas = Canvas(96, 96, Camera(96, 60, 150, 2.5, 0), night=False)
    with canvas.thing("Car"):
        canvas.paint(rectangle(20, 100, 59, 119), (200, 0, 0))
    for share in covers:
        canvas.paint(rectangle(20, 100, 19 + 40 * share, 119), (0, 0, 0))
    return canvas


@pytest.mark.parametrize(
    ("covers", "boxes"),
    [((), [(10, 50, 30, 60)]), ((0.5,), [(20, 50, 30, 60)]), ((0.75,), [])],
)
def test_a_box_is_what_is_seen_of_a_thing(
    covers: tuple[float, ...], boxes: list[tuple[int, int, int, int]]
) -> None:
    canvas = painted(*covers)
    assert [box[1:] for box in scenes.seen_boxes(canvas)] == boxes
    assert (scenes.seen_mask(canvas) == 1).sum() == round(200 * (1 - sum(covers)))


def test_a_tiny_thing_has_no_box() -> None:
    canvas = Canvas(96, 96, Camera(96, 60, 150, 2.5, 0), night=False)
    with canvas.thing("Lamp"):
        canvas.paint(rectangle(20, 20, 25, 25), (200, 0, 0))  # 3 x 3 after halving
    assert scenes.seen_boxes(canvas) == ()


def contrast(image: np.ndarray, inside: np.ndarray) -> float:
    """Return how far the mean inside lies from the mean of a ring around it."""
    around = (box_blur(inside.astype(np.int32) * 1000, 4) > 0) & ~inside
    return abs(float(image[inside].mean()) - float(image[around].mean()))


def contrasts(many: list[Scene], night: bool, classes: set[str]) -> tuple[float, float]:
    """Return the mean contrast of all boxed things of `classes` in infrared and in visible."""
    found = []
    for scene in many:
        for name, x1, y1, x2, y2 in scene.boxes:
            if name in classes and scene.name.endswith("N") == night:
                inside = np.zeros(scene.mask.shape, bool)
                inside[y1:y2, x1:x2] = True
                if name != "Lamp":
                    inside &= scene.mask == MASK_IDS[name]
                gray = luminance(scene.visible)
                found.append((contrast(scene.infrared, inside), contrast(gray, inside)))
    infrared, visible = np.mean(found, axis=0)
    return float(infrared), float(visible)


def test_people_and_motorcycles_glow_at_night_and_vanish_in_the_visible_image(
    many: list[Scene],
) -> None:
    infrared, visible = contrasts(many, True, {"People", "Motorcycle"})
    assert infrared > 4 * visible
    assert infrared > 40


def test_running_and_camouflaged_things_glow_by_day_too(many: list[Scene]) -> None:
    infrared, visible = contrasts(many, False, {"People", "Motorcycle"})
    assert infrared > 2 * visible


def car_contrasts(running: bool) -> tuple[float, float]:
    """Return the contrast of one car in infrared and in visible."""
    canvas = Canvas(96, 128, Camera(128, 70, 220, 2.5, 0), night=False)
    canvas.albedo[:], canvas.heat[:], canvas.light[:] = 90, 40, 255
    canvas.freeze()
    draw_vehicle(canvas, Vehicle("Car", 0, 9, "away", running, False, (200, 40, 30)), 120)
    rng, inside = np.random.default_rng(0), scenes.seen_mask(canvas) == 1
    gray = luminance(canvas.visible(rng))
    return contrast(canvas.infrared(rng), inside), contrast(gray, inside)


def test_only_a_running_car_shows_in_infrared() -> None:
    parked, running = car_contrasts(running=False), car_contrasts(running=True)
    assert parked[0] < 1.5
    assert running[0] > 15
    assert min(parked[1], running[1]) > 10


@pytest.mark.parametrize("night", [True, False])
def test_lamps_vanish_in_the_infrared_image(many: list[Scene], night: bool) -> None:
    infrared, visible = contrasts(many, night, {"Lamp"})
    assert visible > 3 * infrared


@pytest.mark.parametrize("night", [True, False])
def test_what_lies_on_the_road_vanishes_in_the_infrared_image(
    many: list[Scene], night: bool
) -> None:
    cold = [MASK_IDS[k] for k in ("Curve", "Car Stop", "Guardrail", "Color Cone", "Bump")]
    found = []
    for scene in many:
        for value in cold:
            inside = scene.mask == value
            if scene.name.endswith("N") == night and inside.sum() >= 20:
                gray = luminance(scene.visible)
                found.append((contrast(scene.infrared, inside), contrast(gray, inside)))
    infrared, visible = np.mean(found, axis=0)
    assert visible > 3 * infrared


def test_the_folders_are_complete(root: Path) -> None:
    names = {pair.name for pair in list_pairs(root / "m3fd/Ir", root / "m3fd/Vis")}
    assert names == {f"{i:05d}{'DN'[i % 2]}" for i in range(10)}
    assert {p.stem for p in (root / "m3fd/Annotation").glob("*.xml")} == names
    split = yaml.safe_load((root / "m3fd/split.yaml").read_text())
    assert (split["version"], split["seed"], split["method"]) == (1, SEED, "as drawn")
    assert [len(split[part]) for part in ("train", "val", "test")] == [5, 2, 3]
    for part, kept in (("train", split["train"] + split["val"]), ("test", split["test"])):
        for folder in ("ir", "vi", "Segmentation_labels"):
            assert sorted(p.stem for p in (root / "msrs" / part / folder).iterdir()) == sorted(kept)


def test_m3fd_and_msrs_hold_the_scenes_that_are_drawn(root: Path) -> None:
    for index in range(10):
        scene = draw_scene(SEED, index, 96, 112)
        msrs, file = root / "msrs" / ("test" if index >= 7 else "train"), f"{scene.name}.png"
        for folder in (root / "m3fd/Vis", msrs / "vi"):
            np.testing.assert_array_equal(read_rgb(folder / file), scene.visible)
        for folder in (root / "m3fd/Ir", msrs / "ir"):
            np.testing.assert_array_equal(read_gray(folder / file), scene.infrared)
        np.testing.assert_array_equal(read_gray(msrs / "Segmentation_labels" / file), scene.mask)


def test_annotations_are_voc(root: Path) -> None:
    for index in range(10):
        scene = draw_scene(SEED, index, 96, 112)
        top = ElementTree.parse(root / f"m3fd/Annotation/{scene.name}.xml").getroot()
        assert top.findtext("filename") == f"{scene.name}.png"
        assert [top.findtext(f"size/{k}") for k in ("width", "height", "depth")] == [
            "112", "96", "3",
        ]  # fmt: skip
        read = []
        for thing in top.iter("object"):
            x1, y1, x2, y2 = (
                int(thing.findtext(f"bndbox/{k}")) for k in ("xmin", "ymin", "xmax", "ymax")
            )
            assert 1 <= x1 <= x2 <= 112
            assert 1 <= y1 <= y2 <= 96
            read.append((thing.findtext("name"), x1 - 1, y1 - 1, x2, y2))
        assert tuple(read) == scene.boxes


def test_progress_is_told_and_the_target_is_not_overwritten(tmp_path: Path) -> None:
    told: list[int] = []
    ask = {"seed": 0, "train": 1, "val": 0, "test": 1, "height": 96, "width": 96}
    write_scenes(tmp_path, **ask, on_progress=told.append)
    assert told == [1, 2]
    with pytest.raises(InputError, match="m3fd already exists"):
        write_scenes(tmp_path, **ask)


@pytest.mark.parametrize(("train", "test"), [(-1, 2), (0, 0), (99_999, 1)])
def test_counts_out_of_range_are_refused(tmp_path: Path, train: int, test: int) -> None:
    with pytest.raises(InputError, match="1 to 99999 in all"):
        write_scenes(tmp_path, seed=0, train=train, val=0, test=test, height=96, width=96)
    assert not any(tmp_path.iterdir())


def test_without_hard_links_the_files_are_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    write_scenes(tmp_path, seed=0, train=1, val=0, test=0, height=96, width=96)
    first, second = tmp_path / "m3fd/Vis/00000D.png", tmp_path / "msrs/train/vi/00000D.png"
    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_ino != second.stat().st_ino


def test_blur_and_halving_are_exact_means() -> None:
    image = np.arange(36, dtype=np.int32).reshape(6, 6)
    assert box_blur(image, 1)[2, 3] == image[1:4, 2:5].mean()
    np.testing.assert_array_equal(box_blur(image, 0), image)
    assert halve(image)[1, 1] == (image[2:4, 2:4].sum() + 2) // 4
