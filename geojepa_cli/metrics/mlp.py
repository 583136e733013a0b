"""Regression with a two-layer MLP, which predicts labels from frozen embedding vectors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class MlpHead:
    """Trained MLP that predicts labels from features.

    Attributes:
        net: network (Linear, GELU, Dropout, Linear) that maps standardised features to standardised labels.
        mean, scale: mean and standard deviation of the training features, [d].
        y_mean, y_scale: mean and standard deviation of the training labels.
        epochs: number of the epoch with the lowest validation error. `net` has the weights after this epoch.
    """

    net: nn.Module
    mean: Tensor
    scale: Tensor
    y_mean: float
    y_scale: float
    epochs: int

    @torch.no_grad()
    def predict(self, x: Tensor) -> Tensor:
        """Returns predicted labels, float32 [n], for features [n, d]."""
        standard: Tensor = self.net((x.float() - self.mean) / self.scale).squeeze(-1)
        return standard * self.y_scale + self.y_mean


def fit_mlp(
    x: Tensor,
    y: Tensor,
    x_val: Tensor,
    y_val: Tensor,
    hidden: int = 256,
    max_epochs: int = 60,
    patience: int = 10,
    batch_size: int | None = None,
    learning_rate: float = 1e-3,
    weight_decay: float = 1e-2,
    dropout: float = 0.1,
    seed: int = 0,
    clamp: tuple[float, float] | None = None,
) -> MlpHead:
    """Trains an MLP with MSE loss and AdamW (GeoJEPA thesis, section 6).

    Returns the MLP after the epoch with the lowest mean absolute error (MAE) on the validation rows, or on the
    training rows if there are no validation rows. PyTorch's global random state is not changed.

    Args:
        x, y: features [n, d] and labels [n] of the training rows. A row is one example, such as a tile.
        x_val, y_val: features [m, d] and labels [m] of the validation rows.
        hidden, max_epochs: width of the hidden layer, and maximum number of epochs.
        patience: training stops after this number of epochs without a lower validation MAE.
        batch_size: rows per step. None means a sixteenth of the rows, but at least 64 and at most 1024.
        learning_rate: initial learning rate. It is halved after more than `patience` / 3 epochs without a lower MAE.
        weight_decay, dropout: weight decay of AdamW, and dropout probability of the hidden layer.
        seed: random seed of initial weights, row order and dropout.
        clamp: minimum and maximum to which predictions are clipped before the MAE is computed. None: no clipping.
    """
    x, y = x.float(), y.float()
    batch_size = batch_size or min(1024, max(64, len(x) // 16))
    if not len(x_val):
        x_val, y_val = x, y
    mean, scale = _mean_and_scale(x)
    y_mean = float(y.mean())
    y_scale = float(y.std(correction=0)) or 1.0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Linear(x.shape[1], hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, 1))
        optimizer = torch.optim.AdamW(net.parameters(), lr=learning_rate, weight_decay=weight_decay)
        schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=max(1, patience // 3))
        inputs, targets = (x - mean) / scale, (y - y_mean) / y_scale
        best_error, best_epoch = float("inf"), 0
        best_state = {name: value.clone() for name, value in net.state_dict().items()}
        for epoch in range(1, max_epochs + 1):
            _train_epoch(net, optimizer, inputs, targets, batch_size)
            predicted = MlpHead(net.eval(), mean, scale, y_mean, y_scale, epoch).predict(x_val)
            if clamp is not None:
                predicted = predicted.clamp(*clamp)
            error = float((predicted - y_val.float()).abs().mean())
            schedule.step(error)
            if error < best_error:
                best_error, best_epoch = error, epoch
                best_state = {name: value.clone() for name, value in net.state_dict().items()}
            elif epoch - best_epoch >= patience:
                break
    net.load_state_dict(best_state)
    return MlpHead(net.eval(), mean, scale, y_mean, y_scale, best_epoch)


def _mean_and_scale(x: Tensor) -> tuple[Tensor, Tensor]:
    """Returns mean and standard deviation of each feature. [n, d] -> [d], [d]. A constant feature gets deviation 1."""
    mean, scale = x.mean(0), x.std(0, correction=0)
    return mean, torch.where(scale > 1e-6 * (1.0 + mean.abs()), scale, torch.ones_like(scale))


def _train_epoch(
    net: nn.Module, optimizer: torch.optim.Optimizer, inputs: Tensor, targets: Tensor, batch_size: int
) -> None:
    net.train()
    for rows in torch.split(torch.randperm(len(inputs)), batch_size):
        loss = nn.functional.mse_loss(net(inputs[rows]).squeeze(-1), targets[rows])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
