"""Networks that are trained in two: first one part by a loss of its own, then all the rest."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from fusion.errors import InputError
from fusion.method import FusionMethod
from fusion.weights.checkpoints import PART, read_checkpoint


def check_trainings(name: str, cls: type[FusionMethod], first: bool, given: Path | None) -> None:
    """Raise InputError unless the method `name` has the training that is asked for.

    `first` asks for that of its part; `given` is what that training left.
    """
    if not cls.trainable:
        raise InputError(f'The method "{name}" has no training recipe; it only fuses.')
    if (first or given) and not cls.pretrained:
        raise InputError(f'The method "{name}" is trained at once: it has no part to train first.')
    if cls.pretrained and not first and given is None:
        raise InputError(
            f'The method "{name}" is trained in two: train its {cls.pretrained} first and give '
            f"the weights that this leaves."
        )


def part_state(method: FusionMethod) -> dict[str, Tensor]:
    """Return the weights of a method's pretrained part, under the method's own keys."""
    prefix = f"{method.pretrained}."
    return {key: value for key, value in method.state_dict().items() if key.startswith(prefix)}


def load_part(
    method: FusionMethod, name: str, arguments: Mapping[str, Any], path: Path
) -> dict[str, str]:
    """Load what the first training of the method `name`, built with `arguments`, left in `path`.

    Returns the weights' digest, by its name. Raises InputError when the file holds something
    else: another method's weights, a whole network, or a part of another shape or other parameters.
    """
    loaded, part = read_checkpoint(path, type(method)), method.pretrained
    if loaded.method != name or loaded.extra.get(PART) != part:
        what = f'weights of the method "{loaded.method}"' if loaded.method else "foreign weights"
        what = f'"{name}" whole' if loaded.method == name else what
        raise InputError(
            f'{path} holds {what}, not what the first training of "{name}" leaves, its {part} '
            f"alone; give that file."
        )
    for key, (ours, theirs) in _differing(type(method), arguments, loaded.params).items():
        raise InputError(
            f"{path} was trained with {key} = {theirs!r}, not {ours!r}; give the preset and the "
            f"parameters that it was trained with."
        )
    want = part_state(method)
    if {k: v.shape for k, v in want.items()} != {k: v.shape for k, v in loaded.state_dict.items()}:
        raise InputError(f'{path} does not fit the {part} of the method "{name}"; train it again.')
    method.load_state_dict(loaded.state_dict, strict=False)
    return {"pretrained weights": _digest(loaded.state_dict)}


def _differing(
    cls: type[FusionMethod], ours: Mapping[str, Any], theirs: Mapping[str, Any]
) -> dict[str, tuple[Any, Any]]:
    """Return the parameters that count for the part and differ, defaults included."""
    known = inspect.signature(cls).parameters.items()
    defaults = {k: p.default for k, p in known if k not in cls.pretraining_ignores}
    values = {k: (ours.get(k, v), theirs.get(k, v)) for k, v in defaults.items()}
    return {k: (a, b) for k, (a, b) in values.items() if a != b}


def _digest(state: Mapping[str, Tensor]) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for key, value in sorted(state.items()):
        digest.update(f"{key} {tuple(value.shape)}\n".encode())
        digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()
