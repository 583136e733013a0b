"""Points at which images are read: on the geometry of entities, with their places on the globe and in their images."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geojepa_cli.grid import from_tiles_local, tile_uv
from geojepa_cli.models.base import TagList
from geojepa_cli.nn.geometry.points import Draws, Outlines, draw_points
from geojepa_cli.nn.location import EARTH_RADIUS_M
from geojepa_cli.nn.packing import rank_in_segments, segment_ids
from geojepa_cli.store.batch import TileBatch
from geojepa_cli.tags.places import names_place

MARGIN = 1e-3  # tile sides; geometry is rounded, so points of a tile may lie outside by a few centimetres
OSM_TYPES = 4


class Queries(NamedTuple):
    """Q places of a batch, each with the ground view that belongs to it.

    Attributes:
        entity: index of the entity in the batch, −1 for a photo. int64 [Q]
        image: index of the image in the batch that shows the place. int64 [Q]
        uv: place in the image, see `nn.inr`. float32 [Q, 2]
        lonlat: longitude and latitude in degrees. float64 [Q, 2]
        groups: id of the object, and of its set of tags. Equal sets have equal ids. int64 [Q, 2]
    """

    entity: Tensor
    image: Tensor
    uv: Tensor
    lonlat: Tensor
    groups: Tensor

    def rows(self) -> Tensor:
        """Returns locations and groups as integers: the bits of longitude and latitude, then the ids. int64 [Q, 4]"""
        return torch.cat([self.lonlat.view(torch.int64), self.groups], dim=1)


def split_rows(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the locations [n, 2] and the groups [n, 2] of the result of `Queries.rows`."""
    return rows[:, :2].contiguous().view(torch.float64), rows[:, 2:]


def draw_queries(batch: TileBatch, limit: int, noise_m: float, tag_hashes: Tensor, rng: torch.Generator) -> Queries:
    """Draws entities of a batch, and a point on the geometry of each.

    Args:
        batch: tiles with images, nodes and tags.
        limit: maximum number of entities.
        noise_m: standard deviation of the noise added to each coordinate of the points, in metres.
        tag_hashes: result of `hash_tags` for the tags of the dataset. int64 [V]
        rng: random generator on the CPU.
    Returns:
        Places inside their tiles. Points that the noise moved out of their tile are left out.
    """
    entity = _draw_entities(batch, limit, rng)
    draws = Draws.random(len(entity), rng).to(entity.device)
    noise = torch.randn(len(entity), 2, generator=rng, dtype=torch.float64) * noise_m if noise_m else None
    lonlat, uv = place_points(batch, entity, draw_points(outlines_of(batch), entity, draws), noise)
    kept = ((uv >= -MARGIN) & (uv <= 1.0 + MARGIN)).all(1)
    entity, lonlat, uv = entity[kept], lonlat[kept], uv[kept]
    tile = segment_ids(batch.cu_seqlens, batch.n_tokens).index_select(0, entity)
    objects = batch.osm_id * OSM_TYPES + batch.osm_type.long()
    groups = torch.stack([objects, tag_sets(batch, tag_hashes)], dim=1)
    return Queries(
        entity=entity,
        image=images_of_tiles(batch).index_select(0, tile),
        uv=uv.clamp(0.0, 1.0).float(),
        lonlat=lonlat,
        groups=groups.index_select(0, entity),
    )


def _draw_entities(batch: TileBatch, limit: int, rng: torch.Generator) -> Tensor:
    """Draws tagged entities of tiles with an image. All tiles have equal shares, as far as they have entities."""
    tile = segment_ids(batch.cu_seqlens, batch.n_tokens)
    keys = torch.rand(batch.n_tokens, generator=rng, dtype=torch.float64).to(tile.device)
    usable = (images_of_tiles(batch).index_select(0, tile) >= 0) & (batch.tag_offsets.diff() > 0)
    keys = torch.where(usable, 0.5 * keys, 0.5 + 0.5 * keys)  # usable entities come first
    rank = rank_in_segments(keys, tile, batch.cu_seqlens)
    order = torch.argsort(rank.double() + keys, stable=True)
    return order[usable.index_select(0, order)][:limit]


def place_points(batch: TileBatch, entity: Tensor, xy: Tensor, noise_m: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Returns the places of points on the globe, and in the images of their tiles.

    The places are computed on the CPU, in float64.

    Args:
        batch: tiles.
        entity: index of the entity of each point, which decides its tile. int64 [Q]
        xy: points in tile units. [Q, 2]
        noise_m: distance (east, north) in metres by which each point is moved. None: points are not moved. [Q, 2]
    Returns:
        Longitude and latitude in degrees, float64 [Q, 2], and (u, v), float64 [Q, 2].
    """
    tile = segment_ids(batch.cu_seqlens, batch.n_tokens).index_select(0, entity)
    z, x, y = batch.tile_zxy.index_select(0, tile).cpu().numpy().T
    lonlat = from_tiles_local(z, x, y, xy.cpu().numpy())
    if noise_m is not None:
        lonlat = move(lonlat, noise_m)
    places = torch.from_numpy(lonlat), torch.from_numpy(tile_uv(z, x, y, lonlat))
    return places[0].to(entity.device), places[1].to(entity.device)


def move(lonlat: NDArray[np.float64], metres: Tensor) -> NDArray[np.float64]:
    """Moves places by metres (east, north). float64 [Q, 2] in degrees, [Q, 2] -> float64 [Q, 2] in degrees"""
    parallel = np.stack([np.cos(np.radians(lonlat[:, 1])), np.ones(len(lonlat))], axis=1)
    return lonlat + np.degrees(metres.numpy() / EARTH_RADIUS_M / parallel)


def outlines_of(batch: TileBatch) -> Outlines:
    """Returns the geometry of the entities of a batch that was read with nodes."""
    assert batch.node_xy is not None and batch.node_offsets is not None
    assert batch.part_node_offsets is not None and batch.part_role is not None
    return Outlines(batch.node_xy, batch.node_offsets, batch.part_node_offsets, batch.part_role, batch.box)


def images_of_tiles(batch: TileBatch) -> Tensor:
    """Returns the index of each tile's image among the images of the batch, −1 for a tile without one. int64 [B]"""
    found = torch.full((batch.n_tiles,), -1, dtype=torch.int64, device=batch.tile_rows.device)
    if batch.image_tiles is None:
        return found
    return found.index_copy(0, batch.image_tiles, torch.arange(len(batch.image_tiles), device=found.device))


def hash_tags(tags: TagList) -> Tensor:
    """Returns a number for each distinct tag of a dataset, which is the same in all datasets. int64 [V]

    Tags that name one thing or place (see `tags.places`) have the number 0.
    """
    return torch.tensor(_hashes(tags.keys, tags.values), dtype=torch.int64)


def _hashes(keys: Sequence[str], values: Sequence[str]) -> list[int]:
    naming = {key: names_place(key) for key in set(keys)}
    return [0 if naming[key] else _hash(f"{key}={value}".encode()) for key, value in zip(keys, values, strict=True)]


def _hash(text: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big", signed=True)


def tag_sets(batch: TileBatch, tag_hashes: Tensor) -> Tensor:
    """Returns an id of each entity's set of tags. int64 [T]

    The id is the sum of the numbers of the tags, modulo 2⁶⁴, so it does not depend on their order. Different sets have
    the same id with probability 2⁻⁶⁴.
    """
    owner = segment_ids(batch.tag_offsets, len(batch.tag_ids))
    numbers = tag_hashes.index_select(0, batch.tag_ids)
    return torch.zeros(batch.n_tokens, dtype=torch.int64, device=numbers.device).index_add_(0, owner, numbers)
