"""What a number can be traced to: commit, versions, machine, command."""

from __future__ import annotations

import functools
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from fusion.errors import without_passwords

PACKAGES = (
    *("torch", "torchvision", "numpy", "opencv-python", "ultralytics", "albumentations"),
    *("segmentation-models-pytorch", "faster-coco-eval", "prefect", "mlflow"),
)


@functools.cache
def provenance() -> dict[str, Any]:
    """Return commit, package versions, machine and command line of this process."""
    return {
        "commit": commit(),
        "versions": {"python": platform.python_version(), **_versions()},
        "machine": {
            "system": platform.platform(),
            "processor": _processor(),
            "cores": os.cpu_count(),
            "accelerators": _accelerators(),
        },
        "command": without_passwords(" ".join([Path(sys.argv[0]).name, *sys.argv[1:]])),
    }


@functools.cache
def commit() -> str:
    """Return the git commit of the installed sources ("+changes" if edited), else the version."""
    folder = Path(__file__).resolve().parents[2]
    head = _git(folder, "rev-parse", "--short=12", "HEAD") if (folder / ".git").exists() else ""
    if not head:
        return f"fuse-then {metadata.version('fuse-then')}"
    return head + ("+changes" if _git(folder, "status", "--porcelain") else "")


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:  # git is not installed
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def _accelerators() -> list[str]:
    """Return the models of NVIDIA's GPUs as their driver names them."""
    files = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
    lines = [line for file in files for line in file.read_text("utf-8").splitlines()]
    return [line.split(":", 1)[1].strip() for line in lines if line.startswith("Model:")]


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()
