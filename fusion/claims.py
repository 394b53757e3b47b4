"""What a checkpoint claims, compared with what its file holds, before anything is allocated.

A few bytes of a header may claim terabytes, a packed archive may unpack to them, and a tensor may
repeat one number as often as it likes. An honest file holds every byte that it claims.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from fusion.errors import InputError
from fusion.opening import check_file

MOST_BYTES = 32_000_000_000
MOST_MEMBERS = 100_000
ITEM_BYTES = {"Double": 8, "Long": 8, "ComplexDouble": 16, "ComplexFloat": 8, "Float": 4, "Int": 4}
"""By torch's names of storages; of all others an item has one byte at least."""


def check_claims(path: Path) -> None:
    """Raise InputError for a file that is no plain one, or that claims more than it holds.

    What is no checkpoint at all is left to whoever reads it.
    """
    check_file(path, MOST_BYTES)
    with path.open("rb") as stream:
        if zipfile.is_zipfile(stream):
            _check_archive(path, stream)
        elif path.suffix != ".safetensors":  # whose reader compares both itself
            stream.seek(0)
            _check_pickles(path, stream)


def _check_archive(path: Path, stream: IO[bytes]) -> None:
    size = path.stat().st_size
    with zipfile.ZipFile(stream) as archive:
        members = archive.infolist()
        outside = [one for one in members if _leads_out(one.filename)]
        packed = [one for one in members if one.compress_type != zipfile.ZIP_STORED]
        if outside:
            raise _refused(
                path, f'its archive holds "{outside[0].filename[:60]}", outside of itself'
            )
        if packed or len(members) > MOST_MEMBERS or sum(one.file_size for one in members) > size:
            raise _refused(path, "its archive is packed, or claims more than the file holds")
        held = {one.filename.rpartition("/")[2]: one.file_size for one in members}
        pickled = [one for one in members if one.filename.endswith("data.pkl")]
        for one in pickled:
            for key, claimed in _claims(archive.open(one)):
                if claimed > held.get(key, 0):
                    raise _refused(path, f"it claims {claimed:,} bytes that it does not hold")


def _check_pickles(path: Path, stream: IO[bytes]) -> None:
    """Check the older format: four pickles, a magic number first, then all storages' bytes."""
    size, claimed = path.stat().st_size, 0
    bounded = _Bounded(stream, size)
    for _ in range(4):
        storages: dict[str, int] = {}
        try:
            storages.update(_claims(bounded))
        except InputError:
            raise
        except Exception:  # its reader will say what it is
            return
        claimed += sum(storages.values())
        if claimed > size:
            raise _refused(path, f"it claims {claimed:,} bytes, and has {size:,}")


def _leads_out(name: str) -> bool:
    return name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/") or ":" in name


def _refused(path: Path, why: str) -> InputError:
    return InputError(f"{path} cannot be read as a checkpoint: {why}; fetch or train it again.")


class _Bounded:
    """A stream of which nobody reads more than there is: to ask for much allocates much."""

    def __init__(self, stream: IO[bytes], size: int) -> None:
        self._stream, self._size = stream, size

    def read(self, count: int = -1) -> bytes:
        """Return the next bytes; EOFError where there are fewer."""
        if count > self._size - self._stream.tell():
            raise EOFError("a pickle that ends too soon")
        return self._stream.read(count)

    def readline(self) -> bytes:
        """Return what comes before the next end of a line."""
        return self._stream.readline()


class _Inert:
    """Stands for whatever a pickle names; it takes everything and does nothing."""

    def __new__(cls, *_: Any, **__: Any) -> _Inert:
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __setstate__(self, _: Any) -> None:
        pass

    def __setitem__(self, _: Any, __: Any) -> None:
        pass

    def append(self, _: Any) -> None:
        pass

    def extend(self, _: Any) -> None:
        pass

    add = append


class _Claims(pickle._Unpickler):  # C's would allocate as told
    """Runs no code of a pickle, and notes the storages that it asks for: bytes by key."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self.storages: dict[str, int] = {}

    def find_class(self, _: str, name: str) -> type[_Inert]:
        return type(name, (_Inert,), {})

    def persistent_load(self, claim: Any) -> _Inert:
        if isinstance(claim, tuple) and len(claim) >= 5 and isinstance(claim[4], int):
            name = getattr(claim[1], "__name__", "").removesuffix("Storage")
            self.storages[str(claim[2])] = claim[4] * ITEM_BYTES.get(name, 1)
        return _Inert()


def _claims(stream: Any) -> Iterator[tuple[str, int]]:
    reader = _Claims(stream)
    reader.load()
    yield from reader.storages.items()
