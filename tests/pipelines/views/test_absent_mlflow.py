"""An experiment whose MLflow is not there ends all the same, and is seen in it later."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow.exceptions import MlflowException

from fusion.errors import InputError
from fusion.locks import locked
from pipelines.execution.dispensable import MLFLOW, PREFECT, Absent, is_absence, missing
from pipelines.views.tracking import server
from pipelines.views.tracking.view import View


class Tracker:
    """Fails, with the errors given, in the calls that come first."""

    def __init__(self, lock: Path, *errors: Exception) -> None:
        self.lock, self.errors, self.calls = lock, list(errors), [""]

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if self.errors:
            raise self.errors.pop(0)

    def prepare(self) -> None:
        self._call("prepare")

    def follow(self, cells: Iterable[Any]) -> None:
        self._call("follow")

    def published(self, results: Any) -> bool:
        return False

    def publish(self, results: Any, tables: Sequence[Any], page: Path) -> None:
        self._call("publish")


def run(tracker: Any, said: list[str]) -> list[str]:
    view: Any = View(tracker, said.append)
    view.prepare()
    for _ in range(3):
        view.follow(())
    view.publish(None, (), Path())
    return tracker.calls[1:]


@pytest.mark.parametrize(
    "error",
    [
        Absent("There is no MLflow at x."),
        MlflowException("locked"),
        OSError(28, "No space left on device"),
        sqlite3.OperationalError("database is locked"),
    ],
)
def test_a_run_goes_on_and_tries_again_at_its_end(error: Exception, tmp_path: Path) -> None:
    said: list[str] = []
    assert run(Tracker(tmp_path / "lock", error), said) == ["prepare", "publish"]
    (line,) = said
    assert line.startswith("  missing  MLflow: ")
    assert line.endswith("The next run brings it up to date, and so does fuse-then mlflow sync.")


def test_what_is_wrong_with_us_is_raised(tmp_path: Path) -> None:
    for error in (InputError("MLflow no longer keeps runs in a folder"), KeyError("ours")):
        with pytest.raises(type(error)):
            run(Tracker(tmp_path / "lock", error), [])


def test_runs_of_one_store_write_one_after_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    tracker = Tracker(tmp_path / "lock")
    view: Any = View(tracker, said.append)  # type: ignore[arg-type]
    monkeypatch.setattr("pipelines.views.tracking.view.LIMIT_SECONDS", 0.05)
    with locked(tmp_path / "lock", 1.0):
        view.follow(())  # later, and nothing is said
        assert said == []
        view.publish(None, (), Path())
    assert tracker.calls[1:] == []
    assert "another process has held" in said[0]
    view.publish(None, (), Path())
    assert tracker.calls[1:] == ["publish"]


def test_an_error_belongs_to_a_view_by_where_it_comes_from() -> None:
    assert is_absence(MLFLOW, sqlite3.OperationalError("database is locked"))
    assert not is_absence(PREFECT, OSError(28, "No space left on device"))
    assert not is_absence(MLFLOW, ValueError("x"))
    assert missing(MLFLOW, ValueError("one.\ntwo"), "Later.") == (
        "  missing  MLflow: one; the work goes on. Later."
    )


def test_a_locked_database_is_told_at_once_and_one_that_is_none(
    tmp_path: Path, mlflow_template: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "LOCKED_SECONDS", 0.1)
    path = Path(shutil.copy(mlflow_template.path, tmp_path / "mlflow.db"))
    with sqlite3.connect(path) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(Absent, match=r"mlflow\.db cannot be written to \(database is locked"):
            server.connect(f"sqlite:///{path}")
    other.close()
    assert server.connect(f"sqlite:///{path}").search_experiments()
    path.write_bytes(b"half of a database" * 100)
    with pytest.raises(Absent, match="file is not a database"):
        server.connect(f"sqlite:///{path}")


def test_a_server_that_is_gone_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in server.IMPATIENT.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(Absent, match=r"no MLflow at http://127\.0\.0\.1:1; start it, or unset"):
        server.Experiment("http://127.0.0.1:1", "smoke")


def test_tries_of_a_request_stay_within_the_limit() -> None:
    seconds, tries, factor = (float(value) for value in server.IMPATIENT.values())
    assert (1 + tries) * seconds + sum(factor * 2**n for n in range(int(tries))) <= 30


def test_a_database_is_made_by_one_and_left_whole_by_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    (tmp_path / "mlflow.db.part").write_bytes(b"half")  # of one that was killed
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server, "LIMIT_SECONDS", 0.05)
        with locked(tmp_path / "mlflow.db.lock", 1.0), pytest.raises(Absent, match="held"):
            server.connect(f"sqlite:///{path}")
    assert not path.exists()


def test_a_lock_is_waited_for_so_long_and_no_longer(tmp_path: Path) -> None:
    with locked(tmp_path / "lock", 1.0):
        begun = time.monotonic()
        told = pytest.raises(TimeoutError, match=r"another process has held .*lock for 0 s")
        with told, locked(tmp_path / "lock", 0.05):
            pass
        assert time.monotonic() - begun < 1.0
    with locked(tmp_path / "lock", 0.0):
        pass
