"""The tile encoder: tokenizer and transformer; what users embed with."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from geojepa_cli.nn.attention import PackedLayout
from geojepa_cli.nn.layers.transformer import Transformer
from geojepa_cli.nn.packing import cu_from_lengths, interleave, lengths_of
from geojepa_cli.nn.pooling import max_mean
from geojepa_cli.nn.tokens.tokenizer import TileTensors, TileTokenizer


@dataclass(frozen=True)
class Embeddings:
    """What the encoder makes of a batch.

    Attributes:
        entities: one vector per entity (piece), in the batch's order. [T, D]
        tiles: max ‖ mean over the tile's tokens, registers excluded. [B, 2·D]
    """

    entities: Tensor
    tiles: Tensor


class Encoder(nn.Module):
    """Transformer over packed tokens, with optional register tokens (Darcet et al. 2024) that are cut off again."""

    def __init__(self, transformer: Transformer, embed_dim: int, num_register_tokens: int = 0) -> None:
        super().__init__()
        self.transformer = transformer
        self.registers = nn.Parameter(torch.zeros(num_register_tokens, embed_dim))
        nn.init.trunc_normal_(self.registers, std=0.02)

    def forward(self, x: Tensor, cu_seqlens: Tensor) -> Tensor:
        """Tokens with position [T, D], their sequences [B+1] -> [T, D]."""
        count = len(self.registers)
        if count == 0:
            return self.transformer(x, PackedLayout.of(cu_seqlens))
        sequences = len(cu_seqlens) - 1
        per_sequence = torch.full((sequences,), count, device=x.device)
        per_sequence[lengths_of(cu_seqlens) == 0] = 0
        index, joined = interleave(cu_seqlens, cu_from_lengths(per_sequence))
        registers = self.registers.to(x.dtype).repeat(int((per_sequence > 0).sum()), 1)
        encoded = self.transformer(torch.cat([x, registers]).index_select(0, index), PackedLayout.of(joined))
        return encoded.index_select(0, (index < len(x)).nonzero().flatten())


class TileEncoder(nn.Module):
    """Tokenizer, position and transformer of one side (context or target) of the model."""

    def __init__(self, tokens: TileTokenizer, encoder: Encoder) -> None:
        super().__init__()
        self.tokens = tokens
        self.encoder = encoder

    def forward(self, batch: TileTensors, tag_table: Tensor) -> Embeddings:
        """Vectors of the whole batch, nothing masked."""
        x, tokens = self.tokens(batch, tag_table)
        encoded = self.encoder(x, tokens.cu_seqlens)
        return Embeddings(encoded.index_select(0, tokens.entity_index), max_mean(encoded, tokens.cu_seqlens))
