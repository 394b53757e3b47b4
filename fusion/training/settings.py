"""How a fusion network is trained; importing this costs no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from fusion.checkpointing import Checkpointed


class TrainSettings(Checkpointed):
    """How to train; the defaults are LKC-FUNet's (arXiv 2411.10036), except the epochs.

    An epoch is one pass over the training pairs. `crops_per_image` random crops of every pair
    (`crop` pixels square) make an epoch; the paper's protocol is 1, but a small data set needs
    more to fill a batch. `validate_every` counts epochs. "fp32" is float32 throughout; on a GPU,
    "tf32" has products of 10 bits, "bf16" mixes in bfloat16. Raises pydantic's ValidationError,
    naming key and value, for a value of another type or out of range.
    """

    model_config = ConfigDict(strict=True)

    epochs: int = Field(ge=1)
    batch_size: int = Field(default=32, ge=1)
    crop: int = Field(default=64, ge=8)
    crops_per_image: int = Field(default=1, ge=1)
    learning_rate: float = Field(default=1e-4, gt=0)
    precision: Literal["fp32", "tf32", "bf16"] = "fp32"
    validate_every: int = Field(default=1, ge=1)


class PretrainSettings(TrainSettings):
    """How the part of a network is trained that has a training of its own before the rest.

    As `TrainSettings`, but with AdamW, whose decoupled weight decay is `weight_decay`.
    """

    weight_decay: float = Field(default=0.01, ge=0)
