"""Imported by every Python process that finds this folder on its path: notes whom it talks to.

What is not this machine is written to $FUSE_THEN_CONTACTS, a line each, and refused.
"""

import os
import sys
from typing import Any

LOCAL = ("127.", "::1", "localhost", "0.0.0.0")
OURS = {socket_name for socket_name in (os.uname().nodename,) if socket_name}


def listen(event: str, arguments: tuple[Any, ...]) -> None:
    """Hear of connections, of datagrams and of names that are looked up."""
    if event in ("socket.connect", "socket.sendto"):
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else ""  # else a socket in a file
    elif event == "socket.getaddrinfo" or event == "socket.gethostbyname":
        host = arguments[0]
    else:
        return
    name = host.decode() if isinstance(host, bytes) else str(host or "")
    if not name or name.startswith(LOCAL) or name in OURS:
        return
    with open(os.environ["FUSE_THEN_CONTACTS"], "a", encoding="utf-8") as notes:  # noqa: PTH123
        notes.write(f"{event} {name} by {' '.join(sys.argv[:3])}\n")
    raise ConnectionRefusedError(f"{name} is not this machine, and tests talk to nobody else")


if "FUSE_THEN_CONTACTS" in os.environ:
    sys.addaudithook(listen)
