"""Names to fusion methods, lazily: nothing here imports torch before a method is asked for.

Every ``fusion/methods/NAME.py`` is the method NAME; a plugin adds one through the entry-point
group ``fuse_then.methods`` (``NAME = "package.module"``).
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import logging
import pkgutil
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib.metadata import EntryPoints, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusion import methods as builtin
from fusion.errors import InputError, did_you_mean
from fusion.method_card import MethodCard, read_card

if TYPE_CHECKING:
    from fusion.method import FusionMethod
    from fusion.weights.checkpoints import Checkpoint

PLUGIN_GROUP = "fuse_then.methods"


def method_modules() -> dict[str, str]:
    """Return the module of every known method by name.

    A plugin that takes a name that is already in use is left out, and a warning says so: what does
    not need it goes on.
    """
    names = sorted(m.name for m in pkgutil.iter_modules(builtin.__path__))
    found = {n: f"{builtin.__name__}.{n}" for n in names if not n.startswith("_")}
    for name, value in _plugins(entry_points, tuple(sys.path)):
        if found.setdefault(name, value) != value:
            _warn(
                f'The plugin {value} registers the method "{name}", which is already '
                f"{found[name]}, and is left out; rename it in the plugin's entry point or "
                f"uninstall it."
            )
    return found


@lru_cache
def _warn(sentence: str) -> None:
    """Say what is wrong with a plugin, once."""
    logging.getLogger(__name__).warning(sentence)


@lru_cache(maxsize=4)
def _plugins(
    installed: Callable[..., EntryPoints], path: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    """Return name and module of every plugin on `path`.

    Read once: metadata of some 200 distributions, 10 ms a time, would be asked for at every row.
    """
    return tuple(sorted((p.name, p.value) for p in installed(group=PLUGIN_GROUP)))


def cards() -> list[MethodCard]:
    """Return the card of every method, sorted by name, without importing any of them.

    A plugin without a card, or whose module is gone, is left out with a warning. Raises InputError
    naming file and line when the card of a method of ours lacks a field.
    """
    found = (_card_of(name, module) for name, module in sorted(method_modules().items()))
    return [one for one in found if one is not None]


def _card_of(name: str, module: str) -> MethodCard | None:
    try:
        return read_card(name, _module_file(name, module))
    except InputError as error:
        if module.startswith(f"{builtin.__name__}."):
            raise
        _warn(f"{error} The method is left out.")
        return None


def card(name: str) -> MethodCard:
    """Return the card of one method; raises InputError for an unknown name or a bad card."""
    return read_card(name, _module_file(name, _module_name(name)))


def method_class(name: str) -> type[FusionMethod]:
    """Import the one module of the method `name` and return its FusionMethod subclass.

    Raises InputError for an unknown name, a missing dependency, or a module that does not define
    exactly one subclass.
    """
    from fusion.method import FusionMethod

    module_name = _module_name(name)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise InputError(
            f'The method "{name}" ({module_name}) needs the package {error.name}; install it.'
        ) from error
    found = [
        value
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, FusionMethod)
        and value.__module__ == module.__name__
    ]
    if len(found) != 1:
        names = ", ".join(c.__name__ for c in found) or "none"
        raise InputError(
            f"{module.__file__} must define exactly one FusionMethod subclass, and defines "
            f"{len(found)} ({names}); keep one method a file."
        )
    return found[0]


def resolve_params(
    name: str, cls: type[FusionMethod], preset: str | None, params: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the constructor arguments: those of `preset`, overridden by `params`.

    Raises InputError for an unknown preset or parameter, or a missing required one.
    """
    if preset is not None and preset not in cls.presets:
        known = list(cls.presets)
        hint = did_you_mean(str(preset), known) if known else " It has no presets."
        raise InputError(f'The method "{name}" has no preset "{preset}".{hint}')
    chosen = {**(cls.presets[preset] if preset is not None else {}), **params}
    accepted = _constructor_parameters(cls)
    for key in chosen:
        if key not in accepted:
            hint = did_you_mean(key, list(accepted)) if accepted else " It takes no parameters."
            raise InputError(f'The method "{name}" has no parameter "{key}".{hint}')
    for key, parameter in accepted.items():
        if parameter.default is inspect.Parameter.empty and key not in chosen:
            raise InputError(f'The method "{name}" needs the parameter "{key}"; give {key}=...')
    return chosen


def build_method(name: str, preset: str | None = None, **params: Any) -> FusionMethod:
    """Return the method `name`, untrained, on the CPU; the caller seeds torch before.

    Raises InputError as `method_class` and `resolve_params` do.
    """
    from fusion.building import build

    cls = method_class(name)
    return build(cls, name, resolve_params(name, cls, preset, params))


def load_method(
    name: str,
    checkpoint: str | Path | None = None,
    device: str = "cpu",
    preset: str | None = None,
    **params: Any,
) -> FusionMethod:
    """Return the method `name`, ready to fuse, on `device`.

    `checkpoint` is a file, a folder of the several files that make one, "published" for the
    authors' own (see `fusion.weights.published`; it must have been fetched) or "published:VARIANT".
    `params` are the constructor's arguments and override those of `preset`; without a preset, a
    checkpoint written by ``fusion.training`` supplies the arguments it was trained with, and a
    published one its preset. A network without checkpoint keeps random weights, which
    ``method.weights`` tells: "untrained", "none" (nothing to train) or the checkpoint's path.
    Raises InputError for any argument that is wrong.
    """
    from fusion.building import build
    from fusion.torch_tools import resolve_device

    where = resolve_device(device)
    cls = method_class(name)
    path, preset = _located(name, checkpoint, preset)
    loaded = None if path is None else _read_for(name, cls, path)
    stored = loaded.params if loaded is not None and preset is None else {}
    method = build(cls, name, resolve_params(name, cls, preset, {**stored, **params}))
    if loaded is not None:
        method.weights = _load_weights(method, loaded, name)
    elif method.state_dict():
        method.weights = "untrained"
    return method.to(where).eval()


def _located(
    name: str, checkpoint: str | Path | None, preset: str | None
) -> tuple[Path | None, str | None]:
    """Return where the checkpoint lies, and the preset, which a published one may bring."""
    if checkpoint is None:
        return None, preset
    from fusion.weights.published import choose_published, is_word, ready

    if not is_word(checkpoint):
        return Path(checkpoint), preset
    entry = choose_published(name, str(checkpoint), preset)
    return ready(entry), preset if preset is not None else entry.preset


def _read_for(name: str, cls: type[FusionMethod], path: Path) -> Checkpoint:
    from fusion.weights.checkpoints import read_checkpoint

    loaded = read_checkpoint(path, cls)
    if loaded.method not in (None, name):
        raise InputError(
            f'{path} holds weights of the method "{loaded.method}", not of "{name}"; '
            f"give the right checkpoint or method."
        )
    return loaded


def _load_weights(method: FusionMethod, loaded: Checkpoint, name: str) -> str:
    from fusion.weights.checkpoints import load_into

    if not method.state_dict():
        raise InputError(
            f'The method "{name}" has no weights, so the checkpoint {loaded.path} cannot be '
            f"loaded into it; leave the checkpoint out."
        )
    load_into(method, loaded, name)
    return str(loaded.path)


def _constructor_parameters(cls: type[FusionMethod]) -> dict[str, inspect.Parameter]:
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {k: p for k, p in inspect.signature(cls).parameters.items() if p.kind in named}


def _module_name(name: str) -> str:
    known = method_modules()
    if name not in known:
        hint = did_you_mean(str(name), list(known))
        raise InputError(f'There is no fusion method "{name}".{hint}')
    return known[name]


def _module_file(name: str, module: str) -> Path:
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        spec = None
    if spec is None or spec.origin is None:
        raise InputError(
            f'The method "{name}" is registered as {module}, which cannot be found; '
            f"reinstall the plugin or correct its entry point."
        )
    return Path(spec.origin)
