"""GAIR: overhead encoder, implicit representation, ground encoder and location encoder (Liu et al. 2025)."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from geojepa_cli.models.gair.overhead import OverheadEncoder, pool_tokens
from geojepa_cli.models.gair.queries import Queries
from geojepa_cli.nn.inr import LocalInterpolation
from geojepa_cli.nn.layouts import PackedLayout
from geojepa_cli.nn.location import LocationEncoder
from geojepa_cli.nn.packing import cu_from_lengths, ragged_arange
from geojepa_cli.nn.place_queue import PlaceQueue
from geojepa_cli.nn.tokens.ground import EntityGround
from geojepa_cli.nn.tokens.photo import PhotoGround
from geojepa_cli.store.batch import TileBatch
from geojepa_cli.store.photo_table import PhotoBatch

EMPTY_IMAGES = (0, 3, 224, 224)


@dataclass(frozen=True)
class Ground:
    """Input of the ground encoder for Q entities: tags, kind and size. It does not contain the position.

    Attributes:
        tag_ids, tag_offsets: tags of the entities, see `TileBatch`. int64 [K], [Q + 1]
        kind: 0 point, 1 line, 2 area, 3 relation. uint8 [Q]
        area_m2, length_m: size of each entity. [Q]
    """

    tag_ids: Tensor
    tag_offsets: Tensor
    kind: Tensor
    area_m2: Tensor
    length_m: Tensor

    @classmethod
    def of(cls, batch: TileBatch, entity: Tensor) -> Ground:
        """Returns the input for the given entities of a batch. `entity`: indices of entities, int64 [Q]."""
        starts = batch.tag_offsets.index_select(0, entity)
        lengths = batch.tag_offsets.diff().index_select(0, entity)
        columns = (column.index_select(0, entity) for column in (batch.kind, batch.area_m2, batch.length_m))
        return cls(batch.tag_ids[ragged_arange(starts, lengths)], cu_from_lengths(lengths), *columns)


@dataclass(frozen=True)
class GairInput:
    """A batch that is ready for a training step. It does not depend on the weights.

    Attributes:
        images: images of the batch. uint8 [N, 3, 224, 224]
        layout: layout of attention in the overhead encoder.
        queries: places at which the images are read.
        ground: the entities that stand at the first places.
        photos: photos that were taken at the other places. None for a model without photos.
    """

    images: Tensor
    layout: PackedLayout
    queries: Queries
    ground: Ground
    photos: PhotoBatch | None = None


@dataclass(frozen=True)
class GairOutput:
    """Vectors of the Q places of a batch. None is scaled to length 1.

    Attributes:
        ground: vectors of what stands at the places, entities before photos. [Q, D]
        local: vectors that are read from the images at the places. [Q, D]
        location: vectors of the locations of the places. [Q, D]
        queue: vectors of the locations in the queue, including empty slots. [C, D]
        pairs: for each anchor, the vectors with the current weights and those with the initial weights.
    """

    ground: Tensor
    local: Tensor
    location: Tensor
    queue: Tensor
    pairs: tuple[tuple[Tensor, Tensor], ...] = ()


class Gair(nn.Module):
    """GAIR model.

    Args:
        overhead: encoder of images.
        interpolation: reads the overhead encoder's map of features at any point.
        ground: encoder of what stands at a place.
        location: encoder of locations.
        embed_dim: width D of all vectors.
        queue: number of earlier locations that serve as negatives.
        pooling: how tile vectors are computed, see `pool_tokens`.
        anchored: True: keep a copy of the initial weights of the encoders, for the anchor loss.
    """

    def __init__(
        self,
        overhead: OverheadEncoder,
        interpolation: LocalInterpolation,
        ground: EntityGround,
        location: LocationEncoder,
        embed_dim: int,
        queue: int,
        pooling: str = "mean",
        anchored: bool = False,
    ) -> None:
        super().__init__()
        self.overhead = overhead
        self.interpolation = interpolation
        self.ground = ground
        self.head = nn.Linear(embed_dim, embed_dim)  # of the ground encoder alone, as published
        self.photo: PhotoGround | None = None
        self.photo_head: nn.Linear | None = None
        self.location = location
        self.queue = PlaceQueue(queue)
        self.pooling = pooling
        self.anchor_overhead = copy.deepcopy(overhead).requires_grad_(False) if anchored else None
        self.anchor_ground = copy.deepcopy(ground).requires_grad_(False) if anchored else None

    def add_photos(self, encoder: PhotoGround) -> None:
        """Adds an encoder of photos, and a head for its vectors."""
        self.photo, self.photo_head = encoder, nn.Linear(self.head.in_features, self.head.out_features)

    def forward(self, batch: GairInput, tag_table: Tensor) -> GairOutput:
        """Computes the vectors of a batch.

        Args:
            batch: prepared batch.
            tag_table: text embedding of every distinct tag of the dataset. [V, E]
        """
        tokens = self.overhead(batch.images, batch.layout)
        ground = self.describe(self.ground, batch.ground, tag_table)
        places = torch.cat([batch.queries.lonlat, self.queue.lonlat])
        locations = self.location(places)
        count = len(batch.queries.lonlat)
        heads = self.head(ground)
        if batch.photos is not None:
            heads = torch.cat([heads, self.describe_photos(batch.photos)])
        return GairOutput(
            ground=heads,
            local=self.interpolation(self.overhead.as_map(tokens), batch.queries.uv, batch.queries.image),
            location=locations[:count],
            queue=locations[count:],
            pairs=self._anchors(batch, tokens, ground, tag_table),
        )

    def _anchors(
        self, batch: GairInput, tokens: Tensor, ground: Tensor, tag_table: Tensor
    ) -> tuple[tuple[Tensor, Tensor], ...]:
        if self.anchor_overhead is None or self.anchor_ground is None:
            return ()
        with torch.no_grad():
            first_tokens = self.anchor_overhead(batch.images, batch.layout)
            first_ground = self.describe(self.anchor_ground, batch.ground, tag_table)
        return (ground, first_ground), (tokens.mean(1), first_tokens.mean(1))

    @staticmethod
    def describe(encoder: EntityGround, ground: Ground, tag_table: Tensor) -> Tensor:
        """Computes the vectors of entities with a ground encoder, before the head. [Q, D]"""
        x: Tensor = encoder(tag_table, ground.tag_ids, ground.tag_offsets, ground.kind, ground.area_m2, ground.length_m)
        return x

    def describe_photos(self, photos: PhotoBatch) -> Tensor:
        """Computes the vectors of photos, after their head. [P, D]

        Raises:
            ValueError: the model has no encoder of photos.
        """
        if self.photo is None or self.photo_head is None:
            raise ValueError("the model was trained without photos")
        x: Tensor = self.photo_head(self.photo(photos.pixels, photos.heading, photos.field_of_view))
        return x

    def tiles(self, tokens: Tensor, batch: TileBatch) -> Tensor:
        """Pools tokens to tile vectors. A tile without an image has zeros. [N, P, D] -> [B, W]"""
        pooled = pool_tokens(tokens, self.pooling)
        found = pooled.new_zeros(batch.n_tiles, pooled.shape[1])
        return found if batch.image_tiles is None else found.index_copy(0, batch.image_tiles, pooled)
