"""The commands that look closer: into a network, and at many methods side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from fusion.errors import InputError, did_you_mean
from fusion.registry import load_method
from pipelines.cli.fuse import method_of, parameters_of
from pipelines.cli.options import (
    Checkpoint,
    Device,
    InfraredFolder,
    Method,
    MethodParameters,
    Overwrite,
    VisibleFolder,
    check_new,
)

if TYPE_CHECKING:
    from fusion.method import FusionMethod
    from fusion.pairs import Image, ImagePair


def explain(
    method: Annotated[
        Method, Parameter(help="NAME or NAME/PRESET, as fuse-then methods lists them.")
    ],
    /,
    *,
    infrared: Annotated[Path, Parameter(metavar="FILE", help="The infrared image.")],
    visible: Annotated[
        Path, Parameter(metavar="FILE", help="The visible image, of the same size.")
    ],
    layer: Annotated[
        list[str] | None,
        Parameter(
            metavar="NAME...",
            consume_multiple=True,
            help="Layers of the network (default: four, first to last).",
        ),
    ] = None,
    patch: Annotated[
        int, Parameter(metavar="N", help="A patch's side, in positions of the feature map.")
    ] = 8,
    checkpoint: Checkpoint = None,
    parameters: MethodParameters = None,
    out: Annotated[
        Path | None,
        Parameter(metavar="FILE.png", help="The picture (default: explain-METHOD.png)."),
    ] = None,
    device: Device = "cpu",
    overwrite: Overwrite = False,
) -> int:
    """Draw how redundant a network's feature maps are, patch by patch."""
    from fusion.looking.explain import explain as measure
    from fusion.looking.explain_picture import describe, draw_explanation, require_png

    check_new(overwrite, out)
    out = out or Path(f"explain-{method.replace('/', '-')}.png")
    require_png(out)
    network = _load(method, checkpoint, device, parameters)
    found = measure(network, *_luminances(infrared, visible), layer or (), patch)
    weights = "  (untrained, random weights)" if _untrained(network) else ""
    draw_explanation(found, f"{method}: {visible.name}{weights}", out)
    for seen in found.maps:
        print(describe(seen) + (f", {seen.undefined} patches undefined" * bool(seen.undefined)))
    print(out)
    return 0


def _load(
    title: str, checkpoint: str | None, device: str, parameters: list[str] | None
) -> FusionMethod:
    import torch

    from pipelines.execution.progress import Screen

    name, preset = method_of(title)
    given = parameters_of(name, parameters)
    torch.manual_seed(0)  # random weights must at least be the same ones tomorrow
    method = load_method(name, checkpoint, device, preset, **given)
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


def sheet(
    fused: Annotated[
        list[str],
        Parameter(help="NAME=DIR for each column: its caption, and the folder of its images."),
    ],
    /,
    *,
    infrared: InfraredFolder,
    visible: VisibleFolder,
    out: Annotated[Path, Parameter(metavar="FILE", help="The picture to write, a PNG.")],
    pairs: Annotated[
        str, Parameter(metavar="N|NAME,NAME", help="How many rows, evenly spaced, or which.")
    ] = "6",
    sources: Annotated[
        str, Parameter(metavar="A,B", help="The captions of the two sources.")
    ] = "infrared,visible",
    zoom: Annotated[
        float,
        Parameter(
            metavar="X", help="How many times to enlarge where methods differ most; 0: no box."
        ),
    ] = 4,
    overwrite: Overwrite = False,
) -> int:
    """Put the sources and the fused images of several folders side by side."""
    from fusion.looking.comparison_sheet import comparison_sheet
    from fusion.pairs import list_images, list_pairs, read_rgb

    check_new(overwrite, out)
    folders, captions = _folders(fused), sources.split(",")
    if len(captions) != 2 or not all(captions):
        raise InputError(f'--sources is "{sources}"; give two names, such as MRI,PET.')
    known = list_pairs(infrared, visible)
    images = {name: list_images(folder) for name, folder in folders.items()}
    shared = [pair for pair in known if all(pair.name in found for found in images.values())]
    if not shared:
        raise InputError(
            f"No pair of {infrared} has a fused image in every folder "
            f"({', '.join(map(str, folders.values()))}); images are matched by file stem."
        )
    rows = []
    for pair in _chosen(pairs, shared):
        paths = [pair.infrared, pair.visible, *(found[pair.name] for found in images.values())]
        rows.append((pair.name, [read_rgb(path) for path in paths]))
    comparison_sheet(rows, [*captions, *folders], out, zoom=zoom or None)
    print(f"{len(rows)} of {len(shared)} pairs that are in every folder: {out}")
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
