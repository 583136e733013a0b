"""Small random batches of tiles as plain tensors, for tests of the model without a store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from geojepa_cli.config.modality import Modality
from geojepa_cli.config.schema import MaskingConfig
from geojepa_cli.models.jepa.build import mask_rates
from geojepa_cli.nn.masks.rates import MaskRates


@dataclass
class Batch:
    """The tensors that the tokenizer reads (`nn.tokens.tokens.TileTensors`)."""

    cu_seqlens: Tensor
    box: Tensor
    tag_ids: Tensor
    tag_offsets: Tensor
    geometry: Tensor | None = None
    images: Tensor | None = None
    image_tiles: Tensor | None = None
    image_tokens: Tensor | None = None

    def take(self, tiles: Sequence[int]) -> Batch:
        """Some of the tiles, in the order given; without images."""
        tokens = [t for tile in tiles for t in range(int(self.cu_seqlens[tile]), int(self.cu_seqlens[tile + 1]))]
        tags = [self.tag_ids[int(self.tag_offsets[t]) : int(self.tag_offsets[t + 1])] for t in tokens]
        return Batch(
            cu_seqlens=offsets([int(self.cu_seqlens[i + 1] - self.cu_seqlens[i]) for i in tiles]).int(),
            box=self.box[tokens],
            tag_ids=torch.cat(tags) if tags else torch.zeros(0, dtype=torch.int64),
            tag_offsets=offsets([len(t) for t in tags]),
        )

    def with_tags(self, token: int, tags: Sequence[int]) -> Batch:
        """The same with other tags on one token (as many as it has)."""
        ids = self.tag_ids.clone()
        ids[int(self.tag_offsets[token]) : int(self.tag_offsets[token + 1])] = torch.tensor(list(tags))
        return replace(self, tag_ids=ids)


def offsets(lengths: Sequence[int]) -> Tensor:
    """Running sum with a leading zero. int64 [n + 1]."""
    return torch.tensor([0, *torch.tensor(list(lengths), dtype=torch.int64).cumsum(0).tolist()])


def rectangles(count: int, rng: torch.Generator) -> Tensor:
    """Turned rectangles, corners in order. [count, 8]"""
    centre = torch.rand(count, 2, generator=rng)
    size = 0.005 + 0.2 * torch.rand(count, 2, generator=rng)
    turn = torch.pi * torch.rand(count, generator=rng)
    along = torch.stack([turn.cos(), turn.sin()], 1) * size[:, :1] / 2
    across = torch.stack([-turn.sin(), turn.cos()], 1) * size[:, 1:] / 2
    corners = [centre - along - across, centre + along - across, centre + along + across, centre - along + across]
    return torch.cat(corners, dim=1)


def random_batch(
    lengths: Sequence[int], seed: int = 0, vocab: int = 50, image_tiles: Sequence[int] | None = None
) -> Batch:
    """Tiles of the given numbers of entities, with one to three tags each, and images for some tiles."""
    rng = torch.Generator().manual_seed(seed)
    tokens = sum(lengths)
    tags = torch.randint(1, 4, (tokens,), generator=rng)
    batch = Batch(
        cu_seqlens=offsets(lengths).int(),
        box=rectangles(tokens, rng),
        tag_ids=torch.randint(0, vocab, (int(tags.sum()),), generator=rng),
        tag_offsets=offsets(tags.tolist()),
    )
    if image_tiles is not None:
        batch.images = torch.randint(0, 256, (len(image_tiles), 3, 224, 224), generator=rng, dtype=torch.uint8)
        batch.image_tiles = torch.tensor(list(image_tiles))
    return batch


TAGS, IMAGE = Modality.TAGS.number, Modality.IMAGE.number


def rates(**changed: float) -> MaskRates:
    """Default rates of masking, with changes."""
    return mask_rates(MaskingConfig(**changed))


def tag_table(vocab: int = 50, width: int = 16, seed: int = 1) -> Tensor:
    """Random unit vectors. [vocab, width]"""
    table = torch.randn(vocab, width, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(table, dim=1)
