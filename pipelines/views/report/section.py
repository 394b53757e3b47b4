"""A part of the page under a heading of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pipelines.views.report.html import Child
from pipelines.views.report.model import Report
from pipelines.views.report.palette import Looks


@dataclass(frozen=True)
class Section:
    """Heading, the anchor that the contents lead to, and what stands beneath."""

    anchor: str
    title: str
    body: list[Child]


Builder = Callable[[Report, Looks], list[Section]]
