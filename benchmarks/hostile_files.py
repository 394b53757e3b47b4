"""Files that nobody means well, small on disk: images of many pixels, pipes, sockets, devices."""

from __future__ import annotations

import os
import socket
import struct
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

Make = Callable[[Path], object]


def png(width: int, height: int, packed: bytes = b"", colour: int = 2) -> bytes:
    """Return a PNG whose header claims a size, whatever `packed` pixels come with it."""
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    parts = (b"IHDR", header), (b"IDAT", packed or zlib.compress(b"")), (b"IEND", b"")
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def large_png(side: int, colour: int = 2) -> bytes:
    """Return a true PNG, black, of a few kilobytes."""
    row = b"\0" * (1 + side * (3 if colour == 2 else 1))
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    return png(side, side, packed, colour)


def socket_at(path: Path) -> None:
    """Leave a socket's file."""
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's name is short
    try:
        with closing(socket.socket(socket.AF_UNIX)) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def huge_at(path: Path) -> None:
    """Leave a file of a terabyte that takes no room."""
    with path.open("wb") as stream:
        stream.truncate(2**40)


NO_FILES: dict[str, tuple[Make, str]] = {
    "pipe": (os.mkfifo, "is a named pipe, not a file"),
    "socket": (socket_at, "is a socket, not a file"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "is a device, not a file"),
    "folder": (Path.mkdir, "is a folder, not a file"),
    "terabyte": (huge_at, "1,099,511,627,776 bytes, and at most"),
    "broken link": (lambda path: path.symlink_to("nowhere"), "cannot be opened (No such file"),
    "loop": (lambda path: path.symlink_to(path.name), "cannot be opened (Too many levels"),
}
"""What may lie where a file is wanted, and what is said of it."""
