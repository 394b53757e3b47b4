"""Weights on disk: written atomically, read without running code, loaded strictly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from fusion.errors import InputError
from fusion.method import FusionMethod
from fusion.torch_tools import load_checkpoint, write_checkpoint
from fusion.weights.layouts import flat, matches

FORMAT = "fuse-then/1"
PART = "part"
"""Names, among what a checkpoint says beside its weights, the only part that they are of."""


@dataclass(frozen=True)
class Checkpoint:
    """Weights by key, and, for a file of ours, the method and the parameters they belong to."""

    path: Path
    state_dict: dict[str, Tensor]
    method: str | None = None
    params: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)


def save_checkpoint(
    path: Path,
    method_name: str,
    params: Mapping[str, Any],
    state_dict: Mapping[str, Tensor],
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write the weights of `method_name`, built with `params`, to `path`, atomically.

    Raises InputError when `params` or `extra` hold more than plain values, because such a file
    could not be read back safely.
    """
    weights = {key: value.detach().cpu() for key, value in state_dict.items()}
    write_checkpoint(
        path,
        {
            "format": FORMAT,
            "method": method_name,
            "params": plain(params, "params"),
            "state_dict": weights,
            "extra": plain(extra or {}, "extra"),
        },
    )


def read_checkpoint(path: Path, kind: type[FusionMethod] = FusionMethod) -> Checkpoint:
    """Return the weights of `path`, ours or foreign, under the keys that the method `kind` has.

    Foreign layouts: a bare state dict, or one under "state_dict", "model", "params" and the like;
    the parts that ``kind.nested`` names, in one file or, when `path` is a folder, in files so
    named; a "module." before every key (DataParallel) is removed. Entries that match
    ``kind.ignored`` are left out. Raises InputError naming the file that is missing, cannot be
    read safely, holds no weights or other things among them, or holds NaN or infinite ones.
    """
    if path.is_dir():
        return Checkpoint(path, _read_folder(path, kind))
    content = load_checkpoint(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        return Checkpoint(path, _checked(path, flat(content, kind.nested, kind.ignored)))
    facts = {"method": str, "params": dict, "extra": dict}
    if any(not isinstance(content.get(key), wanted) for key, wanted in facts.items()):
        raise InputError(f"{path} does not say what it belongs to; train or fetch it again.")
    state = _checked(path, content.get("state_dict"))
    return Checkpoint(path, state, content["method"], content["params"], content["extra"])


def load_into(method: FusionMethod, checkpoint: Checkpoint, name: str) -> None:
    """Load all weights of `checkpoint` into `method`, called `name`, key by key.

    Only keys that match the method's `optional` may be missing; they keep their value. Raises
    InputError for a part that cannot fuse alone, else naming up to three keys that are missing,
    unexpected or of another shape.
    """
    want, have = method.state_dict(), checkpoint.state_dict
    if part := checkpoint.extra.get(PART):
        raise InputError(
            f'{checkpoint.path} holds the {part} of the method "{name}" alone, as its first '
            f"training leaves it, and cannot fuse; give what the second training left."
        )
    problems = {
        "missing": sorted(k for k in want.keys() - have.keys() if not matches(k, method.optional)),
        "unexpected": sorted(have.keys() - want.keys()),
        "of another shape": [
            f"{k} {tuple(have[k].shape)} instead of {tuple(want[k].shape)}"
            for k in sorted(want.keys() & have.keys())
            if have[k].shape != want[k].shape
        ],
    }
    told = [f"{len(v)} {k} ({', '.join(v[:3])})" for k, v in problems.items() if v]
    if told:
        raise InputError(
            f'{checkpoint.path} does not fit the method "{name}": weights are '
            f"{'; '.join(told)}; give {_what_to_give(method, checkpoint)}."
        )
    method.load_state_dict(have, strict=False)


def _what_to_give(method: FusionMethod, checkpoint: Checkpoint) -> str:
    files = [name for name in method.nested if Path(name).suffix]
    if files and checkpoint.method is None:
        return f"the folder that holds {' and '.join(files)}"
    return "the parameters (or preset) that it was trained with"


def plain(value: Any, where: str) -> Any:
    """Return `value` as dicts, lists, tuples, numbers and text; InputError naming `where` else."""
    if isinstance(value, Mapping):
        return {str(k): plain(v, f"{where}.{k}") for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(plain(v, where) for v in value)
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise InputError(
        f"{where} is a {type(value).__name__}, which a checkpoint cannot hold safely; "
        f"use numbers, text, lists and mappings."
    )


def _read_folder(path: Path, kind: type[FusionMethod]) -> dict[str, Tensor]:
    if not kind.nested:
        raise InputError(
            f"The checkpoint {path} is a folder, but the weights of this method are one file; "
            f"give that file."
        )
    lacking = [name for name in kind.nested if not (path / name).is_file()]
    if lacking:
        raise InputError(f"The checkpoint folder {path} lacks {', '.join(lacking)}; put it there.")
    for name in kind.nested:
        if not (path / name).resolve().is_relative_to(path.resolve()):
            raise InputError(
                f"{path / name} is a link to {(path / name).resolve()}, out of its folder; put the "
                f"file itself there."
            )
    found: dict[str, Tensor] = {}
    for name in kind.nested:
        part = flat({name: load_checkpoint(path / name)}, kind.nested, kind.ignored)
        found |= _checked(path / name, part)
    return found


def _checked(path: Path, state: Any) -> dict[str, Tensor]:
    if not isinstance(state, Mapping) or not state:
        raise InputError(f"{path} holds no weights by name that belong here; give a state_dict.")
    for key, value in state.items():
        if not isinstance(value, Tensor):
            raise InputError(
                f'{path} holds "{key}", a {type(value).__name__}, among its weights; '
                f"save the state_dict alone."
            )
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise InputError(
                f'{path} has NaN or infinite weights in "{key}"; train or fetch it again.'
            )
    return {str(key): value for key, value in state.items()}
