"""Training loop for any model that implements the protocol `Pretrainable`."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from geojepa_cli import hints
from geojepa_cli.config.schema import TrainConfig
from geojepa_cli.console import Meter
from geojepa_cli.errors import GeojepaError
from geojepa_cli.models.base import Batch, Pretrainable
from geojepa_cli.nn.layers.transformer import compile_blocks, recompute_activations
from geojepa_cli.train.ahead import Ahead, Prepared
from geojepa_cli.train.checkpoint import CHECKPOINT, Progress, load_checkpoint, save_checkpoint
from geojepa_cli.train.log import METRICS, Means, MetricsLog
from geojepa_cli.train.monitor import Look
from geojepa_cli.train.schedule import learning_rate, weight_decay
from geojepa_cli.train.tensorboard import Board
from geojepa_cli.train.watch import Watch

BatchT = TypeVar("BatchT", bound=Batch)
DataT = TypeVar("DataT", bound=Batch, covariant=True)


class Data(Protocol[DataT]):
    """Interface of training data: `train.data.TrainingData` or `train.glyphs.GlyphData`."""

    @property
    def device(self) -> torch.device:
        """Device that batches are on."""

    def n_batches(self, epoch: int) -> int:
        """Returns the number of batches in an epoch."""

    def batches(self, epoch: int, position: int) -> Iterator[DataT]:
        """Yields the batches of an epoch, from the batch with index `position`."""

    def monitor(self, seed: int) -> Callable[[Pretrainable[DataT]], Look]:
        """Returns a function that computes figures of a model for the training log, always on the same data."""


@dataclass(frozen=True)
class Result:
    """Result of a training run.

    Attributes:
        progress: numbers of steps, epochs, tokens and tiles at the end of the run.
        stopped_by: limit that ended the run: `max_steps`, `epochs` or `max_minutes`.
        tokens_per_s: throughput in tokens per second. For a resumed run, it is computed from the tokens and the time
            after the run was resumed.
        resumed_from: step of the checkpoint from which the run was resumed. None if it started from the beginning.
    """

    progress: Progress
    stopped_by: str
    tokens_per_s: float
    resumed_from: int | None


def train(
    model: Pretrainable[BatchT],
    data: Data[BatchT],
    config: TrainConfig,
    folder: Path,
    seed: int,
    meter: Meter | None = None,
) -> Result:
    """Trains a model until the first limit in the configuration is reached. The model's weights are changed in place.

    If the folder has a checkpoint, training resumes from it. On a CPU, a resumed run gives exactly the same weights as
    an uninterrupted run with the same number of threads, unless a time limit is set.

    Args:
        model: untrained model.
        data: training data, on the model's device.
        config: settings of the optimiser, the schedules and the limits.
        folder: folder for the training log `metrics.jsonl` and the checkpoint `checkpoint.safetensors`.
        seed: random seed of the training steps, for example of the masks.
        meter: progress display to update, or None.

    Raises:
        GeojepaError: the loss or its gradient is not finite.
        DataError: the checkpoint is unreadable or belongs to another model.
    """
    run = _Run(model, data, config, folder, seed)
    if config.compile:
        compile_blocks(model.module)
    if config.recompute:
        recompute_activations(model.module)
    steps = Ahead(run.prepared(), data.device)
    try:
        return run.train(steps, meter)
    finally:
        steps.close()
        run.log.close()


def build_optimizer(module: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """Returns an AdamW optimiser for all trainable parameters of a module.

    Weight decay applies to weight matrices only, not to biases, normalisation layers, mask tokens and register tokens.
    """
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            is_matrix = parameter.ndim > 1 and not name.endswith("registers")
            (decayed if is_matrix else free).append(parameter)
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": free, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.lr, betas=(config.beta1, config.beta2), fused=True)


def generator(seed: int, *place: int) -> torch.Generator:
    """Returns a new random generator for one batch of a training run.

    Args:
        seed: random seed of the run.
        place: step number, and index of the batch within the step. The generator is seeded with `seed` and these
            numbers, so each batch gets different random numbers.
    """
    mixed = seed & 0xFFFFFFFF
    for number in place:
        mixed = (mixed * 6364136223846793005 + number + 1442695040888963407) & 0x7FFFFFFFFFFFFFFF
    return torch.Generator().manual_seed(mixed)


class _Run(Generic[BatchT]):
    """State of a training run: model, optimiser, progress and log."""

    def __init__(
        self, model: Pretrainable[BatchT], data: Data[BatchT], config: TrainConfig, folder: Path, seed: int
    ) -> None:
        self.model, self.data, self.config, self.folder, self.seed = model, data, config, folder, seed
        self.optimizer = build_optimizer(model.module, config)
        self.progress = Progress()
        self.resumed_from: int | None = None
        if (folder / CHECKPOINT).is_file():
            self.progress = load_checkpoint(folder / CHECKPOINT, model.module, self.optimizer)
            self.resumed_from = self.progress.step
        self.last_loss = math.nan
        self.unchecked: list[Tensor] = []  # loss and gradient norm of steps that were not yet checked
        self.means = Means(self.progress.totals, self.progress.total_count)
        board = Board(folder, self.progress.step) if config.tensorboard else None
        self.log = MetricsLog(folder / METRICS, self.progress.metrics_bytes, board)
        self.epoch_batches = data.n_batches(self.progress.epoch)
        self.watch = Watch(data.monitor(seed), config, folder, self.progress.watch)
        self.watch.settle()

    def train(self, steps: Iterator[Prepared], meter: Meter | None) -> Result:
        self.model.module.train()
        started, done_before, tokens_before = time.monotonic(), self.progress.elapsed_s, self.progress.tokens
        if self.progress.step == 0:
            self._write_line()
        reason = self._stop_reason()
        while reason is None:
            self._step(steps)
            self.progress.elapsed_s = done_before + time.monotonic() - started
            reason = self._stop_reason()
            step = self.progress.step
            ends_line = reason is not None or step % self.config.log_every == 0 or self.watch.due(step)
            ends_part = step % self.config.checkpoint_every == 0
            if ends_line or ends_part or self.data.device.type != "cuda":
                self._check()
            if ends_line:
                self._write_line(last=reason is not None)
            if ends_part:
                self._save_checkpoint()
            if meter is not None:
                rate = (self.progress.tokens - tokens_before) / max(time.monotonic() - started, 1e-9)
                state = f"pretrain: step {self.progress.step}, loss {self.last_loss:.3f}, {rate:,.0f} tokens/s"
                meter.update(100.0 * self._share_done(), 100.0, state)
        self.log.flush()
        self.watch.settle()
        seconds = max(time.monotonic() - started, 1e-9)
        return Result(self.progress, reason, (self.progress.tokens - tokens_before) / seconds, self.resumed_from)

    def prepared(self) -> Iterator[Prepared]:
        """Prepares batches without end, starting with the next batch of the run."""
        progress, data, parts = self.progress, self.data, self.config.accumulation
        epoch, position, step, part = progress.epoch, progress.batch, progress.step, 0
        while True:
            count = data.n_batches(epoch)
            for batch in data.batches(epoch, position):
                compute = self.model.prepare(batch, generator(self.seed, step, part))
                position += 1
                if position >= count:
                    epoch, position = epoch + 1, 0
                yield Prepared(compute, batch.n_tiles, epoch, position)
                step, part = (step, part + 1) if part + 1 < parts else (step + 1, 0)
                if position == 0:
                    break

    def _step(self, steps: Iterator[Prepared]) -> None:
        config, progress = self.config, self.progress
        share = self._share_done()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(config, share)
            if group["weight_decay"]:
                group["weight_decay"] = weight_decay(config, share)
        sums: dict[str, Tensor] = {}
        for _ in range(config.accumulation):
            prepared = next(steps)
            for name, value in self._backward(prepared).items():
                sums[name] = sums.get(name, 0.0) + value / config.accumulation
            progress.tiles += prepared.tiles
            if (progress.epoch, progress.batch) != (prepared.epoch, prepared.batch):
                if progress.epoch != prepared.epoch:
                    self.epoch_batches = self.data.n_batches(prepared.epoch)
                progress.epoch, progress.batch = prepared.epoch, prepared.batch
        trained = [p for group in self.optimizer.param_groups for p in group["params"]]
        sums["grad_norm"] = torch.nn.utils.clip_grad_norm_(trained, config.grad_clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.model.finish_step(share)
        progress.step += 1
        self.unchecked.append(torch.stack([sums["loss"].detach().float(), sums["grad_norm"].float()]))
        self.means.add(sums)

    def _backward(self, prepared: Prepared) -> Mapping[str, Tensor]:
        half = self.config.precision == "bfloat16"
        with torch.autocast(self.data.device.type, torch.bfloat16, enabled=half):
            losses = prepared.compute()
        (losses.loss / self.config.accumulation).backward()
        self.progress.tokens += losses.tokens
        return losses.parts

    def _check(self) -> None:
        """Raises an error if the loss or the gradient of a step since the last check is not finite.

        On a GPU, each check waits for the GPU. So the loop checks only before it writes a line of the log or a
        checkpoint, not after every step.
        """
        values = torch.stack(self.unchecked).tolist()
        first = self.progress.step - len(values)
        self.unchecked.clear()
        for step, (loss, norm) in enumerate(values, first):
            if not math.isfinite(loss) or not math.isfinite(norm):
                lower = hints.again(set={"train.lr": f"{self.config.lr / 3:.1g}"}, no_resume=True)
                raise GeojepaError(f"loss {loss} or gradient norm {norm} is not finite in step {step}", lower)
        self.last_loss = values[-1][0]

    def _share_done(self) -> float:
        """Returns the completed fraction of the run, 0 to 1: the largest of the fractions of steps, epochs and time."""
        config, progress = self.config, self.progress
        shares = [0.0]
        if config.max_steps:
            shares.append(progress.step / config.max_steps)
        if config.epochs:
            shares.append((progress.epoch + progress.batch / max(self.epoch_batches, 1)) / config.epochs)
        if config.max_minutes:
            shares.append(progress.elapsed_s / (60.0 * config.max_minutes))
        return min(max(shares), 1.0)

    def _stop_reason(self) -> str | None:
        config, progress = self.config, self.progress
        if config.max_steps is not None and progress.step >= config.max_steps:
            return "max_steps"
        epochs = progress.epoch + progress.batch / max(self.epoch_batches, 1)
        if config.epochs is not None and epochs >= config.epochs:
            return "epochs"
        if config.max_minutes is not None and progress.elapsed_s >= 60.0 * config.max_minutes:
            return "max_minutes"
        return None

    def _write_line(self, last: bool = False) -> None:
        progress = self.progress
        line: dict[str, Any] = {name: getattr(progress, name) for name in ("step", "epoch", "tokens", "tiles")}
        done = self._share_done()
        line |= {"done": done, "lr": learning_rate(self.config, done), "weight_decay": weight_decay(self.config, done)}
        line |= self.means.take()
        if last or self.watch.due(progress.step):
            line |= self.watch.look(self.model, progress.step, done, line)
        self.log.write(line)

    def _save_checkpoint(self) -> None:
        self.progress.metrics_bytes = self.log.flush()
        self.progress.totals, self.progress.total_count = dict(self.means.totals), self.means.count
        self.progress.watch = self.watch.state()
        save_checkpoint(self.folder / CHECKPOINT, self.model.module, self.optimizer, self.progress)
        self.watch.settle()
