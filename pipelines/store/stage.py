"""A stage of the work, what kind of work it is, and the manifest of a finished one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from typing import Any

from pydantic import BaseModel, ConfigDict

from pipelines.store.digests import digest

Metrics = dict[str, Any]
"""What a body found out: plain values for the manifest."""


@dataclass(frozen=True)
class Kind:
    """A kind of stage; raise `version` whenever the body's result changes.

    `body` names the function that makes it, ``module:function``: what only plans, or waits for a
    worker, imports none of the frameworks that bodies need. `products` are the files whose bytes
    downstream stages depend on; a `resumable` body continues from what an interrupted run left.
    """

    name: str
    version: int
    body: str
    products: tuple[str, ...] = ()
    resumable: bool = False


def load_body(body: str) -> Callable[[Any], Metrics]:
    """Import and return the function ``module:function``."""
    module, _, function = body.partition(":")
    loaded: Callable[[Any], Metrics] = getattr(import_module(module), function)
    return loaded


@dataclass(frozen=True, eq=False)
class Stage:
    """One step of the work, known by the digest of all that determines its result.

    `spec` and `inputs` are hashed; `local`, such as where data lies on this machine, is not.
    """

    kind: Kind
    spec: Mapping[str, Any]
    inputs: Mapping[str, Stage] = field(default_factory=dict)
    local: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def key(self) -> str:
        """Sixteen hex digits."""
        inputs = {role: stage.key for role, stage in self.inputs.items()}
        return digest([self.kind.name, self.kind.version, self.spec, inputs])[:16]

    @property
    def title(self) -> str:
        """``kind/key``, as the directory is called."""
        return f"{self.kind.name}/{self.key}"


def stage_of(
    kind: Kind,
    spec: Mapping[str, Any],
    inputs: Mapping[str, Stage] | None = None,
    local: Mapping[str, Any] | None = None,
) -> Stage:
    """Return a stage whose `spec` reads as it will when it comes back from JSON."""
    return Stage(kind, json.loads(json.dumps(spec)), inputs or {}, local or {})


class _Frozen(BaseModel):
    # What a later version adds is kept out of the way, so that old code reads new stores.
    model_config = ConfigDict(frozen=True, extra="ignore")


class Source(_Frozen):
    """An input of a finished stage: which stage, and the digest of its products."""

    kind: str
    key: str
    digest: str


class Machine(_Frozen):
    """What a stage was made on."""

    system: str
    processor: str
    cores: int | None
    accelerators: tuple[str, ...] = ()


def processor(device: str, threads: int, machine: Machine) -> str:
    """Return what a device of a machine is called, for people: the accelerators or the cores."""
    if device != "cpu" and machine.accelerators:
        return ", ".join(sorted(set(machine.accelerators)))
    return f"{machine.processor}, {threads} of {machine.cores} cores"


class Manifest(_Frozen):
    """What is written last into a finished stage: all that its result can be traced to.

    `digest` is of the products; `started` is ISO 8601 in UTC, `seconds` wall-clock. Processor time
    (s) and peak memory (MB) are those of the worker, absent for stages made without one.
    `contents` is the sha256 of the list of a stage's files, where it has products, and `seal` a
    digest of what the result is known by; stages of before have neither.
    """

    kind: str
    key: str
    version: int
    spec: Mapping[str, Any]
    local: Mapping[str, Any]
    inputs: Mapping[str, Source]
    digest: str
    metrics: Mapping[str, Any]
    started: str
    seconds: float
    device: str
    threads: int
    commit: str
    versions: Mapping[str, str]
    machine: Machine
    command: str
    contents: str | None = None
    seal: str | None = None
    cpu_seconds: float | None = None
    peak_memory_megabytes: float | None = None

    @property
    def processor(self) -> str:
        """What the stage ran on: the accelerators where one was used, else the processor."""
        return processor(self.device, self.threads, self.machine)
