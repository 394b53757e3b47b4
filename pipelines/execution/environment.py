"""Quiet and offline: what the libraries are told before they are imported."""

from __future__ import annotations

import os

QUIET = {
    "YOLO_OFFLINE": "true",
    "YOLO_AUTOINSTALL": "false",
    "NO_ALBUMENTATIONS_UPDATE": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "true",
    "MPLBACKEND": "Agg",
    "OPENCV_IO_MAX_IMAGE_PIXELS": "40000000",
    "OPENCV_LOG_LEVEL": "OFF",
}
"""No telemetry, no downloads, no windows, and no images that fill the memory."""

OURS_ALONE = {
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_INTERNAL_LEVEL": "CRITICAL",
}
"""For the command line, whose console shows our own lines only."""


def quiet_environment() -> None:
    """Set all of these, unless the user has set them otherwise."""
    for key, value in {**QUIET, **OURS_ALONE}.items():
        os.environ.setdefault(key, value)
