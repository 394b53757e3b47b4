"""Undersampling masks: how much they take, where, and what they refuse."""

import numpy as np
import pytest

from fusion.errors import InputError
from fusion.reconstruction.masks import MASK_KINDS, MaskKind, Sampling
from fusion.reconstruction.settings import SamplingSettings


def drawn(kind: MaskKind, acceleration: float, height: int, width: int, seed: int = 0):  # type: ignore[no-untyped-def]
    sampling = Sampling(kind, acceleration, 0.32 / acceleration)
    return np.fft.fftshift(sampling.draw(height, width, np.random.default_rng(seed)))


@pytest.mark.parametrize("kind", MASK_KINDS)
@pytest.mark.parametrize("acceleration", [4, 8])
@pytest.mark.parametrize("size", [(256, 256), (181, 217), (64, 33)])
def test_so_many_samples_are_taken(
    kind: MaskKind, acceleration: float, size: tuple[int, int]
) -> None:
    mask = drawn(kind, acceleration, *size)
    assert mask.shape == size
    number = mask.size if kind == "gaussian" else mask[0].size
    taken = mask.sum() if kind == "gaussian" else mask[0].sum()
    assert taken == round(number / acceleration)
    if kind != "gaussian":
        assert (mask == mask[0]).all()


@pytest.mark.parametrize("kind", MASK_KINDS)
def test_the_centre_is_taken_whole(kind: MaskKind) -> None:
    mask = drawn(kind, 4, 256, 256)
    middle = mask[128 - 8 : 128 + 8, 128 - 8 : 128 + 8]
    assert middle.all()
    assert mask[128, 128]


@pytest.mark.parametrize("kind", MASK_KINDS)
def test_a_mask_follows_its_seed_alone(kind: MaskKind) -> None:
    assert (drawn(kind, 4, 64, 64) == drawn(kind, 4, 64, 64)).all()
    assert (drawn(kind, 4, 64, 64) != drawn(kind, 4, 64, 64, seed=1)).any()


def test_equispaced_columns_are_evenly_spaced() -> None:
    taken = np.flatnonzero(drawn("equispaced", 4, 8, 256)[0])
    outside = taken[taken > 128 + 12]
    assert set(np.diff(outside)) <= {5, 6}  # 44 of 236


def test_gaussian_samples_lie_at_low_frequencies() -> None:
    mask = drawn("gaussian", 4, 256, 256)
    assert mask[96:160, 96:160].mean() > 3 * mask[:32].mean()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("randm", 4, 0.08), 'no undersampling mask "randm". Did you mean "random"'),
        (("random", 1, 0.08), "acceleration is 1; use a finite number above 1"),
        (("random", float("inf"), 0.08), "acceleration is inf"),
        (("random", True, 0.08), "acceleration is True"),
        (("random", 4, 0), "centre_fraction is 0; at acceleration 4 use a number above 0"),
        (("random", 4, 0.25), "below 0.25"),
    ],
)
def test_what_is_out_of_range_is_said(given: tuple[MaskKind, float, float], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Sampling(*given)


@pytest.mark.parametrize("kind", ["random", "equispaced"])
def test_a_mask_larger_than_the_image_is_refused(kind: MaskKind) -> None:
    with pytest.raises(InputError, match="mask is larger than the image: acceleration 100 takes"):
        Sampling(kind, 100, 0.005).draw(64, 32, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"accelerations": (4,)}, "1 accelerations and 2 centre_fractions"),
        ({"accelerations": (4, 4)}, "names one twice"),
        ({"accelerations": (4, 0.5)}, "acceleration is 0.5"),
        ({"centre_fractions": (0.08, 0.2)}, "centre_fraction is 0.2; at acceleration 8"),
        ({"mask": "spiral"}, "'random', 'equispaced' or 'gaussian'"),
    ],
)
def test_settings_are_checked(given: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SamplingSettings(**given)
