"""Signal SIGTERM, which schedulers and `torchrun` send before they kill a process."""

from __future__ import annotations

import signal
import threading
from typing import Any


class Termination:
    """Context manager that keeps SIGTERM from ending the process, and records that the signal came.

    So a training step can end and a checkpoint can be saved. Has no effect outside the main thread, where Python cannot
    set signal handlers.

    Attributes:
        requested: True if the process has received SIGTERM.
    """

    def __init__(self) -> None:
        self.requested = False
        self._before: Any = None

    def __enter__(self) -> Termination:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, self._take_note)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)

    def _take_note(self, *_: object) -> None:
        self.requested = True
