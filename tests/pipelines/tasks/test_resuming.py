"""Bodies that find what an interrupted run left make the rest, and end with the same files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipelines.execution.job import Job
from pipelines.tasks.fusion import perturb


def made(body: Any, out: Path, spec: dict[str, Any], local: dict[str, Any]) -> list[int]:
    """Run a body in `out`; return the steps that it reported as done."""
    out.mkdir(exist_ok=True)
    done: list[int] = []
    body(Job("", spec, {}, local, out, "cpu", 1, lambda n, total, remark: done.append(n)))
    return done


def test_perturbed_images_that_are_there_are_kept(scenes_root: Path, tmp_path: Path) -> None:
    masks = {"name": "masks", "layout": "msrs", "root": str(scenes_root / "msrs")}
    spec, local = {"kind": "infrared_noise", "strength": 20.0}, {"dataset": masks}
    steps = made(perturb, tmp_path / "whole", spec, local)
    assert steps == list(range(1, len(steps) + 1))
    whole = {p.name: p.read_bytes() for p in (tmp_path / "whole" / "images").iterdir()}
    (tmp_path / "cut" / "images").mkdir(parents=True)
    first, second = sorted(whole)[:2]
    (tmp_path / "cut" / "images" / first).write_bytes(whole[first])
    (tmp_path / "cut" / "images" / second).write_bytes(whole[second][:40])
    kept = (tmp_path / "cut" / "images" / first).stat()
    assert made(perturb, tmp_path / "cut", spec, local) == steps[1:]
    assert (tmp_path / "cut" / "images" / first).stat().st_mtime_ns == kept.st_mtime_ns
    assert {p.name: p.read_bytes() for p in (tmp_path / "cut" / "images").iterdir()} == whole
