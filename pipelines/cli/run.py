"""The commands that run an experiment: each is a Prefect flow, run in this process."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from fusion.errors import InputError
from pipelines.cli.measure import FolderOptions, score_folders
from pipelines.cli.options import Experiment, WorkOptions
from pipelines.cli.plan import finished_tables, planned, print_tables
from pipelines.cli.prefect_server import prefect_server
from pipelines.execution.environment import quiet_environment

if TYPE_CHECKING:
    from pipelines.planning.plan import Plan
    from pipelines.results.values import Table
    from pipelines.specs.dataset import Task
    from pipelines.store.store import Store


@contextmanager
def prefect_flows() -> Iterator[ModuleType]:
    """Yield `pipelines.flows` while Prefect has a server to report to."""
    quiet_environment()
    with prefect_server():
        from pipelines import flows

        yield flows


Flows = Annotated[Callable[[], AbstractContextManager[Any]], Parameter(parse=False)]
"""Where a command gets its flows from; no option, but `pipelines.cli.app.main` may be told."""
AS_WRITTEN, NO_FOLDERS = WorkOptions(), FolderOptions()


def compare(
    experiment: Experiment, /, *, options: WorkOptions = AS_WRITTEN, flows: Flows = prefect_flows
) -> int:
    """Fuse, detect, segment and score: all tables of an experiment."""
    return _run("compare", None, experiment, options, flows)


def detect(
    experiment: Experiment, /, *, options: WorkOptions = AS_WRITTEN, flows: Flows = prefect_flows
) -> int:
    """Train a detector on each method's images: AP per class."""
    return _run("fuse_then_detect", "detection", experiment, options, flows)


def segment(
    experiment: Experiment, /, *, options: WorkOptions = AS_WRITTEN, flows: Flows = prefect_flows
) -> int:
    """Train a segmenter on each method's images: IoU per class."""
    return _run("fuse_then_segment", "segmentation", experiment, options, flows)


def score(
    experiment: Experiment | None = None,
    /,
    *,
    options: WorkOptions = AS_WRITTEN,
    folders: FolderOptions = NO_FOLDERS,
    flows: Flows = prefect_flows,
) -> int:
    """Measure how good fused images are: those of an experiment, or of a folder."""
    if experiment is None:
        return score_folders(folders)
    folders.check(alone=False)
    return _run("fuse_then_score", "scoring", experiment, options, flows)


def train_fusion(
    experiment: Experiment, /, *, options: WorkOptions = AS_WRITTEN, flows: Flows = prefect_flows
) -> int:
    """Train the fusion networks of an experiment, and print where their weights are."""
    from pipelines.specs.loading import load_experiment

    load_experiment(experiment, options.overrides)
    result, failure = _flow("train_fusion", experiment, options, flows)
    print(result)
    return _ended(failure)


def _run(flow: str, task: Task | None, experiment: str, options: WorkOptions, flows: Flows) -> int:
    """Run a flow and print the tables of its task, or of all; what there is, if a stage failed."""
    from pipelines.specs.loading import load_experiment, words_of

    # What is wrong with the experiment is said before Prefect starts.
    spec = load_experiment(experiment, options.overrides)
    if task is not None and getattr(spec, task) is None:
        raise InputError(f'The experiment "{spec.name}" has no {task}; give it one, or compare.')
    _, failure = _flow(flow, experiment, options, flows)
    tasks = None if task is None else (task,)
    plan, store = planned(experiment, options, tasks)
    tables = finished_tables(plan, store, "text", tasks)
    print_results(plan, store, tables, words_of(experiment, options.overrides))
    return _ended(failure)


def _flow(
    name: str, experiment: str, options: WorkOptions, flows: Flows
) -> tuple[Any, Exception | None]:
    """Run a flow; return its result, or an empty one and the failure of its stages."""
    with flows() as known:
        from pipelines.execution.worker import StageFailed

        try:
            result = getattr(known, name)(
                experiment, options.overrides, options.store, options.devices, options.jobs
            )
        except StageFailed as failure:
            return "", failure
    return result, None


def _ended(failure: Exception | None) -> int:
    if failure is not None:
        raise failure
    return 0


def print_results(plan: Plan, store: Store, tables: Sequence[Table], words: Sequence[str]) -> None:
    """Print what a run found, and where to see more of it; `words` name the experiment."""
    from pipelines.views.pictures import gather_pictures
    from pipelines.views.tracking.tracker import tracking_uri

    print_tables(tables, "text")
    page = store.root / "reports" / f"{plan.experiment.name}.html"
    uri = tracking_uri(store)
    print(f"\nPictures    {gather_pictures(plan, store)}")
    print(f"Report      {page if page.is_file() else f'fuse-then report {plan.experiment.name}'}")
    print(f"MLflow      {f'mlflow ui --backend-store-uri {uri}' if 'sqlite:' in uri else uri}")
    print("Prefect     prefect server start")
    print(f"Again       fuse-then table {shlex.join(words)} --format md (or csv, latex, json)")
    print("Your data   fuse-then data verify YOUR.yaml, then name it in an experiment (README)")
