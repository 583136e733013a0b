"""`trained_groups.txt` of a model: the zoom-14 tiles (groups) that contain the tiles it was pretrained on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from geojepa_cli.errors import DataError

if TYPE_CHECKING:
    from geojepa_cli.stages.embedding_model import Model
    from geojepa_cli.tasks.splits import Groups

FILE = "trained_groups.txt"


def write_groups(folder: Path, groups: Groups) -> None:
    """Writes the zoom-14 groups of some tiles, one name such as `14_4513_6489` per line, without duplicates.

    Args:
        folder: folder of the model.
        groups: group of each tile, int64; see `TileStore.groups`.
    """
    import numpy as np

    from geojepa_cli.tasks.splits import group_names

    names = group_names(np.unique(groups))
    (folder / FILE).write_text("".join(f"{name}\n" for name in names), encoding="utf-8")


def read_groups(path: Path) -> Groups:
    """Returns the groups in a `trained_groups.txt`, int64, sorted.

    Raises:
        DataError: the file cannot be read, or a line is not the name of a zoom-14 tile.
    """
    import numpy as np

    from geojepa_cli.tasks.splits import group_number

    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return np.unique(np.array([group_number(line) for line in lines], np.int64))
    except OSError as error:
        raise DataError(f"`{path}` cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"`{path}` has a line that is not the name of a zoom-14 tile: {error}") from error


def groups_of(model: Model) -> Groups | None:
    """Returns the zoom-14 groups that a model saw in pretraining, int64. Empty for a model that was not pretrained.

    Returns None if the model does not record them.

    Raises:
        DataError: the record is damaged.
    """
    import numpy as np

    if model.config() is None:
        return np.empty(0, np.int64)
    if model.artifact is None:
        path = model.shipped.folder / FILE if model.shipped else None
        return read_groups(path) if path is not None and path.is_file() else None
    if FILE not in model.artifact.manifest["files"]:
        return None
    path = model.artifact.verified_file(FILE)
    try:
        return read_groups(path)
    except DataError as error:
        raise model.artifact.broken(error.message) from error
