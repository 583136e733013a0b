"""Geometry encoders by name, and the computation of the geometry vectors of a region."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from geojepa_cli.console import Meter
from geojepa_cli.models.encode_ahead import encode_ahead
from geojepa_cli.nn.geometry.fourier import FourierGeometry
from geojepa_cli.nn.geometry.shapes import Shapes
from geojepa_cli.store.geometry import GeometryKind, write_geometry
from geojepa_cli.store.pieces import PieceGeometry, piece_spans, read_pieces
from geojepa_cli.store.reader import RegionStore

if TYPE_CHECKING:
    from geojepa_cli.nn.geometry.tensors import GeometryTensors

FOURIER = GeometryKind("fourier", "v1", FourierGeometry().dim)  # another version if the vectors change
POLYGON_GNN = "polygon_gnn"

# These numbers decide which pieces are in the same batch, which changes the rounding of PolygonGNN's vectors. When
# changing a number, also increase the version of the stage.
MAX_PIECES = 4096
MAX_NODES = {"fourier": 65_536, POLYGON_GNN: 8192}

Encode = Callable[[PieceGeometry], Tensor]


class GeometryEncoder(NamedTuple):
    """Geometry encoder for pieces. A piece is the part of an OSM element inside one tile.

    Attributes:
        kind: name and version of the encoder, and width of its vectors.
        encode: function that computes the vectors of T pieces. float [T, dim]
    """

    kind: GeometryKind
    encode: Encode


def fourier_encoder() -> GeometryEncoder:
    """Returns the encoder `fourier`, which has no weights."""
    encoder = FourierGeometry()
    return GeometryEncoder(FOURIER, lambda pieces: encoder(cast("GeometryTensors", pieces)))


def polygon_encoder(folder: Path, version: str) -> GeometryEncoder:
    """Loads a trained PolygonGNN.

    Args:
        folder: folder of the model in `models/` of the workspace.
        version: version of the encoder: `sha256-` and the first digits of the checksum of its weights.

    Raises:
        DataError: the weights are missing or unreadable.
    """
    from geojepa_cli.models.polygon_gnn.embedder import load_encoder

    encoder = load_encoder(folder)
    kind = GeometryKind(POLYGON_GNN, version, encoder.readout.out_features)
    return GeometryEncoder(kind, lambda pieces: encoder(Shapes(*pieces)))


def write_geometry_vectors(
    processed: Path, target: Path, encoder: GeometryEncoder, threads: int = 1, meter: Meter | None = None
) -> dict[str, int]:
    """Computes the geometry vectors of all pieces of a region, and writes them to `geometry.h5`.

    A piece is the part of an OSM element inside one tile. Only a few batches of pieces are in memory at the same time.
    The number of threads does not change the vectors.

    Args:
        processed: path of the region's `processed.h5`.
        target: path of the `geometry.h5` to write.
        encoder: geometry encoder.
        threads: number of batches to compute at the same time.
        meter: progress display, which counts pieces.

    Returns:
        Counts by name. `pieces`: pieces of the region. `without_geometry`: pieces without nodes, such as areas that
        cover their tile.

    Raises:
        DataError: `processed` is damaged.
    """
    region = RegionStore(processed)
    region.check_geometry()
    vectors = _vectors(region, encoder, threads, meter)
    write_geometry(target, region.n_pieces, encoder.kind, vectors)
    parts = region["piece/parts"]
    return {"pieces": region.n_pieces, "without_geometry": int((parts[1:] == parts[:-1]).sum())}


def _vectors(
    region: RegionStore, encoder: GeometryEncoder, threads: int, meter: Meter | None
) -> Iterator[npt.NDArray[np.float32]]:
    """Returns an iterator over the vectors of consecutive pieces."""

    def encode(span: tuple[int, int]) -> npt.NDArray[np.float32]:
        with torch.inference_mode():
            return encoder.encode(read_pieces(region, *span)).float().numpy()

    spans = piece_spans(region, MAX_NODES[encoder.kind.encoder], MAX_PIECES)
    return encode_ahead(spans, encode, threads, "encode-geometry", meter)
