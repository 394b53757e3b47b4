"""The command line: every error the user can mend is one sentence and exit code 2."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import Literal

from fusion.errors import InputError
from pipelines.execution.worker import StageFailed

Command = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done, 1 a stage failed, 2 the input is wrong."""
    options = parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except InputError as error:
        print(f"fuse-then: {error}", file=sys.stderr)
        return 2
    except StageFailed as error:
        print(f"fuse-then: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader, head or less, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("fuse-then: stopped; finished stages are kept, run again to go on.", file=sys.stderr)
        return 130


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    from pipelines.cli import data as commands_data
    from pipelines.cli import fuse as commands_fusion
    from pipelines.cli import look as commands_explain
    from pipelines.cli import measure as commands_profile
    from pipelines.cli import publish as commands_mlflow
    from pipelines.cli import report as commands_report
    from pipelines.cli import run as commands
    from pipelines.cli import score as commands_score
    from pipelines.cli import weights as commands_weights

    top = argparse.ArgumentParser(prog="fuse-then", description=__doc__ and DESCRIPTION)
    sub = top.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Command, text: str) -> argparse.ArgumentParser:
        made = sub.add_parser(name, help=text, description=text)
        made.set_defaults(command=run)
        return made

    for name, text in (
        ("compare", "fuse, detect, segment and score: all tables of an experiment"),
        ("detect", "the detection table of an experiment"),
        ("segment", "the segmentation table of an experiment"),
        ("train-fusion", "train the fusion networks of an experiment"),
    ):
        made = command(name, commands.run_flow, text)
        made.set_defaults(flow=name)
        _experiment(made)
        _work(made)
    _score(command("score", commands_score.score, "the quality of fused images, by metrics"))
    _experiment(command("plan", commands.plan, "each stage: cached, to run or blocked, and why"))
    table = command("table", commands.table, "the tables from whatever is finished")
    _experiment(table)
    table.add_argument("--format", choices=("text", "md", "csv", "latex", "json"), default="text")
    _report(command("report", commands_report.report, "one HTML page of whatever is finished"))
    _fuse(command("fuse", commands_fusion.fuse, "fuse two folders of images"))
    methods = command("methods", commands_fusion.methods, "list the fusion methods")
    methods.add_argument("--json", action="store_true", help="as JSON")
    _profile(command("profile", commands_profile.profile, "parameters, time and memory of methods"))
    _explain(command("explain", commands_explain.explain, "how feature maps repeat each other"))
    _sheet(command("sheet", commands_explain.sheet, "fused images side by side, with a zoom"))
    _weights(command("weights", commands_weights.weights_list, "the authors' published weights"))
    _data(command("data", commands_data.data_verify, "look at a dataset before using it"))
    _mlflow(command("mlflow", commands_mlflow.sync, "what the store holds, in MLflow"))
    return top


DESCRIPTION = (
    "Fuse infrared and visible images with many methods, train the same detector and segmenter "
    "on each, and print who wins, by how much, and how sure we are."
)


def _experiment(made: argparse.ArgumentParser, nargs: Literal["?"] | None = None) -> None:
    text = "EXPERIMENT.yaml, or the name of a shipped one"
    made.add_argument("experiment", nargs=nargs, help=text)
    made.add_argument("--set", action="append", default=[], metavar="A.B=C", help="change a key")
    _store(made)


def _work(made: argparse.ArgumentParser) -> None:
    made.add_argument("--devices", help="cpu, or cuda:0,cuda:1 (default: what is there)")
    made.add_argument("--jobs", type=int, help="trainings at once on the processor (default 2)")


def _score(made: argparse.ArgumentParser) -> None:
    _experiment(made, nargs="?")
    _work(made)
    made.set_defaults(flow="score")
    folders = made.add_argument_group("without an experiment", "score folders, matched by stem")
    for name in ("infrared", "visible", "fused"):
        folders.add_argument(f"--{name}", metavar="DIR")
    folders.add_argument("--convention", choices=("paper", "released"), help="(default: paper)")
    folders.add_argument("--metrics", nargs="+", metavar="NAME", help="(default: all twelve)")
    folders.add_argument("--json", metavar="FILE", help="means, intervals, counts")
    folders.add_argument("--per-image", metavar="CSV", help="one line an image")
    folders.add_argument("--device", default="cpu")


def _store(made: argparse.ArgumentParser) -> None:
    made.add_argument("--store", help="where results live (default: $FUSE_THEN_STORE or ./runs)")


def _report(made: argparse.ArgumentParser) -> None:
    _experiment(made)
    made.add_argument("--out", metavar="FILE.html", help="(default: STORE/reports/NAME.html)")


def _fuse(made: argparse.ArgumentParser) -> None:
    made.add_argument("method", help="see fuse-then methods")
    made.add_argument("--infrared", required=True, metavar="DIR")
    made.add_argument("--visible", required=True, metavar="DIR")
    made.add_argument("--out", required=True, metavar="DIR")
    made.add_argument("--checkpoint", metavar="FILE", help="trained weights, or published")
    made.add_argument("--set", action="append", default=[], metavar="K=V", help="a parameter")
    made.add_argument("--device", default="cpu")
    made.add_argument("--gray", action="store_true", help="write luminance only")


def _profile(made: argparse.ArgumentParser) -> None:
    made.add_argument("methods", nargs="*", help="NAME or NAME/PRESET (default: all)")
    made.add_argument("--size", default="640x480", metavar="WxH")
    made.add_argument("--device", default="cpu")
    made.add_argument("--threads", type=int, help="on the processor (default: torch's choice)")
    made.add_argument("--repeats", type=int, default=5)
    made.add_argument("--json", metavar="FILE", help="write the numbers there, too")
    made.add_argument("--scores", metavar="FILE", help='draw time against {"METHOD": mean rank}')
    made.add_argument("--plot", metavar="FILE", default="speed-rank.png", help="where to draw it")


def _explain(made: argparse.ArgumentParser) -> None:
    made.add_argument("method", help="NAME or NAME/PRESET, see fuse-then methods")
    made.add_argument("--infrared", required=True, metavar="FILE")
    made.add_argument("--visible", required=True, metavar="FILE")
    made.add_argument("--layer", nargs="+", metavar="NAME", help="(default: four, first to last)")
    made.add_argument("--checkpoint", metavar="FILE", help="trained weights, or published")
    made.add_argument("--set", action="append", default=[], metavar="K=V", help="a parameter")
    made.add_argument("--patch", type=int, default=8, metavar="N", help="in feature map positions")
    made.add_argument("--out", metavar="FILE.png", help="(default: explain-METHOD.png)")
    made.add_argument("--device", default="cpu")


def _sheet(made: argparse.ArgumentParser) -> None:
    made.add_argument("fused", nargs="+", metavar="NAME=DIR", help="a column of fused images")
    made.add_argument("--infrared", required=True, metavar="DIR")
    made.add_argument("--visible", required=True, metavar="DIR")
    made.add_argument("--out", required=True, metavar="FILE")
    made.add_argument("--pairs", default="6", metavar="N|NAME,NAME", help="how many, or which")
    made.add_argument("--sources", default="infrared,visible", metavar="A,B", help="their captions")
    made.add_argument("--zoom", type=float, default=4, metavar="X", help="how much (0: no box)")


def _weights(made: argparse.ArgumentParser) -> None:
    from pipelines.cli import weights as commands_weights

    sub = made.add_subparsers(required=True, metavar="ACTION")
    for action, run, text, given in (
        ("list", commands_weights.weights_list, "all known ones and what is here", None),
        ("verify", commands_weights.weights_verify, "which one a file is, by its digest", "file"),
        ("path", commands_weights.weights_path, "where one lies, or would lie", "name"),
        ("fetch", commands_weights.weights_fetch, "download one and check it", "name"),
    ):
        one = sub.add_parser(action, help=text, description=text)
        one.set_defaults(command=run)
        if given:
            one.add_argument(given, help=None if given == "file" else "see fuse-then weights list")


def _data(made: argparse.ArgumentParser) -> None:
    from pipelines.cli import data as commands_data

    sub = made.add_subparsers(required=True, metavar="ACTION")
    verify = sub.add_parser("verify", help="decode every file; counts, sizes, classes, problems")
    verify.set_defaults(command=commands_data.data_verify)
    split = sub.add_parser("split", help="write train, val and test to a file a config can name")
    split.set_defaults(command=commands_data.data_split)
    split.add_argument("--out", required=True, metavar="FILE.yaml")
    split.add_argument("--seed", type=int, default=0)
    split.add_argument("--ratios", type=int, nargs=3, default=(8, 1, 1), metavar="N")
    for one in (verify, split):
        one.add_argument("dataset", help="DATASET.yaml, or the name of a shipped one")
        one.add_argument("--set", action="append", default=[], metavar="A.B=C", help="change a key")
        _store(one)


def _mlflow(made: argparse.ArgumentParser) -> None:
    from pipelines.cli import publish as commands_mlflow

    sub = made.add_subparsers(required=True, metavar="ACTION")
    text = "write what is missing there: runs, tables, curves, models; again does no harm"
    one = sub.add_parser("sync", help=text, description=text)
    one.set_defaults(command=commands_mlflow.sync)
    one.add_argument("experiments", nargs="*", metavar="EXPERIMENT", help="(default: all run here)")
    one.add_argument("--uri", help="sqlite:///FILE.db or http://... (default: the store's own)")
    _store(one)


if __name__ == "__main__":
    sys.exit(main())
