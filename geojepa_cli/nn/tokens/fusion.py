"""Fusion of the tags and the geometry of an entity to one token (GeoJEPA thesis, sections 7.6.2 and 7.6.3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from geojepa_cli.nn.layers.mlp import Mlp

FIRST_SCALE = 0.1
NOTHING, TAGS, GEOMETRY = range(3)  # input of an entity that is dropped


class EntityFusion(nn.Module):
    """Fuses the tags and the geometry of each entity by an MLP on their concatenation.

    Missing tags and a missing geometry are each replaced by a learned vector. The published code of the thesis uses
    zeros instead, and drops the tags or the geometry of a whole batch instead of single entities.

    Args:
        geometry_dim: width G of the geometry vectors.
        embed_dim: width D of the tokens.
        residual: if False, the token is the result of the MLP (GeoJEPA thesis). If True, the token is the vector of the
            tags plus the result of the MLP. The result is multiplied by a trained factor per dimension, which is small
            at first (LayerScale, Touvron et al. 2021). So an untrained model computes almost the same tokens as a model
            without geometry.
    """

    def __init__(self, geometry_dim: int, embed_dim: int, residual: bool = False) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((embed_dim,), FIRST_SCALE)) if residual else None
        self.geometry = nn.Linear(geometry_dim, embed_dim)
        self.geometry_norm = nn.LayerNorm(embed_dim)
        self.no_tags = nn.Parameter(torch.zeros(embed_dim))
        self.no_geometry = nn.Parameter(torch.zeros(embed_dim))
        for missing in (self.no_tags, self.no_geometry):
            nn.init.trunc_normal_(missing, std=0.02)
        self.mlp = Mlp(2 * embed_dim, 2 * embed_dim, embed_dim)

    def forward(self, tags: Tensor, tagged: Tensor, geometry: Tensor | None, dropped: Tensor | None = None) -> Tensor:
        """Computes the content of entity tokens.

        Args:
            tags: projected and layer-normalised tags of each entity. Ignored for entities without tags. [T, D]
            tagged: True for entities with tags. bool [T]
            geometry: geometry vector of each entity. None: no entity has a geometry. [T, G]
            dropped: for each entity, the input to treat as missing: NOTHING, TAGS or GEOMETRY. The geometry of an
                entity without tags is always used. None: all inputs are used. int [T]
        Returns:
            Content of each token. [T, D]
        """
        if geometry is None:
            shape = self.no_geometry.expand_as(tags)
        else:
            shape = self.geometry_norm(self.geometry(geometry.to(self.geometry.weight.dtype)))
            if dropped is not None:
                tagged, known = tagged & (dropped != TAGS), ~tagged | (dropped != GEOMETRY)
                shape = torch.where(known[:, None], shape, self.no_geometry)
        tags = torch.where(tagged[:, None], tags, self.no_tags)
        fused: Tensor = self.mlp(torch.cat([tags, shape.to(tags.dtype)], dim=1))
        return fused if self.scale is None else tags + self.scale * fused


def draw_dropout(entities: int, rate: float, rng: torch.Generator) -> Tensor:
    """Draws the entities that lose an input in training. Each loses its tags or its geometry, with equal probability.

    Args:
        entities: number of entities.
        rate: fraction of the entities that lose one of the inputs.
        rng: random generator on the CPU, so that the result is the same on any device.
    Returns:
        For each entity, what it loses: NOTHING, TAGS or GEOMETRY. On the CPU. uint8 [T]
    """
    chance = torch.rand(entities, generator=rng, dtype=torch.float64)
    return (chance < rate).to(torch.uint8) + ((chance >= rate / 2) & (chance < rate)).to(torch.uint8)
