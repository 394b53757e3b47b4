"""Prefect's SQLite database: there whole or not at all, and made by one process of many.

Prefect makes it in sixty steps, which take seconds: servers that started at once disturbed each
other, and one that was killed meanwhile left half of it.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from fusion.locks import locked

CREATION_SECONDS = 600.0
"""How long another process may take to make it; the run that waits for its server waits less."""


def prepare_database() -> bool:
    """Make the configured database, or upgrade it; return whether it is new.

    Nothing is done for one that is no file, such as PostgreSQL's. Raises TimeoutError.
    """
    from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL, temporary_settings

    path = _file(PREFECT_API_DATABASE_CONNECTION_URL.value())
    if path is None:
        _upgrade()
        return False
    with locked(path.with_name(f"{path.name}.lock"), CREATION_SECONDS):
        if path.exists():
            _upgrade()
            return False
        part = path.with_name(f"{path.name}.part")
        for left in path.parent.glob(f"{part.name}*"):  # by one that was killed, with its journal
            left.unlink()
        with temporary_settings({PREFECT_API_DATABASE_CONNECTION_URL: _address(part)}):
            _upgrade()
        part.rename(path)
        return True


def _file(url: str) -> Path | None:
    """Return the file of an SQLite database."""
    kind, _, rest = url.partition(":///")
    name = rest.partition("?")[0]
    return Path(name) if kind.startswith("sqlite") and name and ":memory:" not in name else None


def _address(path: Path) -> str:
    return f"sqlite+aiosqlite:///{path}"


def _upgrade() -> None:
    from prefect.server.database import provide_database_interface

    async def upgrade() -> None:
        database = provide_database_interface()
        await database.create_db()
        await (await database.engine()).dispose()  # which ends its journal, too

    asyncio.run(upgrade())
