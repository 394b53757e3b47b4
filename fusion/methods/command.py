"""Command: the images that a program in any other environment makes from two folders.

Paper: none (whichever the program implements)
Licence: AGPL-3.0-or-later (ours); the program keeps its own
Checkpoint: none here; the command names its own

The program runs once for all pairs. It finds copies of them as NAME.png in two folders and must
write NAME.png (or another image format) into a third; gray or colour, its images are taken as
they are. What it prints goes to OUT.log beside the folder that receives the images. Cached
results depend on the command's text, not on the code it runs: change the text (``--version 2``)
when that code changes.
"""

from __future__ import annotations

import shlex
import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from fusion.errors import InputError
from fusion.method import FusionMethod
from fusion.pairs import Image, ImagePair, is_gray, list_images, read_rgb, write_png
from fusion.programs import run_program

PLACES = ("{infrared}", "{visible}", "{output}")


class Command(FusionMethod):
    """Run `command`, split as a shell would but run without one, with the folders in its places.

    `command` holds {infrared}, {visible} and {output}; it runs in `workdir` (default: here) with
    the variables `env` added to ours, and is ended with all that it started after
    `timeout_seconds`. Raises InputError for a parameter that cannot be.
    """

    by_name: ClassVar[bool] = True

    def __init__(
        self,
        command: str,
        timeout_seconds: float = 3600.0,
        workdir: str | None = None,
        env: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.parts = _split(command)
        if type(timeout_seconds) not in (int, float) or not timeout_seconds > 0:
            raise InputError(f"command: timeout_seconds is {timeout_seconds!r}; use a number > 0.")
        self.timeout_seconds = float(timeout_seconds)
        self.workdir = Path(workdir).expanduser() if workdir is not None else None
        if self.workdir is not None and not self.workdir.is_dir():
            raise InputError(f"command: the workdir {self.workdir} does not exist; check the path.")
        self.env = {str(key): str(value) for key, value in (env or {}).items()}
        self._images: dict[str, Path] | None = None

    def prepare(self, pairs: Sequence[ImagePair], out: Path) -> None:
        """Run the command on copies of `pairs`, and find an image for every one of them.

        Raises InputError, naming the log, when it cannot run, fails, takes too long, or leaves
        images out.
        """
        log = out.resolve().with_name(f"{out.resolve().name}.log")
        work = Path(tempfile.mkdtemp(prefix="fuse-then-command-"))
        folders = {place: work / place.strip("{}") for place in PLACES}
        for folder in folders.values():
            folder.mkdir()
        for pair in pairs:
            _copy(pair.infrared, folders["{infrared}"] / f"{pair.name}.png")
            _copy(pair.visible, folders["{visible}"] / f"{pair.name}.png")
        words = [_fill(part, folders) for part in self.parts]
        run_program(words, log, self.timeout_seconds, self.workdir, self.env)
        images = list_images(folders["{output}"])
        _check_all_there([pair.name for pair in pairs], images, folders["{output}"], log)
        self._images = images
        # Only now: after a failure, what the program left is worth a look.
        weakref.finalize(self, shutil.rmtree, work, ignore_errors=True)

    def ready_image(self, name: str) -> Image:
        """Return the program's image of the pair `name`: H x W when gray, else RGB H x W x 3.

        Raises InputError when it cannot be read, or before `prepare`.
        """
        if self._images is None or name not in self._images:
            raise InputError(
                f'The command has not run on a pair "{name}"; it runs on whole folders, so use '
                f"fuse_folder or `fuse-then fuse`."
            )
        rgb = read_rgb(self._images[name])
        return rgb[..., 0].copy() if is_gray(rgb) else rgb


def _split(command: str) -> list[str]:
    try:
        parts = shlex.split(command)
    except (ValueError, AttributeError) as error:
        raise InputError(f"command: {command!r} is not a command line ({error}).") from error
    lacking = [place for place in PLACES if not any(place in part for part in parts)]
    if lacking:
        raise InputError(
            f"command: {command!r} lacks {', '.join(lacking)}; write these words where the program "
            f"takes its folders."
        )
    return parts


def _fill(part: str, folders: Mapping[str, Path]) -> str:
    for place, folder in folders.items():
        part = part.replace(place, str(folder))
    return part


def _copy(image: Path, target: Path) -> None:
    """Copy, never link: the program may change its input, or see no other folder than ours."""
    if image.suffix.lower() != ".png":
        rgb = read_rgb(image)
        write_png(target, rgb[..., 0] if is_gray(rgb) else rgb)
        return
    try:
        shutil.copyfile(image, target)
    except OSError as error:
        raise InputError(
            f"{image} cannot be copied to {target} ({error.strerror}); check file and disk."
        ) from error


def _check_all_there(
    names: Sequence[str], images: Mapping[str, Path], folder: Path, log: Path
) -> None:
    missing = [name for name in names if name not in images]
    if missing:
        some = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise InputError(
            f"The command wrote no image of {len(missing)} of {len(names)} pairs ({some}) into "
            f"{folder}; each must be there as NAME.png. What it printed is in {log}."
        )
