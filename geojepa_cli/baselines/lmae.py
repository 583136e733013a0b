"""TagformerLMAE: a baseline trained by masked autoencoding in latent space (GeoJEPA thesis, section 7.5).

The encoder is a transformer that reads all entities of a tile and a class token. Then most of the encoded entities are
replaced by mask tokens, which contain only the positions of the entities. From the class token and the remaining
entities, a decoder restores the mean tag embedding of every entity. So the class token has to describe the tile.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from geojepa_cli.config.baselines import LmaeConfig, LmaeModelConfig
from geojepa_cli.config.modality import TAGS_ONLY, Modality
from geojepa_cli.config.names import WEIGHTS
from geojepa_cli.models.base import BatchVectors, FrozenInputs, StepLosses
from geojepa_cli.models.jepa.encoder import Encoder, Sequences
from geojepa_cli.models.jepa.memory import FLOAT, LAYERS_PEAK, transformer_values
from geojepa_cli.models.published import load_module
from geojepa_cli.nn.class_token import class_tokens
from geojepa_cli.nn.layers.init import init_weights
from geojepa_cli.nn.layers.transformer import Transformer
from geojepa_cli.nn.packing import lengths_of, rank_in_segments, segment_ids
from geojepa_cli.nn.pooling import MaxMean
from geojepa_cli.nn.tokens.position import PositionEncoding
from geojepa_cli.nn.tokens.tags import mean_tags
from geojepa_cli.nn.tokens.tokenizer import TileTokenizer, Tokenizer, TokenizerSizes, TokenNumbers
from geojepa_cli.store.batch import TileBatch

NUMBERS = TokenNumbers(entity=Modality.TAGS.number, image=Modality.IMAGE.number)


class LmaeInput(NamedTuple):
    """A batch of tiles with its mask.

    Attributes:
        batch: tiles to train on.
        sequences: layout of the tokens as one sequence per tile, with class tokens.
        hidden: True for entities whose encoded token is replaced by a mask token. bool [T]
    """

    batch: TileBatch
    sequences: Sequences
    hidden: Tensor


class Lmae(nn.Module):
    """Encoder and decoder of TagformerLMAE.

    Args:
        config: architecture of the model.
    """

    def __init__(self, config: LmaeModelConfig) -> None:
        super().__init__()
        width = config.embed_dim
        position = PositionEncoding(width, 2, rectangle=config.box == "rectangle")
        self.tokens = TileTokenizer(Tokenizer(TokenizerSizes(config.tag_dim, width), NUMBERS), position)
        transformer = Transformer(width, config.depth, config.num_heads, config.mlp_ratio)
        self.encoder = Encoder(transformer, width, num_register_tokens=1)
        self.mask_token = nn.Parameter(torch.zeros(width))
        nn.init.trunc_normal_(self.mask_token, std=0.02)
        self.mask_position = PositionEncoding(width, 2, rectangle=config.box == "rectangle")
        self.decoder = Transformer(width, config.decoder_depth, config.num_heads, config.mlp_ratio)
        self.head = nn.Linear(width, config.tag_dim)
        self.pooling = config.pooling

    def encode(self, batch: TileBatch, tag_table: Tensor, sequences: Sequences) -> Tensor:
        """Encodes the entities of a batch, and the class token of each tile.

        In the result, the class token of a tile follows the entities of this tile. [T + tiles, D]
        """
        return self.encoder.joined(self.tokens(batch, tag_table, self.tokens.tokenizer.place(batch)), sequences)

    def forward(self, data: LmaeInput, tag_table: Tensor) -> Tensor:
        """Restores the mean tag embedding of every entity. [T, E]"""
        batch, sequences = data.batch, data.sequences
        assert sequences.joined is not None and sequences.kept is not None
        encoded = self.encode(batch, tag_table, sequences)
        places = self.tokens.tokenizer.place(batch)
        masks = self.mask_token + self.mask_position(places.box, places.modality)
        masks = masks.to(encoded.dtype)
        classes = len(encoded) - len(masks)  # class tokens are never hidden
        masks = torch.cat([masks, masks.new_zeros(classes, masks.shape[1])])
        hidden = torch.cat([data.hidden, data.hidden.new_zeros(classes)])
        hidden, masks = (x.index_select(0, sequences.joined) for x in (hidden, masks))
        x = torch.where(hidden[:, None], masks, encoded)
        return self.head(self.decoder(x, sequences.layout).index_select(0, sequences.kept))

    def vectors(self, batch: TileBatch, tag_table: Tensor) -> BatchVectors:
        """Encodes entities [T, D] and tiles [B, D] ([B, 2·D] with the pooling `max_mean`)."""
        sequences = self.encoder.sequences(batch.cu_seqlens)
        assert sequences.kept is not None
        encoded = self.encode(batch, tag_table, sequences)
        entities = encoded.index_select(0, sequences.kept)
        if self.pooling == "max_mean":
            pool = MaxMean(entities.shape[1])
            return BatchVectors(entities, pool(entities, batch.cu_seqlens), tile_parts=pool.parts)
        return BatchVectors(entities, class_tokens(encoded, sequences.layout.cu_seqlens))


def draw_hidden(cu_seqlens: Tensor, tokens: int, ratio: float, rng: torch.Generator) -> Tensor:
    """Draws the entities of each tile that are hidden: the fraction `ratio`, rounded down, but at least one.

    Args:
        cu_seqlens: cumulative entity counts of the tiles. [B+1]
        tokens: number of entities T.
        ratio: fraction of the entities of a tile to hide.
        rng: random generator on the CPU, so that the result is the same on any device.
    Returns:
        True for hidden entities. bool [T]
    """
    keys = torch.rand(tokens, generator=rng, dtype=torch.float64).to(cu_seqlens.device)
    segments = segment_ids(cu_seqlens, tokens)
    count = (lengths_of(cu_seqlens) * ratio).long().clamp_min(1)
    return rank_in_segments(keys, segments, cu_seqlens) < count[segments]


class LmaePretraining:
    """TagformerLMAE with its loss, for the training loop. Implements the protocol `Pretrainable`."""

    def __init__(self, module: Lmae, config: LmaeConfig, inputs: FrozenInputs) -> None:
        self.needs = TAGS_ONLY
        self.module = module
        self._config, self._inputs = config, inputs
        self._kernel = config.train.precision == "bfloat16" and inputs.device.type == "cuda"

    def prepare(self, batch: TileBatch, rng: torch.Generator) -> Callable[[], StepLosses]:
        """Draws the hidden entities of a batch. Returns a function that computes the losses."""
        sequences = self.module.encoder.sequences(batch.cu_seqlens)
        if not self._kernel:
            _ = sequences.layout.padded  # computed here, so that the training step does not wait for it
        hidden = draw_hidden(batch.cu_seqlens, batch.n_tokens, self._config.model.mask_ratio, rng)
        data = LmaeInput(batch, sequences, hidden)
        return lambda: self._losses(data)

    def _losses(self, data: LmaeInput) -> StepLosses:
        """Returns the squared distance of restored and true mean tag embeddings, averaged over all entities."""
        table = self._inputs.tag_table
        target = mean_tags(table, data.batch.tag_ids, data.batch.tag_offsets)
        distance = (self.module(data, table).float() - target).square().sum(1)
        loss = distance.mean()
        hidden = data.hidden.float()
        parts = {
            "loss": loss.detach(),
            "hidden": (distance.detach() * hidden).sum() / hidden.sum().clamp_min(1),
            "visible": (distance.detach() * (1 - hidden)).sum() / (1 - hidden).sum().clamp_min(1),
        }
        return StepLosses(loss, parts, data.batch.n_tokens)

    def finish_step(self, progress: float) -> None:
        """Does nothing, because the optimiser updates all weights of this model."""

    def embed(self, batch: TileBatch) -> BatchVectors:
        """Computes the vectors of a batch's entities [T, D] and tiles [B, D]."""
        return self.module.vectors(batch, self._inputs.tag_table)

    def activation_bytes(self, tokens: int) -> int:
        """Estimates the memory for activations in one training step, in bytes. The batch has `tokens` tokens."""
        model = self._config.model
        depth, recompute = model.depth + model.decoder_depth, self._config.train.recompute
        layers = transformer_values(depth, model.embed_dim, model.mlp_ratio, 1, 1, recompute)
        return int(FLOAT * tokens * (LAYERS_PEAK * layers + 4 * model.tag_dim))

    def parameter_counts(self) -> dict[str, int]:
        """Returns the numbers of parameters of the encoder and of the decoder."""
        encoder = sum(p.numel() for part in (self.module.tokens, self.module.encoder) for p in part.parameters())
        return {
            "parameters": encoder,
            "decoder_parameters": sum(p.numel() for p in self.module.parameters()) - encoder,
        }


class LmaeEmbedder:
    """Computes embeddings with a trained TagformerLMAE."""

    name = "tagformer_lmae"
    needs = TAGS_ONLY

    def __init__(self, module: Lmae, inputs: FrozenInputs) -> None:
        self._module, self._inputs = module, inputs

    def encode(self, batch: TileBatch) -> BatchVectors:
        """Computes the vectors of the batch's entities [T, D] and tiles [B, D]."""
        return self._module.vectors(batch, self._inputs.tag_table)


def build(config: LmaeConfig, inputs: FrozenInputs, seed: int) -> LmaePretraining:
    """Returns an untrained TagformerLMAE on the device of `inputs`.

    Args:
        config: configuration of the training run.
        inputs: text embeddings of tags.
        seed: random seed of the initial weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = Lmae(config.model).apply(init_weights)
    return LmaePretraining(module.to(inputs.device), config, inputs)


def load(folder: Path, inputs: FrozenInputs, weights: str = WEIGHTS) -> LmaeEmbedder:
    """Loads a trained TagformerLMAE to compute embeddings with it.

    Args:
        folder: folder of the model in `models/` of the workspace.
        inputs: text embeddings of tags, on the device to compute on.
        weights: name of the weights file.

    Raises:
        DataError: the weights are missing or unreadable, or do not match the model's configuration.
    """
    return LmaeEmbedder(load_module(folder, weights, LmaeConfig, _restore).to(inputs.device), inputs)


def _restore(config: LmaeConfig, tensors: dict[str, Tensor]) -> Lmae:
    module = Lmae(config.model)
    module.load_state_dict(tensors)
    return module
