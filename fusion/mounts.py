"""File systems whose locks other machines do not see: nothing that many may write to lies there."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NamedTuple

MOUNTS = Path("/proc/self/mounts")


class Mount(NamedTuple):
    """A line of `MOUNTS`."""

    source: str
    place: str
    kind: str
    options: str


LOCAL_NFS = frozenset(("nolock", "local_lock=flock", "local_lock=all"))
Rule = Callable[[Collection[str]], str | None]
"""Given a mount's options, how it must be mounted instead; None where its locks are shared.

Our locks are flock's. Linux sends them to the server of an NFS as locks of all bytes of a file,
unless the mount keeps them to itself.
"""


def _without(*local: str) -> Rule:
    return lambda options: next((f"without {one}" for one in local if one in options), None)


RULES: dict[str, Rule] = {
    **dict.fromkeys(("nfs", "nfs4"), _without(*sorted(LOCAL_NFS))),
    **dict.fromkeys(("cifs", "smb3"), _without("nobrl")),
    "lustre": lambda options: None if "flock" in options else "with flock",
    **dict.fromkeys(
        ("fuse.sshfs", "fuse.s3fs", "fuse.gcsfuse", "fuse.rclone", "fuse.goofys"),
        lambda _: "as something else, such as NFS",
    ),
}


def unshared_locks(folder: Path, mounts: Path = MOUNTS) -> str | None:
    """Return why locks in `folder` bind this machine alone and what to do, or None.

    Where a machine does not say how it is mounted (macOS), nothing is known against it.
    """
    mount = _mount_of(folder.absolute(), mounts)
    rule = RULES.get(mount.kind) if mount is not None else None
    if mount is None or rule is None:
        return None
    instead = rule(mount.options.split(","))
    if instead is None:
        return None
    return (
        f"{folder} lies on {mount.kind} ({mount.source}), where locks are not shared between "
        f"machines: two of them could do the same work at once. Mount it {instead}"
    )


def _mount_of(folder: Path, mounts: Path) -> Mount | None:
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        folder = folder.resolve()
    except (OSError, RuntimeError):
        return None
    known = [Mount(*map(_unescaped, line.split()[:4])) for line in lines if line.count(" ") >= 3]
    over = [one for one in known if folder.is_relative_to(one.place)]
    # The last of those at one place is mounted over the others.
    return max(reversed(over), key=lambda one: len(one.place), default=None)


def _unescaped(text: str) -> str:
    """Return what the kernel has written with its blanks as octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)
