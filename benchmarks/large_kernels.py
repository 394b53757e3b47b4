"""LKC-FUNet (paper preset) by tiles against the same network with torch's own convolutions.

    python -m benchmarks.large_kernels [--threads 2] [--full]

Two problems: one 640x480 pair fused, and one training step of 32 crops of 64x64 (dropout off, so
that both compute the same). Each runs in a fresh process that keeps freed memory, as fuse-then's
workers do; ours is the best of three, torch's own runs once, because it takes
minutes. Without --full the training step has 8 crops.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.common import Row, table
from fusion.generation.memory import keep_freed_memory
from fusion.layers.large_kernel.layer import LargeKernelConv2d, algorithm
from fusion.methods.lkc_funet import LKCFUNet
from pipelines.execution.environment import QUIET

HEIGHT, WIDTH, CROP = 480, 640, 64
FEW_CROPS = 8
"""With more, the noise of torch's own gradient, a third step of minutes, is not measured."""


@dataclass(frozen=True)
class Measured:
    """Seconds of both, the relative difference of their results, and the peak memory of ours.

    For a training step `error` is the worst over the gradients of single layers; the gradient of
    the whole network differs by `network`, and its own noise is `rounding`: how far torch's
    gradient moves when every weight moves by half of float32's last bit.
    """

    ours: float
    theirs: float
    error: float
    peak_gb: float
    network: float = 0.0
    rounding: float = 0.0


def run(threads: int = 2, crops: int = 8) -> list[Row]:
    """Measure both problems and return their rows."""
    forward = _in_process("forward", threads, crops)
    training = _in_process("training", threads, crops)
    rows = []
    for what, found, wanted, close, most in (
        (f"fuse one {WIDTH}x{HEIGHT} pair, {threads} threads", forward, 6.0, 1e-5, 6.0),
        (
            f"train one step, {crops} crops of {CROP}x{CROP}, {threads} threads",
            training,
            4.0,
            1e-4,
            None,
        ),
    ):
        told = (
            f"{found.theirs / found.ours:.1f}x ({found.ours:.2f} s, {found.theirs:.1f} s), "
            f"relative error {found.error:.1e}, peak {found.peak_gb:.2f} GB"
        )
        if found.network:
            told += f"; whole gradient {found.network:.1e}"
        if found.rounding:
            told += f" (weights moved by half their last bit: {found.rounding:.1e})"
        met = found.theirs >= wanted * found.ours and found.error < close
        met = met and (most is None or found.peak_gb < most)
        wish = f"{wanted:.0f}x, {close:.0e}" + (f", {most:.0f} GB" if most else "")
        rows.append(Row(f"lkc_funet paper preset: {what}", "nn.Conv2d", told, wish, met))
    return rows


def _in_process(problem: str, threads: int, crops: int) -> Measured:
    command = [sys.executable, "-m", "benchmarks.large_kernels", "--problem", problem]
    command += ["--threads", str(threads), "--crops", str(crops)]
    environment = {**os.environ, **QUIET, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def measure(problem: str, threads: int, crops: int) -> Measured:
    """Measure one problem in this process."""
    torch.set_num_threads(threads)
    keep_freed_memory()
    torch.manual_seed(0)
    method = LKCFUNet(dropout=0.0)
    for parameter in method.parameters():
        if parameter.ndim > 1:  # keeps the signal's size through the layers, as trained ones do
            torch.nn.init.kaiming_normal_(parameter, nonlinearity="relu")
    compute = _forward(method) if problem == "forward" else _training(method, crops)
    times, result = zip(*(_timed(compute) for _ in range(3)), strict=True)
    ours, result = min(times), result[-1]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    with algorithm("direct"):
        theirs, expected = _timed(compute)
        if problem == "forward":
            return Measured(ours, theirs, _worst(result, expected), peak)
        rounding = _rounding(method, compute, expected) if crops <= FEW_CROPS else 0.0
    network = float((result - expected).norm() / expected.norm())
    return Measured(ours, theirs, _layers(crops), peak, network, rounding)


def _rounding(method: LKCFUNet, compute: Callable[[], Tensor], expected: Tensor) -> float:
    """Return how far the gradient moves when every weight moves by half of its last bit."""
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.mul_(1 + 6e-8 * torch.randn_like(parameter).sign())
    return float((compute() - expected).norm() / expected.norm())


def _worst(got: Tensor, want: Tensor) -> float:
    return float((got - want).abs().max() / want.abs().max())


def _layers(crops: int) -> float:
    """Return the worst relative difference of any gradient of the paper's large layers."""
    worst = 0.0
    for c_in, kernel, size in ((32, 15, 64), (128, 15, 64), (128, 7, 32), (128, 5, 16)):
        layer = LargeKernelConv2d(c_in, 128, kernel, padding=kernel // 2)
        x = torch.randn(crops, c_in, size, size, requires_grad=True)
        grads, weight = [], torch.randn(crops, 128, size, size)
        for name in ("spectral", "direct"):
            with algorithm(name):
                out = layer(x)
            grads.append(torch.autograd.grad((out * weight).sum(), (x, *layer.parameters())))
        worst = max(worst, *(_worst(a, b) for a, b in zip(*grads, strict=True)))
    return worst


def _forward(method: LKCFUNet) -> Callable[[], Tensor]:
    method.eval()
    pair = torch.rand(2, 1, 1, HEIGHT, WIDTH).unbind()

    def compute() -> Tensor:
        with torch.inference_mode():
            return method(*pair)  # type: ignore[no-any-return]

    return compute


def _training(method: LKCFUNet, crops: int) -> Callable[[], Tensor]:
    """Return a step: forward, loss, backward; its result is the gradient of all weights."""
    method.train()
    pair = torch.rand(2, crops, 1, CROP, CROP).unbind()

    def compute() -> Tensor:
        method.zero_grad(set_to_none=True)
        torch.manual_seed(0)  # the same paths are dropped every time
        method.loss(*pair)["total"].backward()  # type: ignore[no-untyped-call]
        grads = [p.grad.flatten() for p in method.parameters() if p.grad is not None]
        return torch.cat(grads)

    return compute


def _timed(compute: Callable[[], Tensor]) -> tuple[float, Tensor]:
    start = time.perf_counter()
    result = compute()
    return time.perf_counter() - start, result


def main() -> None:
    """Print the table, or, for a process of `run`, one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--crops", type=int, default=8)
    parser.add_argument("--full", action="store_true", help="32 crops, as the paper trains")
    parser.add_argument("--problem", choices=("forward", "training"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    crops = 32 if options.full else options.crops
    if options.problem:
        print(json.dumps(measure(options.problem, options.threads, crops).__dict__))
        return
    rows = run(options.threads, crops)
    table("large kernels", [{**row.__dict__, "met": "yes" if row.met else "NO"} for row in rows])


if __name__ == "__main__":
    main()
