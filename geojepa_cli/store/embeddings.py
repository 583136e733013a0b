"""`embeddings.h5`: the vectors of a region's tiles and entities, written once, memory-mapped afterwards."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from geojepa_cli import hints
from geojepa_cli.store import schema
from geojepa_cli.store.batch import OSM_TYPES
from geojepa_cli.store.columns import ColumnSpec, Expected, map_columns

Array = npt.NDArray[Any]
EMBEDDINGS_SCHEMA = 1

# column -> dtype; n tiles or m entities, in the order of the processed file
COLUMNS: dict[str, str] = {
    "tile/z": "<u1",
    "tile/x": "<u4",
    "tile/y": "<u4",
    "tile/row": "<u4",  # row of the tile in processed.h5
    "tile/vector": "<f4",  # [n, W], of a pooled model max then mean over the tile's entities: W = 2D
    "entity/vector": "<f2",  # [m, D]
    "entity/tile": "<u4",  # row of `tile/` here
    "entity/osm_type": "<u1",
    "entity/osm_id": "<i8",
    "entity/piece": "<u8",  # row of the piece in processed.h5
    "entity/size": "<f4",  # m² of areas, m of lines, 0 of points
    "entity/cu_seqlens": "<u8",  # [n + 1], entities of every tile
}
EXPECTED = Expected(
    EMBEDDINGS_SCHEMA,
    {name: ColumnSpec((dtype,), (None, None) if "vector" in name else (None,)) for name, dtype in COLUMNS.items()},
    {"model": str, "region": str},
)


class Embeddings:
    """A published `embeddings.h5`: `embeddings["tile/vector"]` is a read-only view of the file.

    Attributes:
        path: the file.
        model, region: what it was made of.
        n_tiles, n_entities: rows.
    """

    def __init__(self, path: Path | str) -> None:
        """Opens a file.

        Raises:
            DataError: unreadable, of another schema, or a column is missing.
        """
        self.path = Path(path)
        self._columns, attributes = map_columns(self.path, EXPECTED, hints.run("embed"))
        self.model, self.region = str(attributes.get("model", "")), str(attributes.get("region", ""))
        self.n_tiles, self.n_entities = len(self["tile/row"]), len(self["entity/tile"])

    def __getitem__(self, column: str) -> Array:
        return self._columns[column]

    @functools.cached_property
    def tile_index(self) -> dict[tuple[int, int, int], int]:
        """(z, x, y) -> row."""
        keys = zip(self["tile/z"].tolist(), self["tile/x"].tolist(), self["tile/y"].tolist(), strict=True)
        return {key: row for row, key in enumerate(keys)}

    def tile_name(self, row: int) -> str:
        """`16_X_Y` of a tile row."""
        return f"{self['tile/z'][row]}_{self['tile/x'][row]}_{self['tile/y'][row]}"

    def entity_ref(self, row: int) -> str:
        """`way/123` of an entity row."""
        return f"{OSM_TYPES[int(self['entity/osm_type'][row])]}/{self['entity/osm_id'][row]}"

    def rows_of_entity(self, osm_type: int, osm_id: int) -> npt.NDArray[np.int64]:
        """The rows of an element's pieces, ascending."""
        return np.flatnonzero((self["entity/osm_id"] == osm_id) & (self["entity/osm_type"] == osm_type))


def write_embeddings(
    path: Path, chunks: Sequence[Mapping[str, Array]], attributes: Mapping[str, str], tile_width: int, entity_width: int
) -> None:
    """Writes `embeddings.h5` from chunks of consecutive tiles, one chunk in memory at a time.

    Args:
        path: file to write.
        chunks: the columns of `COLUMNS` for some tiles each, which together are all tiles in order; `entity/tile` and
            `entity/cu_seqlens` count from the chunk's first tile and entity.
        attributes: `model`, `region` and their like.
        tile_width, entity_width: of the vectors.
    """
    sizes = [(len(chunk["tile/row"]), len(chunk["entity/tile"])) for chunk in chunks]
    n_tiles, n_entities = sum(n for n, _ in sizes), sum(m for _, m in sizes)
    with h5py.File(path, "w", alignment_threshold=1, alignment_interval=schema.ALIGNMENT) as file:
        file.attrs["schema_version"] = np.uint32(EMBEDDINGS_SCHEMA)
        for name, value in attributes.items():
            file.attrs[name] = value
        data = {}
        for name, dtype in COLUMNS.items():
            rows = n_tiles + 1 if name == "entity/cu_seqlens" else n_tiles if name.startswith("tile/") else n_entities
            widths = {"tile/vector": (tile_width,), "entity/vector": (entity_width,)}
            shape = (rows, *widths.get(name, ()))
            data[name] = file.create_dataset(name, shape, dtype)
        tile, entity = 0, 0
        data["entity/cu_seqlens"][0] = 0
        for chunk, (n, m) in zip(chunks, sizes, strict=True):
            for name in COLUMNS:
                values = chunk[name]
                if name == "entity/cu_seqlens":
                    data[name][tile + 1 : tile + n + 1] = values[1:] + np.uint64(entity)
                elif name.startswith("tile/"):
                    data[name][tile : tile + n] = values
                else:
                    data[name][entity : entity + m] = values + np.uint32(tile) if name == "entity/tile" else values
            tile, entity = tile + n, entity + m
