"""Tagformer: a transformer over the entities of a tile, trained on the labels of a task (GeoJEPA thesis, section 6.6).

There are four variants. `tagformer` reads the tags of an entity as one-hot vectors. `tagformer-s` reads the mean text
embedding of the tags instead. `tagformer-p` and `tagformer-sp` read the same, and also the entity's bounding box.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from geojepa_cli.baselines.supervised import Fitted, LabelNet, TaskTiles, fit_and_predict, fold_seed
from geojepa_cli.baselines.vocabulary import TagVocabulary
from geojepa_cli.config.modality import Modality
from geojepa_cli.config.supervised import TagformerConfig, TagformerModelConfig
from geojepa_cli.evaluate.folds import Fold
from geojepa_cli.models.jepa.encoder import Encoder
from geojepa_cli.nn.class_token import class_tokens
from geojepa_cli.nn.layers.init import init_weights
from geojepa_cli.nn.layers.transformer import Transformer
from geojepa_cli.nn.tokens.columns import ColumnTokens
from geojepa_cli.nn.tokens.position import PositionEncoding
from geojepa_cli.nn.tokens.tokenizer import Tokenizer, TokenizerSizes, TokenNumbers
from geojepa_cli.store.batch import TileBatch

NUMBERS = TokenNumbers(entity=Modality.TAGS.number, image=Modality.IMAGE.number)


class Tagformer(LabelNet):
    """Transformer with one token per entity and a class token, followed by a linear head on the class token.

    Args:
        config: architecture of the model.
        column_of: for each distinct tag of the dataset, the index of its value in one-hot vectors. Tags without a value
            have the index `columns`. Not used if the model reads text embeddings. int64 [V]
        columns: length of the one-hot vectors; 0 if the model reads text embeddings.
        tag_table: text embedding of every distinct tag of the dataset. [V, E]
    """

    def __init__(self, config: TagformerModelConfig, column_of: Tensor, columns: int, tag_table: Tensor) -> None:
        super().__init__()
        width = config.embed_dim
        semantic = "s" in config.inputs
        self._column_of, self._tag_table = column_of, tag_table
        self.texts = Tokenizer(TokenizerSizes(tag_table.shape[1], width), NUMBERS) if semantic else None
        self.columns = None if semantic else ColumnTokens(columns, width)
        rectangle = config.box == "rectangle"
        self.position = PositionEncoding(width, 2, rectangle) if "p" in config.inputs else None
        transformer = Transformer(
            width, config.depth, config.num_heads, config.mlp_ratio, null_weight=config.null_weight
        )
        self.encoder = Encoder(transformer, width, num_register_tokens=1)
        self.head = nn.Linear(width, 1)

    def tokens(self, batch: TileBatch) -> Tensor:
        """Computes the token of each entity. [T, D]"""
        if self.columns is not None:
            x = self.columns(self._column_of.index_select(0, batch.tag_ids), batch.tag_offsets)
        else:
            assert self.texts is not None
            x = self.texts(batch, self._tag_table, self.texts.place(batch))
        if self.position is None:
            return x
        modality = torch.full((batch.n_tokens,), NUMBERS.entity, device=x.device)
        return x + self.position(batch.box, modality)

    def forward(self, batch: TileBatch) -> Tensor:
        """Predicts the label of each tile of a batch, from the class token. float [B]"""
        if not batch.n_tokens:
            return self.head(self.head.weight.new_zeros(batch.n_tiles, self.head.in_features)).squeeze(1)
        sequences = self.encoder.sequences(batch.cu_seqlens)
        encoded = self.encoder.joined(self.tokens(batch), sequences)
        return self.head(class_tokens(encoded, sequences.layout.cu_seqlens)).squeeze(1)


def build(config: TagformerConfig, tiles: TaskTiles, fold: Fold, seed: int) -> Tagformer:
    """Returns an untrained Tagformer on the device of `tiles`.

    Args:
        config: configuration of the model. One-hot tags are the most frequent tags of the training tiles.
        tiles: tiles of the task.
        fold: positions of the training tiles in `tiles.rows`.
        seed: random seed of the initial weights.
    """
    column_of, columns = torch.empty(0, dtype=torch.int64), 0
    if config.model.columns is not None:  # counting reads all training tiles
        tags = tiles.count_tags(fold.train)
        vocabulary = TagVocabulary.learn(tags, config.model.columns)
        column_of, columns = vocabulary.columns_of(tags), len(vocabulary)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = Tagformer(config.model, column_of.to(tiles.device), columns, tiles.tag_table).apply(init_weights)
    return net.to(tiles.device)


def fit(config: TagformerConfig, tiles: TaskTiles, fold: Fold, clamp: tuple[float, float], seed: int) -> Fitted:
    """Trains a Tagformer on the training tiles of a fold, and predicts its test tiles. See `fit_and_predict`."""
    seed = fold_seed(seed, fold)
    return fit_and_predict(build(config, tiles, fold, seed), tiles, fold, clamp, config.train, seed)
