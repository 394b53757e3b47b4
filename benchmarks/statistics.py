"""Whether what tables say of chance is so: simulated experiments whose truth is known.

    python -m benchmarks.statistics [alarms power coverage tau ...] [--runs 500]

Prints Markdown. `alarms`: in what percent of experiments some of several equal methods is dropped
from the set that holds the best, told from a given reference, or told from the best of them; beside
it the procedure of before (Holm's p over Welch's t, or over percentiles of one seed), which knew no
scenes. `power`: the percent of worse methods that are dropped. `coverage`: in what percent of
experiments a 95 % interval holds the truth. `tau`: the same of the agreement of orders.

Test sets have about 400 images in scenes of five (mean), of twenty, or of log-normal lengths, or
images alone; ICC is the correlation of a scene's images in what sets methods apart. Standard errors
over images are 0.8 points, deviations of seeds 0.5 to 3.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.ap import CLASSES, _annotation, _detections
from detection.datasets import coco_ground_truth
from detection.matching import rankings
from detection.resampling import ApResampler
from pipelines.results.conclusions.agreement import Order, agreement
from pipelines.results.statistics.best import confidence_set
from pipelines.results.statistics.bootstrap import resamples
from pipelines.results.statistics.differences import against
from pipelines.results.statistics.intervals import percentile_interval
from pipelines.results.statistics.samples import Sample, Units, units_of

Floats = NDArray[np.float64]
Rng = np.random.Generator
ERROR, DRAWS = 0.8, 1000
LENGTHS: dict[str, Callable[[Rng], float]] = {
    "of 5": lambda rng: rng.geometric(1 / 5),
    "of 20": lambda rng: rng.geometric(1 / 20),
    "log-normal": lambda rng: rng.lognormal(2.2, 1.1),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the parts that are named, or all."""
    parts = {"alarms": alarms, "power": power, "coverage": coverage, "tau": tau}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(parts))
    parser.add_argument("--runs", type=int, default=500)
    options = parser.parse_args(arguments)
    for part in options.parts or parts:
        show(part, parts[part](options.runs))


def show(title: str, rows: Iterator[dict[str, object]]) -> None:
    """Print a Markdown table row by row."""
    for number, row in enumerate(rows):
        if not number:
            print(f"\n**{title}**\n\n| {' | '.join(row)} |\n|{'---|' * len(row)}")
        print(f"| {' | '.join(map(str, row.values()))} |", flush=True)


def alarms(runs: int) -> Iterator[dict[str, object]]:
    """Yield how often equal methods are told apart."""
    for setting in settings():
        yield {**setting.words(), **shares(setting, runs, 0.0)}


def power(runs: int) -> Iterator[dict[str, object]]:
    """Yield how many of the worse half are dropped; they are 4 standard errors behind."""
    for setting in settings():
        if setting.scenes == "images":
            found = shares(setting, runs, 4.0)
            yield {**setting.words(), "dropped": found["worse"], "before": found["worse before"]}


class Setting:
    """One design: methods, seeds and their deviations, scenes and their correlation."""

    def __init__(
        self, methods: int, seeds: int, sd: Sequence[float], scenes: str, icc: float
    ) -> None:
        self.methods, self.seeds, self.scenes, self.icc = methods, seeds, scenes, icc
        self.sd = np.resize(np.array(sd, dtype=float), methods)

    def words(self) -> dict[str, object]:
        """Return what the design is, as the first cells of a line."""
        low, high = self.sd.min(), self.sd.max()
        sd = f"{low:g} to {high:g}" if low < high else f"{low:g}"
        return {
            "scenes": self.scenes, "ICC": self.icc, "methods": self.methods, "seeds": self.seeds,
            "sd": sd if self.seeds > 1 else "-",
        }  # fmt: skip

    def draw(self, rng: Rng, behind: float) -> list[Sample]:
        """Return an experiment whose second half of methods is `behind` standard errors worse."""
        sizes = np.array(lengths(rng, self.scenes))
        number, total = len(sizes), sizes.sum()
        variance = self.icc + (1 - self.icc) / sizes  # of a scene's mean
        scale = ERROR * total / (sizes**2 @ variance) ** 0.5
        own = rng.normal(size=(number, self.methods)) * variance[:, None] ** 0.5
        sums = (own + rng.normal(size=(number, 1))) * sizes[:, None] * scale
        counts = drawn(number)
        means = sums.sum(axis=0) / total
        again = counts @ sums / (counts @ sizes)[:, None]
        sd = self.sd if self.seeds > 1 else 0.0
        truth = -behind * ERROR * (np.arange(self.methods) >= self.methods / 2)
        points = truth + means + rng.normal(size=(self.seeds, self.methods)) * sd
        again += points.mean(axis=0) - means
        units, seeds = units_of(sizes.tolist()), tuple(range(self.seeds))
        return [Sample(points[:, n], again[:, n], units, seeds=seeds) for n in range(self.methods)]


def settings() -> Iterator[Setting]:
    """Yield the designs of the tables."""
    for methods in (3, 6, 10):
        yield Setting(methods, 1, [0], "images", 0)
        for sd in ([0.5], [1], [3], [0.5, 1, 1.5, 2, 2.5, 3]):
            yield Setting(methods, 3, sd, "images", 0)
        for scenes, icc in product(LENGTHS, (0.1, 0.3, 0.6)):
            yield Setting(methods, 1, [0], scenes, icc)
    yield Setting(6, 3, [1], "of 20", 0.3)
    yield Setting(6, 2, [1], "images", 0)


@cache
def drawn(scenes: int) -> Floats:
    """Return how often each resample draws each scene."""
    return resamples(scenes)


def lengths(rng: Rng, scenes: str, images: int = 400) -> list[int]:
    """Return the sizes of scenes, until there are as many images."""
    if scenes == "images":
        return [1] * images
    sizes: list[int] = []
    while sum(sizes) < images:
        sizes.append(max(1, round(LENGTHS[scenes](rng))))
    return sizes


def shares(setting: Setting, runs: int, behind: float) -> dict[str, object]:
    """Return percent of runs with a false alarm, by procedure, and of worse methods dropped."""
    rng = np.random.default_rng(1)
    half = np.arange(setting.methods) < setting.methods / 2 if behind else np.ones(0, bool)
    found: dict[str, float] = dict.fromkeys(
        ("set", "given", "best", "before", "worse", "worse before"), 0.0
    )
    for _ in range(runs):
        made = setting.draw(rng, behind)
        members = np.array(confidence_set(made, draws=DRAWS).members)
        before = np.array(members_before(made))
        if behind:
            found["worse"] += (~members[~half]).mean()
            found["worse before"] += (~before[~half]).mean()
            continue
        best = int(np.argmax([one.mean for one in made]))
        found["set"] += not members.all()
        found["before"] += not before.all()
        for name, reference in (("given", 0), ("best", best)):
            compared = against(made, reference, chosen=name == "best", draws=DRAWS) or []
            found[name] += any(not one.low <= 0 <= one.high for one in compared)
    return {name: f"{100 * number / runs:.1f}" for name, number in found.items()}


def members_before(samples: Sequence[Sample]) -> list[bool]:
    """Return which methods the procedure of before could not tell from the best."""
    from scipy.special import stdtr

    best = max(samples, key=lambda one: one.mean)
    p = []
    for one in samples:
        apart, mean = one.resampled - best.resampled, best.mean - one.mean
        terms = [(apart.var(ddof=1), 399.0)]
        if len(one.points) == 1:
            rarer = min((apart <= 0).sum(), (apart >= 0).sum())
            p.append(min(1.0, 2 * (rarer + 1) / (len(apart) + 1)) if one is not best else 1.0)
            continue
        terms += [(s.points.var(ddof=1) / len(s.points), len(s.points) - 1) for s in (one, best)]
        total = sum(part for part, _ in terms)
        degrees = total**2 / sum(part**2 / of for part, of in terms)
        p.append(2 * stdtr(degrees, -mean / total**0.5) if one is not best else 1.0)
    order = np.argsort(p)
    holm = np.maximum.accumulate(np.sort(p) * np.maximum(1, len(p) - 1 - np.arange(len(p))))
    kept = np.ones(len(p), dtype=bool)
    kept[order] = holm > 0.05
    return [bool(one) for one in kept]


def coverage(runs: int) -> Iterator[dict[str, object]]:
    """Yield how often intervals hold the truth; scenes of 20 and their ICC as said."""
    for images in (40, 100, 400):
        designs = {"images": [1] * images, "scenes of 5": [5] * (images // 5)}
        for words, sizes in designs.items():
            yield {"images": images, "in": words, **covered(sizes, runs)}


def covered(sizes: Sequence[int], runs: int) -> dict[str, str]:
    """Return percent of intervals that hold the truth, by what they are of."""
    rng, units = np.random.default_rng(2), units_of(sizes)
    counts = np.repeat(resamples(len(sizes)), sizes, axis=1)
    found: dict[str, list[bool]] = {}
    pool, enough = Pool(rng), 24_000 // sum(sizes)
    for _ in range(runs):
        for name, truth, ends in (
            *_quality(rng, sizes, counts, units),
            *_iou(rng, sizes, counts, units),
            *(pool.ap(rng, sizes, counts, units) if len(found.get("mAP50", ())) < enough else ()),
        ):
            found.setdefault(name, []).append(ends is not None and ends[0] <= truth <= ends[1])
    return {name: f"{100 * np.mean(held):.0f}" for name, held in found.items()}


Held = tuple[str, float, tuple[float, float] | None]


def _clusters(rng: Rng, sizes: Sequence[int], icc: float) -> Floats:
    """Return standard normal values of images whose scenes correlate them."""
    scenes = np.repeat(rng.normal(size=len(sizes)), sizes)
    own = rng.normal(size=sum(sizes))
    return scenes * icc**0.5 + own * (1 - icc) ** 0.5


def _quality(rng: Rng, sizes: Sequence[int], counts: Floats, units: Units) -> Iterator[Held]:
    """Yield a mean of skewed scores, and the difference of two."""
    skewed = [np.exp(0.5 * _clusters(rng, sizes, 0.3)) for _ in range(2)]
    means = [counts @ one / counts.sum(axis=1) for one in skewed]
    yield "quality", float(np.exp(0.125)), percentile_interval(means[0], units)
    made = [
        Sample(one.mean(keepdims=True), again, units)
        for one, again in zip(skewed, means, strict=True)
    ]
    (one,) = against(made, 0, chosen=False, draws=DRAWS) or ()
    yield "difference", 0.0, (one.low, one.high)


def _iou(rng: Rng, sizes: Sequence[int], counts: Floats, units: Units) -> Iterator[Held]:
    """Yield the mIoU of a frequent and a rare class, whose pixels differ by image."""
    error = 0.1 * np.exp(0.6 * _clusters(rng, sizes, 0.3) - 0.18)  # mean 0.1
    rare = np.exp(1.0 * _clusters(rng, sizes, 0.3) - 0.5)  # mean 1
    pixels = np.stack([rare * (1 - error), rare * error, np.full(len(rare), 20.0)])

    def miou(sums: Floats) -> Floats:
        right, wrong, rest = sums
        found: Floats = (right / (right + 2 * wrong) + rest / (rest + 2 * wrong)) / 2
        return found

    truth = float(miou(np.array([0.9, 0.1, 20.0])))
    point = float(miou(pixels.sum(axis=1)))
    yield "mIoU", truth, percentile_interval(miou(pixels @ counts.T), units, point)


class Pool:
    """Images with boxes, some found, from which test sets are drawn: their AP is the truth."""

    def __init__(self, rng: Rng, images: int = 1500) -> None:
        self.truth = {f"{n:05}": _annotation(rng) for n in range(images)}
        self.found: dict[str, list[Any]] = {name: [] for name in self.truth}
        for one in _detections(self.truth, rng):
            if one["score"] > 0.05:
                self.found[str(one["image"])].append(one)
        ones = np.ones((1, images), np.int32)
        self.scores = self._resampled(list(self.truth), ones)[:, 0]

    def _resampled(self, names: Sequence[str], counts: NDArray[np.int32]) -> Floats:
        truth = {f"{n:05}": self.truth[name] for n, name in enumerate(names)}
        boxes = [
            {**one, "image": f"{n:05}"} for n, name in enumerate(names) for one in self.found[name]
        ]
        known = rankings(coco_ground_truth(truth, CLASSES), boxes, CLASSES)
        ap = ApResampler(known).resample(counts)
        return np.stack([ap.map50, ap.map])

    def ap(self, rng: Rng, sizes: Sequence[int], counts: Floats, units: Units) -> Iterator[Held]:
        """Yield AP50 and AP50-95; the images of a scene are one image again and again."""
        drawn = rng.choice(list(self.truth), len(sizes))
        names = np.repeat(drawn, sizes).tolist()
        every = np.concatenate([np.ones((1, len(names))), counts]).astype(np.int32)
        for name, truth, values in zip(
            ("mAP50", "mAP50-95"), self.scores, self._resampled(names, every), strict=True
        ):
            ends = percentile_interval(values[1:], units, float(values[0]))
            yield name, float(truth), ends


def tau(runs: int) -> Iterator[dict[str, object]]:
    """Yield how often tau's interval holds the true one, and how wide it is."""
    rng = np.random.default_rng(3)
    for methods, error, alike in product((4, 6, 10), (0.1, 0.3, 1.0), ("same", "half", "none")):
        held: dict[str, list[float]] = {"paper": [], "tasks": [], "wide": []}
        for _ in range(max(1, runs // 5)):
            first, other = rng.normal(size=(2, methods))
            second = {"same": first, "half": first + other, "none": other}[alike]
            for name, noise in (("paper", 0.0), ("tasks", error)):
                true = _merits("true", first, rng, 0.0), _merits("true", second, rng, 0.0)
                seen = _merits("a", first, rng, error), _merits("b", second, rng, noise)
                (truth,), (one,) = agreement(*true), agreement(*seen)
                held[name].append(one.low - 1e-9 <= truth.tau <= one.high + 1e-9)
                if name == "tasks":
                    held["wide"].append(one.high - one.low)
        cells = {name: f"{100 * np.mean(held[name]):.0f}" for name in ("paper", "tasks")}
        yield {
            "methods": methods, "error": error, "orders": alike, **cells,
            "mean width": f"{np.mean(held['wide']):.2f}",
        }  # fmt: skip


def _merits(title: str, truth: Floats, rng: Rng, error: float) -> Order:
    """Return an order as 100 images and three seeds show it, half of the variance each."""
    if not error:
        return Order(title, {str(n): float(one) for n, one in enumerate(truth)}, None)
    part = error * 0.5**0.5
    again = rng.normal(size=(resamples(2).shape[0], len(truth))) * part
    centre = truth + part * rng.normal(size=len(truth))
    points = centre + part * 3**0.5 * rng.normal(size=(3, len(truth)))
    means = points.mean(axis=0)
    units = units_of([1] * 100)
    samples = {
        str(n): Sample(points[:, n], means[n] + again[:, n], units) for n in range(len(truth))
    }
    return Order(title, {str(n): float(one) for n, one in enumerate(means)}, samples)


if __name__ == "__main__":
    main()
