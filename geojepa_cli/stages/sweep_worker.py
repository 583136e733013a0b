"""Process that runs one job of a sweep: reads the job from stdin, and prints its result, both as one line of JSON.

The sweep keeps stdin open. If the sweep is killed, stdin ends. Training then saves a checkpoint, and the process stops.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading

from geojepa_cli import console
from geojepa_cli.errors import InterruptedRunError
from geojepa_cli.stages.sweep_jobs import as_job, run_job

INTERRUPTED = 130


def main() -> int:
    """Runs the job. Returns the exit code."""
    job = as_job(json.loads(sys.stdin.readline()))
    threading.Thread(target=_stop_with_the_sweep, daemon=True).start()
    try:
        done = run_job(job)
    except (InterruptedRunError, KeyboardInterrupt):
        return INTERRUPTED
    console.print_line(json.dumps(done))
    return 0


def _stop_with_the_sweep() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # without waiting for the thread that reads stdin
