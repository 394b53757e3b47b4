"""The commands that fuse folders and list methods."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

# Every import below costs seconds somewhere; a command pays only for its own.


def fuse(options: argparse.Namespace) -> int:
    """Fuse every pair of two folders into a third."""
    from fusion import load_method
    from fusion.generation.folder import fuse_folder
    from fusion.generation.memory import keep_freed_memory
    from fusion.pairs import list_pairs
    from pipelines.execution.progress import Screen
    from pipelines.specs.loading import parse_overrides, validate
    from pipelines.specs.method import MethodSpec

    keep_freed_memory()
    pairs = list_pairs(Path(options.infrared), Path(options.visible))
    given = {"name": options.method, "params": parse_overrides(options.set)}
    params = validate(MethodSpec, given, Path("--set")).params
    method = load_method(options.method, options.checkpoint, options.device, **params)
    screen = Screen()
    if method.needs_checkpoint and options.checkpoint is None:
        screen.say(
            f"{options.method} has no checkpoint: its weights are random, and so its images."
        )
    with screen.live(), screen.step(f"fusing with {options.method}") as report:
        summary = fuse_folder(
            method,
            pairs,
            Path(options.out),
            gray=options.gray,
            device=options.device,
            on_progress=lambda done, total: report(done, total, ""),
        )
    print(f"{summary.count} images in {options.out} ({summary.seconds:.1f} s)")
    return 0


def methods(options: argparse.Namespace) -> int:
    """List the fusion methods with paper, licence, parameters and checkpoint state."""
    from fusion.registry import cards

    found = cards()
    if options.json:
        print(json.dumps([_card(card) for card in found], indent=1))
        return 0
    for card in found:
        print(f"{card.name:12}  {card.summary}")
        print(f"{'':12}  paper: {card.paper}; licence: {card.licence}")
        print(f"{'':12}  checkpoint: {card.checkpoint}; {_trained(card)}")
        if card.parameters:
            print(f"{'':12}  parameters: {', '.join(card.parameters)}")
        if card.presets:
            print(f"{'':12}  presets: {', '.join(card.presets)}")
    return 0


def _card(card: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return {**asdict(card), "path": str(card.path)}


def _trained(card: Any) -> str:
    return "can be trained here" if card.trainable else "nothing to train"
