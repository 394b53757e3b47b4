"""The commands that run an experiment: each is a Prefect flow, run in this process."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from fusion.errors import InputError, without_passwords
from pipelines.cli.measure import FolderOptions, score_folders
from pipelines.cli.options import Experiment, RaceOptions, WorkOptions
from pipelines.cli.plan import disturbed, print_tables
from pipelines.cli.scheduling.running import Flows as KnownFlows
from pipelines.cli.scheduling.server import prefect_server
from pipelines.execution.environment import quiet_environment

if TYPE_CHECKING:
    from pipelines.results.comparison import Comparison


def say(text: str) -> None:
    """Print a line above what a run shows of itself."""
    print(f"\r{text}", file=sys.stderr, flush=True)


@contextmanager
def prefect_flows() -> Iterator[KnownFlows]:
    """Yield the flows while Prefect has a server to report to, or plain where it has none."""
    from pipelines.execution.stopping import stoppable

    quiet_environment()
    with stoppable(say, end_process=True), prefect_server(say) as there:
        from pipelines import flows

        yield KnownFlows(flows, there is not None, say)


Flows = Annotated[Callable[[], AbstractContextManager[Any]], Parameter(parse=False)]
"""Where a command gets its flows from; no option, but `pipelines.cli.app.main` may be told."""
AS_WRITTEN, AS_RACED, NO_FOLDERS = WorkOptions(), RaceOptions(), FolderOptions()


def compare(
    experiment: Experiment, /, *, options: RaceOptions = AS_RACED, flows: Flows = prefect_flows
) -> int:
    """Fuse, detect, segment and score: all tables of an experiment."""
    return _run("compare", None, experiment, options, flows)


def detect(
    experiment: Experiment, /, *, options: RaceOptions = AS_RACED, flows: Flows = prefect_flows
) -> int:
    """Train a detector on each method's images: AP per class."""
    return _run("fuse_then_detect", "detection", experiment, options, flows)


def segment(
    experiment: Experiment, /, *, options: RaceOptions = AS_RACED, flows: Flows = prefect_flows
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


def reconstruct(
    experiment: Experiment, /, *, options: WorkOptions = AS_WRITTEN, flows: Flows = prefect_flows
) -> int:
    """Reconstruct the MRI of shorter scans, fuse it, and score what that costs."""
    from pipelines.specs.loading import load_experiment

    if load_experiment(experiment, options.overrides).reconstruction is None:
        raise InputError(f'The experiment "{experiment}" has no reconstruction; give it one.')
    return _run("reconstruct_then_fuse", "scoring", experiment, options, flows)


def train_fusion(
    experiment: Experiment, /, *, options: WorkOptions = AS_WRITTEN, flows: Flows = prefect_flows
) -> int:
    """Train the fusion networks of an experiment, and print where their weights are."""
    from pipelines.specs.loading import load_experiment

    spec = load_experiment(experiment, options.overrides)
    with flows() as known:
        given = (options.store, options.devices, options.jobs)
        weights = known.train_fusion(spec, None, *given, **options.asked)
    print("\n".join(map(str, weights)))
    return 0


def _run(flow: str, task: str | None, experiment: str, options: WorkOptions, flows: Flows) -> int:
    """Run a flow and print its tables; what there is of them, if a stage failed."""
    from pipelines.specs.loading import load_experiment

    # What is wrong with the experiment is said before Prefect starts.
    spec = load_experiment(experiment, options.overrides)
    if task is not None and task not in spec.task_keys:
        raise InputError(f'The experiment "{spec.name}" has no {task}; give it one, or compare.')
    with flows() as known:
        from pipelines.results.comparison import RunFailed  # the server started meanwhile

        try:
            run = getattr(known, flow)
            asked = options.asked
            if isinstance(options, RaceOptions) and options.hours is not None:
                asked["hours"] = options.hours
            comparison = run(spec, None, options.store, options.devices, options.jobs, **asked)
        except RunFailed as failure:
            print_comparison(failure.comparison)
            raise
        print_comparison(comparison)
    return 0


def print_comparison(comparison: Comparison) -> None:
    """Print what a run found, and where to see more of it."""
    from pipelines.execution.faults import spared
    from pipelines.store.store import words_for
    from pipelines.views.pictures import gather_pictures
    from pipelines.views.tracking.tracker import tracking_uri

    results, page = comparison.results, comparison.page
    tables = [one.table for one in comparison.evidence]
    print_tables([*tables, *disturbed(results, "text")], "text")
    experiment, uri = results.plan.experiment, tracking_uri(results.store)
    words = shlex.join([*experiment.words, *words_for(results.store)])
    pictures: Path | str = "not all; the line above says why"
    with spared("pictures", say, results.store.root):
        pictures = gather_pictures(results, tables)
    print(f"\nPictures    {pictures}")
    print(f"Report      {page if page.is_file() else f'fuse-then report {words}'}")
    shown = f"mlflow ui --backend-store-uri {uri}" if "sqlite:" in uri else without_passwords(uri)
    print(f"MLflow      {shown}")
    print("Prefect     prefect server start")
    print(f"Again       fuse-then table {words} --format md (or booktabs, latex, json)")
    print("Your data   fuse-then data verify YOUR.yaml, then name it in an experiment (README)")
