"""Curves of quality against distance: the image is read next to an entity instead of at its point.

A query reads the image at a moved point, and ranks the sets of tags of all entities of the tile. A model that knows
where things are finds the tags of the entity best at distance 0.
"""

from __future__ import annotations

from collections.abc import Sequence

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
    read_groups,
)
from geojepa_cli.metrics.pair_ranks import Ranks, rank_tag_sets, recall, reciprocal_rank
from geojepa_cli.models.gair.gair import Gair
from geojepa_cli.models.gair.readings import AT_POINT, describe_entities, moved_points, read_image

DISTANCES_M = (0.0, 5.0, 10.0, 20.0, 34.0, 50.0, 68.0, 100.0, 160.0)
CURVES = ("recall_1", "reciprocal_rank")
PER_TILE = 16  # entities of a tile whose points are moved


@torch.inference_mode()
def offset_curves(data: Dataset, models: Sequence[PointModel], seed: int, progress: Progress) -> tuple[Figures, int]:
    """Tests models with points that are moved by `DISTANCES_M` in eight directions.

    All distances have the same entities and directions: those for which the point stays in the image at all distances.

    Args:
        data: selection of tiles and entities.
        models: models to test.
        seed: random seed of the entities whose points are moved, at most `PER_TILE` per tile.
        progress: function that is called with the number of finished tiles.

    Returns:
        Figures of each entity, as means over its directions: the first of `CURVES` at all distances, then the second.
        Also the number of entities and directions.
    """
    found, moved = Figures(), 0
    distances = torch.tensor(DISTANCES_M, dtype=torch.float64)
    for group in read_groups(data, progress):
        rng = np.random.default_rng([seed, group.number])
        ground = {row: _ground(group, module, table) for row, module, table in _modules(models)}
        for own in group.by_tile():
            chosen = torch.from_numpy(np.sort(rng.permutation(own)[:PER_TILE])).to(data.device)
            owner, uv = moved_points(group.batch, group.points, chosen, distances)
            owners = owner.cpu().numpy()
            if not len(owners):
                continue
            moved += len(owners)
            entities, place = np.unique(owners, return_inverse=True)
            found.add_queries(group, entities)
            for number, (row, module, _) in enumerate(_modules(models)):
                tokens = group.tokens(module, int(group.points.image[owner[0]]))
                ranks = _ranks(group, own, owners, ground[row][own], read_moved(module, tokens, uv))
                found.add(row, _means(ranks, place))
                if number == 0:
                    found.add(None, _means(ranks.by_chance(), place))
    return found, moved


def _modules(models: Sequence[PointModel]) -> list[tuple[Row, Gair, Tensor]]:
    return [
        (Row(model.label, reading), module, model.tag_table)
        for model in models
        for reading, module in ((AT_POINT, model.module), (FIRST_WEIGHTS, model.first))
    ]


def _ground(group: Group, module: Gair, tag_table: Tensor) -> np.ndarray:
    return describe_entities(module, group.batch, group.points.entity, tag_table).float().cpu().numpy()


def read_moved(module: Gair, tokens: Tensor, uv: Tensor) -> np.ndarray:
    """Reads one image at moved points. [1, P, D], [m, k, 2] -> float32 [m · k, D]"""
    places = uv.flatten(0, 1)
    image = torch.zeros(len(places), dtype=torch.int64, device=places.device)
    return read_image(module, tokens, places, image).float().cpu().numpy()


def _ranks(group: Group, own: Ints, owners: Ints, ground: np.ndarray, read: np.ndarray) -> Ranks:
    wanted = group.sets[owners].repeat(len(DISTANCES_M))
    return rank_tag_sets(read, wanted, ground, group.sets[own])


def _means(ranks: Ranks, place: Ints) -> Floats:
    """Returns the means over the directions of each entity. [entities, figures · distances]

    Args:
        ranks: ranks of all points: of the first point at all distances, then of the next one.
        place: index of the entity of each point, ascending, int64 [m].
    """
    figures = np.stack([recall(ranks, 1), reciprocal_rank(ranks)])  # [figures, m · k]
    by_point = figures.reshape(len(CURVES), len(place), -1).transpose(1, 0, 2).reshape(len(place), -1)
    count = int(place.max()) + 1
    sums = np.stack([np.bincount(place, column, count) for column in by_point.T], axis=1)
    return np.asarray(sums / np.bincount(place)[:, None], np.float64)
