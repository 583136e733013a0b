"""TagCountMLP: an MLP on the tag counts of a tile, trained on the labels of a task (GeoJEPA thesis, section 6.5)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from geojepa_cli.baselines.supervised import Fitted, LabelNet, TaskTiles, fit_and_predict, fold_seed
from geojepa_cli.baselines.vocabulary import TagVocabulary
from geojepa_cli.config.supervised import TagCountConfig, TagCountModelConfig
from geojepa_cli.evaluate.folds import Fold
from geojepa_cli.nn.counts import CountEncoder, count_columns, tile_of_tags
from geojepa_cli.nn.layers.init import init_weights
from geojepa_cli.store.batch import TileBatch


class TagCountMlp(LabelNet):
    """Encoder of tag counts, followed by a linear head.

    Args:
        config: architecture of the model.
        column_of: for each distinct tag of the dataset, the index of its column in the table of counts. Tags that are
            not counted have the index `columns`. int64 [V]
        columns: number of columns in the table of counts.
    """

    def __init__(self, config: TagCountModelConfig, column_of: Tensor, columns: int) -> None:
        super().__init__()
        self._column_of = column_of
        self.encoder = CountEncoder(columns, config.embed_dim)
        self.head = nn.Linear(config.embed_dim, 1)

    def forward(self, batch: TileBatch) -> Tensor:
        """Predicts the label of each tile of a batch. float [B]"""
        columns = self._column_of.index_select(0, batch.tag_ids)
        tiles = tile_of_tags(batch.tag_offsets, batch.cu_seqlens, len(columns))
        return self.head(self.encoder(count_columns(columns, tiles, batch.n_tiles, self.encoder.columns))).squeeze(1)


def build(config: TagCountConfig, tiles: TaskTiles, fold: Fold, seed: int) -> TagCountMlp:
    """Returns an untrained TagCountMLP on the device of `tiles`.

    Args:
        config: configuration of the model. It counts the most frequent tags of the training tiles.
        tiles: tiles of the task.
        fold: positions of the training tiles in `tiles.rows`.
        seed: random seed of the initial weights.
    """
    tags = tiles.count_tags(fold.train)
    vocabulary = TagVocabulary.learn(tags, config.model.columns)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = TagCountMlp(config.model, vocabulary.columns_of(tags).to(tiles.device), len(vocabulary))
        net.apply(init_weights)
    return net.to(tiles.device)


def fit(config: TagCountConfig, tiles: TaskTiles, fold: Fold, clamp: tuple[float, float], seed: int) -> Fitted:
    """Trains a TagCountMLP on the training tiles of a fold, and predicts its test tiles. See `fit_and_predict`."""
    seed = fold_seed(seed, fold)
    return fit_and_predict(build(config, tiles, fold, seed), tiles, fold, clamp, config.train, seed)
