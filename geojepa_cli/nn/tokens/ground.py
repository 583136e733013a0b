"""Ground encoders: vectors of what stands at a place, from a description that does not contain the position."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from geojepa_cli.nn.layers.mlp import Mlp
from geojepa_cli.nn.tokens.tags import mean_tags

KINDS = 4  # point, line, area, relation
SIZES = 2  # area and length
SIZE_SCALE = 10.0  # the logarithms of areas in m² and of lengths in m are divided by it


class EntityGround(nn.Module):
    """Ground encoder of map entities: reads the tags, the kind and the size of an entity, never its position.

    The mean tag embedding is projected and layer-normalised, as in `nn.tokens.tokenizer`. Vectors of the kind and of
    the size are added. An MLP with a residual connection follows.

    `tag_weights` has the weight of every distinct tag of the dataset in the mean, [V]. None: equal weights.

    Args:
        tag_dim: width of the text embeddings of tags.
        dim: width D of the vectors.
    """

    tag_weights: Tensor | None

    def __init__(self, tag_dim: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("tag_weights", None, persistent=False)  # they belong to a dataset, see `weigh_tags`
        self.tags = nn.Linear(tag_dim, dim)
        self.norm = nn.LayerNorm(dim)
        self.kind = nn.Embedding(KINDS, dim)
        self.size = nn.Linear(SIZES, dim, bias=False)
        self.mlp_norm = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, 2 * dim, dim)
        nn.init.trunc_normal_(self.kind.weight, std=0.02)

    def forward(
        self,
        tag_table: Tensor,
        tag_ids: Tensor,
        tag_offsets: Tensor,
        kind: Tensor,
        area_m2: Tensor,
        length_m: Tensor,
    ) -> Tensor:
        """Computes the vectors of entities.

        Args:
            tag_table: text embedding of every distinct tag. [V, E]
            tag_ids: tags of all entities, entity by entity, as row indices of `tag_table`. int64 [K]
            tag_offsets: the tags of entity i are `tag_ids[tag_offsets[i]:tag_offsets[i + 1]]`. int64 [T+1]
            kind: 0 point, 1 line, 2 area, 3 relation. uint8 [T]
            area_m2: area in square metres. [T]
            length_m: length in metres. [T]
        Returns:
            Vectors. [T, D]
        """
        tags = self.norm(self.tags(mean_tags(tag_table, tag_ids, tag_offsets, self.tag_weights)))
        size = torch.stack([area_m2, length_m], dim=1).float().log1p() / SIZE_SCALE
        x = tags + self.kind(kind.long()) + self.size(size)
        return x + self.mlp(self.mlp_norm(x))
