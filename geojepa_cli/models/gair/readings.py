"""Ways to read an image of a GAIR model at the points of entities, to compare them with the model's own way."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from geojepa_cli.models.gair.gair import Gair, Ground
from geojepa_cli.models.gair.queries import (
    MARGIN,
    images_of_tiles,
    outlines_of,
    place_points,
    tag_sets,
)
from geojepa_cli.models.gair.vectors import tile_tokens
from geojepa_cli.nn.geometry.points import Draws, draw_points
from geojepa_cli.nn.losses.contrastive import unit
from geojepa_cli.nn.packing import segment_ids
from geojepa_cli.store.batch import TileBatch

AT_POINT, NEAREST_CELL, TILE_MEAN, CENTRE_PATCH, PLACE = (
    "at point",
    "nearest cell",
    "tile mean",
    "centre patch",
    "place",
)
READINGS = (AT_POINT, NEAREST_CELL, TILE_MEAN, CENTRE_PATCH, PLACE)
DIRECTIONS = 8
CENTRE = 0.5
CHUNK = 8192  # points that are read at once, which limits the memory


class EntityPoints(NamedTuple):
    """One point on the geometry of each of n entities of a batch.

    Attributes:
        entity: index of the entity in the batch. int64 [n]
        tile: index of its tile in the batch. int64 [n]
        image: index of the image in the batch that shows the point. int64 [n]
        xy: point in tile units. float64 [n, 2]
        uv: place in the image, see `nn.inr`. float64 [n, 2]
        lonlat: longitude and latitude in degrees. float64 [n, 2]
        sets: id of the entity's set of tags, see `tag_sets`. int64 [n]
    """

    entity: Tensor
    tile: Tensor
    image: Tensor
    xy: Tensor
    uv: Tensor
    lonlat: Tensor
    sets: Tensor


def entity_points(batch: TileBatch, tag_hashes: Tensor) -> EntityPoints:
    """Returns one point of each tagged entity that lies in a tile with an image.

    The point depends only on the entity's geometry: the middle of a line, the centre of an area's bounding rectangle if
    it lies inside, or else the next of a fixed sequence of places.

    Args:
        batch: tiles with images, nodes and tags.
        tag_hashes: result of `hash_tags` for the tags of the dataset. int64 [V]
    """
    tile = segment_ids(batch.cu_seqlens, batch.n_tokens)
    image = images_of_tiles(batch).index_select(0, tile)
    entity = ((image >= 0) & (batch.tag_offsets.diff() > 0)).nonzero().flatten()
    xy = draw_points(outlines_of(batch), entity, Draws.regular(len(entity), 1).to(entity.device))
    lonlat, uv = place_points(batch, entity, xy)
    sets = tag_sets(batch, tag_hashes)
    return EntityPoints(entity, tile[entity], image[entity], xy, uv.clamp(0.0, 1.0), lonlat, sets[entity])


def describe_entities(module: Gair, batch: TileBatch, entity: Tensor, tag_table: Tensor) -> Tensor:
    """Returns the vectors of what stands at points: of the tags, kind and size of entities. Length 1. [n, D]"""
    return unit(module.head(module.describe(module.ground, Ground.of(batch, entity), tag_table)))


def read_image(module: Gair, tokens: Tensor, uv: Tensor, image: Tensor) -> Tensor:
    """Reads images at points, as the model does.

    Args:
        module: model.
        tokens: tokens of the images. [N, P, D]
        uv: places in the images. [q, 2]
        image: index of the image of each point. int64 [q]
    Returns:
        Vectors of length 1. [q, D]
    """
    features, places = module.overhead.as_map(tokens), uv.float()
    parts = zip(places.split(CHUNK), image.split(CHUNK), strict=True)
    return torch.cat([unit(module.interpolation(features, some, of)) for some, of in parts])


def read_in_all_ways(module: Gair, batch: TileBatch, points: EntityPoints) -> dict[str, Tensor]:
    """Reads what the model knows about points in all ways of `READINGS`.

    - `at point`: the image, at the point.
    - `nearest cell`: the image, at the centre of the cell that contains the point.
    - `tile mean`: the image, as the mean over the centres of all cells.
    - `centre patch`: the image, at its centre.
    - `place`: the location encoder. The image is not read.

    Returns:
        Vectors of length 1 by name. [n, D] each
    """
    tokens, grid = tile_tokens(module, batch), module.overhead.grid
    cell = ((points.uv * grid).floor().clamp_max(grid - 1) + CENTRE) / grid
    return {
        AT_POINT: read_image(module, tokens, points.uv, points.image),
        NEAREST_CELL: read_image(module, tokens, cell, points.image),
        TILE_MEAN: _tile_means(module, tokens).index_select(0, points.image),
        CENTRE_PATCH: _centres(module, tokens).index_select(0, points.image),
        PLACE: unit(module.location(points.lonlat)),
    }


def _centres(module: Gair, tokens: Tensor) -> Tensor:
    image = torch.arange(len(tokens), device=tokens.device)
    return read_image(module, tokens, torch.full((len(tokens), 2), CENTRE, device=tokens.device), image)


def _tile_means(module: Gair, tokens: Tensor) -> Tensor:
    """Returns the mean of what is read at the centres of all cells of each image, scaled to length 1. [N, D]"""
    grid, device = module.overhead.grid, tokens.device
    steps = (torch.arange(grid, device=device) + CENTRE) / grid
    uv = torch.cartesian_prod(steps, steps).repeat(len(tokens), 1)
    image = torch.arange(len(tokens), device=device).repeat_interleave(grid * grid)
    features = module.overhead.as_map(tokens)
    return unit(module.interpolation(features, uv, image).view(len(tokens), grid * grid, -1).mean(1))


def moved_points(batch: TileBatch, points: EntityPoints, chosen: Tensor, distances_m: Tensor) -> tuple[Tensor, Tensor]:
    """Moves points by several distances in eight directions: east, north-east, north, and so on.

    Args:
        batch: tiles of the points.
        points: points on entities.
        chosen: index of each point to move. int64 [c]
        distances_m: distances in metres, ascending. float64 [k]
    Returns:
        Index in `points` of each of m moved points, int64 [m], and their places in the images at each distance,
        float64 [m, k, 2]. A point and direction is left out if the point leaves the image at the largest distance. So
        the same points are moved by all distances.
    """
    device = points.uv.device
    angle = torch.arange(DIRECTIONS, dtype=torch.float64) * (2.0 * math.pi / DIRECTIONS)
    direction = torch.stack([angle.cos(), angle.sin()], dim=1)
    owner = chosen.repeat_interleave(DIRECTIONS)
    steps = direction.repeat(len(chosen), 1)[:, None] * distances_m[None, :, None]  # [c · 8, k, 2]
    repeated, count = owner.repeat_interleave(len(distances_m)), len(distances_m)
    _, uv = place_points(batch, points.entity[repeated], points.xy[repeated], steps.flatten(0, 1))
    uv = uv.to(device).view(len(owner), count, 2)
    inside = ((uv >= -MARGIN) & (uv <= 1.0 + MARGIN)).flatten(1).all(1)
    return owner[inside], uv[inside].clamp(0.0, 1.0)
