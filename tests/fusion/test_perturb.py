from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from fusion.errors import InputError
from fusion.pairs import Image
from fusion.perturb import Perturbation, perturb

NAMES = [f"{number:05d}" for number in range(40)]
STRONG = [
    Perturbation("shift", 3),
    Perturbation("rotation", 7),
    Perturbation("infrared_noise", 12),
    Perturbation("visible_darkening", 0.5),
    Perturbation("lost", "infrared"),
    Perturbation("lost", "visible"),
]


def picture(height: int = 40, width: int = 56, channels: int = 0) -> Image:
    shape = (height, width, channels) if channels else (height, width)
    return np.random.default_rng(1).integers(0, 256, shape, np.uint8)


def moved(image: Image, right: int, down: int) -> Image:
    """The image moved by slicing, with its edges mirrored (the outermost line not repeated)."""
    pad = max(abs(right), abs(down))
    around = [(pad, pad), (pad, pad), (0, 0)][: image.ndim]
    wide = np.pad(image, around, mode="reflect")
    height, width = image.shape[:2]
    return wide[pad - down : pad - down + height, pad - right : pad - right + width]


@pytest.mark.parametrize("channels", [0, 3])
@pytest.mark.parametrize("pixels", [1, 4, 8])
def test_a_shift_by_whole_pixels_is_a_slice_in_each_of_four_directions(
    pixels: int, channels: int
) -> None:
    image = picture(channels=channels)
    ways = [(pixels, 0), (0, pixels), (-pixels, 0), (0, -pixels)]
    expected = [moved(image, *way) for way in ways]
    taken = set()
    for name in NAMES:
        found = perturb(image, Perturbation("shift", pixels), name)
        (way,) = [i for i, one in enumerate(expected) if np.array_equal(one, found)]
        taken.add(way)
    assert taken == {0, 1, 2, 3}


def test_half_a_pixel_is_the_mean_of_two() -> None:
    image = np.tile(np.array([10, 20], np.uint8), (8, 8))
    level = {int(perturb(image, Perturbation("shift", 0.5), name)[4, 8]) for name in NAMES}
    assert level <= {10, 15, 20}
    assert 15 in level


def test_a_quarter_turn_is_exact_and_goes_either_way() -> None:
    image = picture(33, 33)
    ways = set()
    for name in NAMES:
        found = perturb(image, Perturbation("rotation", 90), name)
        ways |= {k for k in (1, 3) if np.array_equal(found, np.rot90(image, k))}
    assert ways == {1, 3}


def test_a_turn_keeps_the_centre_and_reflects_at_the_border() -> None:
    image = np.full((41, 61), 50, np.uint8)
    image[18:23, 28:33] = 200
    found = perturb(image, Perturbation("rotation", 5), "a")
    assert found[20, 30] == 200
    assert set(np.unique(found[:10])) == {50}  # no black corner


def test_a_turn_by_next_to_nothing_changes_nothing() -> None:
    image = picture()
    assert np.array_equal(perturb(image, Perturbation("rotation", 1e-6), "a"), image)


@pytest.mark.parametrize("deviation", [5.0, 15.0, 30.0])
def test_noise_has_the_stated_deviation_and_no_mean(deviation: float) -> None:
    gray = np.full((200, 200), 128, np.uint8)
    noise = perturb(gray, Perturbation("infrared_noise", deviation), "a").astype(float) - 128
    assert noise.std() == pytest.approx(deviation, rel=0.02)
    assert abs(noise.mean()) < 4 * deviation / 200
    # neighbours are independent: 4 standard errors of a correlation of 40000 pairs
    assert abs(np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1]) < 0.02


def test_noise_is_clipped_not_wrapped_and_keeps_gray_gray() -> None:
    gray = np.repeat(np.full((64, 64, 1), 3, np.uint8), 3, axis=2)
    found = perturb(gray, Perturbation("infrared_noise", 30), "a")
    assert np.array_equal(found[..., 0], found[..., 1])
    assert np.array_equal(found[..., 0], found[..., 2])
    assert found.min() == 0
    assert found.max() < 200


@pytest.mark.parametrize(
    ("share", "levels"),
    [
        # sRGB by hand: 255 is light 1, of which half is left: 1.055 * 0.5 ** (1 / 2.4) - 0.055
        (0.5, {0: 0, 8: 4, 128: 92, 255: 188}),
        (0.75, {0: 0, 255: 137}),
        (1.0, {0: 0, 128: 0, 255: 0}),
    ],
)
def test_darkening_takes_linear_light(share: float, levels: dict[int, int]) -> None:
    image = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    found = perturb(image, Perturbation("visible_darkening", share), "a")
    assert {level: int(found[0, level, 1]) for level in levels} == levels
    assert (np.diff(found[0, :, 0].astype(int)) >= 0).all()
    assert found.shape == image.shape


def test_a_lost_image_is_black() -> None:
    for perturbation in STRONG[-2:]:
        found = perturb(picture(channels=3), perturbation, "a")
        assert not found.any()
        assert found.shape == (40, 56, 3)
        assert found.dtype == np.uint8


@pytest.mark.parametrize("perturbation", STRONG, ids=lambda p: p.label)
def test_the_image_itself_is_left_alone(perturbation: Perturbation) -> None:
    image = picture(channels=3)
    kept = image.copy()
    found = perturb(image, perturbation, "a")
    assert np.array_equal(image, kept)
    assert not np.array_equal(found, kept)
    assert found.shape == kept.shape
    assert found.dtype == np.uint8
    assert found.flags["C_CONTIGUOUS"]


def test_results_depend_on_the_name_not_on_the_order() -> None:
    image = picture()
    for perturbation in STRONG[:3]:
        forth = {name: perturb(image, perturbation, name).tobytes() for name in NAMES}
        back = {name: perturb(image, perturbation, name).tobytes() for name in reversed(NAMES)}
        assert forth == back
        assert len(set(forth.values())) > 1
    noise = {perturb(image, STRONG[2], name).tobytes() for name in NAMES}
    assert len(noise) == len(NAMES)


def test_a_stronger_one_goes_the_same_way() -> None:
    gray = np.full((64, 64), 128, np.uint8)
    weak, strong = (
        perturb(gray, Perturbation("infrared_noise", sd), "a").astype(float) - 128 for sd in (5, 20)
    )
    assert np.abs(strong - 4 * weak).max() <= 2.5  # of which 0.5 and 4 x 0.5 are rounding
    image = picture()
    for name in NAMES[:8]:
        twice = perturb(image, Perturbation("shift", 4), name)
        once = perturb(image, Perturbation("shift", 2), name)
        again = perturb(once, Perturbation("shift", 2), name)
        assert np.array_equal(again[8:-8, 8:-8], twice[8:-8, 8:-8])


def test_another_process_draws_the_same() -> None:
    code = (
        "import hashlib, numpy as np\n"
        "from fusion.perturb import Perturbation, perturb\n"
        "image = np.random.default_rng(1).integers(0, 256, (40, 56), np.uint8)\n"
        "for kind, strength in (('rotation', 7), ('infrared_noise', 12), ('shift', 3)):\n"
        "    found = perturb(image, Perturbation(kind, strength), '00007')\n"
        "    print(hashlib.sha256(found.tobytes()).hexdigest())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    here = [perturb(picture(), STRONG[i], "00007").tobytes() for i in (1, 2, 0)]
    assert done.stdout.split() == [hashlib.sha256(found).hexdigest() for found in here]


def test_what_is_disturbed_and_what_it_is_called() -> None:
    told = [(one.modality, one.label) for one in STRONG]
    assert told == [
        ("infrared", "shift 3 px"),
        ("infrared", "rotation 7°"),
        ("infrared", "noise 12"),
        ("visible", "dark 50 %"),
        ("infrared", "no infrared"),
        ("visible", "no visible"),
    ]


@pytest.mark.parametrize(
    ("kind", "strength", "sentence"),
    [
        ("shfit", 2.0, 'There is no perturbation "shfit". Did you mean "shift"? Available: infra'),
        ("shift", 0.0, "shift is 0.0; use finite numbers above 0 (0 is the clean result"),
        ("shift", -2.0, "shift is -2.0; use finite numbers above 0"),
        ("shift", float("inf"), "shift is inf; use finite numbers"),
        ("rotation", float("nan"), "rotation is nan; use finite numbers above 0 and at most 180"),
        ("rotation", 200.0, "rotation is 200.0; use finite numbers above 0 and at most 180"),
        ("infrared_noise", 300.0, "infrared_noise is 300.0; use finite numbers above 0 and at m"),
        ("visible_darkening", 1.5, "visible_darkening is 1.5; use finite numbers above 0 and at m"),
        ("shift", "visible", "shift is 'visible'; use finite numbers"),
        ("lost", 1.0, 'lost is 1.0; use "infrared" or "visible".'),
        ("lost", "thermal", "lost is 'thermal'; use"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(
    kind: str, strength: float | str, sentence: str
) -> None:
    with pytest.raises(InputError) as caught:
        Perturbation(kind, strength)  # type: ignore[arg-type]
    assert str(caught.value).startswith(sentence)
