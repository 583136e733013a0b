"""Tile encoder of GeoJEPA: tokenizer, positional encoding and transformer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from geojepa_cli.models.base import BatchVectors
from geojepa_cli.nn.attention import PackedLayout
from geojepa_cli.nn.layers.transformer import Transformer
from geojepa_cli.nn.packing import cu_from_lengths, interleave, lengths_of
from geojepa_cli.nn.pooling import max_mean
from geojepa_cli.nn.tokens.tokenizer import TileTokenizer
from geojepa_cli.nn.tokens.tokens import TileTensors


class Encoder(nn.Module):
    """Transformer with optional register tokens (Darcet et al. 2024).

    Its input is packed: one tensor contains the tokens of all sequences of a batch, one sequence after the other.

    Args:
        transformer: transformer of width D.
        embed_dim: width D.
        num_register_tokens: number of register tokens. These trained tokens are added to every non-empty sequence
            before the transformer, and removed from its output.
    """

    def __init__(self, transformer: Transformer, embed_dim: int, num_register_tokens: int = 0) -> None:
        super().__init__()
        self.transformer = transformer
        self.registers = nn.Parameter(torch.zeros(num_register_tokens, embed_dim))
        nn.init.trunc_normal_(self.registers, std=0.02)

    def forward(self, x: Tensor, cu_seqlens: Tensor) -> Tensor:
        """Encodes packed tokens.

        Args:
            x: sum of content and positional encoding of each token. [T, D]
            cu_seqlens: cumulative sequence lengths. [B+1]
        Returns:
            Encoded tokens. [T, D]
        """
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
    """Encoder of whole tiles: tokenizer, positional encoding and transformer.

    A GeoJEPA model has two of them: the context encoder and the target encoder.
    """

    def __init__(self, tokens: TileTokenizer, encoder: Encoder) -> None:
        super().__init__()
        self.tokens = tokens
        self.encoder = encoder

    def forward(self, batch: TileTensors, tag_table: Tensor) -> BatchVectors:
        """Encodes all tokens of a batch, without masks.

        Returns:
            Entity vectors [T, D]. Tile vectors [B, 2·D]: maximum and mean over the tile's encoded tokens, concatenated.
            Vectors of image patches [P, D], or None if the batch has no images.
        """
        x, tokens = self.tokens(batch, tag_table)
        encoded = self.encoder(x, tokens.cu_seqlens)
        tiles = max_mean(encoded, tokens.cu_seqlens)
        if len(tokens.entity_index) == len(encoded):
            return BatchVectors(encoded.index_select(0, tokens.entity_index), tiles)
        others = torch.ones(len(encoded), dtype=torch.bool, device=encoded.device)
        others[tokens.entity_index] = False
        return BatchVectors(encoded.index_select(0, tokens.entity_index), tiles, encoded[others])
