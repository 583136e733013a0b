"""`TileBatch`: the entities of several tiles as tensors, with the names of the tiles and of the OSM elements."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

OSM_TYPES = ("node", "way", "relation")


@dataclass
class TileBatch:
    """A batch of B tiles with T entities in total. Every entity is one token of the model.

    Tiles are in the requested order. The tokens of all tiles are packed without padding. In every field with one row
    per token, the tokens of tile i are the rows from `cu_seqlens[i]` to `cu_seqlens[i + 1]` (excluded). The fields
    `*_offsets` work the same way for lists: the tags of token i are the rows of `tag_ids` from `tag_offsets[i]` to
    `tag_offsets[i + 1]` (excluded). Fields of nodes, geometry vectors, images and image tokens are None if the batch
    was read without them.
    """

    tile_rows: Tensor  # int64 [B], row in the dataset
    tile_zxy: Tensor  # int64 [B, 3], zoom, column, row
    cu_seqlens: Tensor  # int32 [B + 1]
    box: Tensor  # float32 [T, 8], four corners (x, y) in tile units
    kind: Tensor  # uint8 [T], 0 point, 1 line, 2 area, 3 relation
    area_m2: Tensor  # float32 [T]
    length_m: Tensor  # float32 [T]
    tag_ids: Tensor  # int64 [K], rows of the dataset's vocabulary (the list of its distinct tags)
    tag_offsets: Tensor  # int64 [T + 1]
    piece_rows: Tensor  # int64 [T], row in the dataset
    osm_type: Tensor  # uint8 [T], 0 node, 1 way, 2 relation
    osm_id: Tensor  # int64 [T]
    node_xy: Tensor | None = None  # float32 [N, 2] in tile units
    node_offsets: Tensor | None = None  # int64 [T + 1]
    part_offsets: Tensor | None = None  # int64 [T + 1]
    part_node_offsets: Tensor | None = None  # int64 [P + 1]
    part_role: Tensor | None = None  # uint8 [P], 0 point, 1 line, 2 outer ring, 3 inner ring
    edges: Tensor | None = None  # int64 [2, E], visibility edges between nodes of the batch
    edge_offsets: Tensor | None = None  # int64 [T + 1]
    geometry: Tensor | None = None  # float16 [T, G], vector that a geometry encoder computed from the nodes
    images: Tensor | None = None  # uint8 [Bi, 3, 224, 224], one for each tile that has an image
    image_tiles: Tensor | None = None  # int64 [Bi], index in the batch of each image's tile
    image_tokens: Tensor | None = None  # float16 [Bi, P, C], tokens that a frozen encoder computed from each image

    @property
    def n_tiles(self) -> int:
        """Number of tiles in the batch."""
        return len(self.tile_rows)

    @property
    def n_tokens(self) -> int:
        """Number of tokens (entities) in the batch."""
        return len(self.kind)

    @property
    def lengths(self) -> Tensor:
        """Number of tokens (entities) of each tile: int64 [B]."""
        return self.cu_seqlens.diff().long()

    def to(self, device: torch.device | str, non_blocking: bool = False) -> TileBatch:
        """Returns a copy of the batch on a device."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self, device: torch.device | str | None = None) -> TileBatch:
        """Returns a copy of the batch in page-locked memory. A later copy to a GPU can then run in the background."""
        return self._each(lambda tensor: tensor.pin_memory())

    def _each(self, change: Callable[[Tensor], Tensor]) -> TileBatch:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        changed: dict[str, Any] = {name: None if value is None else change(value) for name, value in values.items()}
        return TileBatch(**changed)
