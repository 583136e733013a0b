"""Fits heads in threads, several at the same time."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

Progress = Callable[[int, int], None]
Job = tuple[Any, ...]


def run_jobs(
    pool: ThreadPoolExecutor, fit: Callable[..., None], jobs: Sequence[Job], progress: Progress, before: int = 0
) -> None:
    """Calls `fit(*job)` for every job. After an exception, jobs that have not started are cancelled.

    Args:
        pool: threads.
        fit: function that fits a head and stores its predictions.
        jobs: arguments of the calls.
        progress: function called after each fit with the number of finished fits and the total number of fits.
        before: number of fits that had finished before.
    """
    running = [pool.submit(fit, *job) for job in jobs]
    try:
        for done, finished in enumerate(as_completed(running), start=before + 1):
            finished.result()
            progress(done, before + len(jobs))
    except BaseException:
        pool.shutdown(cancel_futures=True)
        raise


def run_class_jobs(fit: Callable[..., None], jobs: Sequence[Job], threads: int, progress: Progress) -> None:
    """Runs fits that predict classes, each on one core, without warnings that a fit has not converged.

    The arguments are those of `run_jobs`; `threads` is the number of fits at the same time.
    """
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    # limits and filters are those of the process, so they are set once, and not by each thread
    with threadpool_limits(1), warnings.catch_warnings(), ThreadPoolExecutor(threads) as pool:
        warnings.simplefilter("ignore", ConvergenceWarning)
        run_jobs(pool, fit, jobs, progress)
