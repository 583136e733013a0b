"""Vectors of single entities for entity probes: those of models, and simple features to compare them with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from geojepa_cli import hints
from geojepa_cli.config.modality import TAGS_ONLY, Modality, Needs
from geojepa_cli.errors import DataError
from geojepa_cli.models.alpha import alone_vectors, mix
from geojepa_cli.models.base import Embedder
from geojepa_cli.nn.tokens.tags import mean_tags
from geojepa_cli.store.batch import TileBatch
from geojepa_cli.store.csr import Rows
from geojepa_cli.store.rearrange import rearrange
from geojepa_cli.store.sampler import TokenBudgetSampler
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View

Vectors = NDArray[np.float32]
Name = TypeVar("Name", str, float)
Compute = Callable[[TileBatch, Rows], Mapping[Name, torch.Tensor]]
Progress = Callable[[int], None]

# decides which tiles are in the same batch, which changes the rounding of vectors: see `evaluate.embed`
BATCH_TOKENS = 16_384
NEAREST = 10  # number of near entities whose tags are averaged
SHAPE, NEIGHBOURS, JOINED = "shape", "neighbours", "tags, shape, neighbours"
COUNTS = "boosted neighbours"  # counts of tags and keys, for gradient boosting
_SMALL = 1e-3  # side length in tile units that is added before the logarithm; about 0.5 m


def model_vectors(
    store: TileStore,
    view: View,
    pieces: Rows,
    embedder: Embedder,
    device: torch.device,
    progress: Progress,
    alphas: Sequence[float] = (0.0,),
) -> dict[float, Vectors]:
    """Computes the vectors of entities with a model, with several weights alpha (see `models.alpha`).

    Args:
        store: dataset with the entities.
        view: selection of tiles, entities and tags that the model sees. It must contain all tiles of the entities.
        pieces: rows of the n entities' pieces in the dataset, ascending, int64.
        embedder: model, already on `device`.
        device: device of the model.
        progress: function that is called with the number of finished tiles.
        alphas: weights of the entity alone. 0 gives the vectors of the model.

    Returns:
        Vectors by weight, float32 [n, D].

    Raises:
        DataError: a vector has a value that is not finite.
    """

    def compute(batch: TileBatch, rows: Rows) -> Mapping[float, torch.Tensor]:
        in_tile = embedder.encode(batch.to(device)).entities.float().cpu()[torch.from_numpy(rows)]
        alone = vectors_alone(batch, rows, embedder, device) if any(alphas) else in_tile
        found = {alpha: mix(in_tile, alone, alpha) for alpha in alphas}
        if not all(bool(torch.isfinite(one).all()) for one in found.values()):
            raise DataError("the model returned entity vectors with values that are not finite", hints.run("pretrain"))
        return found

    return _collect(store, view, pieces, embedder.needs, compute, progress)


def vectors_alone(batch: TileBatch, rows: Rows, embedder: Embedder, device: torch.device) -> torch.Tensor:
    """Returns the vectors of some entities of a batch, each in a tile that contains nothing else."""
    if batch.node_xy is not None:  # nodes cannot be rearranged, so all entities of the batch are embedded
        return alone_vectors(embedder, batch.to(device)).float().cpu()[torch.from_numpy(rows)]
    tiles = np.searchsorted(batch.cu_seqlens.long().numpy(), rows, side="right") - 1
    chosen = rearrange(batch, rows, np.ones(len(rows), np.int64), tiles)
    return alone_vectors(embedder, chosen.to(device)).float().cpu()


def reference_vectors(
    store: TileStore, view: View, pieces: Rows, tag_table: torch.Tensor, counter: Embedder, progress: Progress
) -> dict[str, Vectors]:
    """Computes the features of entities that need no model, by name.

    `SHAPE`: size and proportions of the entity, see `shape_features`. `NEIGHBOURS`: mean tag embedding of the 10
    nearest other entities with visible tags, see `nearest_entities`. `JOINED`: both, and the mean embedding of the
    entity's visible tags. `COUNTS`: counts of tags and keys of the same 10 entities.

    Args:
        store: dataset with the entities.
        view: selection of tiles, entities and tags.
        pieces: rows of the n entities' pieces in the dataset, ascending, int64.
        tag_table: text embedding of every distinct tag of the dataset, on the CPU. float32 [V, E]
        counter: model on the CPU whose vector of an entity counts its tags and keys.
        progress: function that is called with the number of finished tiles.

    Returns:
        Vectors by name, float32 [n, width].
    """

    def compute(batch: TileBatch, rows: Rows) -> Mapping[str, torch.Tensor]:
        tags = mean_tags(tag_table, batch.tag_ids, batch.tag_offsets)
        near, known = nearest_entities(batch, rows)
        number = known.sum(dim=1, keepdim=True)
        shape = shape_features(batch)[torch.from_numpy(rows)]
        around = _sum_of(tags, near, known) / number.clamp_min(1)
        return {
            SHAPE: shape,
            NEIGHBOURS: around,
            JOINED: torch.cat([tags[torch.from_numpy(rows)], shape, around], 1),
            COUNTS: _sum_of(counter.encode(batch).entities, near, known),
        }

    return _collect(store, view, pieces, TAGS_ONLY, compute, progress)


def shape_vectors(store: TileStore, view: View, pieces: Rows) -> Vectors:
    """Computes size and shape of entities, see `shape_features`. float32 [n, 14]

    Args:
        store: dataset with the entities.
        view: selection of tiles that contains all tiles of the entities.
        pieces: rows of the n entities' pieces in the dataset, ascending, int64.
    """

    def compute(batch: TileBatch, rows: Rows) -> Mapping[str, torch.Tensor]:
        return {SHAPE: shape_features(batch)[torch.from_numpy(rows)]}

    return _collect(store, view, pieces, TAGS_ONLY, compute, lambda done: None)[SHAPE]


def shape_features(batch: TileBatch) -> torch.Tensor:
    """Returns size and proportions of each entity, float32 [T, 14].

    These are the logarithms of area, length, long side and short side of the bounding rectangle, and of the ratio of
    the sides; their squares, so that a linear head can prefer medium sizes; and one value for each kind of geometry.
    Position and direction are not among them.
    """
    corners = batch.box.view(-1, 4, 2)
    first = (corners[:, 1] - corners[:, 0]).norm(dim=1)
    second = (corners[:, 2] - corners[:, 1]).norm(dim=1)
    long, short = torch.maximum(first, second), torch.minimum(first, second)
    sides = [(long + _SMALL).log(), (short + _SMALL).log(), (long + _SMALL).log() - (short + _SMALL).log()]
    logs = torch.stack([batch.area_m2.log1p(), batch.length_m.log1p(), *sides], dim=1)
    kinds = torch.nn.functional.one_hot(batch.kind.long(), 4).float()
    return torch.cat([logs, logs.square(), kinds], dim=1)


def nearest_entities(batch: TileBatch, rows: Rows) -> tuple[torch.Tensor, torch.Tensor]:
    """Finds the 10 nearest other entities with visible tags in the tile, for some entities.

    Distances are those between the centres of the bounding rectangles. Of equal distances, the first entity is nearer.

    Args:
        batch: tiles.
        rows: indexes of the n entities in the batch, ascending, int64.

    Returns:
        Indexes in the batch, nearest first, int64 [n, 10]. And a mask that is False where a tile has fewer entities,
        bool [n, 10].
    """
    centres = batch.box.view(-1, 4, 2).mean(dim=1)
    tagged = batch.tag_offsets.diff() > 0
    near = torch.zeros(len(rows), NEAREST, dtype=torch.int64)
    known = torch.zeros(len(rows), NEAREST, dtype=torch.bool)
    ends = batch.cu_seqlens.long().numpy()
    tile_of_row = np.searchsorted(ends, rows, side="right") - 1
    for tile in np.unique(tile_of_row).tolist():
        places = torch.from_numpy(np.flatnonzero(tile_of_row == tile))
        others = int(ends[tile]) + tagged[ends[tile] : ends[tile + 1]].nonzero().flatten()
        own = torch.from_numpy(rows)[places]
        same = own[:, None] == others
        distances = (centres[own][:, None] - centres[others]).square().sum(dim=2).masked_fill(same, torch.inf)
        found, index = (one[:, :NEAREST] for one in distances.sort(dim=1, stable=True))
        near[places, : index.shape[1]] = others[index]
        known[places, : index.shape[1]] = found < torch.inf
    return near, known


def _sum_of(values: torch.Tensor, near: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Returns the sum of the values of the known near entities. [T, W] -> [n, W]"""
    total = torch.zeros(len(near), values.shape[1])
    for place in range(near.shape[1]):  # one at a time, because a tensor of all of them is large
        total += values[near[:, place]] * known[:, place, None]
    return total


def _batches(store: TileStore, view: View, needs: Needs) -> Iterator[TileBatch]:
    """Yields the tiles of a view in batches of tiles with similar numbers of entities."""
    lengths = store.lengths(view)
    order = np.argsort(lengths, kind="stable")
    kind = store.image_kind if Modality.IMAGE_TOKENS in needs else None
    cost = 0 if kind is None else kind.form.tokens
    sampler = TokenBudgetSampler(view.tiles[order], lengths[order], BATCH_TOKENS, shuffle=False, tile_cost=cost)
    for tiles in sampler.plan(0):
        yield store.read(view, tiles, needs)


@torch.inference_mode()
def _collect(
    store: TileStore, view: View, pieces: Rows, needs: Needs, compute: Compute[Name], progress: Progress
) -> dict[Name, Vectors]:
    """Computes vectors batch by batch, and returns those of the given pieces in the given order."""
    found: dict[Name, Vectors] = {}
    seen, done = np.zeros(len(pieces), np.bool_), 0
    for batch in _batches(store, view, needs):
        known = batch.piece_rows.numpy()
        places = np.minimum(np.searchsorted(pieces, known), len(pieces) - 1)
        rows = np.flatnonzero(pieces[places] == known)
        if len(rows):
            for name, vectors in compute(batch, rows).items():
                if name not in found:
                    found[name] = np.empty((len(pieces), vectors.shape[1]), np.float32)
                found[name][places[rows]] = vectors.numpy()
            seen[places[rows]] = True
        done += batch.n_tiles
        progress(done)
    if not seen.all():
        raise ValueError(f"{int((~seen).sum())} pieces are not entities of the view")
    return found
