"""How good fused images look: the twelve metrics of the field, in two published conventions."""

from fusion.quality.reading import FusedPair, PairScore, read_for_metrics, score_pairs
from fusion.quality.scoring import METRICS, PAPER_METRICS, score, why_undefined
from fusion.quality.triple import Convention

__all__ = [
    "METRICS",
    "PAPER_METRICS",
    "Convention",
    "FusedPair",
    "PairScore",
    "read_for_metrics",
    "score",
    "score_pairs",
    "why_undefined",
]
