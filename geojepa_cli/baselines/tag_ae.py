"""TagAE: a baseline that compresses the tag counts of a tile, trained to restore them (GeoJEPA thesis, section 7.4)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from geojepa_cli.baselines.vocabulary import TagVocabulary
from geojepa_cli.config.baselines import TagAEConfig
from geojepa_cli.config.modality import TAGS_ONLY
from geojepa_cli.config.names import WEIGHTS
from geojepa_cli.models.base import BatchVectors, FrozenInputs, StepLosses
from geojepa_cli.models.jepa.memory import FLOAT
from geojepa_cli.models.published import load_module
from geojepa_cli.nn.counts import CountEncoder, count_columns, tile_of_tags
from geojepa_cli.nn.layers.mlp import Mlp
from geojepa_cli.store.batch import TileBatch

COPIES = 5  # counts, logarithms, reconstruction, difference and its gradient


class TagAE(nn.Module):
    """Autoencoder of the tag counts of tiles.

    The encoder is that of TagCountMLP. The decoder, an MLP, restores log(1 + count) of every tag of the vocabulary.

    Args:
        vocabulary: tags to count.
        config: sizes of the encoder and the decoder.
    """

    def __init__(self, vocabulary: TagVocabulary, config: TagAEConfig) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.encoder = CountEncoder(len(vocabulary), config.model.embed_dim)
        self.decoder = Mlp(config.model.embed_dim, config.model.hidden_dim, len(vocabulary))

    def counts(self, batch: TileBatch, column_of: Tensor) -> Tensor:
        """Counts the tags of each tile. float [B, C]"""
        columns = column_of.index_select(0, batch.tag_ids)
        tiles = tile_of_tags(batch.tag_offsets, batch.cu_seqlens, len(columns))
        return count_columns(columns, tiles, batch.n_tiles, len(self.vocabulary))

    def vectors(self, batch: TileBatch, column_of: Tensor) -> BatchVectors:
        """Computes the vectors of entities [T, D] and tiles [B, D].

        The vector of an entity is the vector that a tile with only this entity would have.

        Args:
            batch: tiles to encode.
            column_of: for each distinct tag of the dataset, the index of its column in the table of counts. int64 [V]
        """
        entities = self.encoder.entities(column_of.index_select(0, batch.tag_ids), batch.tag_offsets)
        return BatchVectors(entities, self.encoder(self.counts(batch, column_of)))


class TagAEPretraining:
    """TagAE with its loss, for the training loop. Implements the protocol `Pretrainable`."""

    def __init__(self, module: TagAE, config: TagAEConfig, column_of: Tensor) -> None:
        self.needs = TAGS_ONLY
        self.module = module
        self._config, self._column_of = config, column_of

    def prepare(self, batch: TileBatch, rng: torch.Generator) -> Callable[[], StepLosses]:
        """Counts the tags of each tile. Returns a function that restores the counts and returns the losses."""
        counts = self.module.counts(batch, self._column_of)
        return lambda: self._losses(counts, batch.n_tokens)

    def _losses(self, counts: Tensor, tokens: int) -> StepLosses:
        """Returns the squared error of the restored counts, summed over the tags and averaged over the tiles.

        The training log also gets `explained`: 1 minus this error divided by the variance of the counts between tiles.
        """
        restored = self.module.decoder(self.module.encoder(counts)).float()
        target = counts.log1p()
        loss = (restored - target).square().sum(1).mean()
        variance = (target - target.mean(0)).square().sum(1).mean()
        parts = {"loss": loss.detach(), "explained": 1.0 - loss.detach() / variance.clamp_min(1e-6)}
        return StepLosses(loss, parts, tokens)

    def finish_step(self, progress: float) -> None:
        """Does nothing, because the optimiser updates all weights of this model."""

    def embed(self, batch: TileBatch) -> BatchVectors:
        """Computes the vectors of a batch's entities [T, D] and tiles [B, D]."""
        return self.module.vectors(batch, self._column_of)

    def activation_bytes(self, tokens: int) -> int:
        """Estimates the memory for activations in one training step, in bytes.

        The memory grows with the number of tiles in the batch. So the estimate assumes that the batch has `tokens`
        tokens, and that each of its tiles has the smallest number of entities that the configuration allows.
        """
        tiles = max(1, tokens // self._config.data.min_entities)
        return COPIES * FLOAT * tiles * (len(self.module.vocabulary) + self._config.model.hidden_dim)

    def parameter_counts(self) -> dict[str, int]:
        """Returns the numbers of tags, and of parameters of the encoder and of the decoder."""
        return {
            "tags_counted": len(self.module.vocabulary),
            "parameters": sum(p.numel() for p in self.module.encoder.parameters()),
            "decoder_parameters": sum(p.numel() for p in self.module.decoder.parameters()),
        }


class TagAEEmbedder:
    """Computes embeddings with a trained TagAE."""

    name = "tag_ae"
    needs = TAGS_ONLY

    def __init__(self, module: TagAE, inputs: FrozenInputs) -> None:
        self._module = module
        self._column_of = module.vocabulary.columns_of(inputs.tag_list).to(inputs.device)

    def encode(self, batch: TileBatch) -> BatchVectors:
        """Computes the vectors of the batch's entities [T, D] and tiles [B, D]."""
        return self._module.vectors(batch, self._column_of)


def build(config: TagAEConfig, inputs: FrozenInputs, seed: int) -> TagAEPretraining:
    """Returns an untrained TagAE on the device of `inputs`.

    Args:
        config: configuration of the training run.
        inputs: tags of the dataset, with their counts in the training tiles.
        seed: random seed of the initial weights.
    """
    vocabulary = TagVocabulary.learn(inputs.tag_list, config.model.columns)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = TagAE(vocabulary, config)
    return TagAEPretraining(module.to(inputs.device), config, vocabulary.columns_of(inputs.tag_list).to(inputs.device))


def load(folder: Path, inputs: FrozenInputs, weights: str = WEIGHTS) -> TagAEEmbedder:
    """Loads a trained TagAE to compute embeddings with it.

    Args:
        folder: folder of the model in `models/` of the workspace.
        inputs: tags of the dataset. Its attribute `device` is the device to compute on.
        weights: name of the weights file.

    Raises:
        DataError: the weights are missing or unreadable, or do not match the model's configuration.
    """
    module = load_module(folder, weights, TagAEConfig, _restore)
    return TagAEEmbedder(module.to(inputs.device), inputs)


def _restore(config: TagAEConfig, tensors: dict[str, Tensor]) -> TagAE:
    module = TagAE(TagVocabulary.read(tensors["vocabulary.utf8"], tensors["vocabulary.ends"]), config)
    module.load_state_dict(tensors)
    return module
