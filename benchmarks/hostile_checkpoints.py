"""Checkpoints that nobody means well: small, and large, endless or alive once read."""

from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def saved(content: Any, **how: Any) -> bytes:
    """Return what torch.save writes."""
    stream = io.BytesIO()
    torch.save(content, stream, **how)
    return stream.getvalue()


def rewritten(
    content: bytes,
    change: Callable[[str, bytes], bytes] = lambda name, data: data,
    packed: int = zipfile.ZIP_STORED,
    more: dict[str, bytes] | None = None,
) -> bytes:
    """Return a zip archive with its members changed, packed, or joined by others."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(stream, "w", packed) as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
        for name, data in (more or {}).items():
            new.writestr(name, data)
    return stream.getvalue()


def claiming(items: int) -> bytes:
    """Return a checkpoint of four numbers whose header claims `items` of them."""

    def change(name: str, data: bytes) -> bytes:
        long = b"\x8a\x08" + struct.pack("<q", items)
        return data.replace(b"K\x04tq\x07", long + b"tq\x07") if name.endswith(".pkl") else data

    return rewritten(saved({"a": torch.zeros(4)}), change)


def claiming_in_the_old_format(items: int) -> bytes:
    long = b"\x8a\x08" + struct.pack("<q", items)
    old = saved({"a": torch.zeros(4)}, _use_new_zipfile_serialization=False)
    assert b"K\x04Ntq" in old
    return old.replace(b"K\x04Ntq", long + b"Ntq")


def doubled(times: int) -> list[Any]:
    """Return lists of twice the same list, so deep."""
    found: list[Any] = [1]
    for _ in range(times):
        found = [found, found]
    return found


def nested(times: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(times):
        found = [found]
    return found


def itself() -> dict[str, Any]:
    found: dict[str, Any] = {"a": torch.zeros(1)}
    found["state_dict"] = found
    return found


class Code:
    """Runs a command as it is read, where anything is run."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


def _many() -> dict[str, torch.Tensor]:
    return {f"k{n}": torch.zeros(1) for n in range(3)}


KINDS: dict[str, Callable[[Path], bytes]] = {
    "code": lambda ran: pickle.dumps(Code(ran)),
    "code in an archive": lambda ran: saved({"state_dict": Code(ran)}),
    "a claim of terabytes": lambda _: claiming(10**13),
    "a claim of twice as much": lambda _: claiming(8),
    "a claim of terabytes in the old format": lambda _: claiming_in_the_old_format(10**13),
    "one number a billion times": lambda _: saved({"a": torch.zeros(1).expand(10**9)}),
    "one number often under many names": lambda _: saved(
        {f"k{n}": torch.zeros(1).expand(10**7) for n in range(100)}
    ),
    "one tensor under many names": lambda _: saved(
        dict.fromkeys(map(str, range(5000)), torch.ones(5000))
    ),
    "a sparse tensor": lambda _: saved(
        {"a": torch.sparse_coo_tensor(size=(2**31, 2**31), check_invariants=False)}
    ),
    "a tensor of no memory": lambda _: saved({"a": torch.zeros(2**40, device="meta")}),
    "a packed archive": lambda _: rewritten(saved(_many()), packed=zipfile.ZIP_DEFLATED),
    "a member outside": lambda _: rewritten(saved(_many()), more={"../../escaped": b"x"}),
    "a member at the root": lambda _: rewritten(saved(_many()), more={"/escaped": b"x"}),
    "lists of lists": lambda _: saved({"params": doubled(40), "state_dict": _many()}),
    "a deep list": lambda _: saved(nested(300)),
    "a dictionary that holds itself": lambda _: saved(itself()),
    "a pickle that asks for much": lambda _: b"\x80\x04\x8e" + struct.pack("<Q", 2**60) + b"x",
    "a pickle that remembers much": lambda _: b"\x80\x02}r\xff\xff\xff\x7f.",
    "an archive of nothing": lambda _: b"PK\x05\x06" + b"\0" * 18,
    "half an archive": lambda _: saved(_many())[:300],
    "text": lambda _: b"<html>404</html>",
    "nothing": lambda _: b"",
}
"""By kind, what makes a file's bytes; one that is alive makes the folder that it is given."""
