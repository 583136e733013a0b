"""Writes a small `tiles.h5` and reads pieces of a `processed.h5`, without code of the tested programs."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
from pyproj import Transformer

from geojepa_cli.store import schema

Pair = tuple[float, float]
DTYPES = {"u8": "u1", "u16": "u2", "u32": "u4", "u64": "u8", "i32": "i4", "i64": "i8", "f32": "f4", "f64": "f8"}


@dataclass
class Piece:
    """An object in a tile: `parts` are (role, [[lon, lat], ...] in 1e-7 degrees)."""

    kind: str
    parts: list[tuple[str, np.ndarray]]
    osm_type: str = "way"
    osm_id: int = 1
    covers_tile: bool = False


@dataclass
class Tile:
    """A tile and its pieces."""

    x: int
    y: int
    pieces: list[Piece] = field(default_factory=list)


def tile_bounds(zoom: int, x: int, y: int) -> tuple[float, float, float, float]:
    """Returns west, south, east, north of a Web Mercator tile, in degrees."""

    def latitude(row: int) -> float:
        return math.degrees(math.atan(math.sinh(math.pi * (1 - 2 * row / 2**zoom))))

    return x / 2**zoom * 360 - 180, latitude(y + 1), (x + 1) / 2**zoom * 360 - 180, latitude(y)


def tile_at(zoom: int, lon: float, lat: float) -> tuple[int, int]:
    """Returns column and row of the tile of a point."""
    row = (1 - math.asinh(math.tan(math.radians(lat))) / math.pi) / 2
    return int((lon + 180) / 360 * 2**zoom), int(row * 2**zoom)


def plane(zoom: int, x: int, y: int) -> Transformer:
    """Returns PROJ's pipeline from degrees to the plane at a tile's south-west corner."""
    west, south, _, _ = tile_bounds(zoom, x, y)
    return Transformer.from_pipeline(
        "+proj=pipeline +step +proj=unitconvert +xy_in=deg +xy_out=rad +step +proj=cart +ellps=WGS84 "
        f"+step +proj=topocentric +ellps=WGS84 +lon_0={west!r} +lat_0={south!r} +h_0=0"
    )


def to_metres(zoom: int, x: int, y: int, lonlat: np.ndarray) -> np.ndarray:
    """Returns east and north of positions in 1e-7 degrees, by PROJ: [n, 2]."""
    degrees = np.asarray(lonlat, dtype=np.float64).reshape(-1, 2) / 1e7
    east, north, _ = plane(zoom, x, y).transform(degrees[:, 0], degrees[:, 1], np.zeros(len(degrees)))
    return np.stack([east, north], axis=1)


def ground_size(zoom: int, x: int, y: int) -> Pair:
    """Returns the east and north extent of a tile in its plane, in metres."""
    west, south, east, north = tile_bounds(zoom, x, y)
    corners = to_metres(zoom, x, y, np.array([[east, south], [west, north]]) * 1e7)
    return float(corners[0, 0]), float(corners[1, 1])


def _offsets(counts: list[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(counts, dtype=np.uint64)]).astype(np.uint64)


def write_tiles(path: Path, zoom: int, tiles: list[Tile], **attributes: object) -> Path:
    """Writes the file; every piece becomes a separate object with one tag, `a=b`."""
    pieces = [piece for tile in tiles for piece in tile.pieces]
    parts = [part for piece in pieces for part in piece.parts]
    sizes = [ground_size(zoom, tile.x, tile.y) for tile in tiles]
    nodes = [np.asarray(points, dtype=np.int32).reshape(-1, 2) for _, points in parts]
    values: dict[str, object] = {
        "tile/z": [zoom] * len(tiles),
        "tile/x": [tile.x for tile in tiles],
        "tile/y": [tile.y for tile in tiles],
        "tile/east_m": [east for east, _ in sizes],
        "tile/north_m": [north for _, north in sizes],
        "tile/pieces": _offsets([len(tile.pieces) for tile in tiles]),
        "object/osm_type": [schema.OSM_TYPE[piece.osm_type] for piece in pieces],
        "object/osm_id": [piece.osm_id for piece in pieces],
        "object/version": list(range(1, len(pieces) + 1)),
        "object/kind": [schema.KIND[piece.kind] for piece in pieces],
        "object/token": [0] * len(pieces),
        "object/absent_members": [0] * len(pieces),
        "object/tags": np.arange(len(pieces) + 1),
        "object/members": [0] * (len(pieces) + 1),
        "piece/object": np.arange(len(pieces)),
        "piece/area_m2": np.arange(len(pieces)) * 1.5,
        "piece/length_m": np.arange(len(pieces)) * 2.5,
        "piece/covers_tile": [int(piece.covers_tile) for piece in pieces],
        "piece/parts": _offsets([len(piece.parts) for piece in pieces]),
        "part/role": [schema.ROLE[role] for role, _ in parts],
        "part/nodes": _offsets([len(points) for points in nodes]),
        "node/lonlat": np.concatenate([*nodes, np.zeros((0, 2), np.int32)]),
        "member/object": [],
        "member/role": [],
        "role/text": [0],
        "role/text_utf8": [],
        "tag/vocab": [0] * len(pieces),
        "vocab/key": [0, 1],
        "vocab/key_utf8": list(b"a"),
        "vocab/value": [0, 1],
        "vocab/value_utf8": list(b"b"),
        "vocab/count": [len(pieces)],
    }
    with h5py.File(path, "w") as file:
        for name, value in {"schema_version": schema.VERSION, "kind": "tiles", "zoom": zoom, **attributes}.items():
            if isinstance(value, int):
                file.attrs.create(name, value, dtype="u4")
            else:
                file.attrs[name] = np.bytes_(value)
        for name, column in schema.COLUMNS.items():
            if "tiles" in column.files:
                file.create_dataset(name, data=np.asarray(values[name], dtype=DTYPES[column.dtypes[-1]]))
    return path


@dataclass
class ProcessedPiece:
    """A piece of a `processed.h5`, in metres."""

    zoom: int
    x: int
    y: int
    row: int
    kind: int
    osm_type: int
    osm_id: int
    covers_tile: bool
    east_m: float
    roles: np.ndarray
    parts: list[np.ndarray]  # metres, [n, 2] each
    box: np.ndarray  # metres, [4, 2]
    edges: np.ndarray  # [e, 2]


class Processed:
    """All columns of a `processed.h5` in memory."""

    def __init__(self, path: Path) -> None:
        with h5py.File(path) as file:
            self.attributes = dict(file.attrs)
            self.columns = {name: file[name][()] for name in schema.COLUMNS if name in file}
        xy = self.columns["node/xy"]
        self.units = _units(xy)
        self.centres = _units(self.columns["piece/box_centre"])
        self.tile_of_piece = np.repeat(
            np.arange(len(self.columns["tile/x"])), np.diff(self.columns["tile/pieces"].astype(np.int64))
        )

    def __len__(self) -> int:
        return len(self.columns["piece/object"])

    def piece(self, row: int) -> ProcessedPiece:
        """Returns the piece of a row."""
        c = self.columns
        tile = self.tile_of_piece[row]
        east_m = float(c["tile/east_m"][tile])
        first, last = int(c["piece/parts"][row]), int(c["piece/parts"][row + 1])
        offsets = c["part/nodes"][first : last + 1].astype(np.int64)
        owner = c["piece/object"][row]
        return ProcessedPiece(
            zoom=int(c["tile/z"][tile]),
            x=int(c["tile/x"][tile]),
            y=int(c["tile/y"][tile]),
            row=row,
            kind=int(c["object/kind"][owner]),
            osm_type=int(c["object/osm_type"][owner]),
            osm_id=int(c["object/osm_id"][owner]),
            covers_tile=bool(c["piece/covers_tile"][row]),
            east_m=east_m,
            roles=c["part/role"][first:last],
            parts=[self.units[a:b] * east_m for a, b in pairwise(offsets)],
            box=self._box(row) * east_m,
            edges=c["edge/ends"][int(c["piece/edges"][row]) : int(c["piece/edges"][row + 1])],
        )

    def _box(self, row: int) -> np.ndarray:
        """Returns the corners in tile units: [4, 2]."""
        x, y, ratio = self.columns["piece/box_side"][row].astype(np.float64)
        along, across = np.array([x, y]), ratio * np.array([-y, x])
        return self.centres[row] + np.stack([-along - across, along - across, along + across, across - along])


def _units(xy: np.ndarray) -> np.ndarray:
    """Converts stored positions to tile units."""
    return (xy.astype(np.float64) - 8192) / 49152 if xy.dtype == np.uint16 else xy.astype(np.float64)
