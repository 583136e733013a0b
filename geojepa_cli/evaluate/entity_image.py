"""Searches across the two views of a place: from a point of an image to tags, and from tags to points.

`points to tags` reads the image at an entity's point, and ranks the sets of tags of all entities of the tile. `tags to
points` takes an entity's tags, and ranks the points of all entities of the tile. Both are also tested with all entities
of the zoom-14 group as candidates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from geojepa_cli.evaluate.point_groups import (
    FIRST_WEIGHTS,
    Dataset,
    Figures,
    Floats,
    Group,
    Ints,
    PointModel,
    Progress,
    Row,
    Vectors,
    read_groups,
)
from geojepa_cli.metrics.pair_ranks import Ranks, rank_points, rank_tag_sets, recall, reciprocal_rank
from geojepa_cli.models.gair.gair import Gair
from geojepa_cli.models.gair.readings import describe_entities, read_image, read_in_all_ways
from geojepa_cli.models.gair.vectors import tile_tokens

TILE, GROUP = "tile", "group"
SCOPES = (TILE, GROUP)
POINTS_TO_TAGS, TAGS_TO_POINTS = "points to tags", "tags to points"
SEARCHES = (POINTS_TO_TAGS, TAGS_TO_POINTS)
FIGURES = ("recall_1", "recall_10", "reciprocal_rank")
DEEP = 10


class Cell(NamedTuple):
    """A search among the entities of one scope."""

    search: str
    scope: str


CELLS = tuple(Cell(search, scope) for search in SEARCHES for scope in SCOPES)


class Pair(NamedTuple):
    """Unit vectors of the n entities of a group: of what stands at their points, and of what is read there. [n, D]"""

    ground: Vectors
    read: Vectors


@torch.inference_mode()
def entity_image(data: Dataset, models: Sequence[PointModel], progress: Progress) -> dict[Cell, Figures]:
    """Tests the searches of `CELLS` with all ways to read the image, and with the weights before training.

    Args:
        data: selection of tiles and entities.
        models: models to test.
        progress: function that is called with the number of finished tiles.

    Returns:
        `FIGURES` of each search. Entities without a wrong candidate are no queries.
    """
    found = {cell: Figures() for cell in CELLS}
    for group in read_groups(data, progress):
        scopes = {TILE: group.by_tile(), GROUP: group.together()}
        pairs = {row: pair for model in models for row, pair in _read(group, model)}
        for cell, figures in found.items():
            for own in scopes[cell.scope]:
                _search(cell, figures, group, own, pairs)
    return found


def _search(cell: Cell, figures: Figures, group: Group, own: Ints, pairs: dict[Row, Pair]) -> None:
    """Searches among the entities `own` of a group, with each of them as a query."""
    figures.add_queries(group, own)
    for number, (row, pair) in enumerate(pairs.items()):
        ranks = _ranks(cell.search, Pair(pair.ground[own], pair.read[own]), group.sets[own])
        figures.add(row, figures_of(ranks))
        if number == 0:
            figures.add(None, figures_of(ranks.by_chance()))


def _ranks(search: str, pair: Pair, sets: Ints) -> Ranks:
    if search == POINTS_TO_TAGS:
        return rank_tag_sets(pair.read, sets, pair.ground, sets)
    return rank_points(pair.ground, pair.read, sets)


def figures_of(ranks: Ranks) -> Floats:
    """Returns `FIGURES` of each query. [q, 3]"""
    return np.stack([recall(ranks, 1), recall(ranks, DEEP), reciprocal_rank(ranks)], axis=1)


def _read(group: Group, model: PointModel) -> Iterator[tuple[Row, Pair]]:
    """Yields the vectors of the entities of a group in all ways."""
    batch, points = group.batch, group.points
    ground = _array(describe_entities(model.module, batch, points.entity, model.tag_table))
    for reading, vectors in read_in_all_ways(model.module, batch, points).items():
        yield Row(model.label, reading), Pair(ground, _array(vectors))
    first: Gair = model.first
    ground = _array(describe_entities(first, batch, points.entity, model.tag_table))
    read = read_image(first, tile_tokens(first, batch), points.uv, points.image)
    yield Row(model.label, FIRST_WEIGHTS), Pair(ground, _array(read))


def _array(vectors: Tensor) -> Vectors:
    found: Vectors = vectors.float().cpu().numpy()
    return found
