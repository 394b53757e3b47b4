"""Precomputed: fused images that somebody else's code wrote, found by the pair's name.

Paper: none (whichever made the images)
Licence: AGPL-3.0-or-later (ours); the images keep their own
Checkpoint: none
"""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from fusion.errors import InputError
from fusion.method import FusionMethod
from fusion.pairs import Image, is_gray, list_images, read_rgb


class Precomputed(FusionMethod):
    """The images of `folder`, matched by file stem and taken as they are."""

    by_name: ClassVar[bool] = True
    image_folders: ClassVar[tuple[str, ...]] = ("folder",)

    def __init__(self, folder: str | Path) -> None:
        super().__init__()
        self.folder = Path(folder)
        self._images = list_images(self.folder)

    def require_names(self, names: Sequence[str]) -> None:
        """Raise InputError, listing three of them, when `folder` lacks images for `names`."""
        missing = [name for name in names if name not in self._images]
        if missing:
            some = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
            raise InputError(
                f"{self.folder} lacks the fused images of {len(missing)} of {len(names)} pairs "
                f"({some}); add them, named like the pairs."
            )

    def ready_image(self, name: str) -> Image:
        """Return the fused image of the pair `name`: H x W when gray, else RGB H x W x 3.

        Raises InputError when it is missing or cannot be read.
        """
        self.require_names([name])
        rgb = read_rgb(self._images[name])
        return rgb[..., 0].copy() if is_gray(rgb) else rgb
