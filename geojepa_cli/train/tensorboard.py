"""Writes the training log for TensorBoard, in addition to `metrics.jsonl`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import util
from pathlib import Path
from typing import Any

from geojepa_cli import hints
from geojepa_cli.errors import MissingExtraError

FOLDER = "tensorboard"


class Board:
    """Writes event files for TensorBoard into the subfolder `tensorboard`.

    Args:
        folder: folder of the run.
        step: number of completed steps. If an interrupted run already wrote entries for later steps, TensorBoard
            ignores them.

    Raises:
        MissingExtraError: the package `tensorboard` is not installed.
    """

    def __init__(self, folder: Path, step: int) -> None:
        check_installed()
        from torch.utils.tensorboard import SummaryWriter

        self._folder = folder / FOLDER
        _rename(self._folder)  # of an interrupted run
        self._writer = SummaryWriter(str(self._folder), purge_step=step + 1 if step else None)

    def write(self, line: Mapping[str, Any]) -> None:
        """Writes one line of the training log: numbers as scalars at the step of the line, and warnings as text."""
        for name, value in line.items():
            if isinstance(value, int | float) and name != "step":
                self._writer.add_scalar(name, value, line["step"])
        for sentence in line.get("warnings", ()):
            self._writer.add_text("warnings", sentence, line["step"])

    def flush(self) -> None:
        """Writes all pending entries to disk."""
        self._writer.flush()

    def close(self) -> None:
        """Closes the event file."""
        self._writer.close()
        _rename(self._folder)


def check_installed() -> None:
    """Checks that the package `tensorboard` is installed.

    Raises:
        MissingExtraError: the package is not installed.
    """
    if util.find_spec("tensorboard") is None:
        raise MissingExtraError(
            "`train.tensorboard` needs the `tensorboard` extra: `tensorboard` is not installed",
            hints.shell("pip", "install", "geojepa[tensorboard]"),
        )


def _rename(folder: Path) -> None:
    """Renames the event files to numbers, because their names contain the name of the computer."""
    for number, path in enumerate(sorted(folder.glob("events.out.tfevents.*"))):
        path.rename(folder / f"events.out.tfevents.{number:010d}")
