"""Image backbones of torchvision, trained on the labels of a task together with a linear head.

The backbone learns at a lower rate than the head (GeoJEPA thesis, section 6.4.2, which leaves the choice of backbone
and rates to AutoGluon). The head reads the same vector as that of the frozen backbone (`image_backbone`).
"""

from __future__ import annotations

from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geojepa_cli.baselines.supervised import Fitted, LabelNet, TaskTiles, fit_and_predict, fold_seed
from geojepa_cli.config.supervised import TuneConfig
from geojepa_cli.evaluate.folds import Fold
from geojepa_cli.models.image_encoders import ImageEncoder, pool
from geojepa_cli.nn.layers.init import init_weights
from geojepa_cli.store.batch import TileBatch


class TunedBackbone(LabelNet):
    """Image encoder, followed by a linear head on its pooled tokens. Without an image, the head reads zeros.

    In training, the encoder runs as in a test: statistics of batch normalisation stay as they are, and no layer is
    dropped. So the prediction for a tile does not depend on other tiles of its batch. All weights are trained.

    Args:
        backbone: image encoder with its initial weights.
        image_px: side in pixels to which images are reduced.
    """

    def __init__(self, backbone: ImageEncoder, image_px: int) -> None:
        super().__init__()
        self.backbone = backbone
        self._image_px = image_px
        self.head = nn.Linear(backbone.kind.form.dim, 1).apply(init_weights)

    def train(self, mode: bool = True) -> Self:
        """Sets the mode of the head. The backbone stays in evaluation mode."""
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, batch: TileBatch) -> Tensor:
        """Predicts the label of each tile of a batch. float [B]"""
        vectors = self.head.weight.new_zeros(batch.n_tiles, self.head.in_features)
        if batch.images is not None and batch.image_tiles is not None and len(batch.images):
            x = self.backbone.normalise(batch.images)
            if x.shape[-1] != self._image_px:
                x = F.interpolate(x, self._image_px, mode="bilinear", antialias=True)
            pooled = pool(self.backbone.tokens(x), self.backbone.kind.form)
            vectors = vectors.index_copy(0, batch.image_tiles, pooled)
        return self.head(vectors).squeeze(1)


def build(config: TuneConfig, tiles: TaskTiles, seed: int) -> TunedBackbone:
    """Returns a backbone with its initial weights and an untrained head, on the device of `tiles`.

    Args:
        config: configuration of the model.
        tiles: tiles of the task.
        seed: random seed of the head's weights.
    """
    assert tiles.backbone is not None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = TunedBackbone(tiles.backbone(config.model.image_px), config.model.image_px)
    return net.to(tiles.device)


def fit(config: TuneConfig, tiles: TaskTiles, fold: Fold, clamp: tuple[float, float], seed: int) -> Fitted:
    """Trains a backbone and its head on the training tiles of a fold, and predicts its test tiles."""
    seed = fold_seed(seed, fold)
    return fit_and_predict(build(config, tiles, seed), tiles, fold, clamp, config.train, seed)
