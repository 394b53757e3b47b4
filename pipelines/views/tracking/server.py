"""An MLflow, in a file or on a server: connect to it; find or make experiments and runs."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fusion.errors import InputError
from fusion.locks import locked
from pipelines.execution.dispensable import LIMIT_SECONDS, Absent
from pipelines.store.store import Store

if TYPE_CHECKING:
    from mlflow import MlflowClient

IDENTITY, VIEW_TAG = "fuse_then.id", "fuse_then.view"
VIEW = "4"
"""Raise it when runs show more than before: finished ones are then filled again."""
SQLITE = "sqlite:///"
IMPATIENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "7",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
}
"""Three tries of a request and what lies between them stay within `LIMIT_SECONDS`."""
QUIET = ("MLFLOW_DISABLE_TELEMETRY", "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT")
LOCKED_SECONDS = 10.0


def tracking_uri(store: Store) -> str:
    """Return ``$MLFLOW_TRACKING_URI``, or a SQLite database inside the store."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}{store.root / 'mlflow.db'}"


def missing(uri: str) -> bool:
    """Whether `uri` is a database's whose file is gone, with all that it held."""
    return uri.startswith(SQLITE) and not Path(uri.removeprefix(SQLITE)).exists()


def connect(uri: str) -> MlflowClient:
    """Return a client that neither phones home nor talks about its tables.

    Raises InputError for a folder, which MLflow no longer takes, and Absent for a database that
    cannot be opened, or is being written to all the time.
    """
    if uri.startswith("file:") or "://" not in uri:
        raise InputError(
            f'MLflow no longer keeps runs in a folder ("{uri}"); give sqlite:///FILE.db, or the '
            f"address of a server, http://HOST:PORT."
        )
    for key, value in {**dict.fromkeys(QUIET, "true"), **IMPATIENT}.items():
        os.environ.setdefault(key, value)
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic"):  # after the import, which sets levels of its own
        logging.getLogger(name).setLevel(logging.WARNING)
    if (path := _database(uri)) is not None:
        try:
            _create(path)
            _try(path)
        except (OSError, sqlite3.Error) as error:
            raise Absent(f"The database {path} cannot be written to ({error}).") from error
    return MlflowClient(tracking_uri=uri)


def _database(uri: str) -> Path | None:
    """Return the file of an SQLite database."""
    name = uri.removeprefix(SQLITE)
    return Path(name) if uri.startswith(SQLITE) and name and "?" not in name else None


def _create(path: Path) -> None:
    """Make the tables of a database that is not there, which takes seconds, whole or not at all.

    MLflow would leave half of them when it is killed, and would refuse that half ever after; many
    first runs at once would disturb each other.
    """
    if path.exists():
        return
    from mlflow.store.tracking import DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    with locked(path.with_name(f"{path.name}.lock"), LIMIT_SECONDS):
        if path.exists():
            return
        part = path.with_name(f"{path.name}.part")
        part.unlink(missing_ok=True)
        made = SqlAlchemyStore(f"{SQLITE}{part}", DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH)
        made.engine.dispose()
        part.rename(path)


def _try(path: Path) -> None:
    """Raise sqlite3.Error for a file that is no database, or that is locked for seconds.

    MLflow would try for minutes.
    """
    with contextlib.closing(sqlite3.connect(path, timeout=LOCKED_SECONDS)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.rollback()


class Experiment:
    """One MLflow experiment, found or made; connecting costs seconds.

    Raises Absent when there is no MLflow at `uri`, InputError when it was deleted there.
    """

    def __init__(self, uri: str, name: str) -> None:
        from mlflow.exceptions import MlflowException

        self.client = connect(uri)
        try:
            self.id = self._find(uri, name)
        except MlflowException as error:
            raise Absent(
                f"There is no MLflow at {uri}; start it, or unset MLFLOW_TRACKING_URI to keep the "
                f"runs in the store."
            ) from error

    def _find(self, uri: str, name: str) -> str:
        title = f"fuse-then/{name}"
        found = self.client.get_experiment_by_name(title)
        if found is None:
            return str(self.client.create_experiment(title, artifact_folder(uri, name)))
        if found.lifecycle_stage != "active":
            raise InputError(
                f'The experiment "{title}" was deleted in {uri}; restore it with `mlflow '
                f"experiments restore -x {found.experiment_id}`, or remove it with `mlflow gc`."
            )
        return str(found.experiment_id)

    def run(
        self, identity: str, name: str, tags: Mapping[str, str], start: int
    ) -> tuple[str, bool]:
        """Return the run that carries `identity`, made if need be, and whether it is complete.

        `start` is in milliseconds since 1970.
        """
        query = f"tags.`{IDENTITY}` = '{identity}'"
        runs = self.client.search_runs([self.id], query, max_results=1)
        if runs:
            complete = runs[0].info.status, runs[0].data.tags.get(VIEW_TAG)
            return str(runs[0].info.run_id), complete == ("FINISHED", VIEW)
        source = {"mlflow.source.name": "fuse-then", "mlflow.source.type": "PROJECT"}
        run = self.client.create_run(self.id, start, {IDENTITY: identity, **source, **tags}, name)
        return str(run.info.run_id), False


def artifact_folder(uri: str, name: str) -> str | None:
    """Return where files go: beside a SQLite database; a server has a place of its own."""
    if not uri.startswith(SQLITE):
        return None
    beside = Path(uri.removeprefix(SQLITE)).absolute().parent
    return (beside / "mlartifacts" / name).as_uri()
