"""An experiment's report of made-up results, and a reader of the page that it becomes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder

import yaml
from readings import tables_of
from stand_ins import no_report, start_checker
from synthetic_store import finish, made_up_agreements, made_up_evidence

from pipelines.planning.plan import Cell, Plan
from pipelines.planning.planner import make_plan
from pipelines.results.finished import read_results
from pipelines.specs.loading import load_experiment
from pipelines.store.store import Store
from pipelines.tasks.task import tasks
from pipelines.views.report.content import collect
from pipelines.views.report.model import Report
from pipelines.views.report.page import page

VOID = frozenset({"br", "input", "meta"})
"""Elements without an end tag."""
TRAINED = {
    "name": "lkc_funet",
    "label": "LKC-FUNet",
    "params": {"preset": "tiny"},
    "train": {"epochs": 2},
}


@dataclass(frozen=True)
class Made:
    """A synthetic experiment: its file, plan and store."""

    file: Path
    plan: Plan
    store: Store

    def report(self, words: list[str] | None = None) -> Report:
        found = [made_up_evidence(t) for t in tables_of(self.plan, self.store)]
        spec = self.plan.experiment.asked_for_by(words or [str(self.file)])
        results = read_results(replace(self.plan, experiment=spec), self.store)
        return collect(results, found, made_up_agreements(found), lambda *_: None)

    def page(self) -> str:
        return page(self.report())


Make = Callable[..., Made]


def planned(file: Path, store: Store, overrides: dict[str, Any] | None = None) -> Plan:
    """Plan without building any network: whether it can be built is not asked here."""
    spec = load_experiment(str(file), overrides)
    return make_plan(spec, store, tasks(), no_report, start_checker)


def build(
    folder: Path, root: Path, keep: Callable[[Cell], bool] = lambda _: True, **changes: Any
) -> Made:
    """Make an experiment on the scenes in `root`; `keep` says which of its cells are finished."""
    data = {**_experiment(root), **changes}
    file = folder / "experiment.yaml"
    kept = {key: value for key, value in data.items() if value is not None}
    file.write_text(yaml.safe_dump(kept, sort_keys=False), encoding="utf-8")
    store = Store(folder / "store")
    plan = planned(file, store)
    finish([cell for cell in plan.cells if keep(cell)], store)
    return Made(file, plan, store)


def _experiment(root: Path) -> dict[str, Any]:
    boxes = {"name": "boxes", "layout": "m3fd", "root": str(root / "m3fd")}
    masks = {"name": "masks", "layout": "msrs", "root": str(root / "msrs")}
    boxes["split"] = {"file": str(root / "m3fd" / "split.yaml")}  # type: ignore[assignment]
    trained = {**TRAINED, "train": {"epochs": 2, "dataset": masks}}
    return {
        "name": "tiny",
        "seeds": [0, 1],
        "methods": ["infrared", "visible", "average", trained],
        "detection": {"dataset": boxes, "model": "yolov5n", "image_size": 96, "epochs": 1},
        "segmentation": {"dataset": masks, "epochs": 1, "height": 96, "width": 96},
        "scoring": {"dataset": masks, "metrics": ["SD", "MSE"]},
        "paper": {"detection": "table4"},
    }


class Tree(HTMLParser):
    """A page as a tree of elements, read strictly: its tags must balance."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._builder = TreeBuilder()
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open
        self.root = self._builder.close()

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self._builder.start(name, {key: value or "" for key, value in attributes})
        self._open.append(name)
        if name in VOID:
            self.handle_endtag(name)

    def handle_endtag(self, name: str) -> None:
        assert self._open.pop() == name
        self._builder.end(name)

    def handle_data(self, data: str) -> None:
        if self._open:
            self._builder.data(data)

    def all(self, name: str, **attributes: str) -> list[Element]:
        """Return the elements of a name, with these attributes (`class_` among its classes)."""
        wanted = attributes.pop("class_", "")
        return [
            element
            for element in self.root.iter(name)
            if (not wanted or wanted in element.get("class", "").split())
            and all(element.get(key) == value for key, value in attributes.items())
        ]

    def values(self, key: str) -> list[str]:
        """Return all values of an attribute."""
        return [e.attrib[key] for e in self.root.iter() if key in e.attrib]

    @property
    def text(self) -> str:
        """All text, with single spaces."""
        return said(self.root)


def said(element: Element) -> str:
    """Return the text of an element, with single spaces; parts of it stand apart."""
    return " ".join(" ".join(element.itertext()).split())


def rows(table: Element) -> Iterator[list[Element]]:
    """Yield the cells of each row of a table."""
    return (list(row) for row in table.iter("tr"))
