"""The report that the tests of views look at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_report import Made, Make, Tree, build

from pipelines.planning.plan import Cell


@pytest.fixture(scope="session")
def make(scenes_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """A function that makes an experiment; `keep` says which of its cells are finished."""

    def made_of(*keep: Callable[[Cell], bool], **changes: Any) -> Made:
        return build(tmp_path_factory.mktemp("report"), scenes_root, *keep, **changes)

    return made_of


@pytest.fixture(scope="session")
def made(make: Make) -> Made:
    """Four methods, two seeds, three tasks, all finished; do not change its store."""
    return make()


@pytest.fixture(scope="session")
def html(made: Made) -> str:
    """Its page."""
    return made.page()


@pytest.fixture(scope="session")
def tree(html: str) -> Tree:
    """Its page, read."""
    return Tree(html)
