"""The commands that look closer: into a network, and at many methods side by side."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fusion.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from fusion.method import FusionMethod
    from fusion.pairs import Image, ImagePair

# Every import below costs seconds somewhere; a command pays only for its own.


def explain(options: argparse.Namespace) -> int:
    """Draw how redundant a network's feature maps are, patch by patch."""
    from fusion.looking.explain import explain as measure
    from fusion.looking.explain_picture import describe, draw_explanation, require_png

    infrared, visible = Path(options.infrared), Path(options.visible)
    out = Path(options.out or f"explain-{options.method.replace('/', '-')}.png")
    require_png(out)
    method = _load(options)
    found = measure(method, *_luminances(infrared, visible), options.layer or (), options.patch)
    weights = "  (untrained, random weights)" if _untrained(method) else ""
    draw_explanation(found, f"{options.method}: {visible.name}{weights}", out)
    for layer in found.maps:
        print(describe(layer) + (f", {layer.undefined} patches undefined" * bool(layer.undefined)))
    print(out)
    return 0


def _load(options: argparse.Namespace) -> FusionMethod:
    import torch

    from fusion import load_method
    from pipelines.execution.progress import Screen
    from pipelines.specs.loading import parse_overrides, validate
    from pipelines.specs.method import MethodSpec

    name, _, preset = options.method.partition("/")
    given = {"name": name, "params": parse_overrides(options.set)}
    params = validate(MethodSpec, given, Path("--set")).params
    torch.manual_seed(0)  # random weights must at least be the same ones tomorrow
    method = load_method(name, options.checkpoint, options.device, preset or None, **params)
    if _untrained(method):
        Screen().say(f"{name} has no checkpoint: its weights are random, and so its feature maps.")
    return method


def _untrained(method: FusionMethod) -> bool:
    return method.weights == "untrained"


def _luminances(infrared: Path, visible: Path) -> tuple[Image, Image]:
    from fusion.pairs import ImagePair, check_same_size, read_gray

    first, second = read_gray(infrared), read_gray(visible)
    check_same_size(ImagePair(visible.stem, infrared, visible), first, second)
    return first, second


def sheet(options: argparse.Namespace) -> int:
    """Put the sources and the fused images of several folders side by side."""
    from fusion.looking.comparison_sheet import comparison_sheet
    from fusion.pairs import list_images, list_pairs, read_rgb

    folders, sources = _folders(options.fused), options.sources.split(",")
    if len(sources) != 2 or not all(sources):
        raise InputError(f'--sources is "{options.sources}"; give two names, such as MRI,PET.')
    pairs = list_pairs(Path(options.infrared), Path(options.visible))
    images = {name: list_images(folder) for name, folder in folders.items()}
    shared = [pair for pair in pairs if all(pair.name in found for found in images.values())]
    if not shared:
        raise InputError(
            f"No pair of {options.infrared} has a fused image in every folder "
            f"({', '.join(map(str, folders.values()))}); images are matched by file stem."
        )
    rows = []
    for pair in _chosen(options.pairs, shared):
        paths = [pair.infrared, pair.visible, *(found[pair.name] for found in images.values())]
        rows.append((pair.name, [read_rgb(path) for path in paths]))
    zoom = None if options.zoom == 0 else options.zoom
    comparison_sheet(rows, [*sources, *folders], Path(options.out), zoom=zoom)
    print(f"{len(rows)} of {len(shared)} pairs that are in every folder: {options.out}")
    return 0


def _folders(given: Sequence[str]) -> dict[str, Path]:
    """Read NAME=DIR, in the order given; InputError for any other form or a name given twice."""
    folders: dict[str, Path] = {}
    for text in given:
        name, equals, folder = text.partition("=")
        if not (name and equals and folder):
            raise InputError(f'"{text}" is not NAME=DIR, such as seafusion=fused/seafusion.')
        if name in folders:
            raise InputError(f'The name "{name}" is given twice; each column needs its own.')
        folders[name] = Path(folder)
    return folders


def _chosen(text: str, pairs: Sequence[ImagePair]) -> list[ImagePair]:
    """Return the pairs that `text` names, or as many as it says, evenly spaced.

    A whole number is a count; "NAME,NAME" are names, and so is a number with a comma behind it.
    """
    if text.isdecimal():
        count = min(int(text), len(pairs))
        if count < 1:
            raise InputError("--pairs is 0; ask for 1 or more.")
        return [pairs[(2 * n + 1) * len(pairs) // (2 * count)] for n in range(count)]
    known = {pair.name: pair for pair in pairs}
    names = [name for name in text.split(",") if name]
    if not names:
        raise InputError(f'--pairs "{text}" names no pair; give how many, or NAME,NAME.')
    for name in names:
        if name not in known:
            hint = did_you_mean(name, list(known))
            raise InputError(f'--pairs: "{name}" is not a pair that is in every folder.{hint}')
    return [known[name] for name in dict.fromkeys(names)]
