"""Process that runs jobs: reads them from stdin, and writes their results to stdout, each as one line of JSON.

The argument is the function that runs a job, as `module:function`. The command that started the process keeps stdin
open. When stdin ends, the process ends too. If it is running a job, it stops as after SIGTERM: training saves a
checkpoint.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from importlib import import_module
from typing import Any, TextIO

from geojepa_cli.errors import InterruptedRunError

INTERRUPTED = 130


def main() -> int:
    """Runs jobs until stdin ends. Returns the exit code."""
    results = _take_stdout()
    module, _, function = sys.argv[1].partition(":")
    run: Callable[[Any], Any] = getattr(import_module(module), function)
    jobs: queue.SimpleQueue[str] = queue.SimpleQueue()
    busy = threading.Event()
    threading.Thread(target=_read, args=(jobs, busy), daemon=True).start()
    try:
        while job := jobs.get():
            busy.set()
            try:
                done = run(json.loads(job))
            finally:
                busy.clear()
            results.write(json.dumps(done) + "\n")
            results.flush()
    except (InterruptedRunError, KeyboardInterrupt):
        return INTERRUPTED
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _take_stdout() -> TextIO:
    """Returns stdout for the results. What jobs print, libraries included, goes to stderr from now on."""
    sys.stdout.flush()
    results = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return results


def _read(jobs: queue.SimpleQueue[str], busy: threading.Event) -> None:
    for line in sys.stdin:
        jobs.put(line)
    jobs.put("")
    if busy.is_set():
        os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # without waiting for the thread that reads stdin
