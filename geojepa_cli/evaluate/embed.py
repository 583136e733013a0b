"""Computes the embeddings of all tiles and entities of a region.

Tiles are embedded in chunks, which are saved one by one, so that an interrupted run can resume.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import NDArray

from geojepa_cli import hints
from geojepa_cli.config.modality import IMAGES, Modality
from geojepa_cli.console import Meter
from geojepa_cli.errors import DataError
from geojepa_cli.evaluate.embedded_columns import entity_columns
from geojepa_cli.models.base import BatchVectors, Embedder
from geojepa_cli.store import csr
from geojepa_cli.store.batch import TileBatch
from geojepa_cli.store.csr import Rows
from geojepa_cli.store.embeddings import FILE, PLACE, write_embeddings
from geojepa_cli.store.sampler import TokenBudgetSampler
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.tensors import read_tensors, save_tensors
from geojepa_cli.store.tile_parts import write_parts
from geojepa_cli.store.view import View

Columns = Mapping[str, NDArray[Any]]
Device = torch.device | str

CHUNKS = "chunks"
# Both numbers decide which tiles are in the same batch, which changes the rounding of vectors. When changing a number,
# also increase the version of the stage.
CHUNK_TILES = 2048
BATCH_TOKENS = 16_384


def open_chunks(
    store: TileStore,
    view: View,
    embedder: Embedder,
    folder: Path,
    attributes: Mapping[str, str],
    device: Device = "cpu",
) -> Chunks:
    """Returns the chunks of a region, which several processes can make. Those of an interrupted run are reused.

    Args:
        store: dataset with one region.
        view: selection of the tiles to embed and of the entities and tags that the model sees.
        embedder: model, already on `device`.
        folder: folder for the temporary files of chunks.
        attributes: attributes to write to `embeddings.h5`.
        device: device of the model.

    Raises:
        DataError: no tiles are selected, or the selected tiles have no input for the model.
    """
    if not len(view.tiles):
        names = ", ".join(f"`{region.name}`" for region in store.regions)
        raise DataError(f"region {names} has no tile to embed", hints.run("artifacts"))
    return Chunks(_Region(store, view, embedder, torch.device(device)), folder / CHUNKS, attributes)


def embed_chunks(chunks: Chunks, folder: Path, meter: Meter) -> dict[str, int]:
    """Makes the chunks that do not exist yet, and writes `embeddings.h5`.

    Args:
        chunks: chunks of a region.
        folder: folder in which to write `embeddings.h5`.
        meter: progress display, which counts tiles.

    Returns:
        Counts: `tiles` and `entities` that were embedded, and `width`, the number of dimensions of an entity's vector.

    Raises:
        DataError: the model returned a value that is not finite.
    """
    for number in range(len(chunks)):
        chunks.make(number)
        meter.update(min((number + 1) * CHUNK_TILES, chunks.n_tiles))
    return chunks.join(folder / FILE)


def chunk_sizes(tiles: int) -> list[int]:
    """Returns the number of tiles of each chunk of a region with the given number of tiles to embed."""
    return [min(CHUNK_TILES, tiles - begin) for begin in range(0, tiles, CHUNK_TILES)]


def embed_tiles(
    store: TileStore, view: View, embedder: Embedder, width: int, device: Device = "cpu"
) -> NDArray[np.float32]:
    """Returns the vectors of the tiles of a selection, without writing a file. float32 [n, width]

    A tile without an entity or image has a vector of zeros.

    Args:
        store: dataset with one or several regions.
        view: selection of the tiles to embed and of the entities and tags that the model sees.
        embedder: model, already on `device`.
        width: number of dimensions of a tile vector.
        device: device of the model.
    """
    found, lengths = np.zeros((len(view.tiles), width), np.float32), store.lengths(view)
    shown = lengths > 0
    if IMAGES & embedder.needs:
        shown |= store.image_rows[view.tiles] >= 0
    region = _Region(store, view, embedder, torch.device(device)) if shown.any() else None
    for rows in np.array_split(np.flatnonzero(shown), range(CHUNK_TILES, int(shown.sum()), CHUNK_TILES)):
        if region is not None:
            found[rows] = _embed(region, view.tiles[rows], lengths[rows]).tiles.numpy()
    return found


class _Region:
    """The selected tiles of a region, and the model that embeds them.

    The tiles, and the entities and tags that the model sees in them, are selected by a `View`.

    Attributes:
        lengths: number of entities of each selected tile, int64 [n].
        image_tokens: number of tokens of a frozen image encoder per image; 0 if the model reads none.
        tile_width, entity_width: number of dimensions of the model's tile vectors and entity vectors.
        tile_parts: name and width of each part of a tile vector; empty if it has no known parts.
        place_width: number of dimensions of the vectors of the locations of entities; 0 if the model has none.
    """

    def __init__(self, store: TileStore, view: View, embedder: Embedder, device: torch.device) -> None:
        self.store, self.view, self.embedder, self.device = store, view, embedder, device
        self.lengths = store.lengths(view)
        self._images = bool(IMAGES & embedder.needs)
        kind = store.image_kind if Modality.IMAGE_TOKENS in embedder.needs else None
        self.image_tokens = 0 if kind is None else kind.form.tokens
        widths = self._encode(self.read(self._fullest()))
        self.tile_width, self.entity_width = widths.tiles.shape[1], widths.entities.shape[1]
        self.tile_parts = widths.tile_parts
        self.place_width = 0 if widths.places is None else widths.places.shape[1]

    def read(self, tiles: Rows) -> TileBatch:
        """Reads a batch of tiles with the inputs that the model needs, such as images."""
        return self.store.read(self.view, tiles, self.embedder.needs)

    def encode(self, batch: TileBatch) -> BatchVectors:
        """Embeds a batch. Returns vectors on the CPU, as float32 for tiles and float16 for entities.

        If the batch has no entities (a mask can hide all of them) and no images, its tile vectors are zeros.
        """
        has_images = batch.image_tiles is not None and len(batch.image_tiles) > 0
        if not batch.n_tokens and not has_images:
            none = [torch.zeros(0, width, dtype=torch.float16) for width in (self.entity_width, self.place_width)]
            tiles = torch.zeros(batch.n_tiles, self.tile_width)
            return BatchVectors(none[0], tiles, places=none[1] if self.place_width else None)
        return self._encode(batch)

    @torch.inference_mode()
    def _encode(self, batch: TileBatch) -> BatchVectors:
        found = self.embedder.encode(batch.to(self.device))
        stored = {"tile": found.tiles.float(), "entity": found.entities.half()}
        stored |= {} if found.places is None else {"place": found.places.half()}
        for name, vectors in stored.items():
            if not bool(torch.isfinite(vectors).all()):
                raise DataError(
                    f"the model returned {name} vectors with values that are not finite", hints.run("pretrain")
                )
        places = stored["place"].cpu() if "place" in stored else None
        return BatchVectors(stored["entity"].cpu(), stored["tile"].cpu(), tile_parts=found.tile_parts, places=places)

    def _fullest(self) -> Rows:
        """Returns the tile with the most entities. If no tile has an entity, returns a tile with an image."""
        if self.lengths.any():
            return self.view.tiles[[int(self.lengths.argmax())]]
        shown = self.store.image_rows[self.view.tiles] >= 0
        if not (self._images and shown.any()):
            name = self.store.regions[0].name
            raise DataError(f"no tile of region `{name}` has an entity to embed", hints.run("artifacts"))
        return self.view.tiles[shown][:1]


class Chunks(Sequence[Columns]):
    """Chunks of the `n_tiles` tiles to embed. Each is a dict from column names of `embeddings.h5` to arrays."""

    def __init__(self, region: _Region, folder: Path, attributes: Mapping[str, str]) -> None:
        self._region, self._folder, self._attributes = region, folder, dict(attributes)
        self.n_tiles = len(region.view.tiles)
        folder.mkdir(exist_ok=True)

    def __len__(self) -> int:
        return len(chunk_sizes(self.n_tiles))

    @overload
    def __getitem__(self, number: int) -> Columns: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Columns]: ...
    def __getitem__(self, number: int | slice) -> Columns | Sequence[Columns]:
        if isinstance(number, slice):
            return [self[i] for i in range(*number.indices(len(self)))]
        if not 0 <= number < len(self):
            raise IndexError(number)
        vectors = self._read(number)
        if vectors is None:
            raise DataError(f"`{self._path(number)}` was changed or deleted during the run", hints.again())
        tiles, lengths = self._tiles(number)
        columns = entity_columns(self._region.store, self._region.store.read(self._region.view, tiles), lengths)
        columns |= {} if vectors.places is None else {PLACE: vectors.places.numpy()}
        return {**columns, "tile/vector": vectors.tiles.numpy(), "entity/vector": vectors.entities.numpy()}

    def make(self, number: int) -> None:
        """Embeds the tiles of a chunk and saves the vectors, unless an undamaged file of an earlier run exists."""
        if self._read(number) is not None:
            return
        tiles, lengths = self._tiles(number)
        vectors = _embed(self._region, tiles, lengths)
        tensors = {"tiles": vectors.tiles, "entities": vectors.entities}
        tensors |= {} if vectors.places is None else {"places": vectors.places}
        save_tensors(self._path(number), tensors, {"of": self._identity(number)})

    def join(self, path: Path) -> dict[str, int]:
        """Writes `embeddings.h5` from all chunks, and deletes their files. Returns the counts of `embed_chunks`."""
        tile_width, width = self._region.tile_width, self._region.entity_width
        attributes = {**self._attributes, "tile_parts": write_parts(self._region.tile_parts)}
        write_embeddings(path, self, attributes, tile_width, width, self._region.place_width)
        shutil.rmtree(self._folder)
        return {"tiles": self.n_tiles, "entities": int(self._region.lengths.sum()), "width": width}

    def _read(self, number: int) -> BatchVectors | None:
        """Reads the vectors of a chunk. Returns None if the file is missing, damaged, or made from other inputs."""
        tiles, lengths = self._tiles(number)
        try:
            tensors, metadata = read_tensors(self._path(number))
        except DataError:
            return None
        shapes = {
            "tiles": (torch.float32, (len(tiles), self._region.tile_width)),
            "entities": (torch.float16, (int(lengths.sum()), self._region.entity_width)),
        }
        if self._region.place_width:
            shapes["places"] = (torch.float16, (int(lengths.sum()), self._region.place_width))
        found = {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()}
        if found != shapes or metadata.get("of") != self._identity(number):
            return None
        if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values()):
            return None
        return BatchVectors(tensors["entities"], tensors["tiles"], places=tensors.get("places"))

    def _identity(self, number: int) -> str:
        """Returns a hash of the inputs of a chunk: model, tiles, hidden entities and hidden tags."""
        tiles, lengths = self._tiles(number)
        known = hashlib.sha256(json.dumps(self._attributes, sort_keys=True).encode())
        view = self._region.view
        for rows in (tiles, lengths, view.dropped_pieces, view.dropped_tags):
            known.update(len(rows).to_bytes(8, "little") + rows.astype("<i8").tobytes())
        return known.hexdigest()

    def _tiles(self, number: int) -> tuple[Rows, Rows]:
        """Returns the indexes of a chunk's tiles in the dataset, and the number of entities of each of these tiles."""
        part = slice(number * CHUNK_TILES, (number + 1) * CHUNK_TILES)
        return self._region.view.tiles[part], self._region.lengths[part].astype(np.int64)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:06d}.safetensors"


def _embed(region: _Region, tiles: Rows, lengths: Rows) -> BatchVectors:
    """Embeds tiles in batches of tiles with similar numbers of entities. Returns vectors in the order of `tiles`."""
    order = np.argsort(lengths, kind="stable")
    cost = region.image_tokens
    sampler = TokenBudgetSampler(tiles[order], lengths[order], BATCH_TOKENS, shuffle=False, tile_cost=cost)
    parts = [region.encode(region.read(rows)) for rows in sampler.plan(0)]
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order))
    entities = torch.from_numpy(csr.children(csr.offsets(lengths[order]), places))
    located = [part.places for part in parts if part.places is not None]
    return BatchVectors(
        torch.cat([part.entities for part in parts])[entities],
        torch.cat([part.tiles for part in parts])[torch.from_numpy(places)],
        places=torch.cat(located)[entities] if located else None,
    )
