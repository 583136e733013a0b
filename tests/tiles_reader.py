"""Runs `geojepa-tiler tile` and reads its `tiles.h5` back as shapely geometry, without the package's store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from geojepa_cli import native

TYPES = ("node", "way", "relation")
KINDS = ("point", "line", "area", "relation")
ROLES = ("point", "line", "outer", "inner")
TOKENS = ("entity", "boundary", "restriction")


@dataclass
class Piece:
    """An object in a tile; coordinates in degrees."""

    ref: str
    kind: str
    token: str
    area_m2: float
    length_m: float
    covers_tile: bool
    parts: list[tuple[str, np.ndarray]]

    def lines(self) -> list[np.ndarray]:
        return [coordinates for role, coordinates in self.parts if role == "line"]

    def geometry(self) -> BaseGeometry:
        """Returns all parts as one collection; inner rings belong to the outer ring before them."""
        shapes: list[BaseGeometry] = []
        polygons: list[tuple[np.ndarray, list[np.ndarray]]] = []
        for role, coordinates in self.parts:
            if role == "point":
                shapes.append(shapely.Point(coordinates[0]))
            elif role == "line":
                shapes.append(shapely.LineString(coordinates))
            elif role == "outer":
                polygons.append((coordinates, []))
            else:
                polygons[-1][1].append(coordinates)
        shapes += [shapely.Polygon(outer, inner) for outer, inner in polygons]
        return shapely.GeometryCollection(shapes)


class Tiles:
    """A whole file in memory."""

    def __init__(self, path: Path) -> None:
        with h5py.File(path, "r") as file:
            self.attributes: dict[str, Any] = dict(file.attrs)
            self.columns: dict[str, np.ndarray] = {}
            file.visititems(self._keep)
        get = self.columns.__getitem__
        refs = zip(get("object/osm_type"), get("object/osm_id"), strict=True)
        self.refs = [f"{TYPES[kind]}/{number}" for kind, number in refs]
        self.rows = {ref: row for row, ref in enumerate(self.refs)}
        self.names = [(int(x), int(y)) for x, y in zip(get("tile/x"), get("tile/y"), strict=True)]
        self.tile_rows = {name: row for row, name in enumerate(self.names)}

    def _keep(self, name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            self.columns[name] = item[()]

    def _range(self, column: str, row: int) -> range:
        return range(int(self.columns[column][row]), int(self.columns[column][row + 1]))

    def text(self, column: str, row: int) -> str:
        span = self._range(column, row)
        return bytes(self.columns[f"{column}_utf8"][span.start : span.stop]).decode()

    def pieces(self, tile: tuple[int, int]) -> dict[str, Piece]:
        """Returns the tile's pieces by entity; empty if the file lacks the tile."""
        if tile not in self.tile_rows:
            return {}
        rows = self._range("tile/pieces", self.tile_rows[tile])
        found = [self._piece(row) for row in rows]
        assert len({piece.ref for piece in found}) == len(found)
        return {piece.ref: piece for piece in found}

    def all_pieces(self) -> Iterator[tuple[tuple[int, int], Piece]]:
        for name in self.names:
            for piece in self.pieces(name).values():
                yield name, piece

    def _piece(self, row: int) -> Piece:
        get = self.columns.__getitem__
        thing = int(get("piece/object")[row])
        parts = []
        for part in self._range("piece/parts", row):
            nodes = self._range("part/nodes", part)
            parts.append((ROLES[get("part/role")[part]], get("node/lonlat")[nodes.start : nodes.stop] / 1e7))
        return Piece(
            self.refs[thing],
            KINDS[get("object/kind")[thing]],
            TOKENS[get("object/token")[thing]],
            float(get("piece/area_m2")[row]),
            float(get("piece/length_m")[row]),
            bool(get("piece/covers_tile")[row]),
            parts,
        )

    def tags(self, ref: str) -> dict[str, str]:
        vocab = [int(self.columns["tag/vocab"][i]) for i in self._range("object/tags", self.rows[ref])]
        return {self.text("vocab/key", i): self.text("vocab/value", i) for i in vocab}

    def members(self, ref: str) -> list[tuple[str, str]]:
        """Returns (member, role) of the relation's members that are objects."""
        span = self._range("object/members", self.rows[ref])
        objects, roles = self.columns["member/object"], self.columns["member/role"]
        return [(self.refs[objects[i]], self.text("role/text", int(roles[i]))) for i in span]

    def absent_members(self, ref: str) -> int:
        return int(self.columns["object/absent_members"][self.rows[ref]])


def run_tiler(inputs: Path | list[Path], output: Path, *options: str) -> tuple[Tiles, dict[str, Any]]:
    """Runs the stage; returns its result and its counts."""
    paths = [inputs] if isinstance(inputs, Path) else inputs
    given = [argument for path in paths for argument in ("--input", str(path))]
    summary = native.run(["tile", *given, "--output", str(output), *options], "tile")
    return Tiles(output), summary["counts"]
