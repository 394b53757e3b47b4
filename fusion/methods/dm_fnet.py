"""DM-FNet: features of a diffusion model at three noise levels, joined by a fusion head.

Paper: DM-FNet: Unified multimodal medical image fusion via diffusion process-trained
    encoder-decoder, IEEE TMM 2025, https://arxiv.org/abs/2506.15218
Licence: AGPL-3.0-or-later (ours, written from the abstract and a description of the network; the
    authors' repository, https://github.com/HeDan-11/DM-FNet, declares no licence)
Checkpoint: the authors' repository names a denoising UNet and two fusion heads (medical, infrared)
    and holds none of them; with both parts in a folder as unet.pth and head.pth they load as they
    are. Else train one with `fuse-then train-fusion`, in two stages

First the UNet learns to say what an image was before noise was added to it (of both images of a
pair, with the same weights): `pretrain` in an experiment. Then it stays as it is, and the fusion
head learns from what its decoder says of both images at the noise levels 5, 10 and 20 of 2000.

The authors draw new noise for every test image, so that their results change a little from run to
run. Here it belongs to the parameters: ``noise_seed`` draws the same for every pair of a size, and
``noise="none"`` adds none. The two training stages have different noise schedules, as released;
all three levels are nearly free of noise in both. Presets: `paper` (the default) and `tiny` (the
same design, 8 channels wide in place of 128, without dropout).

Of the pair's luminances the infrared (MRI) image comes first; colours are the visible (CT, PET,
SPECT) image's. Any size is extended to multiples of 16, 64 at least.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor

from fusion.errors import InputError
from fusion.layers.choices import require_choice
from fusion.layers.framing import pad_to
from fusion.method import FusionMethod
from fusion.networks.dm_fnet.diffusion import STEPS, Schedule, draw, level_after, noised
from fusion.networks.dm_fnet.head import FusionHead
from fusion.networks.dm_fnet.loss import dm_loss
from fusion.networks.dm_fnet.unet import DenoisingUNet

MULTIPLE, LEAST = 16, 64
VALIDATION_SEED = 0


class DMFNet(FusionMethod):
    """DM-FNet; `width` channels normalised in `groups`, features at the noise `steps`.

    Raises InputError for a parameter outside its allowed values.
    """

    needs_checkpoint: ClassVar[bool] = True
    trainable: ClassVar[bool] = True
    pretrained: ClassVar[str] = "unet"
    pretraining_ignores: ClassVar[tuple[str, ...]] = ("schedule", "steps", "noise", "noise_seed")
    nested: ClassVar[Mapping[str, str]] = {"unet.pth": "unet.", "head.pth": "head."}
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "tiny": {"width": 8, "groups": 4, "dropout": 0.0},
    }

    def __init__(
        self,
        *,
        width: int = 128,
        groups: int = 32,
        dropout: float = 0.2,
        pretrain_schedule: Schedule = "cosine",
        schedule: Schedule = "linear",
        steps: Sequence[int] = (5, 10, 20),
        noise: Literal["seeded", "none"] = "seeded",
        noise_seed: int = 0,
    ):
        super().__init__()
        for name, value in (("schedule", schedule), ("pretrain_schedule", pretrain_schedule)):
            require_choice("dm_fnet", name, value, get_args(Schedule))
        require_choice("dm_fnet", "noise", noise, ("seeded", "none"))
        _check_numbers(width, groups, dropout, noise_seed)
        self.pretrain_schedule, self.schedule = pretrain_schedule, schedule
        self.steps = _checked_steps(steps)
        self.noise, self.noise_seed = noise, noise_seed
        self.unet = DenoisingUNet(width, groups, dropout)
        self.head = FusionHead(width, len(self.steps))

    def forward(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """Return the fused luminance, B x 1 x H x W, of two such tensors in [0, 1], any size."""
        # One pair at a time: each gets the noise that it would get alone.
        pairs = zip(
            *((2 * image - 1).chunk(len(image)) for image in (infrared, visible)), strict=True
        )
        return (torch.cat([self._run(*pair) for pair in pairs]) + 1) / 2

    def pretraining_loss(self, infrared: Tensor, visible: Tensor) -> dict[str, Tensor]:
        """Return ``{"total"}``, the mean squared error of the UNet's guess of the clean image.

        Noise of one random step in training; in evaluation each image's own, always the same.
        """
        images = pad_to(2 * torch.cat([infrared, visible]) - 1, MULTIPLE)
        source = None if self.training else torch.Generator().manual_seed(VALIDATION_SEED)
        count = 1 if self.training else len(images)
        steps = torch.randint(1, STEPS + 1, (count, 1), generator=source)
        level, noise = draw(images, steps, self.pretrain_schedule, source)
        guess = self.unet(noised(images, level, noise), level)
        return {"total": (guess.float() - images).square().mean()}

    def loss(self, infrared: Tensor, visible: Tensor) -> dict[str, Tensor]:
        """Return the fusion head's loss of a batch in [0, 1], compared in [-1, 1].

        Keys "total", "intensity", "gradient", "contrast": see `dm_loss`. The UNet gets no gradient.
        """
        infrared, visible = 2 * infrared - 1, 2 * visible - 1
        return dm_loss(self._run(infrared, visible), infrared, visible)

    def _run(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """Return the fused image of two in [-1, 1], in that range."""
        height, width = infrared.shape[-2:]
        images = pad_to(torch.cat([infrared, visible]), MULTIPLE, least=LEAST)
        source = None if self.training else torch.Generator().manual_seed(self.noise_seed)
        with torch.no_grad():
            found = [self._features(images, step, source) for step in self.steps]
        fused: Tensor = self.head(*zip(*found, strict=True))
        return fused[..., :height, :width]

    def _features(
        self, images: Tensor, step: int, source: torch.Generator | None
    ) -> list[list[Tensor]]:
        """Return the features of each half of a batch, one after the other: half the memory."""
        steps = torch.full((1, 1), step)
        if self.noise == "none":
            level = level_after(steps, self.schedule).to(images).expand(len(images), 1)
            seen = level[..., None, None] * images
        else:
            level, noise = draw(images, steps, self.schedule, source)
            seen = noised(images, level, noise)
        halves = zip(seen.chunk(2), level.chunk(2), strict=True)
        return [self.unet.features(*half) for half in halves]


def _check_numbers(width: int, groups: int, dropout: float, noise_seed: int) -> None:
    given = {"width": (width, 2), "groups": (groups, 1), "noise_seed": (noise_seed, 0)}
    for name, (value, least) in given.items():
        if type(value) is not int or value < least:
            raise InputError(f"dm_fnet: {name} is {value!r}; give a whole number from {least}.")
    if width % groups or width % 2:
        raise InputError(
            f"dm_fnet: width is {width}, but must be even and a multiple of groups ({groups})."
        )
    if not isinstance(dropout, int | float) or not 0 <= dropout < 1:
        raise InputError(f"dm_fnet: dropout is {dropout!r}; give a number from 0 to below 1.")


def _checked_steps(steps: Sequence[int]) -> tuple[int, ...]:
    many = tuple(steps) if isinstance(steps, Sequence) and not isinstance(steps, str) else ()
    if not many or any(type(step) is not int or not 1 <= step <= STEPS for step in many):
        raise InputError(
            f"dm_fnet: steps is {steps!r}; give a list of whole numbers from 1 to {STEPS}."
        )
    return many
