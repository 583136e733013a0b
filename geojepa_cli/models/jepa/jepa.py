"""Joint-embedding predictive architecture (JEPA) for tiles: context encoder, EMA target encoder and predictors.

Source: GeoJEPA thesis, section 7.6.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geojepa_cli.models.jepa.encoder import Sequences, TileEncoder
from geojepa_cli.models.jepa.gram import GramTeacher
from geojepa_cli.models.jepa.predictor import Predictor, TilePredictor
from geojepa_cli.nn.ema import update_ema
from geojepa_cli.nn.masks.draw import draw_masks
from geojepa_cli.nn.masks.indices import MaskIndices, PredictorInput
from geojepa_cli.nn.masks.rates import MaskRates
from geojepa_cli.nn.pooling import max_mean
from geojepa_cli.nn.summary import TagPredictor
from geojepa_cli.nn.tokens.tags import mean_tags
from geojepa_cli.nn.tokens.tokenizer import Tokenizer
from geojepa_cli.nn.tokens.tokens import TileTensors, TokenPlaces


@dataclass(frozen=True)
class JepaInput:
    """A batch of tiles with its masks, and with all indices that the model needs.

    It does not depend on the weights. So it can be computed while the GPU is busy with an earlier batch, and the
    training step does not wait for it.

    Attributes:
        tiles: tiles to train on.
        places: position and modality of the tokens.
        masks: indices of the visible and the hidden tokens.
        dropped: input (tags or geometry) that each entity loses in the context encoder, see `EntityFusion`. None: no
            entity loses an input.
        whole: sequences of all tokens, for the target encoder.
        context: sequences of the visible tokens, for the context encoder.
        arranged: arrangement of context tokens and mask tokens, for the predictor.
        seen: tiles that the context encoder reads, if its image tokens differ from those in `tiles`. None: it reads
            `tiles`.
        tag_counts: number of each tile's entities that have each frequent tag or key. Read by the loss of predicted
            tags. [B, C]
    """

    tiles: TileTensors
    places: TokenPlaces
    masks: MaskIndices
    dropped: Tensor | None
    whole: Sequences
    context: Sequences
    arranged: PredictorInput
    seen: TileTensors | None = None
    tag_counts: Tensor | None = None

    @property
    def tokens(self) -> int:
        """Number of tokens in the batch."""
        return len(self.places.modality)

    def with_blocks(self) -> JepaInput:
        """Returns a copy whose attention uses FlexAttention, see `nn.flex`."""
        whole, context = (replace(x, layout=x.layout.with_blocks()) for x in (self.whole, self.context))
        arranged = replace(self.arranged, layout=self.arranged.layout.with_blocks())
        return replace(self, whole=whole, context=context, arranged=arranged)


@dataclass(frozen=True)
class JepaOutput:
    """Output of a GeoJEPA model for one batch, from which the losses are computed.

    Attributes:
        predicted: predicted vectors of the hidden (target) tokens. [M, D]
        target: vectors to predict for the hidden tokens. They are the layer-normalised output of the target encoder or,
            if the loss is configured so, random projections of the tokens' inputs. No gradient. [M, D]
        target_tile: index of each hidden token's tile. int64 [M]
        target_modality: modality id of each hidden token. int64 [M]
        context: vectors that the context encoder computes for the visible (context) tokens. [C, D]
        context_modality: modality id of each visible token. int64 [C]
        context_tiles: for each tile, the pooled vectors in `context`. [B, W]
        target_tiles: for each tile, the maximum and the mean of the vectors that the target encoder computes for all
            tokens of the tile, concatenated. Used only if `predicted_tiles` is not None. No gradient. [B, 2·D]
        predicted_tiles: for each tile, three predicted vectors, concatenated: the maximum and the mean in
            `target_tiles`, and this mean times the logarithm of the number of tokens in the tile. All are predicted
            from `context_tiles`, and are standardised over the batch. None if the model does not predict tile vectors.
            [B, 3·D]
        lengths: number of tokens of each tile. int64 [B]
        context_lengths: number of visible tokens of each tile. int64 [B]
        content: input of the context encoder. [C, D]
        gram: vectors that the Gram teacher computes for the visible tokens. It reads only these tokens. None before the
            Gram teacher exists. No gradient. [C, D]
        predicted_tags: tags and keys of the whole tile, predicted from the summary of `context_tiles`. None without a
            summary. [B, 2·C]
        whole_tags: the same, predicted from the target encoder's vectors of all tokens. The gradient reaches only the
            summary and the layer that predicts. None if the loss does not need it. [B, 2·C]
        tag_counts: `tag_counts` of the input.
    """

    predicted: Tensor
    target: Tensor
    target_tile: Tensor
    target_modality: Tensor
    context: Tensor
    context_modality: Tensor
    context_tiles: Tensor
    target_tiles: Tensor
    predicted_tiles: Tensor | None
    lengths: Tensor
    context_lengths: Tensor
    content: Tensor
    gram: Tensor | None
    predicted_tags: Tensor | None = None
    whole_tags: Tensor | None = None
    tag_counts: Tensor | None = None


class Jepa(nn.Module):
    """GeoJEPA model in training: predicts the target encoder's vectors of hidden tokens from the visible tokens.

    The context encoder reads the visible tokens of a tile. The target encoder reads all tokens of the tile. The
    predictor reads the context encoder's output and the positions of the hidden tokens. All weights of the target
    encoder, including its tokenizer, are an exponential moving average (EMA) of the context encoder's weights, as in
    I-JEPA (Assran et al. 2023).

    Args:
        context_encoder: untrained encoder. The target encoder starts as a copy of it.
        predictor: predictor of the hidden tokens' vectors.
        tile_predictor: predictor of the tile vector. None: the model does not predict tile vectors.
        target_tokenizer: untrained tokenizer. Its output is predicted in place of the target encoder's output, as in
            OlmoEarth (Herzog et al. 2025), and its weights stay as they are. None: predict the target encoder's output.
        gram: True: the model has a Gram teacher, which `start_gram` activates.
        shared: True: all targets of a tile share its context tokens in the predictor. False: the predictor reads one
            sequence per target. See `PredictorInput`.
        tag_predictor: predictor of the tags and keys of a tile from its summary. None: the model does not predict them.
        whole_tags: True: the model also predicts them from the summary of the whole tile.
    """

    def __init__(
        self,
        context_encoder: TileEncoder,
        predictor: Predictor,
        tile_predictor: TilePredictor | None = None,
        target_tokenizer: Tokenizer | None = None,
        gram: bool = False,
        shared: bool = False,
        tag_predictor: TagPredictor | None = None,
        whole_tags: bool = False,
    ) -> None:
        super().__init__()
        self.tag_predictor = tag_predictor
        self.whole_tags = whole_tags and tag_predictor is not None
        self.context_encoder = context_encoder
        self.target_encoder = copy.deepcopy(context_encoder).requires_grad_(False)
        self.predictor = predictor
        self.tile_predictor = tile_predictor
        self.target_tokenizer = None if target_tokenizer is None else target_tokenizer.requires_grad_(False)
        self.gram_teacher = GramTeacher(self.target_encoder) if gram else None
        self.shared = shared

    @torch.no_grad()
    def prepare(self, batch: TileTensors, tag_table: Tensor, rates: MaskRates, rng: torch.Generator) -> JepaInput:
        """Draws a mask for each tile of a batch, and computes all indices of the training step.

        If the model reads geometry, some entities of the context encoder lose their tags or their geometry first.

        Args:
            batch: tiles to train on.
            tag_table: text embedding of every distinct tag of the dataset. [V, E]
            rates: parameters of the masks that hide tokens.
            rng: random generator on the CPU, for modality dropout and masks.
        """
        encoder = self.context_encoder
        tokenizer = encoder.tokens.tokenizer
        places = tokenizer.place(batch)
        cu = places.cu_seqlens
        dropped = tokenizer.draw_dropout(len(batch.box), rng)
        content = self._tag_vectors(batch, tag_table, places) if rates.kind else None
        masks = MaskIndices.of(draw_masks(places.box, places.modality, cu, rates, rng, content), cu)
        return JepaInput(
            tiles=batch,
            places=places,
            masks=masks,
            dropped=None if dropped is None else dropped.to(cu.device),
            whole=encoder.encoder.sequences(cu),
            context=encoder.encoder.sequences(masks.context_cu),
            arranged=PredictorInput.shared(masks) if self.shared else PredictorInput.separate(masks),
        )

    def forward(self, batch: JepaInput, tag_table: Tensor) -> JepaOutput:
        """Runs both encoders and the predictors on a batch with masks.

        Args:
            batch: result of `prepare`.
            tag_table: text embedding of every distinct tag of the dataset. [V, E]
        """
        places, masks = batch.places, batch.masks
        cu = places.cu_seqlens
        seen = batch.seen or batch.tiles
        x = self.context_encoder.tokens(seen, tag_table, places, masks.context_index, batch.dropped)
        context = self.context_encoder.encoder(x, batch.context)
        predicted = self.predictor(context, places.box, places.modality, masks, batch.arranged)
        with torch.no_grad():
            target, target_tiles, whole_tiles = self._targets(batch, tag_table)
        context_tiles = self.context_encoder.pool(context, masks.context_cu)
        return JepaOutput(
            predicted=predicted,
            target=target,
            target_tile=torch.bucketize(masks.target_index, cu[1:], right=True),
            target_modality=places.modality[masks.target_index],
            context=context,
            context_modality=places.modality[masks.context_index],
            context_tiles=context_tiles,
            target_tiles=target_tiles,
            predicted_tiles=None if self.tile_predictor is None else self.tile_predictor(context_tiles),
            lengths=cu.diff(),
            context_lengths=masks.context_cu.diff(),
            content=x,
            gram=self._gram(batch, tag_table),
            predicted_tags=self._predict_tags(context_tiles),
            whole_tags=self._predict_tags(whole_tiles) if self.whole_tags else None,
            tag_counts=batch.tag_counts,
        )

    def _predict_tags(self, pooled: Tensor) -> Tensor | None:
        summary = self.context_encoder.summary
        return None if self.tag_predictor is None or summary is None else self.tag_predictor(summary(pooled))

    def _tag_vectors(self, batch: TileTensors, tag_table: Tensor, places: TokenPlaces) -> Tensor:
        """Returns the mean tag embedding of each entity token, and zeros for other tokens. [T, E]"""
        weights = self.context_encoder.tokens.tokenizer.tag_weights
        entities = mean_tags(tag_table, batch.tag_ids, batch.tag_offsets, weights)
        vectors = entities.new_zeros(len(places.modality), entities.shape[1])
        return vectors.index_copy_(0, places.entity_index, entities)

    def _targets(self, batch: JepaInput, tag_table: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the vectors to predict, and the target encoder's pooled vectors.

        Returns:
            Vectors to predict of hidden tokens [M, D] and of tiles [B, 2·D], and pooled vectors [B, W]. The last two
            are empty if they are not needed.
        """
        hidden, cu = batch.masks.target_index, batch.places.cu_seqlens
        tiles = pooled = whole = tag_table.new_zeros(0)
        if self.target_tokenizer is None or self.tile_predictor is not None or self.whole_tags:
            x = self.target_encoder.tokens(batch.tiles, tag_table, batch.places)
            whole = self.target_encoder.encoder(x, batch.whole)
        if self.tile_predictor is not None:
            tiles = max_mean(whole, cu)
        if self.whole_tags:
            pooled = self.target_encoder.pool(whole, cu)
        if self.target_tokenizer is not None:
            target = self.target_tokenizer(batch.tiles, tag_table, batch.places).index_select(0, hidden)
        else:
            target = F.layer_norm(whole, whole.shape[1:]).index_select(0, hidden)
        return target, tiles, pooled

    @torch.no_grad()
    def _gram(self, batch: JepaInput, tag_table: Tensor) -> Tensor | None:
        """Returns the Gram teacher's vectors of the visible tokens, computed from these tokens alone. [C, D]"""
        if self.gram_teacher is None or not self.gram_teacher.active:
            return None
        tiles, visible = batch.seen or batch.tiles, batch.masks.context_index
        x = self.gram_teacher.encoder.tokens(tiles, tag_table, batch.places, visible)
        return self.gram_teacher.encoder.encoder(x, batch.context)

    def start_gram(self) -> None:
        """Copies the target encoder to the Gram teacher, unless this was done before."""
        if self.gram_teacher is not None and not self.gram_teacher.active:
            self.gram_teacher.take(self.target_encoder)

    def update_target(self, momentum: float) -> None:
        """Moves the target encoder's weights towards those of the context encoder.

        Args:
            momentum: weight of the old value in the exponential moving average, 0 to 1.
        """
        update_ema(self.target_encoder, self.context_encoder, momentum)
