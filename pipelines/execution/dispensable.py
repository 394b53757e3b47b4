"""What only shows the work, Prefect and MLflow, may be gone: one line says so, the work goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fusion.errors import InputError, printable, without_passwords

LIMIT_SECONDS = 30.0
"""Nobody waits longer for a view."""
PREFECT, MLFLOW = "Prefect", "MLflow"
RAISING = {
    PREFECT: frozenset(("prefect", "httpx", "httpcore", "websockets")),
    MLFLOW: frozenset(("mlflow", "requests", "urllib3", "sqlalchemy", "sqlite3", "alembic")),
}
"""Where the errors of a view and of the way to it come from."""


class Absent(InputError):
    """A view that is not there; a run goes on without, and what asks for the view alone ends."""


def is_absence(view: str, error: BaseException) -> bool:
    """Whether an error says that a view is gone, rather than that something is wrong with us."""
    packages = {kind.__module__.split(".")[0] for kind in type(error).__mro__}
    files = view == MLFLOW and isinstance(error, OSError)  # it keeps some beside its database
    return isinstance(error, Absent) or files or not packages.isdisjoint(RAISING[view])


def missing(view: str, error: BaseException | str, later: str) -> str:
    """Return the line that tells of a view that is not there."""
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    shown = without_passwords(printable(reason)).rstrip(".")[:300]
    return f"  missing  {view}: {shown}; the work goes on. {later}"


@contextmanager
def dispensable(view: str, later: str, say: Callable[[str], None]) -> Iterator[None]:
    """Do what only shows results; where that cannot be, say so in a line and go on.

    `later` is a sentence on how the view gets what it misses now.
    """
    try:
        yield
    except Exception as error:
        if not is_absence(view, error):
            raise
        say(missing(view, error, later))
