"""Tests models that read images at points: is what is read at a point most similar to what stands there?

Two searches are tested for the entities of a tile, or of a zoom-14 group. `points to tags` reads the image at an
entity's point, and ranks the sets of tags of all entities. `tags to points` takes an entity's tags, and ranks the points
of all entities.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geojepa_cli.config.modality import Modality
from geojepa_cli.models.gair.gair import Gair
from geojepa_cli.models.gair.readings import (
    AT_POINT,
    EntityPoints,
    describe_entities,
    entity_points,
    moved_points,
    read_image,
    read_in_all_ways,
)
from geojepa_cli.models.gair.vectors import tile_tokens
from geojepa_cli.metrics.pair_ranks import Ranks, rank_points, rank_tag_sets, recall, reciprocal_rank
from geojepa_cli.store.batch import TileBatch
from geojepa_cli.store.csr import Rows
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Vectors = NDArray[np.float32]
Progress = Callable[[int], None]

TILE, GROUP = "tile", "group"
SCOPES = (TILE, GROUP)
POINTS_TO_TAGS, TAGS_TO_POINTS = "points to tags", "tags to points"
SEARCHES = (POINTS_TO_TAGS, TAGS_TO_POINTS)
FIRST_WEIGHTS = "first weights"
FIGURES = ("recall_1", "recall_10", "reciprocal_rank")
DEEP = 10
DISTANCES_M = (0.0, 5.0, 10.0, 20.0, 34.0, 50.0, 68.0, 100.0, 160.0)
CURVE_FIGURES = ("recall_1", "reciprocal_rank")
QUERIES_PER_TILE = 16  # entities of a tile whose points are moved
NEEDS = frozenset({Modality.IMAGE, Modality.NODES, Modality.TAGS})


class PointModel(NamedTuple):
    """A model to test.

    Attributes:
        label: name of the model in tables.
        module: model with its trained weights.
        first: the same model with the weights before training.
        tag_table: text embedding of every distinct tag of the dataset, on the model's device. [V, E]
    """

    label: str
    module: Gair
    first: Gair
    tag_table: Tensor


class Row(NamedTuple):
    """Row of a table: a model, and a way in which it is read (`models.gair.readings`) or `first weights`."""

    model: str
    reading: str


class Cell(NamedTuple):
    """A search among the entities of one scope."""

    scope: str
    search: str


@dataclass
class Found:
    """Figures of the queries of one search.

    Attributes:
        places: index of each query's entity in the list of all tested entities, int64 parts.
        groups: zoom-14 group of each query, int64 parts.
        wrong: number of wrong candidates of each query, int64 parts.
        figures: for each row of the table, figures of the queries, float64 parts [q, figures]. `None` stands for a
            random order.
    """

    places: list[Ints] = field(default_factory=list)
    groups: list[Ints] = field(default_factory=list)
    wrong: list[Ints] = field(default_factory=list)
    figures: dict[Row | None, list[Floats]] = field(default_factory=dict)

    def add(self, row: Row | None, figures: Floats) -> None:
        """Appends the figures of some queries."""
        self.figures.setdefault(row, []).append(figures)

    def joined(self, row: Row | None) -> Floats:
        """Returns the figures of all queries, [queries, figures]."""
        return np.concatenate(self.figures[row])


class Entities(NamedTuple):
    """The tested entities: their rows in the dataset's table of pieces, and their tiles. int64 [n] each"""

    pieces: Ints
    tiles: Ints


def entity_image(
    store: TileStore,
    view: View,
    models: Sequence[PointModel],
    tag_hashes: Tensor,
    device: torch.device,
    progress: Progress,
) -> tuple[dict[Cell, Found], Entities]:
    """Tests both searches, among the entities of a tile and of a zoom-14 group, with all ways to read the image.

    Args:
        store: dataset with images.
        view: selection of tiles and entities.
        models: models to test.
        tag_hashes: result of `hash_tags` for the tags of the dataset. int64 [V]
        device: device of the models.
        progress: function that is called with the number of finished tiles.

    Returns:
        Figures `FIGURES` of each search, and the tested entities. A query has at least one wrong candidate.
    """
    found = {Cell(scope, search): Found() for scope in SCOPES for search in SEARCHES}
    pieces, tiles, done = [], [], 0
    for group in _groups(store, view, tag_hashes, device, progress):
        rows = dict(_read(group, models))
        scopes = {TILE: group.by_tile(), GROUP: [np.arange(len(group.sets))]}
        for scope, members in scopes.items():
            for own in members:
                _search(found, scope, own, rows, group, done)
        pieces.append(group.pieces)
        tiles.append(group.tiles)
        done += len(group.sets)
    none = [np.empty(0, np.int64)]
    return found, Entities(np.concatenate(none + pieces), np.concatenate(none + tiles))


def offset_curves(
    store: TileStore,
    view: View,
    models: Sequence[PointModel],
    tag_hashes: Tensor,
    device: torch.device,
    seed: int,
    progress: Progress,
) -> tuple[Found, int]:
    """Tests `points to tags` among the entities of a tile, with points that are moved by `DISTANCES_M`.

    Args:
        store: dataset with images.
        view: selection of tiles and entities.
        models: models to test.
        tag_hashes: result of `hash_tags` for the tags of the dataset. int64 [V]
        device: device of the models.
        seed: random seed of the entities whose points are moved, at most `QUERIES_PER_TILE` per tile.
        progress: function that is called with the number of finished tiles.

    Returns:
        Figures `CURVE_FIGURES` at each distance, float64 [entities, figures · distances], as means over the directions
        in which a point stays in its image; and the number of points and directions.
    """
    found, moved = Found(), 0
    distances = torch.tensor(DISTANCES_M, dtype=torch.float64)
    for group in _groups(store, view, tag_hashes, device, progress):
        rng = np.random.default_rng([seed, int(group.number)])
        members = [own for own in group.by_tile() if len(np.unique(group.sets[own])) > 1]
        drawn = [np.sort(rng.permutation(own)[:QUERIES_PER_TILE]) for own in members]
        chosen = np.concatenate([np.empty(0, np.int64), *drawn])
        owner, uv = moved_points(group.batch, group.points, torch.from_numpy(chosen).to(device), distances)
        owners = owner.cpu().numpy()
        if not len(owners):
            continue
        entities, place = np.unique(owners, return_inverse=True)
        moved += len(owners)
        found.places.append(entities)
        found.groups.append(np.full(len(entities), group.number))
        counts = np.bincount(place)[:, None]
        for row, ground, read in _moving(group, models, owner, uv):
            figures, chance = (np.empty((len(owners), uv.shape[1], len(CURVE_FIGURES))) for _ in range(2))
            for own in members:
                here = np.flatnonzero(np.isin(owners, own))
                wanted = group.sets[owners[here]].repeat(uv.shape[1])
                points = read[here].reshape(-1, read.shape[2])
                ranks = rank_tag_sets(points, wanted, ground[own], group.sets[own])
                shape = len(here), uv.shape[1], len(CURVE_FIGURES)
                figures[here], chance[here] = (_curve_figures(one).reshape(shape) for one in (ranks, ranks.by_chance()))
            for name, values in ((row, figures),) if None in found.figures and len(found.figures[None]) == len(
                found.places
            ) else ((row, figures), (None, chance)):
                flat = values.transpose(0, 2, 1).reshape(len(owners), -1)
                sums = np.stack([np.bincount(place, column, len(entities)) for column in flat.T], axis=1)
                found.add(name, sums / counts)
    return found, moved
