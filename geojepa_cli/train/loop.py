"""Training loop for any model that implements the protocol `Pretrainable`."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from geojepa_cli import hints
from geojepa_cli.config.names import CHECKPOINT, METRICS
from geojepa_cli.config.schema import TrainConfig
from geojepa_cli.console import Meter
from geojepa_cli.errors import GeojepaError
from geojepa_cli.models.base import Batch, Collecting, Pretrainable, StepLosses
from geojepa_cli.nn.layers.transformer import compile_blocks, recompute_activations
from geojepa_cli.train.ahead import Ahead
from geojepa_cli.train.checkpoint import Progress, load_checkpoint, save_checkpoint
from geojepa_cli.train.log import Means, MetricsLog
from geojepa_cli.train.optimizer import build_optimizer, set_learning_rate, set_weight_decay
from geojepa_cli.train.ranks import Ranks
from geojepa_cli.train.schedule import learning_rate, weight_decay
from geojepa_cli.train.shortage import MemoryUse, is_shortage
from geojepa_cli.train.steps import Data, Place, Prepared, prepare_steps
from geojepa_cli.train.tensorboard import Board
from geojepa_cli.train.termination import Termination
from geojepa_cli.train.watch import Watch

BatchT = TypeVar("BatchT", bound=Batch)
TERMINATED = "SIGTERM"


@dataclass(frozen=True)
class Result:
    """Result of a training run.

    Attributes:
        progress: numbers of steps, epochs, tokens and tiles at the end of the run.
        stopped_by: limit that ended the run: `max_steps`, `epochs` or `max_minutes`. `SIGTERM` if the run received this
            signal. Then the run is not complete, and has saved a checkpoint.
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
    ranks: Ranks = Ranks.alone(),
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
        ranks: processes of the run. Every process calls this function; process 0 writes the files.

    Raises:
        GeojepaError: the loss or its gradient is not finite.
        DataError: the checkpoint is unreadable or belongs to another model.
        UsageError: a step runs out of memory, or there are more processes than batches per step.
    """
    ranks.check_accumulation(config.accumulation)
    run = _Run(model, data, config, folder, seed, ranks)
    if config.compile:
        compile_blocks(model.module)
    if config.recompute:
        recompute_activations(model.module)
    steps = Ahead(run.prepared(), data.device)
    try:
        return run.train(steps, meter)
    finally:
        steps.close()
        run.close()


class _Run(Generic[BatchT]):
    """State of a training run: model, optimiser, progress and log."""

    def __init__(
        self,
        model: Pretrainable[BatchT],
        data: Data[BatchT],
        config: TrainConfig,
        folder: Path,
        seed: int,
        ranks: Ranks = Ranks.alone(),
    ) -> None:
        self.model, self.data, self.config, self.folder, self.seed = model, data, config, folder, seed
        self.ranks = ranks
        self.optimizer = build_optimizer(model.module, config)
        self.progress = Progress()
        self.resumed_from: int | None = None
        if (folder / CHECKPOINT).is_file():
            self.progress = load_checkpoint(folder / CHECKPOINT, model.module, self.optimizer)
            self.resumed_from = self.progress.step
        ranks.check_same_step(self.progress.step)
        ranks.copy_weights(model.module)
        self.memory = MemoryUse(data.device)
        self.last_loss = math.nan
        self.unchecked: list[Tensor] = []  # loss and gradient norm of steps that were not yet checked
        self.means = Means(self.progress.totals, self.progress.total_count, ranks)
        self.epoch_batches = data.n_batches(self.progress.epoch)
        self.log: MetricsLog | None = None
        self.watch: Watch[BatchT] | None = None
        if ranks.leads:
            board = Board(folder, self.progress.step) if config.tensorboard else None
            self.log = MetricsLog(folder / METRICS, self.progress.metrics_bytes, board)
            self.watch = Watch(data.monitor(seed), config, folder, self.progress.watch)
            self.watch.settle()
            self.watch.forget_later(self.progress.step)

    def train(self, steps: Iterator[Prepared], meter: Meter | None) -> Result:
        self.model.module.train()
        started, done_before, tokens_before = time.monotonic(), self.progress.elapsed_s, self.progress.tokens
        if self.progress.step == 0:
            self._write_line()
        reason = self._stop_reason()
        with Termination() as termination:
            while reason is None:
                self._try_step(steps)
                elapsed_s = done_before + time.monotonic() - started
                terminated = self._agree(elapsed_s, termination.requested)
                reason = self._stop_reason()
                step = self.progress.step
                ends_line = reason is not None or step % self.config.log_every == 0 or self.config.looks_at(step)
                ends_part = step % self.config.checkpoint_every == 0 or (terminated and reason is None)
                if ends_line or ends_part or self.data.device.type != "cuda":
                    self._check()
                if ends_line:
                    self._write_line(last=reason is not None)
                if ends_part:
                    self._save_checkpoint()
                if terminated and reason is None:
                    reason = TERMINATED
                if meter is not None:
                    rate = (self.progress.tokens - tokens_before) / max(time.monotonic() - started, 1e-9)
                    state = f"pretrain: step {self.progress.step}, loss {self.last_loss:.3f}, {rate:,.0f} tokens/s"
                    meter.update(100.0 * self._share_done(), 100.0, state)
        if self.log is not None and self.watch is not None:
            self.log.flush()
            self.watch.settle()
        seconds = max(time.monotonic() - started, 1e-9)
        return Result(self.progress, reason, (self.progress.tokens - tokens_before) / seconds, self.resumed_from)

    def prepared(self) -> Iterator[Prepared]:
        """Prepares the batches of this process without end, starting with the next step of the run."""
        start = Place(self.progress.step, self.progress.epoch, self.progress.batch)
        return prepare_steps(self.model, self.data, self.seed, self.config.accumulation, start, self.ranks)

    def close(self) -> None:
        """Closes the training log."""
        if self.log is not None:
            self.log.close()

    def _step(self, steps: Iterator[Prepared]) -> None:
        config, progress = self.config, self.progress
        share = self._share_done()
        set_learning_rate(self.optimizer, learning_rate(config, share))
        set_weight_decay(self.optimizer, weight_decay(config, share))
        sums: dict[str, Tensor] = {}
        rows: list[Tensor] = []  # of this process
        tokens = tiles = 0  # of this process
        for _ in self.ranks.parts(config.accumulation):
            prepared = next(steps)
            losses = self._backward(prepared)
            for name, value in losses.parts.items():
                sums[name] = sums.get(name, 0.0) + value / config.accumulation
            tokens, tiles = tokens + losses.tokens, tiles + prepared.tiles
            rows += [] if losses.rows is None else [losses.rows]
        if progress.epoch != prepared.epoch:
            self.epoch_batches = self.data.n_batches(prepared.epoch)
        progress.epoch, progress.batch = prepared.epoch, prepared.batch
        trained = [p for group in self.optimizer.param_groups for p in group["params"]]
        self.ranks.sum_gradients(trained)
        norm = torch.nn.utils.clip_grad_norm_(trained, config.grad_clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.model.finish_step(share)
        if isinstance(self.model, Collecting):
            self.model.collect(self.ranks.gather_rows(rows, config.accumulation))
        tokens, tiles = map(int, self.ranks.sum_numbers([tokens, tiles]))
        progress.step += 1
        progress.tokens += tokens
        progress.tiles += tiles
        self.unchecked.append(torch.stack([sums["loss"].detach().float(), norm.float()]))
        if self.ranks.leads:
            sums["grad_norm"] = norm  # equal in all processes
        self.means.add(sums)

    def _backward(self, prepared: Prepared) -> StepLosses:
        half = self.config.precision == "bfloat16"
        with torch.autocast(self.data.device.type, torch.bfloat16, enabled=half):
            losses = prepared.compute()
        (losses.loss / self.config.accumulation).backward()
        self.memory.note(losses.tokens)
        return losses

    def _try_step(self, steps: Iterator[Prepared]) -> None:
        """Runs a step. If it runs out of memory, raises an error that suggests a smaller `train.batch_tokens`."""
        self.memory.start_step()
        try:
            self._step(steps)
        except (RuntimeError, MemoryError) as error:
            if not is_shortage(error):
                raise
            raise self.memory.error(self.progress.step, self.config, self.data.batch_tokens) from error

    def _agree(self, elapsed_s: float, terminated: bool) -> bool:
        """Makes all processes use the training time of process 0. Returns True if a process has received SIGTERM."""
        own = elapsed_s if self.ranks.leads else 0.0
        self.progress.elapsed_s, signals = self.ranks.sum_numbers([own, float(terminated)])
        return signals > 0

    def _check(self) -> None:
        """Raises an error if the loss or the gradient of a step since the last check is not finite.

        Process 0 checks for all, because gradients are summed over all processes.

        On a GPU, each check waits for the GPU. So the loop checks only before it writes a line of the log or a
        checkpoint, not after every step.
        """
        unchecked, self.unchecked = self.unchecked, []
        if not self.ranks.leads:
            return
        values = torch.stack(unchecked).tolist()
        first = self.progress.step - len(values)
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
        if self.log is None or self.watch is None:
            return
        if last or self.config.looks_at(progress.step):
            line |= self.watch.look(self.model, progress.step, done, line)
        self.log.write(line)

    def _save_checkpoint(self) -> None:
        self.progress.totals, self.progress.total_count = self.means.totals(), self.means.count
        if self.log is None or self.watch is None:
            return
        self.progress.metrics_bytes = self.log.flush()
        self.progress.watch = self.watch.state()
        save_checkpoint(self.folder / CHECKPOINT, self.model.module, self.optimizer, self.progress)
        self.watch.settle()
