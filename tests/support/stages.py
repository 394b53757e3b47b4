"""Stages made by hand, and what their manifests say."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipelines.store.contents import CONTENTS, list_contents, read_contents, write_contents
from pipelines.store.manifests import sealed
from pipelines.store.stage import Kind, Metrics, Stage
from pipelines.store.store import MANIFEST, Store

FACTS: dict[str, Any] = {
    "metrics": {},
    "started": "2026-01-02T03:04:05+00:00",
    "seconds": 2.5,
    "device": "cpu",
    "threads": 1,
    "commit": "abc",
    "versions": {"python": "3.11"},
    "machine": {"system": "Linux", "processor": "a processor", "cores": 2, "accelerators": []},
    "command": "it",
}


def facts(**given: Any) -> dict[str, Any]:
    """Return what a run would write into a manifest, with some of it replaced."""
    return {**FACTS, **given}


def by_hand(
    kind: str,
    version: int,
    spec: Mapping[str, Any],
    inputs: Mapping[str, Stage] | None = None,
    local: Mapping[str, Any] | None = None,
) -> Stage:
    """Return a stage that nobody makes: it is finished by hand."""
    return Stage(Kind(kind, version, body=""), spec, inputs or {}, local or {})


def commit(store: Store, stage: Stage, **given: Any) -> None:
    """Finish a stage whose inputs are finished; its products are empty folders."""
    with store.claim(stage, keep=False) as out:
        for product in stage.kind.products:
            (out / product).mkdir()
        store.commit(stage, facts(**given))


def rewrite(folder: Path, name: str, text: str) -> None:
    """Put another text into a file of a finished stage, as if its body had written it."""
    (folder / name).write_text(text, encoding="utf-8")
    products = read_contents(folder / CONTENTS).products
    listed = write_contents(folder / CONTENTS, list_contents(folder, products))
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    (folder / MANIFEST).write_text(json.dumps(sealed({**manifest, "contents": listed})))


def kind_of(body: Callable[..., Metrics], name: str = "fake", *, resumable: bool = False) -> Kind:
    """Return a kind whose body is a function of a test; its one product is the file "result"."""
    setattr(sys.modules[__name__], name, body)
    return Kind(name, 1, f"{__name__}:{name}", ("result",), resumable)
