"""Training of baselines on the labels of a task, end to end."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from geojepa_cli import hints
from geojepa_cli.config.modality import TAGS_ONLY, Modality, Needs
from geojepa_cli.config.supervised import FitConfig, TuneFitConfig
from geojepa_cli.errors import GeojepaError
from geojepa_cli.evaluate.folds import Floats, Fold, Rows
from geojepa_cli.metrics.label_forms import CLASS, PLAIN, Prediction, best_form, forms_of, predict_labels
from geojepa_cli.models.base import TagList
from geojepa_cli.store.batch import TileBatch
from geojepa_cli.store.sampler import TokenBudgetSampler
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View
from geojepa_cli.train.data import count_tags
from geojepa_cli.train.optimizer import build_optimizer, set_learning_rate
from geojepa_cli.train.schedule import learning_rate

if TYPE_CHECKING:
    from geojepa_cli.models.image_encoders import ImageEncoder

FOLD_STRIDE = 1_000_003  # distance of the seeds of two folds


@dataclass(frozen=True)
class TaskTiles:
    """The n tiles of a task, and the tags that a model sees in them.

    Attributes:
        store: dataset of all regions.
        view: entities and tags that the model sees.
        rows: index of each tile in the dataset, in ascending order, int64 [n].
        labels: label of each tile, float64 [n].
        tag_table: text embedding of every distinct tag of the dataset, on the device to train on. float32 [V, E]. Empty
            for a model that reads images.
        needs: modalities that the model reads.
        backbone: function that loads the network with which the training of an image backbone begins, for images with a
            given side in pixels. None for other models.
    """

    store: TileStore
    view: View
    rows: Rows
    labels: Floats
    tag_table: Tensor
    needs: Needs = TAGS_ONLY
    backbone: Callable[[int], ImageEncoder] | None = None

    @property
    def device(self) -> torch.device:
        """Device to train on."""
        return self.tag_table.device

    def count_tags(self, places: Rows) -> TagList:
        """Lists the tags of the dataset, with their counts in some of the tiles.

        Args:
            places: positions of the tiles in `rows`, int64.
        """
        return count_tags(self.store, self.view.restrict(self.rows[places]))

    def sampler(self, places: Rows, budget: int, seed: int = 0, shuffle: bool = True) -> TokenBudgetSampler:
        """Returns the sampler that divides some of the tiles, at positions `places` in `rows`, into batches.

        A tile costs its tokens. For a model that reads images, it costs 1.
        """
        rows = self.rows[places]
        lengths = self.store.compiled(self.view).lengths[rows].astype(np.int64)
        if Modality.IMAGE in self.needs:
            lengths = np.zeros_like(lengths)
        # an empty tile costs a token too, because a mask can hide all entities of many tiles
        return TokenBudgetSampler(rows, lengths, budget, seed, shuffle, block=1, tile_cost=1)

    def read(self, rows: Rows) -> tuple[TileBatch, NDArray[np.int64]]:
        """Reads tiles. Returns the batch, on the device to train on, and the positions of the tiles in `self.rows`."""
        batch = self.store.read(self.view, rows, self.needs).to(self.device)
        return batch, np.searchsorted(self.rows, rows)


class LabelNet(nn.Module, ABC):
    """Network that predicts the label of a tile, standardised to mean 0 and deviation 1."""

    @abstractmethod
    def forward(self, batch: TileBatch) -> Tensor:
        """Predicts the label of each tile of a batch. float [B]"""

    def count_parameters(self) -> int:
        """Returns the number of trained parameters."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)


@dataclass(frozen=True)
class Fitted:
    """Result of a training run.

    Attributes:
        prediction: predictions for the test tiles of the fold.
        parameters: number of trained parameters.
        epochs: number of epochs of the run.
        best_epoch: number of the epoch with the lowest validation error, whose weights made the predictions.
    """

    prediction: Prediction
    parameters: int
    epochs: int
    best_epoch: int


def fit_and_predict(
    net: LabelNet,
    tiles: TaskTiles,
    fold: Fold,
    clamp: tuple[float, float],
    config: FitConfig | TuneFitConfig,
    seed: int,
) -> Fitted:
    """Trains a network on the training tiles of a fold, and predicts the labels of its test tiles.

    The loss is the mean squared error of standardised labels (GeoJEPA thesis, section 6.1). The predictions are made
    with the weights of the best epoch: the epoch with the lowest mean absolute error on the validation tiles. If the
    fold has no validation tiles, the error on the training tiles is used instead. Predictions of labels that are all 0
    or 1 are rounded if this lowers the same error. The labels of the test tiles are not read.

    Args:
        net: untrained network, on the device of `tiles`. It is trained in place.
        tiles: tiles of the task.
        fold: positions of the training, validation and test tiles in `tiles.rows`.
        clamp: minimum and maximum to which predictions are limited (clipped).
        config: settings of the training run.
        seed: random seed of the order of the tiles.

    Raises:
        GeojepaError: the training diverged in its first epoch, so no epoch has a validation error.
    """
    mean, scale = float(tiles.labels[fold.train].mean()), float(tiles.labels[fold.train].std()) or 1.0
    labels = torch.from_numpy(tiles.labels).to(tiles.device)
    sampler = tiles.sampler(fold.train, config.batch_budget, seed)
    schedule = config.schedule()
    optimizer = build_optimizer(net, schedule, config.lr_shares)
    checked = fold.val if len(fold.val) else fold.train
    best, best_epoch, best_state = float("inf"), 0, copy.deepcopy(net.state_dict())
    for epoch in range(config.epochs):
        plan = sampler.plan(epoch)
        net.train()
        for index, rows in enumerate(plan):
            set_learning_rate(optimizer, learning_rate(schedule, (epoch + (index + 1) / len(plan)) / config.epochs))
            batch, places = tiles.read(rows)
            target = ((labels[torch.from_numpy(places).to(tiles.device)] - mean) / scale).float()
            loss = F.mse_loss(net(batch), target)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), schedule.grad_clip)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        predicted = (predict(net, tiles, checked, config.batch_budget) * scale + mean).clip(*clamp)
        error = float(np.abs(predicted - tiles.labels[checked]).mean())
        if error < best:
            best, best_epoch, best_state = error, epoch + 1, copy.deepcopy(net.state_dict())
        elif not best_epoch:
            raise _diverged(net, seed)
        elif epoch + 1 - best_epoch >= config.patience:
            break
    net.load_state_dict(best_state)
    form = PLAIN
    if CLASS in forms_of(tiles.labels[np.concatenate([fold.train, fold.val])]):
        known = predict(net, tiles, checked, config.batch_budget) * scale + mean
        _, form = best_form((PLAIN, CLASS), known, tiles.labels[checked], clamp)
    found = predict(net, tiles, fold.test, config.batch_budget) * scale + mean
    return Fitted(predict_labels(form, found, clamp), net.count_parameters(), epoch + 1, best_epoch)


def _diverged(net: LabelNet, seed: int) -> GeojepaError:
    other = hints.again(seed=seed % FOLD_STRIDE + 1).noting("another seed has other initial weights")
    return GeojepaError(
        f"training of {type(net).__name__} diverged in its first epoch: predictions are not finite", other
    )


def predict(net: LabelNet, tiles: TaskTiles, places: Rows, budget: int) -> Floats:
    """Returns the standardised predictions for some of the tiles, float64.

    Args:
        net: trained network.
        tiles: tiles of the task.
        places: positions of the tiles in `tiles.rows`, int64 [m].
        budget: maximum cost of a batch, see `TaskTiles.sampler`.
    """
    net.eval()
    found = np.full(len(tiles.rows), np.nan)
    with torch.inference_mode():
        for batch, at in _batches(tiles, places, budget):
            found[at] = net(batch).double().cpu().numpy()
    return found[places]


def _batches(tiles: TaskTiles, places: Rows, budget: int) -> Iterator[tuple[TileBatch, NDArray[np.int64]]]:
    for rows in tiles.sampler(places, budget, shuffle=False).plan(0):
        yield tiles.read(rows)


def fold_seed(seed: int, fold: Fold) -> int:
    """Returns the seed of the initial weights and of the order of tiles in a fold."""
    return seed + FOLD_STRIDE * fold.number
