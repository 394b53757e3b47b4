"""What the paper states of a table's protocol, read from ``configs/paper/NAME.stated.yaml``."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import Field

from pipelines.specs.base import Spec
from pipelines.specs.loading import read_yaml, validate
from pipelines.specs.method import MethodSpec

INFERENCE = ("stretch", "official_stretch", "crops", "border", "masks", "seed")
"""Parameters that change what is done with a network's output, and not the network."""


class Statement(Spec):
    """One setting that the paper states; where it is vague, our values `among` which it is met.

    `section` is the paper's, where it has been looked up. What is `built_in` is no setting of ours:
    there is only the paper's way.
    """

    setting: str
    value: Any
    section: str = ""
    among: tuple[Any, ...] = ()
    built_in: bool = False

    def met(self, ours: Any) -> bool:
        """Whether our value is the paper's."""
        return ours in self.among if self.among else plain(ours) == plain(self.value)


class Stated(Spec):
    """All that the paper states of a table: of the `task`, and of the training of its `fusion`.

    `images` are the test images by part, "" without parts. `networks` holds for a method the
    parameters with which it is the paper's network.
    """

    title: str
    task: str
    settings: tuple[Statement, ...]
    fusion: tuple[Statement, ...] = ()
    images: dict[str, int] = Field(default_factory=dict)
    networks: dict[str, tuple[dict[str, Any], ...]] = Field(default_factory=dict)

    def is_its_network(self, method: MethodSpec) -> bool:
        """Whether a row's method is the network behind the paper's row of that name."""
        known = self.networks.get(method.name)
        own = {key: value for key, value in method.params.items() if key not in INFERENCE}
        return known is None or own in known


def plain(value: Any) -> Any:
    """Return a value for comparison: lists as tuples, numbers by their value."""
    return tuple(value) if isinstance(value, list) else value


def read_stated(table: str) -> Stated | None:
    """Return what the paper states of a table, None where that is not on file."""
    path = Path(str(resources.files("configs"))) / "paper" / f"{table}.stated.yaml"
    return validate(Stated, read_yaml(path), path) if path.is_file() else None
