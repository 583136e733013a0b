"""Vectors of tiles and entities that a GAIR model computes."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from geojepa_cli.models.base import BatchVectors
from geojepa_cli.models.gair.gair import EMPTY_IMAGES, Gair, Ground
from geojepa_cli.models.gair.overhead import tile_parts
from geojepa_cli.models.gair.queries import images_of_tiles, outlines_of, place_points
from geojepa_cli.nn.geometry.points import Draws, draw_points
from geojepa_cli.nn.losses.contrastive import unit
from geojepa_cli.nn.packing import segment_ids
from geojepa_cli.store.batch import TileBatch

POINTS = 4  # points on the geometry of an entity, over which its vectors are averaged
CHUNK = 2048  # entities that are computed at once, which limits the memory
IMAGES_AT_ONCE = 64


class EntityVectors(NamedTuple):
    """Vectors of T entities, each of length 1.

    Attributes:
        local: vectors read from the images, zeros for entities of tiles without an image. [T, D]
        place: vectors of the locations. [T, D]
    """

    local: Tensor
    place: Tensor


def tile_tokens(module: Gair, batch: TileBatch) -> Tensor:
    """Returns the tokens of the images of a batch. [N, P, D]"""
    images = batch.images if batch.images is not None else batch.box.new_zeros(EMPTY_IMAGES, dtype=torch.uint8)
    return torch.cat([module.overhead(some) for some in images.split(IMAGES_AT_ONCE)])


def embed_batch(module: Gair, batch: TileBatch) -> BatchVectors:
    """Computes the vectors of the tiles, entities and locations of a batch. Tags are not read.

    Args:
        module: model.
        batch: tiles with images and nodes.
    Returns:
        Tile vectors [B, W], localised vectors of entities [T, D], and vectors of their locations [T, D].
    """
    tokens = tile_tokens(module, batch)
    found = entity_vectors(module, batch, tokens)
    parts = tile_parts(module.pooling, tokens.shape[2])
    return BatchVectors(found.local, module.tiles(tokens, batch), tile_parts=parts, places=found.place)


def entity_vectors(module: Gair, batch: TileBatch, tokens: Tensor, points: int = POINTS) -> EntityVectors:
    """Computes the vectors of entities: the mean over points on their geometry, scaled to length 1.

    The points of an entity depend only on its geometry.

    Args:
        module: model.
        batch: tiles with nodes.
        tokens: tokens of the images of the batch. [N, P, D]
        points: number of points of each entity.
    """
    features = module.overhead.as_map(tokens)
    rows = torch.arange(batch.n_tokens, device=batch.box.device).split(CHUNK)
    parts = [_some_vectors(module, batch, features, entity, points) for entity in rows if len(entity)]
    empty = features.new_zeros(0, features.shape[1])
    return EntityVectors(
        torch.cat([empty, *(part.local for part in parts)]), torch.cat([empty, *(part.place for part in parts)])
    )


def _some_vectors(module: Gair, batch: TileBatch, features: Tensor, entity: Tensor, points: int) -> EntityVectors:
    repeated = entity.repeat_interleave(points)
    draws = Draws.regular(len(entity), points).to(entity.device)
    lonlat, uv = place_points(batch, repeated, draw_points(outlines_of(batch), repeated, draws))
    tile = segment_ids(batch.cu_seqlens, batch.n_tokens).index_select(0, repeated)
    image = images_of_tiles(batch).index_select(0, tile)
    local = features.new_zeros(len(repeated), module.head.out_features)
    shown = (image >= 0).nonzero().flatten()
    if len(shown):
        read = module.interpolation(features, uv[shown].clamp(0.0, 1.0).float(), image[shown])
        local = local.to(read.dtype).index_copy(0, shown, read)
    means = (unit(x).view(len(entity), points, -1).mean(1) for x in (local, module.location(lonlat)))
    return EntityVectors(*(unit(x) for x in means))


def ground_vectors(module: Gair, batch: TileBatch, tag_table: Tensor) -> Tensor:
    """Computes the vectors of what stands at places, from the tags of the entities of a batch. Length 1. [T, D]"""
    every = torch.arange(batch.n_tokens, device=batch.box.device)
    return unit(module.head(module.describe(module.ground, Ground.of(batch, every), tag_table)))
