"""Cross-validation in a plan: a cell for each fold, whose networks see nothing of what it tests."""

from __future__ import annotations

from fusion.errors import InputError
from pipelines.planning.plan import Fold
from pipelines.specs.dataset import DatasetSpec, SplitSpec
from pipelines.specs.method import MethodSpec
from pipelines.store.digests import derive_seed


def folds_of(dataset: DatasetSpec) -> tuple[Fold | None, ...]:
    """Return the folds of a dataset that is tested by folds; else, or of a chosen one, None."""
    split = dataset.split
    if split is None or split.folds is None or split.fold is not None:
        return (None,)
    return tuple(Fold(number, split.folds) for number in range(split.folds))


def at_fold(dataset: DatasetSpec, fold: Fold | None, *, validated: bool = False) -> DatasetSpec:
    """Return a dataset whose test images are those of a fold, with val taken out of its train."""
    if dataset.split is None or dataset.split.folds is None:
        return dataset
    number = dataset.split.fold if fold is None else fold.number
    chosen = dataset.split.model_copy(update={"fold": number, "validated": validated})
    return dataset.model_copy(update={"split": chosen})


def trained_on(method: MethodSpec, tested: DatasetSpec, fold: Fold | None) -> DatasetSpec:
    """Return what a fusion network learns from: never from what the fold tests.

    Raises InputError where its dataset has folds and the tested one has not the same, or where it
    is the tested pairs themselves without the folds.
    """
    assert method.train is not None  # whoever asks trains it
    own = method.train.dataset
    same = _place(own) == _place(tested)
    if same and own.split == _undivided(tested, fold):
        return at_fold(own, fold)
    if folds_of(own) != (None,) or (same and fold is not None):
        raise InputError(
            f'{method.row} is trained on "{own.name}" and tested on "{tested.name}" by other '
            f"folds, so that it would learn from what it is tested on; give both the same split."
        )
    return own


def _undivided(tested: DatasetSpec, fold: Fold | None) -> SplitSpec | None:
    """Return the split that was divided into folds."""
    number = None if fold is not None or tested.split is None else tested.split.fold
    given = {"fold": number, "validated": False}
    return tested.split.model_copy(update=given) if tested.split is not None else None


def _place(dataset: DatasetSpec) -> tuple[object, ...]:
    """Return where the pairs are from; drawn ones are the same in every layout."""
    return (dataset.scenes,) if dataset.scenes is not None else (dataset.root, dataset.infrared)


def lot(seed: int, fold: Fold | None) -> int:
    """Return the number that a training's lots are drawn from: each fold has its own."""
    return seed if fold is None else derive_seed(f"fold {fold.number}", seed)
