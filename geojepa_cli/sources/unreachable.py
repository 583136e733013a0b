"""Scenes that cannot be read from their server, shared by all threads of a run."""

from __future__ import annotations

import threading
from collections import Counter

from geojepa_cli import hints
from geojepa_cli.sources.http import OfflineError

_MAX_FAILURES = 8  # failed reads of a scene in a row; then it is not tried again
_MAX_SCENES = 8  # unreachable scenes in a row; then the server is down, and no scene is tried


class UnreachableScenes:
    """Counts reads that failed because of the server, so that a run does not wait for every tile of a lost scene.

    A file that is reachable but damaged fails at once, so it is not counted.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failures: Counter[int] = Counter()  # in a row, of each scene
        self._scenes: set[int] = set()
        self._in_a_row = 0

    def check(self, scene: int) -> None:
        """Checks whether a scene is to be tried.

        Raises:
            OfflineError: too many reads of it, or of the scenes before it, failed.
        """
        with self._lock:
            if scene in self._scenes:
                why = f"{_MAX_FAILURES} reads of this scene failed"
            elif self._in_a_row >= _MAX_SCENES:
                why = f"{_MAX_SCENES} scenes before it cannot be reached"
            else:
                return
        raise OfflineError(f"not tried: {why}", hints.again())

    def add_failure(self, scene: int) -> None:
        """Counts a failed read."""
        with self._lock:
            self._failures[scene] += 1
            if self._failures[scene] >= _MAX_FAILURES and scene not in self._scenes:
                self._scenes.add(scene)
                self._in_a_row += 1

    def add_success(self, scene: int) -> None:
        """Resets the counts after a read that succeeded."""
        with self._lock:
            self._failures.pop(scene, None)
            self._in_a_row = 0
