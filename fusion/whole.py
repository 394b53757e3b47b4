"""Whether files that we write are whole: power cuts and full disks leave them cut, or empty."""

from __future__ import annotations

import errno
import os
import zlib
from pathlib import Path
from zipfile import BadZipFile, ZipFile

END = b"\x00\x00\x00\x00IEND\xaeB`\x82"
"""The last bytes of every PNG."""


def is_whole_png(path: Path) -> bool:
    """Whether there is a file that ends as every PNG does."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        stream.seek(-min(len(END), path.stat().st_size), os.SEEK_END)
        return stream.read() == END


def is_whole_archive(path: Path) -> bool:
    """Whether every part of a ZIP archive, as torch writes them, has its checksum.

    Raises OSError where the disk cannot be read.
    """
    try:
        with ZipFile(path) as archive:
            return archive.testzip() is None
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):  # which is a wrong place to seek
            raise
        return False
    # Damaged bytes make the reader raise nearly anything; all of it means the same.
    except (ValueError, EOFError, BadZipFile, RuntimeError, zlib.error):
        return False
