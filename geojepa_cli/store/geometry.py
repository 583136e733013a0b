"""`geometry.h5`: writes and reads geometry vectors, one for each piece of a region.

A piece is the part of an OSM element inside one tile. A geometry encoder computes the vectors from the nodes of the
pieces, once for each `processed.h5`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy.typing as npt

from geojepa_cli import hints
from geojepa_cli.errors import DataError
from geojepa_cli.hints import Hint
from geojepa_cli.store.columns import map_columns
from geojepa_cli.store.float16 import Float16, check_finite, expected_column, write_column

ENCODERS = ("fourier", "polygon_gnn", "gair")
EXPECTED = expected_column("vector", axes=2)
CHECKED_ROWS = 1 << 16  # rows that are checked at once


class GeometryKind(NamedTuple):
    """Geometry encoder of vectors, and the width of the vectors. Vectors of different kinds cannot be compared.

    Attributes:
        encoder: name of the encoder, such as `fourier`.
        version: version of the encoder, such as `v1`. For an encoder with weights, the first digits of their checksum,
            such as `sha256-0123456789ab`.
        dim: width of the vectors.
    """

    encoder: str
    version: str
    dim: int

    def __str__(self) -> str:
        return f"`{self.encoder}` {self.version} ({self.dim} values)"


class GeometryStore:
    """The `geometry.h5` of a region. Its vectors are memory-mapped.

    Attributes:
        path: path of the file.
        vector: one vector for each piece of the region, in the order of its `processed.h5`. float16 [pieces, dim]
        kind: encoder of the vectors, and their width.
    """

    def __init__(self, path: Path | str, n_pieces: int, region: str) -> None:
        """Opens a file and checks its vectors.

        Args:
            path: path of the file.
            n_pieces: number of pieces in the `processed.h5` of the region.
            region: name of the region.

        Raises:
            DataError: the file is unreadable or damaged, has another schema, or has another number of vectors.
        """
        self.path, self._region = Path(path), region
        columns, attributes = map_columns(self.path, EXPECTED, self._hint(None))
        self.vector: Float16 = columns["vector"]
        encoder, version = (str(attributes.get(name, "")) for name in ("encoder", "encoder_version"))
        self.kind = GeometryKind(encoder, version, self.vector.shape[1])
        if len(self.vector) != n_pieces:
            message = f"`{self.path}` has {len(self.vector)} vectors, but region `{region}` has {n_pieces} pieces"
            raise DataError(message, self._hint(encoder))
        check_finite(self.path, "vector", self.vector, CHECKED_ROWS)

    def __reduce__(self) -> tuple[Any, ...]:
        # A process that receives the pickled store opens and maps the file again.
        return (GeometryStore, (self.path, len(self.vector), self._region))

    def _hint(self, encoder: str | None) -> Hint:
        known = encoder if encoder in ENCODERS else ENCODERS[0]
        return hints.run("process", region=self._region, geometry_encoder=known)


def check_same_kind(stores: Iterable[GeometryStore]) -> None:
    """Checks that the vectors of all regions were computed by the same encoder.

    Raises:
        DataError: two regions have vectors of different encoders, versions or widths.
    """
    first, *others = stores
    for other in others:
        if other.kind != first.kind:
            wanted = f"{first.kind} as for the other regions"
            message = f"`{other.path}` was made by the geometry encoder {other.kind}, expected {wanted}"
            raise DataError(message, other._hint(first.kind.encoder))


def write_geometry(path: Path, n_pieces: int, kind: GeometryKind, batches: Iterable[npt.NDArray[Any]]) -> None:
    """Writes `geometry.h5`. Only one batch of vectors is in memory at a time, see `write_column`.

    Args:
        path: file to write.
        n_pieces: number of pieces of the region.
        kind: encoder of the vectors, and their width.
        batches: vectors of consecutive pieces. Together, the batches have one vector for each piece. float [n, dim]

    Raises:
        DataError: a vector has a value that float16 cannot represent.
        ValueError: the batches have another number of vectors.
    """
    overflow = DataError(
        f"the geometry encoder {kind} returned values that float16 cannot represent",
        hints.run("process", geometry_encoder="fourier"),
    )
    write_column(path, "vector", (n_pieces, kind.dim), (kind.encoder, kind.version), batches, overflow)
