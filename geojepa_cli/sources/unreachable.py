"""Record of the scenes (georeferenced images) that cannot be read from their server, shared by all threads of a run."""

from __future__ import annotations

import threading
from collections import Counter

from geojepa_cli import hints
from geojepa_cli.sources.http import OfflineError

_MAX_FAILURES = 8  # after this many failed reads in a row, a scene is not tried again
_MAX_SCENES = 8  # after this many unreachable scenes in a row, no scene is tried: the server seems to be down


class UnreachableScenes:
    """Counts failed reads of each scene, and stops a run from reading scenes whose server cannot be reached.

    After several failed reads of a scene in a row, the scene counts as unreachable, and the run no longer tries to read
    this scene. After several unreachable scenes in a row, the run no longer tries to read any scene. Without these
    limits, a run would wait for a timeout at every tile. Errors of damaged files are not counted, because they cause no
    wait.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failures: Counter[int] = Counter()  # failed reads in a row, by scene
        self._scenes: set[int] = set()
        self._in_a_row = 0

    def check(self, scene: int) -> None:
        """Checks that a run should still try to read a scene (georeferenced image).

        Raises:
            OfflineError: too many reads of this scene failed in a row, or too many scenes in a row were unreachable.
        """
        with self._lock:
            if scene in self._scenes:
                why = f"{_MAX_FAILURES} reads of this scene in a row failed"
            elif self._in_a_row >= _MAX_SCENES:
                why = f"{_MAX_SCENES} other scenes in a row could not be reached"
            else:
                return
        raise OfflineError(f"scene not read, because {why}", hints.again())

    def add_failure(self, scene: int) -> None:
        """Counts a failed read of a scene (georeferenced image)."""
        with self._lock:
            self._failures[scene] += 1
            if self._failures[scene] >= _MAX_FAILURES and scene not in self._scenes:
                self._scenes.add(scene)
                self._in_a_row += 1

    def add_success(self, scene: int) -> None:
        """Resets two counts after a successful read: failed reads of this scene, and unreachable scenes in a row."""
        with self._lock:
            self._failures.pop(scene, None)
            self._in_a_row = 0
