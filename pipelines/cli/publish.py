"""The commands that show finished results elsewhere: on one HTML page, and in MLflow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from fusion.errors import InputError, without_passwords
from pipelines.cli.options import Experiment, ExperimentOptions, Overwrite, StorePlace, check_new
from pipelines.execution.environment import quiet_environment

if TYPE_CHECKING:
    from pipelines.execution.progress import Screen
    from pipelines.planning.plan import Plan
    from pipelines.store.store import Store

AS_WRITTEN = ExperimentOptions()


def report(
    experiment: Experiment,
    /,
    *,
    out: Annotated[
        Path | None,
        Parameter(metavar="FILE.html", help="The page (default: reports/NAME.html in the store)."),
    ] = None,
    overwrite: Overwrite = False,
    options: ExperimentOptions = AS_WRITTEN,
) -> int:
    """Write one HTML page of whatever is finished, and print where it lies."""
    from pipelines.execution.progress import Screen
    from pipelines.planning.planner import make_plan
    from pipelines.results.rounds.reading import results_so_far
    from pipelines.results.tables import experiment_evidence
    from pipelines.specs.loading import load_experiment
    from pipelines.store.store import open_store
    from pipelines.tasks.task import tasks
    from pipelines.views.report.page import write_report

    spec = load_experiment(experiment, options.overrides)
    store = open_store(options.store, existing=True)
    check_new(overwrite, out)
    path = page_path(out, store, spec.name)  # a wrong place is told before the work, not after it
    screen = Screen()
    with screen.live():
        results = results_so_far(make_plan(spec, store, tasks(), screen.reporter()), store)
        write_report(results, experiment_evidence(results), screen, path)
    print(f"{path}  ({path.stat().st_size / 1e6:.1f} MB; open it in a browser, or print it)")
    return 0


def page_path(given: Path | None, store: Store, name: str) -> Path:
    """Return where the page goes: FILE, or NAME.html in the store; InputError for no such place."""
    if given is None:
        folder = store.root / "reports"
        folder.mkdir(exist_ok=True)
        return folder / f"{name}.html"
    path = given.expanduser()
    if path.is_dir() or not path.parent.is_dir():
        why = "is a folder" if path.is_dir() else "lies in a folder that does not exist"
        raise InputError(f"--out {path} {why}; give a file in a folder that there is.")
    return path


def sync(
    experiments: Annotated[
        list[str] | None,
        Parameter(help="Names or YAML files (default: all the store remembers)."),
    ] = None,
    /,
    *,
    uri: Annotated[
        str | None,
        Parameter(
            metavar="URI", help="sqlite:///FILE.db or http://HOST:PORT (default: the store's own)."
        ),
    ] = None,
    store: StorePlace = None,
) -> int:
    """Write to MLflow what is missing there; all is made from the store's files."""
    quiet_environment()
    from pipelines.execution.progress import Screen
    from pipelines.store.store import open_store
    from pipelines.views.tracking.tracker import Tracker, tracking_uri

    opened, screen = open_store(store, existing=True), Screen()
    uri = uri or tracking_uri(opened)
    lines = []
    with screen.live():
        for plan in _chosen(experiments or [], opened, screen):
            with screen.step(plan.experiment.name) as progress:
                tracker = Tracker(plan, opened, uri)
                found = tracker.sync(progress)
            lines.append(
                f"{plan.experiment.name:16}  {found['logged']} runs written, "
                f"{found['known']} there already, {found['missing']} cells not finished, "
                f"{found['models']} new models"
            )
    print("\n".join(lines))
    shown = f"mlflow ui --backend-store-uri {uri}" if "sqlite:" in uri else without_passwords(uri)
    print(f"MLflow      {shown}")
    return 0


def _chosen(names: Sequence[str], store: Store, screen: Screen) -> list[Plan]:
    """Return what the store remembers, all or by name; a name it does not know is planned."""
    from pipelines.planning.memory import recall
    from pipelines.planning.planner import make_plan
    from pipelines.specs.loading import load_experiment
    from pipelines.tasks.task import tasks

    known = recall(store)
    if not names:
        if not known:
            raise InputError(
                f"The store {store.root} remembers no experiment; name one, as in fuse-then "
                f"mlflow sync demo, or give another store with --store."
            )
        return known
    chosen: list[Plan] = []
    for name in names:
        same = [plan for plan in known if plan.experiment.name == name]
        chosen += same or [make_plan(load_experiment(name), store, tasks(), screen.reporter())]
    return chosen
