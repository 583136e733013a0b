"""Speed of the fastest matrix product of a machine, and memory in use, for benchmarks of training."""

from __future__ import annotations

import resource
import time

import torch

GEMM_SIZES = ((2048, 2048, 2048), (4096, 4096, 4096), (8192, 1536, 384), (8192, 8192, 8192))
GEMM_S = 0.4  # seconds per matrix product


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
