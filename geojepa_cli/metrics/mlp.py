"""Regression by gradient descent: a two-layer MLP or a linear model, which predict labels from embedding vectors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

MAX_EPOCHS = 200  # GeoJEPA thesis, section 6.4.1
PATIENCE = 5  # epochs without an improvement after which training stops
PLATEAU = 1  # epochs without an improvement that do not reduce the learning rate
IMPROVEMENT = 0.02  # an improvement lowers the validation error by at least this share
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
        return _forward(self.net, (x.float() - self.mean) / self.scale) * self.y_scale + self.y_mean


def fit_mlp(
    x: Tensor,
    y: Tensor,
    x_val: Tensor,
    y_val: Tensor,
    hidden: int | None = 256,
    max_epochs: int = MAX_EPOCHS,
    patience: int = PATIENCE,
    batch_size: int | None = None,
    learning_rate: float = 2e-3,
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
        patience: training stops after this number of epochs without an improvement. An improvement is a validation MAE
            at least 2 % below that of the previous improvement.
        batch_size: rows per step. None means a 32nd of the rows, but at least 64 and at most 256.
        learning_rate: initial learning rate. It is halved after every two epochs without an improvement.
        weight_decay, dropout: weight decay of AdamW, and dropout probability of the hidden layer.
        seed: random seed of initial weights, row order and dropout.
        clamp: minimum and maximum to which predictions are clipped before the MAE is computed. None: no clipping.
    """
    x, y = x.float(), y.float()
    batch_size = batch_size or min(256, max(64, len(x) // 32))
    if not len(x_val):
        x_val, y_val = x, y
    mean, scale = _mean_and_scale(x)
    y_mean, y_scale = float(y.mean()), float(y.std(correction=0)) or 1.0
    generator = torch.Generator().manual_seed(seed)
    net = _network(x.shape[1], hidden, generator)
    optimizer = torch.optim.AdamW(net.parameters(), lr=learning_rate, weight_decay=weight_decay, fused=True)
    schedule = ReduceLROnPlateau(optimizer, factor=0.5, patience=PLATEAU, threshold=IMPROVEMENT)
    inputs, inputs_val = (x - mean).div_(scale), (x_val.float() - mean).div_(scale)
    targets, labels_val = (y - y_mean) / y_scale, y_val.float()
    best_error, best_epoch, best_state = float("inf"), 0, _copy_state(net)
    improved_error, improved_epoch = float("inf"), 0
    for epoch in range(1, max_epochs + 1):
        _train_epoch(net, optimizer, inputs, targets, batch_size, dropout, generator)
        error = _absolute_error(_forward(net, inputs_val) * y_scale + y_mean, labels_val, clamp)
        schedule.step(error)
        if error < best_error:
            best_error, best_epoch, best_state = error, epoch, _copy_state(net)
        if error < improved_error * (1.0 - IMPROVEMENT):
            improved_error, improved_epoch = error, epoch
        elif epoch - improved_epoch >= patience:
            break
    net.load_state_dict(best_state)
    return TrainedHead(net, mean, scale, y_mean, y_scale, best_epoch)


def _network(width: int, hidden: int | None, generator: torch.Generator) -> nn.Sequential:
    """Returns a network of one or two linear layers with the initial weights of `nn.Linear`."""
    sizes = [(width, 1)] if hidden is None else [(width, hidden), (hidden, 1)]
    layers = [nn.Linear(inputs, outputs, device="meta").to_empty(device="cpu") for inputs, outputs in sizes]
    for layer in layers:
        bound = layer.in_features**-0.5
        for values in (layer.weight, layer.bias):
            nn.init.uniform_(values, -bound, bound, generator=generator)
    return nn.Sequential(*layers) if hidden is None else nn.Sequential(layers[0], nn.GELU(), layers[1])


def _copy_state(net: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in net.state_dict().items()}


def _mean_and_scale(x: Tensor) -> tuple[Tensor, Tensor]:
    """Returns mean and standard deviation of each feature. [n, d] -> [d], [d]. A constant feature gets deviation 1."""
    mean, scale = x.mean(0), x.std(0, correction=0)
    return mean, torch.where(scale > 1e-6 * (1.0 + mean.abs()), scale, torch.ones_like(scale))


@torch.no_grad()
def _forward(net: nn.Module, inputs: Tensor) -> Tensor:
    predicted: Tensor = net(inputs).squeeze(-1)
    return predicted


def _absolute_error(predicted: Tensor, labels: Tensor, clamp: tuple[float, float] | None) -> float:
    return float(((predicted if clamp is None else predicted.clamp(*clamp)) - labels).abs().mean())


@torch.no_grad()
def _train_epoch(
    net: nn.Sequential,
    optimizer: torch.optim.Optimizer,
    inputs: Tensor,
    targets: Tensor,
    batch_size: int,
    dropout: float,
    generator: torch.Generator,
) -> None:
    for rows in torch.split(torch.randperm(len(inputs), generator=generator), batch_size):
        set_gradients(net, inputs.index_select(0, rows), targets[rows], dropout, generator)
        optimizer.step()


@torch.no_grad()
def set_gradients(net: nn.Sequential, x: Tensor, y: Tensor, dropout: float, generator: torch.Generator) -> None:
    """Sets the gradients of the mean squared error of a network of one or two linear layers, with GELU between them.

    The steps of a head are so small that autograd would take a large part of their time.

    Args:
        net: the network.
        x, y: features [n, d] and labels [n].
        dropout: dropout probability of the hidden layer.
        generator: random generator of dropout.
    """
    first, last = net[0], net[-1]
    assert isinstance(first, nn.Linear) and isinstance(last, nn.Linear)
    hidden = x
    if first is not last:
        before = first(x)
        kept = torch.rand(before.shape, generator=generator).ge_(dropout).mul_(1.0 / (1.0 - dropout))
        hidden = nn.functional.gelu(before).mul_(kept)
    slope = (last(hidden).squeeze(-1) - y).mul_(2.0 / len(x))
    last.weight.grad, last.bias.grad = slope[None] @ hidden, slope.sum(0, keepdim=True)
    if first is not last:
        back = torch.ops.aten.gelu_backward(kept.mul_(slope[:, None]).mul_(last.weight), before)
        first.weight.grad, first.bias.grad = back.T @ x, back.sum(0)
