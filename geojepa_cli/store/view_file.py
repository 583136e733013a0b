"""`views.h5`: reads and writes two selections of tiles, tags and pieces (`View`), which belong to a task.

A piece is the part of an OSM element inside one tile. The plain selection hides no tags. The masked selection has the
same tiles, but also hides the tags and pieces that reveal a label. The file has four columns of compressed bits:
`tiles`: 1 for every tile that is selected.
`dropped_pieces`: 1 for every piece that both selections hide.
`masked_pieces`: 1 for every piece that only the masked selection hides.
`masked_tags`: 1 for every tag that the masked selection hides.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from geojepa_cli import hints
from geojepa_cli.errors import DataError
from geojepa_cli.store import schema
from geojepa_cli.store.columns import ColumnSpec, Expected, read_columns, write_packed, write_text
from geojepa_cli.store.csr import Rows
from geojepa_cli.store.dataset import Dataset
from geojepa_cli.store.view import View

# Number of bits of each column, as an index into the counts (tiles, pieces, vocabulary rows) of a region.
_BITS = {"tiles": 0, "dropped_pieces": 1, "masked_pieces": 1, "masked_tags": 2}
_ATTRIBUTES = {"kind": str, "shape": tuple}


def save_views(path: Path, plain: View, masked: View) -> None:
    """Writes the plain and the masked selection of a region to a `views.h5`.

    Args:
        path: file to write.
        plain: selection of tiles and pieces (parts of OSM elements) of one region. It must hide no tags.
        masked: selection that also hides the tags and pieces that reveal a label. It must have the same region and
            tiles as `plain`, and hide every piece that `plain` hides. `tags_dropped_of` must be None, and
            `keep_untagged` must be False.

    Raises:
        ValueError: the selections do not meet these conditions.
    """
    if masked.tags_dropped_of is not None or masked.keep_untagged:
        raise ValueError("a view that hides tags on some elements only, or that keeps bare elements, cannot be stored")
    if len(plain.shape) != 1 or plain.shape != masked.shape:
        raise ValueError(f"views of {plain.shape} and {masked.shape}, expected one region")
    hidden_twice = np.isin(plain.dropped_pieces, masked.dropped_pieces).all()
    if len(plain.dropped_tags) or not hidden_twice or not np.array_equal(plain.tiles, masked.tiles):
        raise ValueError("the masked view must keep the tiles of the plain view and hide all that the plain view hides")
    rows = {
        "tiles": plain.tiles,
        "dropped_pieces": plain.dropped_pieces,
        "masked_pieces": np.setdiff1d(masked.dropped_pieces, plain.dropped_pieces, assume_unique=True),
        "masked_tags": masked.dropped_tags,
    }
    with h5py.File(path, "w", libver="latest") as file:
        file.attrs["schema_version"] = np.uint32(schema.VERSION)
        write_text(file, "kind", "views")
        file.attrs["shape"] = np.array(plain.shape[0], np.uint64)
        for name, place in _BITS.items():
            _write_bits(file, name, rows[name], plain.shape[0][place])


def load_views(paths: Sequence[Path], store: Dataset) -> tuple[View, View]:
    """Reads two selections of a dataset's tiles, tags and entities, from the `views.h5` of each region.

    The first selection has all tags (plain). The second one hides the tags and entities that reveal a label (masked).

    Raises:
        DataError: a file is unreadable, has another schema, or was made for other data.
    """
    regions = zip(paths, store.shape, store.regions, strict=True)
    found = [_load(path, shape, region.name) for path, shape, region in regions]
    return View.concat([plain for plain, _ in found]), View.concat([masked for _, masked in found])


def _load(path: Path, shape: tuple[int, int, int], region: str) -> tuple[View, View]:
    hint = hints.run("build-tasks", region=region)
    columns = {name: ColumnSpec(("<u1",), ((shape[table] + 7) // 8,)) for name, table in _BITS.items()}
    # Checked before the columns: if the file was made for other data, their lengths differ too.
    _, attributes = read_columns(path, Expected(schema.VERSION, {}, _ATTRIBUTES), hint)
    if attributes.get("kind") != "views":
        raise DataError(f"`{path}` is a `{attributes.get('kind')}` file, expected a `views` file", hint)
    if attributes.get("shape") != shape:
        made_for = f"made for a region with (tiles, pieces, tags) = {attributes.get('shape')}"
        raise DataError(f"`{path}` was {made_for}, but `{region}` has {shape}", hint)
    packed, _ = read_columns(path, Expected(schema.VERSION, columns, _ATTRIBUTES), hint)
    rows = {name: np.flatnonzero(np.unpackbits(packed[name], count=shape[table])) for name, table in _BITS.items()}
    plain = View((shape,), rows["tiles"], dropped_pieces=rows["dropped_pieces"])
    return plain, plain.drop(rows["masked_tags"], rows["masked_pieces"])


def _write_bits(file: h5py.File, name: str, rows: Rows, size: int) -> None:
    bits = np.zeros(size, bool)
    bits[rows] = True
    write_packed(file, name, np.packbits(bits))
