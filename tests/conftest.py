"""What the tests share: an environment of their own, tiny datasets, and one Prefect server."""

from __future__ import annotations

import atexit
import contextlib
import os
import runpy
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

LATER = ("process", "training", "system")
"""Marks of a file (pyproject.toml says what they mean), in the order in which they run."""


def pytest_configure(config: pytest.Config) -> None:
    """Before any import: caches, settings and stores of the tests lie in a folder of their own."""
    home = _home(config)
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    os.environ["PREFECT_HOME"] = str(home / "prefect")
    os.environ["FUSE_THEN_STORE"] = str(home / "store")
    for key in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR", "TORCH_HOME", "HF_HOME"):
        os.environ[key] = str(home / key.lower())
    # Device locks lie in the temporary folder: a training on this machine must not hold ours.
    (home / "tmp").mkdir()
    os.environ["TMPDIR"] = tempfile.tempdir = str(home / "tmp")
    _listen(home)
    from pipelines.execution.environment import quiet_environment

    quiet_environment()


CONTACTS = "FUSE_THEN_CONTACTS"


def _listen(home: Path) -> None:
    """Note and refuse what this process, and every Python process under it, says to others."""
    os.environ.setdefault(CONTACTS, str(home / "contacts.txt"))  # one file for all workers
    folder = str(Path(__file__).parent / "support" / "listening")
    sys.path.insert(0, folder)  # workers of ours get their parent's path, other children this:
    known = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([folder, *([known] if known else [])])
    runpy.run_path(f"{folder}/sitecustomize.py")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail where any library has called anybody."""
    contacts = Path(os.environ[CONTACTS])
    if contacts.is_file() and not hasattr(session.config, "workerinput"):
        print(f"\nSomebody outside was called:\n{contacts.read_text(encoding='utf-8')}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _home(config: pytest.Config) -> Path:
    """Make the folder of this process; one of several processes lives inside the first one's.

    Paths stay short: sockets lie in them, whose names may have 107 characters.
    """
    if worker := getattr(config, "workerinput", None):
        home = Path(os.environ["TMPDIR"]).parent / str(worker["workerid"])
        home.mkdir()
        # Each process gets its share of the cores, and not all of them.
        os.environ["OMP_NUM_THREADS"] = "1"
        return home
    home = Path(tempfile.mkdtemp(prefix="fuse-then-tests-"))
    # Registered first, so run last: libraries have cleaning up of their own to do in there.
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    return home


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run what is fast first and what needs a server last; the order is otherwise kept."""

    def place(item: pytest.Item) -> int:
        marks = {mark.name for mark in item.iter_markers()}
        return max((n for n, name in enumerate(LATER, 1) if name in marks), default=0)

    items.sort(key=place)


@pytest.fixture(scope="session")
def data_home() -> Path:
    """The folder of real data, which only its owner has."""
    place = os.environ.get("FUSE_THEN_DATA")
    if not place or not Path(place).is_dir():
        pytest.skip("FUSE_THEN_DATA names no folder with real data, goldens and weights")
    return Path(place)


@pytest.fixture(scope="session")
def scenes_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight training and four test scenes of 96x96 in both layouts; copy before you change it."""
    from pipelines.datasets.scenes.writing import write_scenes

    root = tmp_path_factory.mktemp("scenes")
    write_scenes(root, seed=0, train=8, val=0, test=4, height=96, width=96)
    return root


@pytest.fixture
def scenes(scenes_root: Path, tmp_path: Path) -> Path:
    """A copy of the scenes that a test may spoil."""
    return Path(shutil.copytree(scenes_root, tmp_path / "data"))


Write = Callable[..., Path]


@pytest.fixture
def write_experiment(scenes_root: Path, tmp_path: Path) -> Write:
    """Return a function that writes an experiment's YAML; keywords replace its keys."""

    def write(root: Path = scenes_root, **changes: Any) -> Path:
        data = {**_experiment(root), **changes}
        path = tmp_path / "experiment.yaml"
        kept = {key: value for key, value in data.items() if value is not None}
        path.write_text(yaml.safe_dump(kept, sort_keys=False), encoding="utf-8")
        return path

    return write


def _experiment(root: Path) -> dict[str, Any]:
    boxes = {"name": "boxes", "layout": "m3fd", "root": str(root / "m3fd")}
    masks = {"name": "masks", "layout": "msrs", "root": str(root / "msrs")}
    boxes["split"] = {"file": str(root / "m3fd" / "split.yaml")}
    small = {"architecture": "DeepLabV3Plus", "encoder": "mobilenet_v2", "height": 96, "width": 96}
    return {
        "name": "tiny",
        "methods": ["average"],
        "detection": {"dataset": boxes, "model": "yolov5n", "image_size": 96, "epochs": 1},
        "segmentation": {"dataset": masks, "epochs": 1, **small},
    }


@pytest.fixture(scope="session")
def one_worker() -> Iterator[Any]:
    """One real worker process for all tests whose subject is not the process itself."""
    from pipelines.execution.worker import Worker

    with Worker("cpu", 1, 120.0) as worker:
        yield worker


@pytest.fixture
def shared_worker(one_worker: Any) -> SimpleNamespace:
    """`start` gives `one_worker` to whoever asks for a worker; `started` lists their devices."""
    started: list[str] = []

    def start(device: str, threads: int, timeout_seconds: float) -> Any:
        started.append(device)
        return contextlib.nullcontext(one_worker)

    return SimpleNamespace(start=start, started=started)


@pytest.fixture
def commands_share_a_worker(
    one_worker: Any, shared_worker: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Let commands, which nobody can hand a worker, use the shared one."""
    from pipelines.execution.worker import Worker

    monkeypatch.setattr(Worker, "__init__", lambda _, *given: shared_worker.start(*given) and None)
    monkeypatch.setattr(Worker, "__enter__", lambda _: one_worker)
    monkeypatch.setattr(Worker, "__exit__", lambda *_: None)


@pytest.fixture(scope="session")
def session_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for tests that only plan: what was checked once need not be checked again."""
    return tmp_path_factory.mktemp("planned")


@pytest.fixture(scope="session")
def mlflow_template(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """An MLflow database with tables and nothing in them, `path`, made as users first make theirs.

    `printed` is what the first start printed. One for all tests: it costs ten seconds.
    """
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    code = (
        "import sys; from pipelines.views.tracking.tracker import connect; "
        "connect(f'sqlite:///{sys.argv[1]}').search_experiments()"
    )
    command = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return SimpleNamespace(path=path, printed=done.stdout + done.stderr)


@pytest.fixture(scope="session")
def prefect_harness() -> Iterator[None]:
    """One temporary Prefect server and database for every test that asks for it."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=180):
        yield
