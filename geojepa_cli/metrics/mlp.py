"""Regression by gradient descent: a two-layer MLP or a linear model, which predict labels from embedding vectors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

MAX_EPOCHS = 200  # GeoJEPA thesis, section 6.4.1
PATIENCE = 10
DROPOUT = 0.1


@dataclass(frozen=True)
class TrainedHead:
    """Trained network that predicts labels from features.

    Attributes:
        net: network that maps standardised features to standardised labels.
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


class _Dropout(nn.Module):
    """Dropout with its own random generator, so that training changes no global random state."""

    def __init__(self, probability: float, generator: torch.Generator) -> None:
        super().__init__()
        self.probability, self.generator = probability, generator

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.probability:
            return x
        kept = torch.rand(x.shape, generator=self.generator) >= self.probability
        return x * kept / (1.0 - self.probability)


def fit_mlp(
    x: Tensor,
    y: Tensor,
    x_val: Tensor,
    y_val: Tensor,
    hidden: int | None = 256,
    max_epochs: int = MAX_EPOCHS,
    patience: int = PATIENCE,
    batch_size: int | None = None,
    learning_rate: float = 1e-3,
    weight_decay: float = 1e-2,
    dropout: float = DROPOUT,
    seed: int = 0,
    clamp: tuple[float, float] | None = None,
) -> TrainedHead:
    """Trains a two-layer MLP with MSE loss and AdamW (GeoJEPA thesis, section 6.4.1).

    Returns the MLP after the epoch with the lowest mean absolute error (MAE) on the validation rows, or on the
    training rows if there are no validation rows. PyTorch's global random state is neither used nor changed, so several
    threads can train heads at the same time.

    Args:
        x, y: features [n, d] and labels [n] of the training rows. A row is one example, such as a tile.
        x_val, y_val: features [m, d] and labels [m] of the validation rows.
        hidden: width of the hidden layer. None: there is no hidden layer, so the model is linear.
        max_epochs: maximum number of epochs.
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
    generator = torch.Generator().manual_seed(seed)
    net = _network(x.shape[1], hidden, dropout, generator)
    optimizer = torch.optim.AdamW(net.parameters(), lr=learning_rate, weight_decay=weight_decay, fused=True)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=max(1, patience // 3))
    inputs, targets = (x - mean) / scale, (y - y_mean) / y_scale
    best_error, best_epoch = float("inf"), 0
    best_state = {name: value.clone() for name, value in net.state_dict().items()}
    for epoch in range(1, max_epochs + 1):
        _train_epoch(net, optimizer, inputs, targets, batch_size, generator)
        predicted = TrainedHead(net.eval(), mean, scale, y_mean, y_scale, epoch).predict(x_val)
        error = float(((predicted if clamp is None else predicted.clamp(*clamp)) - y_val.float()).abs().mean())
        schedule.step(error)
        if error < best_error:
            best_error, best_epoch = error, epoch
            best_state = {name: value.clone() for name, value in net.state_dict().items()}
        elif epoch - best_epoch >= patience:
            break
    net.load_state_dict(best_state)
    return TrainedHead(net.eval(), mean, scale, y_mean, y_scale, best_epoch)


def _network(width: int, hidden: int | None, dropout: float, generator: torch.Generator) -> nn.Sequential:
    """Returns a network of one or two linear layers with the initial weights of `nn.Linear`."""
    sizes = [(width, 1)] if hidden is None else [(width, hidden), (hidden, 1)]
    layers = [nn.Linear(inputs, outputs, device="meta").to_empty(device="cpu") for inputs, outputs in sizes]
    for layer in layers:
        bound = layer.in_features**-0.5
        for values in (layer.weight, layer.bias):
            nn.init.uniform_(values, -bound, bound, generator=generator)
    if hidden is None:
        return nn.Sequential(*layers)
    return nn.Sequential(layers[0], nn.GELU(), _Dropout(dropout, generator), layers[1])


def _mean_and_scale(x: Tensor) -> tuple[Tensor, Tensor]:
    """Returns mean and standard deviation of each feature. [n, d] -> [d], [d]. A constant feature gets deviation 1."""
    mean, scale = x.mean(0), x.std(0, correction=0)
    return mean, torch.where(scale > 1e-6 * (1.0 + mean.abs()), scale, torch.ones_like(scale))


def _train_epoch(
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    inputs: Tensor,
    targets: Tensor,
    batch_size: int,
    generator: torch.Generator,
) -> None:
    net.train()
    for rows in torch.split(torch.randperm(len(inputs), generator=generator), batch_size):
        loss = nn.functional.mse_loss(net(inputs[rows]).squeeze(-1), targets[rows])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
