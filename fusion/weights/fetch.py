"""Download one published file: resumed where it broke off, checked, then renamed into place."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from fusion.errors import InputError
from fusion.weights.catalogue import WeightFile
from fusion.weights.published import difference, digests_of

Progress = Callable[[int, int | None], None]
"""Bytes so far, and bytes in all where the server says so."""

SECONDS = 60.0
"""How long a server may stay silent."""
_BLOCK = 1 << 16


def fetch(file: WeightFile, target: Path, on_progress: Progress | None = None) -> None:
    """Download `file` to `target` by way of ``TARGET.part``, which a next call continues.

    A target that is already what was published is left alone. Raises InputError when the file has
    no direct address, the server refuses, the transfer breaks off, or what came is not `file`.
    """
    if target.is_file() and not difference(file, digests_of(target)):
        return
    if file.url is None:
        raise InputError(
            f"{file.name} has no direct address: get it by hand from {file.source} and put it at "
            f"{target}."
        )
    partial = target.with_name(target.name + ".part")
    with _told(file, file.url, target):
        target.parent.mkdir(parents=True, exist_ok=True)
        _download(file, file.url, partial, on_progress or (lambda done, total: None))
    wrong = difference(file, digests_of(partial))
    if wrong:
        partial.unlink()
        raise InputError(
            f"{file.url} is not the published {file.name}: {wrong}; what came was deleted. Look "
            f"at {file.source}, the authors may have replaced it."
        )
    partial.replace(target)


def _download(file: WeightFile, url: str, partial: Path, on_progress: Progress) -> None:
    """Append to `partial` what it lacks; start again where the server cannot continue."""
    have = partial.stat().st_size if partial.exists() else 0
    if have and have == file.bytes:
        return
    headers = {"Range": f"bytes={have}-"} if have else {}
    try:
        reply = urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=SECONDS
        )
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != 416:
            raise
        partial.unlink()  # longer than the file, so not a part of it
        reply = urllib.request.urlopen(url, timeout=SECONDS)
    with reply:
        continued = reply.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        if not continued:
            have = 0
        total = have + reply.length if reply.length is not None else None
        _check_size(file, url, total)
        with partial.open("ab" if continued else "wb") as stream:
            _copy(reply, stream, have, total, on_progress)
    _check_whole(file, url, partial.stat().st_size, total)


def _copy(
    reply: http.client.HTTPResponse,
    stream: IO[bytes],
    done: int,
    total: int | None,
    on_progress: Progress,
) -> None:
    while block := reply.read(_BLOCK):
        stream.write(block)
        done += len(block)
        on_progress(done, total)


def _check_size(file: WeightFile, url: str, total: int | None) -> None:
    if None not in (total, file.bytes) and total != file.bytes:
        raise InputError(
            f"{url} offers {total} bytes, but the published {file.name} has {file.bytes}; nothing "
            f"was fetched. Look at {file.source}, the authors may have replaced it."
        )


def _check_whole(file: WeightFile, url: str, have: int, total: int | None) -> None:
    if total is not None and have < total:
        raise InputError(
            f"The transfer of {url} broke off after {have} of {total} bytes; run the same command "
            f"again, and it goes on from there."
        )


@contextmanager
def _told(file: WeightFile, url: str, target: Path) -> Iterator[None]:
    """Turn what a network or a disk can do to us into one sentence."""
    try:
        yield
    except urllib.error.HTTPError as error:
        raise InputError(
            f"{url} answered {error.code} ({error.reason}); look at {file.source}, and put the "
            f"file at {target} by hand if it has moved."
        ) from error
    except (OSError, http.client.HTTPException) as error:  # URLError and timeouts are OSErrors
        why = getattr(error, "reason", None) or error
        raise InputError(
            f"{url} could not be fetched to {target} ({why}); check network and disk, then run "
            f"the same command again: it goes on from where it stopped."
        ) from error
