"""What every fusion method is: a module that turns two luminance images into one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from fusion.errors import InputError
from fusion.pairs import Image, ImagePair


class FusionMethod(nn.Module):
    """A fusion method; subclasses implement `forward` and, when trainable, `loss`.

    One file under ``fusion/methods`` (or one plugin module) defines one subclass; the file's
    name is the method's name and the file's docstring is its card.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Named sets of constructor arguments, chosen by ``load_method(..., preset=NAME)``."""

    needs_checkpoint: ClassVar[bool] = False
    """Whether fusing without trained weights is meaningless."""

    trainable: ClassVar[bool] = False
    """Whether `loss` is implemented, so that ``fusion.training`` can train it."""

    pretrained: ClassVar[str] = ""
    """The part, an attribute, that a first training makes by `pretraining_loss`; the training by
    `loss` then leaves it as it is. None where one training makes all."""

    pretraining_ignores: ClassVar[tuple[str, ...]] = ()
    """Constructor parameters that cannot change that part: methods that differ in no other share
    one first training."""

    by_name: ClassVar[bool] = False
    """Whether fused images are looked up by the pair's name (`ready_image`), not computed."""

    source: ClassVar[Literal["infrared", "visible", "both"] | None] = None
    """What of the pair ``fuse_folder`` writes as it is, instead of calling `forward`; "both" is
    one image of four channels, RGB and infrared, for networks that see four."""

    joins: ClassVar[tuple[str, ...]] = ()
    """The methods on whose images networks are trained, each its own, whose answers are joined in
    the place of one network's on fused images."""

    image_folders: ClassVar[tuple[str, ...]] = ()
    """Constructor parameters that name folders of images; what lies in these counts for the
    result, so that changed images make cached results stale."""

    nested: ClassVar[Mapping[str, str]] = {}
    """Where the authors' weights lie in parts: an entry's name, or a file's name when the
    checkpoint is a folder of several files, and the prefix that its keys have here."""

    ignored: ClassVar[tuple[str, ...]] = ()
    """Regular expressions that match, from its first letter, a prefixed key not needed to fuse."""

    optional: ClassVar[tuple[str, ...]] = ()
    """Regular expressions that match, from its first letter, a key that a checkpoint may lack."""

    weights: str
    """Where the weights came from: "untrained", "none" (nothing to train) or a path."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = "none"

    @classmethod
    def premade(cls) -> bool:
        """Whether all images exist before fusing: found by name, and `prepare` makes none.

        Such a method cannot fuse pairs that were changed since, such as disturbed ones.
        """
        return cls.by_name and cls.prepare is FusionMethod.prepare

    def forward(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """Return the fused luminance, B x 1 x H x W, of two such tensors in [0, 1]."""
        raise InputError(
            f"{type(self).__name__} computes no image from tensors: its images are found by the "
            f"pair's name; use fuse_folder or `fuse-then fuse`."
        )

    def loss(self, infrared: Tensor, visible: Tensor) -> dict[str, Tensor]:
        """Return the training loss of a batch in [0, 1] as ``{"total": ..., parts...}``."""
        raise InputError(f"{type(self).__name__} has no training recipe: it is inference only.")

    def pretraining_loss(self, infrared: Tensor, visible: Tensor) -> dict[str, Tensor]:
        """Return the loss, as `loss` does, by which the part `pretrained` learns first."""
        raise InputError(f"{type(self).__name__} has one training only: it learns by its loss.")

    def require_names(self, names: Sequence[str]) -> None:
        """Raise InputError when the images of some pair in `names` cannot be there."""

    def prepare(self, pairs: Sequence[ImagePair], out: Path) -> None:
        """Receive all pairs, once, before a folder of them is fused into the folder `out`."""

    def ready_image(self, name: str) -> Image | None:
        """Return a finished 8-bit image for the pair `name`, or None when it must be computed."""
        return None

    @torch.inference_mode()
    def fuse(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """Fuse a batch: float tensors B x 1 x H x W in [0, 1], any H and W, to the same shape.

        Raises InputError when shapes, types or ranges are not so.
        """
        check_batch(infrared, visible)
        if self.training:
            self.eval()
        fused: Tensor = self(infrared, visible)
        return fused.clamp(0.0, 1.0)


def check_batch(infrared: Tensor, visible: Tensor) -> None:
    """Raise InputError unless both are equal float B x 1 x H x W tensors within [0, 1]."""
    for name, batch in (("infrared", infrared), ("visible", visible)):
        if batch.ndim != 4 or batch.shape[1] != 1 or not batch.is_floating_point():
            raise InputError(
                f"{name} must be a float tensor B x 1 x H x W, not {batch.dtype} "
                f"{tuple(batch.shape)}; convert it first."
            )
        if batch.numel() and not all(0 <= float(end) <= 1 for end in batch.aminmax()):
            raise InputError(f"{name} has values outside [0, 1]; divide 8-bit images by 255.")
    if infrared.shape != visible.shape:
        raise InputError(
            f"infrared is {tuple(infrared.shape)} but visible is {tuple(visible.shape)}; "
            f"a batch must be aligned and of one size."
        )
