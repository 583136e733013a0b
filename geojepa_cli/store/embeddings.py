"""`embeddings.h5`: writes and memory-maps the embedding vectors of a region's tiles and entities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np

from geojepa_cli import hints
from geojepa_cli.errors import DataError, wrong_argument
from geojepa_cli.store import csr, schema
from geojepa_cli.store.batch import OSM_TYPES
from geojepa_cli.store.columns import VERIFY, Array, ColumnSpec, Expected, map_columns, write_text
from geojepa_cli.store.entity_rows import COLUMNS, EntityRows
from geojepa_cli.store.reader import RegionStore
from geojepa_cli.store.tile_parts import read_parts
from geojepa_cli.store.vector_statistics import VectorStatistics, add_rows, no_vectors, pack_scatter, unpack_scatter

FILE = "embeddings.h5"
EMBEDDINGS_SCHEMA = 5

VECTORS = ("tile/vector", "entity/vector")
PLACE = "entity/place"  # [m, E], vector of the location of an entity; only of models with a location encoder
PLACE_TYPE = "<f2"
# Statistics of the vectors: `<column>_<name>`, with D values in a vector.
STATISTICS: dict[str, str] = {
    "count": "<u8",  # [1], number of vectors that are not all zeros
    "mean": "<f8",  # [D]
    "scatter": "<f8",  # [D · (D + 1) / 2], upper triangle of the scatter matrix
}
EXPECTED = Expected(
    EMBEDDINGS_SCHEMA,
    {name: ColumnSpec((dtype,), (None, None) if name in VECTORS else (None,)) for name, dtype in COLUMNS.items()}
    | {f"{column}_{name}": ColumnSpec((dtype,)) for column in VECTORS for name, dtype in STATISTICS.items()}
    | {PLACE: ColumnSpec((PLACE_TYPE,), (None, None), optional=True)},
    {"model": str, "region": str, "tile_parts": str},
)
_CHECKED_VALUES = 1 << 24  # number of vector values to check at a time


class Embeddings(EntityRows):
    """A memory-mapped `embeddings.h5`. Its columns are read-only arrays, such as `embeddings["tile/vector"]`.

    Attributes:
        path: path of the file.
        model: `name@id` of the model that made the vectors.
        region: `name@id` of the region to which the tiles belong.
        n_tiles, n_entities: number of tile vectors and of entity vectors.
        tile_parts: name and width of each part of a tile vector, in order; empty if it has no known parts.
        has_places: True if the file has the column `entity/place`: vectors of the locations of entities.
    """

    def __init__(self, path: Path | str) -> None:
        """Opens an `embeddings.h5` and checks its columns, except the vectors (see `check_vectors`).

        Raises:
            UsageError: `path` is neither a string nor a `Path`, or contains a null character.
            DataError: the file is unreadable or has another schema; or a column is missing, has another type or
                length, or has invalid values.
        """
        if not isinstance(path, str | Path) or "\0" in str(path):
            raise wrong_argument("path", path, "the path of an `embeddings.h5`", 'embeddings.file("embeddings.h5")')
        self.path = Path(path)
        columns, attributes = map_columns(self.path, EXPECTED, hints.run("embed"))
        super().__init__(columns)
        self.has_places = PLACE in self._columns
        self.model, self.region = str(attributes.get("model", "")), str(attributes.get("region", ""))
        self._check()
        try:
            self.tile_parts = read_parts(str(attributes.get("tile_parts", "")), self["tile/vector"].shape[1])
        except ValueError as error:
            raise self._damaged("tile_parts", f"other text: {error}") from error

    def statistics(self, column: str) -> VectorStatistics:
        """Returns the count, mean and scatter matrix of `tile/vector` or `entity/vector`.

        Raises:
            UsageError: `column` is not a column of vectors.
            DataError: the statistics are not finite, or of more vectors than there are.
        """
        if column not in VECTORS:
            raise wrong_argument("column", column, "a column of vectors", '"tile/vector"')
        rows, width = self[column].shape
        count, mean, packed = (self._columns[f"{column}_{name}"] for name in STATISTICS)
        if int(count[0]) > rows:
            raise self._damaged(f"{column}_count", f"a number above the {rows} rows of `{column}`")
        scatter = unpack_scatter(packed, width)
        if not (np.isfinite(mean).all() and np.isfinite(scatter).all() and (scatter.diagonal() >= 0).all()):
            raise self._damaged(f"{column}_scatter", "statistics that are negative or not finite")
        parts = self.tile_parts if column == "tile/vector" else ()
        return VectorStatistics(int(count[0]), np.array(mean), scatter, parts)

    def check_vectors(self, column: str) -> None:
        """Checks that every value of `tile/vector` or `entity/vector` is finite.

        Raises:
            DataError: a value is not finite.
        """
        vectors = self[column]
        step = max(1, _CHECKED_VALUES // max(1, vectors.shape[1]))
        for first in range(0, len(vectors), step):
            if not np.isfinite(vectors[first : first + step]).all():
                raise self._damaged(column, "values that are not finite")

    def check_source(self, region: RegionStore) -> None:
        """Checks that the vectors were made from the given `processed.h5`.

        Each row of `embeddings.h5` holds the position of a tile or the id of an OSM element. It also holds the number
        of a row in `processed.h5`. That row must belong to the same tile or to the same OSM element.

        Args:
            region: opened `processed.h5` from which the vectors were made.

        Raises:
            DataError: a row number of `processed.h5` does not exist, or belongs to another tile or OSM element.
        """
        tiles, pieces = self["tile/row"], self["entity/piece"]
        if len(tiles) and int(tiles.max()) >= region.n_tiles:
            raise self._damaged("tile/row", "numbers of rows that do not exist")
        if len(pieces) and int(pieces.max()) >= region.n_pieces:
            raise self._damaged("entity/piece", "numbers of rows that do not exist")
        objects = region["piece/object"][pieces]
        for table, rows, names in (
            ("tile", tiles, {"z": "z", "x": "x", "y": "y"}),
            ("object", objects, {"osm_type": "osm_type", "osm_id": "osm_id", "osm_version": "version"}),
        ):
            for name, source in names.items():
                own = f"{'entity' if table == 'object' else table}/{name}"
                if not np.array_equal(self[own], region[f"{table}/{source}"][rows]):
                    raise self._damaged(own, f"values that differ from those of `{region.path}`")

    def _names(self) -> list[str]:
        return [*COLUMNS, *([PLACE] if self.has_places else [])]

    def _check(self) -> None:
        ends, tiles = self["entity/cu_seqlens"], self["entity/tile"]
        for name in self._names():
            rows = self.n_tiles if name.startswith("tile/") else self.n_entities
            rows = self.n_tiles + 1 if name == "entity/cu_seqlens" else rows
            if len(self[name]) != rows:
                hint = hints.run("embed")
                raise DataError(f"`{name}` of `{self.path}` has {len(self[name])} rows, expected {rows}", hint)
        for column in VECTORS:
            width = self[column].shape[1]
            lengths = {"count": 1, "mean": width, "scatter": width * (width + 1) // 2}
            for name, length in lengths.items():
                if len(self._columns[f"{column}_{name}"]) != length:
                    raise self._damaged(f"{column}_{name}", f"statistics of another width than the {width} of a vector")
        rises = int(ends[0]) == 0 and int(ends[-1]) == self.n_entities and bool((ends[1:] >= ends[:-1]).all())
        if not rises or not np.array_equal(tiles, csr.parents(ends)):
            raise self._damaged("entity/cu_seqlens", "offsets that do not match `entity/tile`")
        if self.n_entities and int(self["entity/osm_type"].max()) >= len(OSM_TYPES):
            raise self._damaged("entity/osm_type", "unknown values")
        size = self["entity/size"]
        if not (np.isfinite(size).all() and (size >= 0).all()):
            raise self._damaged("entity/size", "values that are negative or not finite")

    def _damaged(self, column: str, holds: str) -> DataError:
        return DataError(f"`{self.path}` is damaged: `{column}` holds {holds}", VERIFY)


def write_embeddings(
    path: Path,
    chunks: Sequence[Mapping[str, Array]],
    attributes: Mapping[str, str],
    tile_width: int,
    entity_width: int,
    place_width: int = 0,
) -> None:
    """Writes `embeddings.h5` and the statistics of its vectors, from chunks of consecutive tiles.

    Only one chunk at a time must fit in memory.

    Args:
        path: file to write.
        chunks: for each chunk of consecutive tiles, a mapping from the names in `COLUMNS` to the columns of the chunk.
            Values of `entity/tile` are indices of tiles within the chunk: the first tile of the chunk is 0. Values of
            `entity/cu_seqlens` are offsets of entities within the chunk: the first entity of the chunk is 0.
        attributes: text attributes to write: `model`, `region`, and `tile_parts` as `write_parts` returns them.
        tile_width, entity_width: length of a tile vector and of an entity vector.
        place_width: length of the vector of an entity's location. 0: the chunks have no such vectors.
    """
    widths = {"tile/vector": (tile_width,), "entity/vector": (entity_width,)}
    columns = COLUMNS | ({PLACE: PLACE_TYPE} if place_width else {})
    sizes = [(len(chunk["tile/row"]), len(chunk["entity/tile"])) for chunk in chunks]
    n_tiles, n_entities = sum(n for n, _ in sizes), sum(m for _, m in sizes)
    with h5py.File(path, "w", alignment_threshold=1, alignment_interval=schema.ALIGNMENT) as file:
        file.attrs["schema_version"] = np.uint32(EMBEDDINGS_SCHEMA)
        for name, value in attributes.items():
            write_text(file, name, value)
        data = {}
        for name, dtype in columns.items():
            rows = n_tiles + 1 if name == "entity/cu_seqlens" else n_tiles if name.startswith("tile/") else n_entities
            shape = {**widths, PLACE: (place_width,)}.get(name, ())
            data[name] = file.create_dataset(name, (rows, *shape), dtype)
        totals = {name: no_vectors(width) for name, (width,) in widths.items()}
        tile, entity = 0, 0
        data["entity/cu_seqlens"][0] = 0
        for chunk, (n, m) in zip(chunks, sizes, strict=True):
            for name in columns:
                values = chunk[name]
                if name == "entity/cu_seqlens":
                    data[name][tile + 1 : tile + n + 1] = values[1:] + np.uint64(entity)
                elif name.startswith("tile/"):
                    data[name][tile : tile + n] = values
                else:
                    data[name][entity : entity + m] = values + np.uint32(tile) if name == "entity/tile" else values
            tile, entity = tile + n, entity + m
            totals = {name: add_rows(total, _as_stored(chunk[name], name)) for name, total in totals.items()}
        for name, total in totals.items():
            for part, values in _columns_of(total).items():
                file.create_dataset(f"{name}_{part}", data=values, dtype=STATISTICS[part])


def _as_stored(vectors: Array, column: str) -> Array:
    return np.asarray(vectors).astype(COLUMNS[column], copy=False)


def _columns_of(total: VectorStatistics) -> dict[str, Array]:
    return {"count": np.array([total.count]), "mean": total.mean, "scatter": pack_scatter(total.scatter)}
