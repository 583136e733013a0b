"""Tile encoder of GeoJEPA: tokenizer, positional encoding and transformer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from geojepa_cli.models.base import BatchVectors
from geojepa_cli.nn.layers.transformer import Transformer
from geojepa_cli.nn.layouts import PackedLayout
from geojepa_cli.nn.packing import cu_from_lengths, interleave, lengths_of
from geojepa_cli.nn.pooling import Pooling
from geojepa_cli.nn.summary import TileSummary
from geojepa_cli.nn.tokens.tokenizer import TileTokenizer
from geojepa_cli.nn.tokens.tokens import TileTensors
from geojepa_cli.store.tile_parts import TileParts


@dataclass(frozen=True)
class Sequences:
    """Layout of the packed sequences that an encoder reads. Computed once per batch, before the training step.

    The encoder adds R register tokens to each sequence that is not empty.

    Attributes:
        cu_seqlens: cumulative lengths of the sequences, without register tokens. int64 [B+1]
        layout: sequences with register tokens, in the form that attention needs.
        joined: order in which the encoder reads the tokens. The indices refer to a list of the T tokens, followed by
            the register tokens of all sequences. None if R is 0. int64 [T + R·sequences]
        kept: indices of the T tokens in the encoder's output. None if R is 0. int64 [T]
    """

    cu_seqlens: Tensor
    layout: PackedLayout
    joined: Tensor | None = None
    kept: Tensor | None = None

    @classmethod
    def of(cls, cu_seqlens: Tensor, registers: int = 0) -> Sequences:
        """Prepares packed sequences for an encoder.

        Args:
            cu_seqlens: cumulative sequence lengths. [B+1]
            registers: number of register tokens of the encoder. Empty sequences get none.
        """
        cu = cu_seqlens.long()
        if registers == 0:
            return cls(cu, PackedLayout.of(cu))
        per_sequence = torch.where(lengths_of(cu) > 0, registers, 0)
        index, joined = interleave(cu, cu_from_lengths(per_sequence))
        return cls(cu, PackedLayout.of(joined), index, (index < int(cu[-1])).nonzero().flatten())


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

    def sequences(self, cu_seqlens: Tensor) -> Sequences:
        """Prepares packed sequences for this encoder. `cu_seqlens`: cumulative sequence lengths [B+1]."""
        return Sequences.of(cu_seqlens, len(self.registers))

    def forward(self, x: Tensor, sequences: Sequences) -> Tensor:
        """Encodes packed tokens.

        Args:
            x: sum of content and positional encoding of each token. [T, D]
            sequences: the sequences of the tokens.
        Returns:
            Encoded tokens. [T, D]
        """
        encoded = self.joined(x, sequences)
        return encoded if sequences.kept is None else encoded.index_select(0, sequences.kept)

    def joined(self, x: Tensor, sequences: Sequences) -> Tensor:
        """Encodes packed tokens, and also returns the encoded register tokens.

        The register tokens of a sequence follow its other tokens.

        Args:
            x: sum of content and positional encoding of each token. [T, D]
            sequences: the sequences of the tokens.
        Returns:
            Encoded tokens and register tokens. [T + R·sequences, D]
        """
        if sequences.joined is None:
            return self.transformer(x, sequences.layout)
        count = len(self.registers)
        copies = (len(sequences.joined) - len(x)) // count
        registers = self.registers.to(x.dtype).repeat(copies, 1)
        joined = torch.cat([x, registers]).index_select(0, sequences.joined)
        return self.transformer(joined, sequences.layout)


class TileEncoder(nn.Module):
    """Encoder of whole tiles: tokenizer, positional encoding and transformer.

    A GeoJEPA model has two of them: the context encoder and the target encoder.

    Args:
        tokens: tokenizer with positional encoding.
        encoder: transformer with register tokens.
        pool: pooling of a tile's encoded tokens to one vector.
        summary: summary of this vector. None: no summary.
    """

    def __init__(
        self, tokens: TileTokenizer, encoder: Encoder, pool: Pooling, summary: TileSummary | None = None
    ) -> None:
        super().__init__()
        self.tokens = tokens
        self.encoder = encoder
        self.pool = pool
        self.summary = summary

    @property
    def tile_dim(self) -> int:
        """Width W of tile vectors."""
        return sum(width for _, width in self.tile_parts)

    @property
    def tile_parts(self) -> TileParts:
        """Name and width of each part of a tile vector."""
        summary = () if self.summary is None else (("summary", self.summary.linear.out_features),)
        return (*self.pool.parts, *summary)

    def forward(self, batch: TileTensors, tag_table: Tensor) -> BatchVectors:
        """Encodes all tokens of a batch, without masks.

        Returns:
            Vectors of entities [T, D], vectors of tiles [B, W], and vectors of image patches [P, D] or None if the
            batch has no images. The vector of a tile is pooled from the encoded tokens of the tile. If the encoder has
            a summary, it follows the pooled vector.
        """
        places = self.tokens.tokenizer.place(batch)
        x = self.tokens(batch, tag_table, places)
        encoded = self.encoder(x, self.encoder.sequences(places.cu_seqlens))
        entities = encoded.index_select(0, places.entity_index)
        tiles = self.pool(encoded, places.cu_seqlens)
        if self.summary is not None:
            filled = (places.cu_seqlens.diff() > 0).to(tiles.dtype)  # a tile without tokens keeps the zero vector
            tiles = torch.cat([tiles, filled[:, None] * self.summary(tiles)], dim=1)
        if places.order is None or len(entities) == len(encoded):
            return BatchVectors(entities, tiles, tile_parts=self.tile_parts)
        patches = (places.order >= len(entities)).nonzero().flatten()
        return BatchVectors(entities, tiles, encoded.index_select(0, patches), self.tile_parts)
