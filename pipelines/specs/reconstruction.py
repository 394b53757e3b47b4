"""What an experiment reconstructs before it fuses: shorter scans, and a network trained on them."""

from __future__ import annotations

from pydantic import ConfigDict, Field, model_validator

from fusion.reconstruction.settings import (
    RECONSTRUCTIONS,
    Reconstruction,
    ReconstructionTraining,
    SamplingSettings,
)
from fusion.reconstruction.undersampling import Undersampling
from pipelines.specs.dataset import DatasetSpec
from pipelines.specs.values.seeds import Seed


class ReconstructionTrainingSpec(ReconstructionTraining):
    """How the reconstruction network is trained, and on the infrared side of which pairs.

    It is trained once, whatever the seeds of the experiment: all methods see the same images.
    """

    model_config = ConfigDict(strict=False)  # to YAML, 1e-3 is text

    dataset: DatasetSpec
    seed: Seed = 0


class ReconstructionSpec(SamplingSettings):
    """Shorter scans of the test pairs' infrared image, the MRI, reconstructed in several ways.

    Networks trained on whole images fuse them; they are scored against the whole images.
    """

    reconstructions: tuple[Reconstruction, ...] = Field(default=RECONSTRUCTIONS, min_length=1)
    train: ReconstructionTrainingSpec | None = None

    @model_validator(mode="after")
    def _check_ways(self) -> ReconstructionSpec:
        if len(set(self.reconstructions)) != len(self.reconstructions):
            raise ValueError("reconstructions names one twice")
        if "cmd" in self.reconstructions and self.train is None:
            raise ValueError(
                'reconstruction "cmd" is a network: give train with a dataset, or reconstructions: '
                "[zero-filled]"
            )
        return self

    @property
    def undersamplings(self) -> tuple[Undersampling, ...]:
        """Every acceleration with every reconstruction, the lowest acceleration first."""
        known = sorted(self.samplings, key=lambda one: one.acceleration)
        return tuple(Undersampling(one, how) for one in known for how in self.reconstructions)
