"""The commands that fuse folders and list methods."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from fusion.errors import InputError
from fusion.method_card import MethodCard
from fusion.registry import cards, load_method
from pipelines.cli.options import (
    Checkpoint,
    Device,
    InfraredFolder,
    Method,
    MethodParameters,
    Overwrite,
    VisibleFolder,
)


def fuse(
    method: Method,
    /,
    *,
    infrared: InfraredFolder,
    visible: VisibleFolder,
    out: Annotated[Path, Parameter(metavar="DIR", help="Where the fused images go, as NAME.png.")],
    checkpoint: Checkpoint = None,
    parameters: MethodParameters = None,
    gray: Annotated[
        bool,
        Parameter(
            help="Write luminance only, without the visible image's colours.", show_default=False
        ),
    ] = False,
    device: Device = "cpu",
    overwrite: Overwrite = False,
) -> int:
    """Fuse every pair of two folders into a third."""
    from fusion.generation.folder import fuse_folder
    from fusion.generation.memory import keep_freed_memory
    from fusion.pairs import list_pairs
    from pipelines.execution.progress import Screen

    keep_freed_memory()
    pairs = list_pairs(infrared, visible)
    _check_unused(out, [f"{pair.name}.png" for pair in pairs], overwrite)
    name, preset = method_of(method)
    given = parameters_of(name, parameters)
    network = load_method(name, checkpoint, device, preset, **given)
    screen = Screen()
    if network.needs_checkpoint and checkpoint is None:
        screen.say(f"{method} has no checkpoint: its weights are random, and so its images.")
    with screen.live(), screen.step(f"fusing with {method}") as report:
        summary = fuse_folder(
            network,
            pairs,
            out,
            gray=gray,
            device=device,
            on_progress=lambda done, total: report(done, total, ""),
        )
    print(f"{summary.count} images in {out} ({summary.seconds:.1f} s)")
    return 0


def _check_unused(out: Path, names: list[str], overwrite: bool) -> None:
    there = [] if overwrite else [name for name in names if (out / name).exists()]
    if there:
        raise InputError(
            f"{out} already holds {len(there)} of the {len(names)} images ({there[0]}"
            f"{', ...' if there[1:] else ''}); give another folder, or add --overwrite."
        )


def method_of(title: str) -> tuple[str, str | None]:
    """Return name and preset of NAME, NAME/PRESET, or a shipped row such as lkc_funet-tiny."""
    from pipelines.specs.loading import read_yaml

    row = resources.files("configs") / "methods" / f"{title}.yaml"
    if re.fullmatch(r"[\w.-]+", title) and row.is_file():
        entry = read_yaml(Path(str(row)))
        return entry["name"], entry["params"].get("preset")
    name, _, preset = title.partition("/")
    return name, preset or None


def parameters_of(method: str, given: list[str] | None) -> dict[str, Any]:
    """Return a method's parameters from ``["levels=5"]``; InputError for an unknown one."""
    from pipelines.specs.loading import parse_overrides, validate
    from pipelines.specs.method import MethodSpec

    entry = {"name": method, "params": parse_overrides(given or [])}
    return dict(validate(MethodSpec, entry, Path("--set")).params)


def methods(
    *,
    as_json: Annotated[
        bool, Parameter(name="--json", help="Print them as JSON.", show_default=False)
    ] = False,
) -> int:
    """List the fusion methods with paper, licence, parameters and checkpoint state."""
    known = cards()
    if as_json:
        print(json.dumps([{**asdict(card), "path": str(card.path)} for card in known], indent=1))
        return 0
    for card in known:
        print(f"{card.name:12}  {card.summary}")
        print(f"{'':12}  paper: {card.paper}; licence: {card.licence}")
        print(f"{'':12}  checkpoint: {card.checkpoint}; {_trained(card)}")
        if card.parameters:
            print(f"{'':12}  parameters: {', '.join(card.parameters)}")
        if card.presets:
            print(f"{'':12}  presets: {', '.join(card.presets)}")
    return 0


def _trained(card: MethodCard) -> str:
    return "can be trained here" if card.trainable else "nothing to train"
