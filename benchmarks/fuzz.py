"""Bytes at random against everything that reads what somebody else wrote.

    python -m benchmarks.fuzz [--parser NAME ...] [--executions N] [--seconds S] [--keep DIR]

With atheris (`pip install atheris`, of nothing else needed) the search is guided by which code is
reached, else it is mutation of true samples, and the table says which. Each parser runs in a
process of its own, of one thread. An execution ends with a result or an InputError, within two
seconds and one gigabyte; every other end is kept in DIR, once a place in the code, and makes the
exit code 1. Seconds are of the wall, so that a busy machine may find slow ones that are none.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import table
from benchmarks.mutation import LONGEST, mutate
from benchmarks.parsers import MEGABYTES, PARSERS, SCRATCH, SECONDS, outcome, scratch

WITHOUT = "atheris is not installed (pip install atheris): samples are mutated, and nothing guides."
WRITTEN_EVERY = 500
HANGS_SECONDS = 20
"""What does not come back from C by then is ended, and counts as one that is slow."""


class Tally:
    """What executions ended with; written down, as a guided search ends its process itself."""

    def __init__(self, name: str, keep: Path) -> None:
        self._name, self._keep, self._parser = name, keep, PARSERS[name]
        self.counts: Counter[str] = Counter()
        self.crashes: dict[str, str] = {}

    def execute(self, content: bytes) -> None:
        """Let the parser read, and keep what it should not have done."""
        (self._keep / f"{self._name}.last").write_bytes(content)
        with _limited():
            found = outcome(self._parser, content[:LONGEST], scratch())
        self.counts[found.kind] += 1
        place = f"{found.kind}: {found.detail.split(':')[0]}"
        if not found.allowed and place not in self.crashes:
            self.crashes[place] = found.detail
            (self._keep / f"{self._name}-{len(self.crashes)}").write_bytes(content)
            self.write()
        if self.counts.total() % WRITTEN_EVERY == 0:
            self.write()

    def write(self) -> None:
        facts = {"counts": dict(self.counts), "crashes": self.crashes}
        (self._keep / f"{self._name}.json").write_text(json.dumps(facts, indent=1))


class Hang(BaseException):
    """A reading did not end."""


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(HANGS_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def warm_up(tally: Tally) -> None:
    """Let everything be imported that a reading imports, which takes seconds of no reading."""
    for sample in PARSERS[tally._name].samples():
        outcome(PARSERS[tally._name], sample, scratch())


def mutated(tally: Tally, executions: int, seconds: float, seed: int) -> None:
    """Read samples, then mutations of them."""
    warm_up(tally)
    samples, lots, end = PARSERS[tally._name].samples(), random.Random(seed), time.time() + seconds
    for sample in samples:
        tally.execute(sample)
    pool = [one for one in samples if one] or [b"0"]
    for _ in range(executions - len(samples)):
        if time.time() > end:
            break
        tally.execute(mutate(lots.choice(pool), pool, lots))
    tally.write()


def guided(tally: Tally, executions: int, seconds: float, seed: int) -> None:
    """Let atheris search; it ends the process."""
    import atheris

    corpus = tally._keep / f"{tally._name}-corpus"
    corpus.mkdir(exist_ok=True)
    for number, sample in enumerate(PARSERS[tally._name].samples()):
        (corpus / f"sample-{number}").write_bytes(sample)
    with atheris.instrument_imports(include=["fusion", "pipelines", "detection", "segmentation"]):
        warm_up(tally)
    words = [
        "fuzz",
        str(corpus),
        f"-runs={executions}",
        f"-max_total_time={max(1, int(seconds))}",
        f"-seed={seed + 1}",
        f"-max_len={LONGEST}",
        f"-timeout={HANGS_SECONDS * 2}",
        "-rss_limit_mb=0",  # of one execution we measure it ourselves
        f"-artifact_prefix={tally._keep}/{tally._name}-",
        "-print_final_stats=1",
    ]
    atheris.Setup(words, tally.execute, enable_python_coverage=True)
    atheris.Fuzz()


def has_atheris() -> bool:
    from importlib.util import find_spec

    return find_spec("atheris") is not None


def fuzzed(name: str, options: Any) -> dict[str, object]:
    """Return a parser's line of the table."""
    command = [sys.executable, "-m", "benchmarks.fuzz", "--one", name, "--keep", str(options.keep)]
    command += ["--executions", str(options.executions), "--seconds", str(options.seconds)]
    log = options.keep / f"{name}.log"
    started = time.perf_counter()
    memory = Path("/dev/shm")
    place = memory if memory.is_dir() else None
    with (
        log.open("wb") as stream,
        tempfile.TemporaryDirectory(prefix="fuse-then-fuzz-", dir=place) as folder,
    ):
        code = subprocess.run(
            [*command, "--seed", str(options.seed)],
            stdout=stream,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1", SCRATCH: folder},
            check=False,
        ).returncode
    facts = options.keep / f"{name}.json"
    found = json.loads(facts.read_text()) if facts.is_file() else {"counts": {}, "crashes": {}}
    counts, crashes = Counter(found["counts"]), dict(found["crashes"])
    if code:
        crashes["process"] = f"the process ended with {code}; {log} says why"
    for place, detail in crashes.items():
        print(f"{name}: {place}: {detail[:300]}", flush=True)
    return {
        "parser": name,
        "executions": counts.total(),
        "read": counts["read"],
        "refused": counts["refused"],
        "other ends": counts.total() - counts["read"] - counts["refused"] + bool(code),
        "kinds of them": len(crashes),
        "seconds": f"{time.perf_counter() - started:.0f}",
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz what was asked for; returns 1 when something ended otherwise than it may."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description=__doc__)
    parser.add_argument("--parser", nargs="+", choices=PARSERS, default=list(PARSERS))
    parser.add_argument("--executions", type=int, default=20_000, help="of each parser")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each parser, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="where inputs of other ends are kept")
    parser.add_argument("--one", choices=PARSERS, help=argparse.SUPPRESS)  # in its own process
    options = parser.parse_args(arguments)
    if options.one:
        tally = Tally(options.one, options.keep)
        search = guided if has_atheris() else mutated
        search(tally, options.executions, options.seconds, options.seed)
        return 0
    options.keep = options.keep or Path(tempfile.mkdtemp(prefix="fuse-then-fuzz-"))
    options.keep.mkdir(parents=True, exist_ok=True)
    print("guided by atheris" if has_atheris() else WITHOUT, flush=True)
    rows = [fuzzed(name, options) for name in options.parser]
    table(f"ends within {SECONDS:.0f} s and {MEGABYTES} MB; kept in {options.keep}", rows)
    return int(any(row["other ends"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
