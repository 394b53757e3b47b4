"""Lets every input or output call of a small run fail, one run each: what comes of it?

    python -m benchmarks.fault_injection [--errno EIO ENOSPC ...] [--every K] [--calls N ...]

The run scores three pairs that two methods fuse, from an empty store: planning, the command, the
workers, tables, page and pictures (and, with --mlflow, its database and files). Its calls on the
store, and on what it reads, are counted; then the N-th fails, for every K-th N: EIO and the like
once, a full disk (ENOSPC, EDQUOT) or one that is read-only from then on. An undisturbed run on the
same store follows. What may come of it: the same tables at once, or a sentence and the same tables
after the second run. Each run is forked from a process that has imported everything, and Prefect
is not asked to schedule its steps; with --whole it is the command itself, and Prefect's home is
disturbed as well. All calls with one error take hours: --every 10 takes some minutes.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.injection.experiment import Product, product_of, write_small
from benchmarks.injection.shim import KINDS, FailingCalls, compiler
from benchmarks.injection.warm import Ended, Warm, run_fresh

SAME, SENTENCE = "same tables", "one sentence, then the same tables"
TRACEBACK, WRONG, HANGS = "traceback", "wrong", "hangs"
BAD = (TRACEBACK, WRONG, HANGS)


@dataclass(frozen=True)
class Outcome:
    """What came of one failing call: which it was, how that ended, and what was said."""

    error: str
    call: int
    what: str
    kind: str
    said: str


class Injection:
    """The small run with failing calls; `close` ends its warm process.

    A `fresh` one is the whole command in processes of its own, with Prefect and MLflow.
    """

    def __init__(self, home: Path, tracked: bool = False, fresh: bool = False) -> None:
        self.small, self._store, self._tracked = write_small(home, tracked), home / "store", tracked
        (home / "shim").mkdir()
        self._calls, self._home = FailingCalls(home / "shim"), home / "prefect"
        self._warm = None if fresh else Warm(self._calls.environment, home)
        if fresh:  # makes Prefect's database, which takes longer than anybody waits
            self._run(self.small.fresh(self._store))
        self.whole = self._run(self.small.fresh(self._store))

    @property
    def _places(self) -> tuple[Path, ...]:
        return self._store, self.small.path.parent / "data", self._home

    def close(self) -> None:
        if self._warm is not None:
            self._warm.close()

    def count(self, error: str) -> int:
        """Return how many calls of a whole run may end with an error."""
        self.small.fresh(self._store)
        self._calls.arm(self._places, error, 0)
        self._run(self._store)
        return self._calls.disarm()[0]

    def let_fail(self, error: str, call: int) -> Outcome:
        """Run with a failing call, then once more without."""
        self.small.fresh(self._store)
        self._calls.arm(self._places, error, call)
        ended = self._command(self._store)
        _, failed, what = self._calls.disarm()
        kind, said = self._judged(ended)
        return Outcome(error, call, what if failed else "(not reached)", kind, said)

    def _run(self, store: Path) -> Product:
        ended = self._command(store)
        if ended.code != 0:
            raise RuntimeError(f"the small run failed undisturbed: {ended.err}")
        return product_of(ended, store)

    def _command(self, store: Path) -> Ended:
        words = self.small.words(store)
        if self._warm is not None:
            return self._warm.run(words, self._tracked)
        return run_fresh(words, {**self._calls.environment, "PREFECT_HOME": str(self._home)})

    def _judged(self, ended: Ended) -> tuple[str, str]:
        said = "\n".join(line for line in ended.err.splitlines() if not line.startswith("  done"))
        if ended.code is None or ended.traceback:
            return HANGS if ended.code is None else TRACEBACK, said or ended.out
        if ended.code == 0 and ended.tables != self.whole.tables:
            return WRONG, f"other tables: {ended.out}\n{said}"
        if ended.code not in (0, 1, 2) or (ended.code and not said.strip()):
            return WRONG, f"ended with {ended.code}: {said}"
        again = self._command(self._store)
        if again.code is None or again.traceback:
            return WRONG, f"{said}\nand then: {again.code} {again.err}"
        if (found := product_of(again, self._store)) != self.whole:
            return WRONG, f"{said}\nand then: {again.code} {again.err} {differs(found, self.whole)}"
        return SENTENCE if ended.code else SAME, said


def differs(found: Product, wanted: Product) -> str:
    """Say in which of its parts a product is another."""
    return "; ".join(
        f"{name}: {value!r}, not {vars(wanted)[name]!r}"
        for name, value in vars(found).items()
        if value != vars(wanted)[name]
    )


def shown(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Yield how many ended how by error, every bad one, and each kind of sentence once."""
    for error in dict.fromkeys(one.error for one in outcomes):
        counts = Counter(one.kind for one in outcomes if one.error == error)
        parts = ", ".join(f"{count} {kind}" for kind, count in counts.most_common())
        yield f"{error}: {sum(counts.values())} calls: {parts}"
    for one in outcomes:
        if one.kind in BAD:
            yield f"\n{one.kind}: {one.error} at call {one.call}: {one.what}\n{one.said}"


def sentences(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Yield each kind of sentence once, with how often it was said."""
    counts: Counter[str] = Counter()
    for one in outcomes:
        if one.kind not in BAD:
            counts.update(_alike(line) for line in one.said.splitlines())
    for line, count in counts.most_common():
        yield f"{count:5} {line}"


def _alike(line: str) -> str:
    line = re.sub(r"[0-9a-f]{16}", "KEY", line)
    return re.sub(r"[\d.]+ [kMG]B", "N MB", re.sub(r"\.\d+", ".N", line))


def inject(
    found: Injection, errors: Sequence[str], every: int, first: int, calls: Sequence[int]
) -> Iterator[Outcome]:
    """Yield the outcome of each call that is to fail."""
    for error in errors:
        total = found.count(error)
        print(f"{error}: {total} calls in a whole run", file=sys.stderr, flush=True)
        for call in calls or range(first, total + 1, every):
            outcome = found.let_fail(error, call)
            if outcome.kind in BAD:
                print(*shown([outcome]), sep="\n", file=sys.stderr, flush=True)
            yield outcome


def command(arguments: Sequence[str] | None = None) -> int:
    """Inject and print; returns 1 when anything ended badly."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fault_injection")
    parser.add_argument("--errno", nargs="+", choices=list(KINDS), default=["EIO", "ENOSPC"])
    parser.add_argument("--every", type=int, default=1, metavar="K", help="every K-th call")
    parser.add_argument("--first", type=int, default=1, metavar="N", help="from the N-th on")
    parser.add_argument("--calls", type=int, nargs="+", default=[], metavar="N", help="these alone")
    parser.add_argument("--mlflow", action="store_true", help="with what is told to MLflow")
    parser.add_argument("--whole", action="store_true", help="the command, with Prefect (slow)")
    parser.add_argument("--sentences", action="store_true", help="show what was said")
    options = parser.parse_args(arguments)
    if compiler() is None:
        print("There is no C compiler (cc, gcc, clang) on this machine, or it is not Linux.")
        return 1
    begun, outcomes = time.perf_counter(), []
    with tempfile.TemporaryDirectory(prefix="injection-") as folder:
        found = Injection(Path(folder), options.mlflow, options.whole)
        try:
            chosen = (options.errno, options.every, options.first, options.calls)
            outcomes = list(inject(found, *chosen))
        finally:
            found.close()
    lines: Iterable[str] = shown(outcomes)
    print("\n".join([*lines, *(sentences(outcomes) if options.sentences else ())]))
    print(f"{len(outcomes)} runs in {time.perf_counter() - begun:.0f} s")
    return int(any(one.kind in BAD for one in outcomes))


if __name__ == "__main__":
    sys.exit(command())
