"""What stands behind the rows' fused images: whose networks they are, and on what they learnt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from fusion.errors import InputError
from fusion.weights.catalogue import Published
from fusion.weights.published import choose_published, is_word, recognise
from pipelines.results.protocol.settings import compare_settings, words
from pipelines.results.protocol.stated import Stated
from pipelines.specs.dataset import DatasetSpec
from pipelines.specs.experiment import ExperimentSpec
from pipelines.specs.method import MethodSpec

OURS = "lkc_funet"
"""The method that the paper proposes, whose training alone it describes."""
PAPER_AND_CODE = (
    "{rows}: the network follows the paper's text where the authors' released code has another "
    "(kernels 15-7-5-5 for 15-11-5-5, sources tested in the range of the training for half of it, "
    "MPAFM's order and no residual), and the code where the text is silent (stem, dropout 0.2, "
    "joint flips, SSIM and gradient terms)."
)


def published_weights(method: MethodSpec) -> Published | None:
    """Return which published checkpoint a row has, None for any other and for none."""
    if method.checkpoint is None:
        return None
    try:
        if is_word(method.checkpoint):
            preset = method.params.get("preset")
            return choose_published(method.name, str(method.checkpoint), preset)
        return recognise(method.checkpoint)[0] if method.checkpoint.is_file() else None
    except InputError:
        return None


def trained_on(experiment: ExperimentSpec, dataset: DatasetSpec, part: str) -> str | None:
    """Return one note on what each row's network was trained on; None where no row has one."""
    found = [(m.row, text) for m in experiment.methods if (text := _learnt(m, dataset, part))]
    grouped = "; ".join(
        f"{', '.join(row for row, _ in rows)}: {text}"
        for text, rows in groupby(sorted(found, key=lambda one: one[1]), key=lambda one: one[1])
    )
    return f"Trained on: {grouped}." if grouped else None


def _learnt(method: MethodSpec, dataset: DatasetSpec, part: str) -> str:
    if method.train is not None:
        return f"{method.train.dataset.name} (here, by this table's run)"
    if method.checkpoint is None:
        return ""
    entry = published_weights(method)
    if entry is None:
        return "what is not known here, perhaps these test images"
    families = [name.casefold() for name in entry.may_know]
    shown = (part.casefold(), dataset.name.casefold())
    knows = any(name.startswith(family) for name in shown for family in families)
    also = ", so that it may know these test images" if knows else ""
    return f"{entry.trained_on} (by its authors{also})"


def _unidentified(method: MethodSpec) -> bool:
    """Return whether another file in the place of the published one would not be noticed."""
    entry = published_weights(method)
    return entry is not None and not all(file.identified for file in entry.files)


def network_deviations(experiment: ExperimentSpec, stated: Stated | None) -> Iterator[str]:
    """Yield how the fusion networks and their training differ from what the paper states."""
    yield from _trainings(experiment, stated)
    yield from _conventions(experiment.methods)
    if trusted := [m.row for m in experiment.methods if _unidentified(m)]:
        yield (
            f"Weights taken on trust, for no digest of the published files is known here: "
            f"{', '.join(trusted)}."
        )
    fixed = [m.row for m in experiment.methods if m.train is not None and m.train.seed is not None]
    if fixed and len(experiment.all_seeds) > 1:
        yield (
            f"One trained fusion network serves all seeds ({', '.join(fixed)}): the spread over "
            f"seeds does not hold that of its training."
        )


def _trainings(experiment: ExperimentSpec, stated: Stated | None) -> Iterator[str]:
    """Yield the trainings beside the paper's, rows of the same budget together."""
    rows: dict[str, list[str]] = {}
    trained = [method for method in experiment.methods if method.train is not None]
    for method in trained:
        known = stated.fusion if stated is not None and method.name == OURS else ()
        if method.train is not None:
            for sentence in compare_settings(method.train, known).sentences(" ({rows})"):
                rows.setdefault(sentence, []).append(method.row)
    for sentence, of in rows.items():
        every = len(of) == len(trained) > 1
        whose = "every trained row" if every else f"training of {'; '.join(of)}"
        yield sentence.replace("{rows}", whose, 1)
    design = [method for method in trained if method.name == OURS]
    whole = [m.row for m in design if m.params in ({}, {"preset": "paper"})]
    if whole:
        yield PAPER_AND_CODE.format(rows="; ".join(whole))
    others = [f"{m.row} ({words(m.params)})" for m in design if m.row not in whole]
    if others:
        yield f"Other networks than the paper's LKC-FUNet: {'; '.join(others)}."


def _conventions(methods: Sequence[MethodSpec]) -> Iterator[str]:
    """Yield how the networks that are not trained here are used: parameters by rows."""
    given = [m for m in methods if m.checkpoint is not None]
    rows: dict[str, list[str]] = {}
    for method in given:
        rows.setdefault(words(method.params) or "defaults", []).append(method.row)
    if rows:
        how = "; ".join(f"{', '.join(of)} with {params}" for params, of in rows.items())
        yield f"Not stated by the paper, ours (inference of networks with given weights): {how}."
