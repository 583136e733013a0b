"""Geometry encoders by name, and the computation of the geometry vectors of a region."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from geojepa_cli.config.modality import Modality
from geojepa_cli.console import Meter
from geojepa_cli.models.encode_ahead import encode_ahead
from geojepa_cli.nn.geometry.fourier import FourierGeometry
from geojepa_cli.nn.geometry.shapes import Shapes
from geojepa_cli.store.batch import TileBatch
from geojepa_cli.store.geometry import GeometryKind, write_geometry
from geojepa_cli.store.pieces import PieceGeometry, piece_spans, read_pieces
from geojepa_cli.store.reader import RegionStore
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View

if TYPE_CHECKING:
    from geojepa_cli.nn.geometry.tensors import GeometryTensors

FOURIER = GeometryKind("fourier", "v1", FourierGeometry().dim)  # another version if the vectors change
POLYGON_GNN, GAIR = "polygon_gnn", "gair"

# These numbers decide which pieces are in the same batch, which changes the rounding of PolygonGNN's vectors. When
# changing a number, also increase the version of the stage.
MAX_PIECES = 4096
MAX_NODES = {"fourier": 65_536, GAIR: 65_536, POLYGON_GNN: 8192}
MAX_TILES = 16  # tiles whose images are encoded at once

Encode = Callable[[PieceGeometry], Tensor]
EncodeTiles = Callable[[TileBatch], Tensor]


class GeometryEncoder(NamedTuple):
    """Geometry encoder for pieces. A piece is the part of an OSM element inside one tile.

    Attributes:
        kind: name and version of the encoder, and width of its vectors.
        encode: function that computes the vectors of T pieces. float [T, dim]
        encode_tiles: function that computes the vectors of the T pieces of whole tiles with their images. None: the
            encoder reads no images. float [T, dim]
    """

    kind: GeometryKind
    encode: Encode
    encode_tiles: EncodeTiles | None = None


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


def gair_encoder(folder: Path, version: str) -> GeometryEncoder:
    """Loads a trained GAIR model as an encoder of pieces: the vector of `fourier`, then the localised vector.

    The localised vector is read from the image of the tile, at points on the piece. It is the vector of the entity in
    the embeddings of the model, and zeros in tiles without an image.

    Args:
        folder: folder of the model in `models/` of the workspace.
        version: version of the encoder: `sha256-` and the first digits of the checksum of its weights.

    Raises:
        DataError: the weights are missing or unreadable.
    """
    from geojepa_cli.models.base import FrozenInputs
    from geojepa_cli.models.gair.embedder import load

    fourier, embedder = FourierGeometry(), load(folder, FrozenInputs(torch.empty(0, 1)))
    width = embedder.module.head.out_features

    def encode(pieces: PieceGeometry) -> Tensor:
        shapes = fourier(cast("GeometryTensors", pieces))
        return torch.cat([shapes, shapes.new_zeros(len(shapes), width)], dim=1)

    def encode_tiles(batch: TileBatch) -> Tensor:
        return torch.cat([fourier(cast("GeometryTensors", batch)), embedder.encode(batch).entities], dim=1)

    return GeometryEncoder(GeometryKind(GAIR, version, FOURIER.dim + width), encode, encode_tiles)


def write_geometry_vectors(
    processed: Path,
    target: Path,
    encoder: GeometryEncoder,
    threads: int = 1,
    meter: Meter | None = None,
    images: Path | None = None,
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
        images: path of the region's `images.h5`, for an encoder that reads images. None: the region has no images.

    Returns:
        Counts by name. `pieces`: pieces of the region. `without_geometry`: pieces without nodes, such as areas that
        cover their tile.

    Raises:
        DataError: `processed` is damaged.
    """
    region = RegionStore(processed)
    region.check_geometry()
    if images is not None and encoder.encode_tiles is not None:
        vectors = _vectors_of_tiles(TileStore.open([processed], [images]), encoder.encode_tiles, threads, meter)
    else:
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


def _vectors_of_tiles(
    store: TileStore, encode_tiles: EncodeTiles, threads: int, meter: Meter | None
) -> Iterator[npt.NDArray[np.float32]]:
    """Returns an iterator over the vectors of the pieces of consecutive tiles with their images."""
    view = replace(View.full(store), keep_untagged=True)
    store.compiled(view)  # once, before several threads need it

    def encode(tiles: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        batch = store.read(view, tiles, frozenset({Modality.NODES, Modality.IMAGE}))
        with torch.inference_mode():
            return encode_tiles(batch).float().numpy()

    spans = (np.arange(first, min(first + MAX_TILES, store.n_tiles)) for first in range(0, store.n_tiles, MAX_TILES))
    return encode_ahead(spans, encode, threads, "encode-geometry", meter)
