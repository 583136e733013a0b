"""Parts that benchmarks of training share: options, timed steps, the fastest matrix product, memory in use."""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from pathlib import Path

import torch

GEMM_SIZES = ((2048, 2048, 2048), (4096, 4096, 4096), (8192, 1536, 384), (8192, 8192, 8192))
GEMM_S = 0.4  # seconds per matrix product
ROUNDS = 4  # steps are measured in so many parts, with matrix products before each part


def gemm_peak(device: torch.device, half: bool) -> float:
    """Returns the speed of the fastest of several large matrix products, in 10⁹ operations per second.

    Args:
        device: device to measure.
        half: multiply in bfloat16 instead of float32.
    """
    best = 0.0
    for m, n, k in GEMM_SIZES if device.type == "cuda" else GEMM_SIZES[:3]:
        a, b = torch.randn(m, k, device=device), torch.randn(k, n, device=device)
        if half:
            a, b = a.bfloat16(), b.bfloat16()
        a @ b
        wait_for(device)
        started, done = time.perf_counter(), 0
        while time.perf_counter() - started < GEMM_S:
            for _ in range(10 if device.type == "cuda" else 1):
                a @ b
                done += 1
            wait_for(device)
        best = max(best, done * 2.0 * m * n * k / (time.perf_counter() - started) / 1e9)
    return best


def wait_for(device: torch.device) -> None:
    """Waits until a GPU has finished."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def memory_bytes(device: torch.device) -> float:
    """Returns the largest memory of the process, or of the GPU, in bytes."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    return 1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def measure_rounds(
    step: Callable[[], None], device: torch.device, half: bool, options: argparse.Namespace
) -> tuple[float, int, list[float]]:
    """Measures training steps in several rounds, with the fastest matrix product before each round.

    Args:
        step: function that runs a training step.
        device: device of the model.
        half: multiply in bfloat16 instead of float32.
        options: minimum number of steps and of seconds, see `add_options`.
    Returns:
        Seconds of all steps, number of steps, and the result of `gemm_peak` in each round.
    """
    peaks: list[float] = []
    seconds, done = 0.0, 0
    for _ in range(ROUNDS):
        peaks.append(gemm_peak(device, half))
        started, goal = time.perf_counter(), done + -(-options.steps // ROUNDS)
        while done < goal or time.perf_counter() - started < options.seconds / ROUNDS:
            step()
            done += 1
        wait_for(device)
        seconds += time.perf_counter() - started
    return seconds, done, peaks


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of a benchmark of training."""
    parser.add_argument("--workspace", type=Path, default=Path("workspace"), help="workspace with processed regions")
    parser.add_argument("--region", action="append", help="region to train on; repeat it for several (default: all)")
    parser.add_argument("--set", action="append", default=[], help="setting to replace, such as train.compile=true")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=2, help="number of CPU threads")
    parser.add_argument("--warmup", type=int, default=2, help="number of steps before the measurement")
    parser.add_argument("--steps", type=int, default=5, help="minimum number of measured steps")
    parser.add_argument("--seconds", type=float, default=20.0, help="minimum duration of the measurement")
    parser.add_argument("--seed", type=int, default=0, help="random seed")
