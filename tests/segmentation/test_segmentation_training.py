"""Training the segmenter: settings, samples, resume, selection, end to end."""

from __future__ import annotations

import csv
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from fusion.errors import InputError
from fusion.pairs import write_png
from fusion.palette import MASKS
from fusion.torch_tools import REHEARSED_IMAGES, write_checkpoint
from segmentation import samples
from segmentation.datasets import write_mask
from segmentation.iou import evaluate
from segmentation.model import read_dictionary
from segmentation.prediction import predict, remaining
from segmentation.run import Epoch
from segmentation.settings import SegmenterSettings, learning_rate
from segmentation.training import SegmenterResult, train

pytestmark = pytest.mark.training

NAMES = ("sky", "bright", "red")
TINY = SegmenterSettings(
    architecture="DeepLabV3Plus",
    encoder="mobilenet_v2",
    epochs=2,
    batch=2,
    learning_rate=0.05,
    height=32,
    width=32,
    checkpoint_minutes=0,
)


def changed(**values: object) -> SegmenterSettings:
    """The tiny settings with other values, checked."""
    return SegmenterSettings.model_validate({**dict(TINY), **values})


class Data:
    """Seven 64 x 64 scenes with one bright and one red square on dark noise."""

    def __init__(self, root: Path) -> None:
        rng = np.random.default_rng(0)
        self.images: dict[str, Path] = {}
        self.masks: dict[str, Path] = {}
        for name in "abcdefg":
            image = rng.integers(0, 60, (64, 64, 3), dtype=np.uint8)
            mask = np.zeros((64, 64), dtype=np.uint8)
            top, left = rng.integers(0, 34, 2)
            for ids, colour, x in ((1, (250, 250, 250), left), (2, (220, 0, 0), 63 - left)):
                mask[top : top + 26, max(0, x - 13) : x + 13] = ids
                image[mask == ids] = colour
            self.images[name], self.masks[name] = root / f"{name}.png", root / f"{name}-m.png"
            write_png(self.images[name], image)
            write_mask(self.masks[name], mask, MASKS)
        self.splits = {"train": list("abcde"), "val": list("fg")}

    def train(
        self, out: Path, settings: SegmenterSettings = TINY, **more: object
    ) -> SegmenterResult:
        return train(self.images, self.masks, self.splits, NAMES, settings, out, **more)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return Data(tmp_path_factory.mktemp("scenes"))


def same(first: Path, second: Path) -> bool:
    one, two = (read_dictionary(path)["state_dict"] for path in (first, second))
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("epochs", 0, "greater than or equal to 1"),
        ("batch", 1, "greater than or equal to 2"),
        ("learning_rate", 0.0, "greater than 0"),
        ("learning_rate", math.nan, "finite number"),
        ("learning_rate", math.inf, "finite number"),
        ("momentum", 1.0, "less than 1"),
        ("weight_decay", -1.0, "greater than or equal to 0"),
        ("height", 100, "multiple of 16"),
        ("height", 16, "greater than or equal to 32"),
        ("width", 0, "greater than or equal to 32"),
        ("size", 1, "Extra inputs are not permitted"),
    ],
)
def test_bad_numbers_are_refused(key: str, value: float, rule: str) -> None:
    with pytest.raises(ValidationError, match=rf"1 validation error .*\n{key}\n.*{rule}"):
        changed(**{key: value})


@pytest.mark.parametrize("key", ["architecture", "schedule", "select", "class_weights"])
def test_unknown_choices_are_refused(key: str) -> None:
    with pytest.raises(ValidationError, match=rf"{key}\n  Input should be '.*input_value='bets'"):
        changed(**{key: "bets"})


def test_the_rate_follows_its_schedule() -> None:
    assert learning_rate(TINY, 9, 10) == 0.05
    poly = changed(schedule="poly")
    assert learning_rate(poly, 0, 10) == 0.05
    assert learning_rate(poly, 5, 10) == pytest.approx(0.05 * 0.5**0.9)
    assert 0 < learning_rate(poly, 9, 10) < 0.01


def test_batches_cover_the_split_and_never_hold_one_image() -> None:
    even = samples.batch_indices(6, 4, seed=0, epoch=0)
    assert [len(b) for b in even] == [4, 2]
    assert sorted(np.concatenate(even)) == list(range(6))
    assert [len(b) for b in samples.batch_indices(5, 4, seed=0, epoch=0)] == [4]
    orders = {
        tuple(np.concatenate(samples.batch_indices(9, 3, s, e))) for s in (0, 1) for e in (0, 1)
    }
    assert len(orders) == 4


def test_a_split_beyond_the_budget_is_kept_in_a_file_and_trains_alike(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    within = data.train(tmp_path / "memory")
    monkeypatch.setattr(samples, "MEMORY_BUDGET", 100)
    folder = tmp_path / "file"
    read = samples.read_split("train", data.images, data.masks, data.splits, 3, TINY, folder)
    assert isinstance(read.images, np.memmap)
    assert read.images.shape == (5, 32, 32, 3)
    assert list(folder.iterdir()) == []  # the file has no name that could be left behind
    assert same(within.weights, data.train(folder).weights)


def test_ahead_keeps_order_computes_one_early_and_passes_errors_on() -> None:
    done: list[int] = []

    def double(number: int) -> int:
        done.append(number)
        return 10 // number

    results = samples.ahead(double, [5, 2, 1, 0, 7])
    assert next(results) == 2
    assert done[0] == 5
    assert set(done) <= {5, 2}
    assert [next(results), next(results)] == [5, 10]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert list(samples.ahead(double, [])) == []
    assert list(samples.ahead(double, [5])) == [2]


def test_augmentation_depends_on_its_seed_alone() -> None:
    augment = samples.augmentation(TINY)
    rng = np.random.default_rng(0)
    mask = rng.integers(0, 3, (32, 32), dtype=np.uint8)
    image = np.repeat(mask[..., None] * 100, 3, axis=2)
    first = augment(image, mask, 7)
    others = [augment(image, mask, seed) for seed in range(12)]
    again = samples.augmentation(TINY)(image, mask, 7)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert np.array_equal(others[7][0], first[0])
    assert len({other[0].tobytes() for other in others}) > 9  # a small crop may come out black
    for _, moved in others:
        assert moved.shape == (32, 32)
        assert set(np.unique(moved)) <= {0, 1, 2}


def test_augmentation_moves_image_and_mask_together() -> None:
    augment = samples.augmentation(TINY)
    mask = np.zeros((32, 32), dtype=np.uint8)
    mask[4:20, 2:14] = 1
    image = np.repeat(mask[..., None] * 200, 3, axis=2)
    for seed in range(8):
        moved, ids = augment(image, mask, seed)
        assert ((moved[..., 0] > 100) == (ids == 1)).mean() > 0.9


def test_mixed_seeds_differ() -> None:
    counts = Counter(
        samples.mixed_seed(s, e, i) for s in range(3) for e in range(9) for i in range(9)
    )
    assert max(counts.values()) == 1


def test_median_frequency_by_hand() -> None:
    masks = np.zeros((2, 4, 4), dtype=np.uint8)
    masks[0, 0] = 1  # class 1: 4 of the 16 pixels where it occurs; class 0: 28 of 32
    weights = samples.median_frequency(masks, 3)
    median = (28 / 32 + 4 / 16) / 2
    assert weights == pytest.approx([median / (28 / 32), median / (4 / 16), 0.0])
    tensor = samples.class_weights(masks, 3, changed(class_weights="median_frequency"))
    assert tensor.tolist() == pytest.approx(weights.tolist())
    rooted = samples.class_weights(masks, 3, changed(class_weights="root_frequency"))
    assert rooted.tolist() == pytest.approx((weights**0.5).tolist())
    assert samples.class_weights(masks, 3, TINY).tolist() == [1, 1, 1]


def test_bad_splits_are_refused(data: Data, tmp_path: Path) -> None:
    args = (NAMES, TINY, tmp_path / "out")
    with pytest.raises(InputError, match='split "train" is missing or empty'):
        train(data.images, data.masks, {"train": []}, *args)
    with pytest.raises(InputError, match='"z" of the split "train" has no image'):
        train(data.images, data.masks, {"train": ["a", "z"]}, *args)
    with pytest.raises(InputError, match='"b" of the split "train" has no mask'):
        train(data.images, {"a": data.masks["a"]}, {"train": ["a", "b"]}, *args)
    with pytest.raises(InputError, match="holds one image"):
        train(data.images, data.masks, {"train": ["a"]}, *args)
    best = changed(select="best")
    with pytest.raises(InputError, match='split "val" is missing'):
        train(data.images, data.masks, {"train": ["a", "b"]}, NAMES, best, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_end_to_end_learns_and_predicts(data: Data, tmp_path: Path) -> None:
    rows: list[Epoch] = []
    settings = changed(epochs=12, height=64, width=64, augment=False)
    result = data.train(tmp_path / "run", settings, on_epoch=rows.append)
    assert result.weights == tmp_path / "run" / "weights.pt"
    assert [row.epoch for row in rows] == list(range(1, 13))
    assert tuple(rows) == result.history
    assert rows[-1].loss < 0.5 * rows[0].loss
    assert result.seconds > 0
    assert (result.encoder.loaded, result.encoder.total) == (0, 312)
    saved = read_dictionary(result.weights)
    assert saved["classes"] == list(NAMES)
    assert (saved["height"], saved["width"]) == (64, 64)
    with (tmp_path / "run" / "history.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [float(row["loss"]) for row in table] == [row.loss for row in rows]
    found = predict(result.weights, data.images, tmp_path / "masks", palette=MASKS)
    scores, per_image = evaluate(data.masks, found, NAMES)
    assert per_image.shape == (7, 3, 3)
    assert scores.miou > 0.5


def test_the_seed_decides_everything(data: Data, tmp_path: Path) -> None:
    torch.manual_seed(1)
    first = data.train(tmp_path / "a")
    state = torch.get_rng_state()
    torch.manual_seed(2)
    second = data.train(tmp_path / "b")
    other = data.train(tmp_path / "c", TINY, seed=1)
    assert same(first.weights, second.weights)
    assert not same(first.weights, other.weights)
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("select", ["last", "best"])
def test_resume_ends_bitwise_equal(data: Data, tmp_path: Path, select: str) -> None:
    settings = changed(epochs=3, schedule="poly", select=select)

    def stop(row: Epoch) -> None:
        raise KeyboardInterrupt

    whole = data.train(tmp_path / "whole", settings)
    for epoch in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            data.train(tmp_path / "parts", settings, on_epoch=stop)
        assert len(read_dictionary(tmp_path / "parts" / "state.pt")["history"]) == epoch
        assert not (tmp_path / "parts" / "weights.pt").exists()
    rows: list[Epoch] = []
    parts = data.train(tmp_path / "parts", settings, on_epoch=rows.append)
    assert [row.epoch for row in rows] == [3]
    assert same(whole.weights, parts.weights)
    texts = [(tmp_path / run / "history.csv").read_text() for run in ("whole", "parts")]
    assert texts[0] == texts[1]
    again = data.train(tmp_path / "parts", settings, on_epoch=rows.append)
    assert len(rows) == 1
    assert same(whole.weights, again.weights)
    assert not list(tmp_path.rglob("*.part"))


def test_best_keeps_the_epoch_of_the_highest_miou(data: Data, tmp_path: Path) -> None:
    settings = changed(epochs=4, select="best", augment=False)
    weights: list[dict[str, torch.Tensor]] = []

    def keep(row: Epoch) -> None:
        weights.append(read_dictionary(tmp_path / "run" / "state.pt")["model"])

    result = data.train(tmp_path / "run", settings, on_epoch=keep)
    values = [row.val_miou for row in result.history]
    assert len(set(values)) > 1
    chosen = read_dictionary(result.weights)["state_dict"]
    equal = [all(torch.equal(w[key], chosen[key]) for key in chosen) for w in weights]
    assert equal.index(True) == int(np.argmax(values))


def test_the_state_of_another_run_is_refused(data: Data, tmp_path: Path) -> None:
    data.train(tmp_path, changed(epochs=1))
    with pytest.raises(InputError, match=r"state\.pt belongs to a training with other settings"):
        data.train(tmp_path, changed(epochs=1, learning_rate=0.1))
    swapped = data.images | {"a": data.images["b"]}
    with pytest.raises(InputError, match="other settings, classes, images or masks"):
        train(swapped, data.masks, data.splits, NAMES, changed(epochs=1), tmp_path)


def test_an_encoder_checkpoint_is_used_and_known_by_content(data: Data, tmp_path: Path) -> None:
    from segmentation.model import build_model

    encoder = build_model("DeepLabV3Plus", "mobilenet_v2", 2, None)[0].encoder.state_dict()
    checkpoint = tmp_path / "encoder.pth"
    write_checkpoint(checkpoint, encoder)
    for name in ("a.pth", "b.pth"):
        (tmp_path / name).write_bytes(checkpoint.read_bytes())
    one = changed(epochs=1, encoder_checkpoint=tmp_path / "a.pth")
    result = data.train(tmp_path / "run", one)
    assert result.encoder.loaded == result.encoder.total == 312
    data.train(tmp_path / "run", changed(epochs=1, encoder_checkpoint=tmp_path / "b.pth"))
    write_checkpoint(tmp_path / "b.pth", encoder | {"more": torch.zeros(1)})
    with pytest.raises(InputError, match="belongs to a training with other settings"):
        data.train(tmp_path / "run", changed(epochs=1, encoder_checkpoint=tmp_path / "b.pth"))


def test_a_diverging_loss_is_said(data: Data, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"loss is (nan|inf) in epoch \d+; lower learning_rate"):
        data.train(tmp_path, changed(learning_rate=1e20))


def test_class_weights_change_the_outcome(data: Data, tmp_path: Path) -> None:
    one = changed(epochs=1)
    plain = data.train(tmp_path / "a", one)
    weighted = data.train(tmp_path / "b", changed(epochs=1, class_weights="median_frequency"))
    assert not same(plain.weights, weighted.weights)


def test_a_rehearsal_in_fp32_is_the_cpu_and_bf16_is_not(data: Data, tmp_path: Path) -> None:
    cpu = data.train(tmp_path / "cpu")
    full = data.train(tmp_path / "full", device="rehearse:0")
    best = changed(precision="bf16", select="best")
    half = data.train(tmp_path / "half", best, device="rehearse:0")
    assert same(cpu.weights, full.weights)
    assert not same(cpu.weights, half.weights)
    state = read_dictionary(half.weights)["state_dict"]
    assert {value.dtype for value in state.values()} <= {torch.float32, torch.int64}
    with pytest.raises(InputError, match='precision: "bf16" needs a CUDA device'):
        data.train(tmp_path / "no", best)


def test_memory_that_ends_is_told_with_the_remedy(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(REHEARSED_IMAGES, "1")
    said = "too small for batch: 2 of 32x32 pixels; lower batch, height or width"
    with pytest.raises(InputError, match=said):
        data.train(tmp_path, device="rehearse:0")


@pytest.mark.parametrize("precision", ["fp32", "tf32"])
def test_float32_is_multiplied_as_such_unless_asked_otherwise(
    data: Data, tmp_path: Path, precision: str
) -> None:
    seen: list[bool] = []
    before = torch.backends.cudnn.allow_tf32
    data.train(
        tmp_path,
        changed(precision=precision, epochs=1),
        device="rehearse:0",
        on_epoch=lambda row: seen.extend(
            (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32)
        ),
    )
    assert seen == [precision == "tf32"] * 2
    assert torch.backends.cudnn.allow_tf32 == before


def test_masks_that_are_whole_and_of_the_right_size_are_kept(tmp_path: Path) -> None:
    image, out = tmp_path / "image.png", tmp_path / "masks"
    write_png(image, np.zeros((20, 30, 3), np.uint8))
    images = dict.fromkeys("abcd", image)
    assert remaining(images, out, MASKS) == images
    out.mkdir()
    write_mask(out / "a.png", np.ones((20, 30), np.uint8), MASKS)
    write_mask(out / "b.png", np.ones((20, 31), np.uint8), MASKS)
    (out / "c.png").write_bytes((out / "a.png").read_bytes()[:60])
    assert list(remaining(images, out, MASKS)) == ["b", "c", "d"]
