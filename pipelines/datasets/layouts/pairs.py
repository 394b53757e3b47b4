"""Pairs alone, without labels: to fuse, to train a fusion network on, and to score."""

from __future__ import annotations

from pipelines.specs.layout import Layout

LAYOUT = Layout(joins_parts=True)
