"""`trained_groups.txt` of a model: the zoom-14 tiles (groups) that contain the tiles it was pretrained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from geojepa_cli.errors import DataError
from geojepa_cli.tasks.splits import Groups, group_names, group_number

FILE = "trained_groups.txt"


def write_groups(folder: Path, groups: Groups) -> None:
    """Writes the zoom-14 groups of some tiles, one name such as `14_4513_6489` per line, without duplicates.

    Args:
        folder: folder of the model.
        groups: group of each tile, int64; see `TileStore.groups`.
    """
    names = group_names(np.unique(groups))
    (folder / FILE).write_text("".join(f"{name}\n" for name in names), encoding="utf-8")


def read_groups(path: Path) -> Groups:
    """Returns the groups in a `trained_groups.txt`, int64, sorted.

    Raises:
        DataError: the file cannot be read, or a line is not the name of a zoom-14 tile.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return np.unique(np.array([group_number(line) for line in lines], np.int64))
    except OSError as error:
        raise DataError(f"`{path}` cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"`{path}` has a line that is not the name of a zoom-14 tile: {error}") from error
