"""Bytes made of other bytes: where no library guides the search, and to begin with."""

from __future__ import annotations

import random
from collections.abc import Sequence

TOKENS: tuple[bytes, ...] = (
    *(b"", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\x1b[2J", b"\n", b" ", b"-", b"0", b"1e999"),
    *(b"nan", b"-inf", b"9" * 30, b"9" * 5000, b"true", b"null", b"~", b"<<", b"*a", b"&a "),
    *(b"!!python/object:os.system", b"!!binary ", b"[", b"]", b"{", b"}", b"[" * 500, b"{a: " * 50),
    *(b": ", b"- ", b"'", b'"', b"\\u0000", b"\\ud800", b"$HOME", b"~/", b"../", b"/dev/zero"),
    *(b"&lt;", b"&#0;", b"<a>" * 100, b"<!DOCTYPE x [", b"<!ENTITY a 'b'>", b"]]>", b"<?xml"),
    *(
        b"\x00\x00\x00\x00",
        b"\xff\xff\xff\xff",
        b"\x7f\xff\xff\xff",
        b"\x80\x02",
        b"\x8e" + b"\xff" * 8,
    ),
    *(b"PK\x05\x06", b"IHDR", b"IDAT", b"\xff\xd8\xff", b"II*\0"),
)
LONGEST = 20_000


def mutate(sample: bytes, others: Sequence[bytes], lots: random.Random) -> bytes:
    """Return a sample with one to five parts changed."""
    found = bytearray(sample)
    for _ in range(lots.randint(1, 5)):
        start = lots.randrange(len(found) + 1)
        length = min(lots.choice((1, 1, 2, 4, 16, 64)), len(found) - start)
        part = found[start : start + length]
        change = lots.randrange(6)
        if change == 0:
            new = bytes(lots.randrange(256) for _ in range(max(1, length)))
        elif change == 1:
            new = lots.choice(TOKENS)
        elif change == 2:
            new = bytes(part) * lots.choice((2, 2, 3, 50))
        elif change == 3:
            other = lots.choice(others)
            place = lots.randrange(len(other) + 1)
            new = other[place : place + lots.choice((4, 32, 256))]
        elif change == 4:
            new = bytes((byte + lots.choice((1, -1, 32, 128))) % 256 for byte in part)
        else:
            new = b""
        found[start : start + length] = new
    return bytes(found[:LONGEST])
