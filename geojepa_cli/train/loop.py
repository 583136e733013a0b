"""The self-supervised training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from geojepa_cli.config.schema import PretrainConfig, TrainConfig
from geojepa_cli.console import Meter
from geojepa_cli.errors import GeojepaError
from geojepa_cli.models.jepa.build import mask_rates
from geojepa_cli.models.jepa.jepa import Jepa
from geojepa_cli.models.jepa.objective import objective
from geojepa_cli.store.batch import TileBatch
from geojepa_cli.train.checkpoint import CHECKPOINT, Place, load_checkpoint, save_checkpoint
from geojepa_cli.train.data import TrainingData
from geojepa_cli.train.monitor import Means, MetricsLog, collapse_figures
from geojepa_cli.train.schedule import ema_momentum, learning_rate, weight_decay

METRICS = "metrics.jsonl"
MONITOR_TILES = 128
MONITOR_LINES = 5  # collapse figures stand in every fifth line of the log, the first and the last


@dataclass(frozen=True)
class Result:
    """How a run ended.

    Attributes:
        place: where it stood.
        stopped_by: `max_steps`, `epochs` or `max_minutes`.
        tokens_per_s: of this process, since it began or resumed.
        resumed_from: the step of the checkpoint it went on from, or None.
    """

    place: Place
    stopped_by: str
    tokens_per_s: float
    resumed_from: int | None


def pretrain_jepa(
    model: Jepa, data: TrainingData, config: PretrainConfig, folder: Path, seed: int, meter: Meter | None = None
) -> Result:
    """Trains `model` in place until the first limit of `config.train` is reached.

    Goes on from `folder/checkpoint.safetensors` where there is one, and then ends with the same weights to the bit as
    a run that was never stopped (same number of threads; limits by time aside). Writes `folder/metrics.jsonl`.

    Raises:
        GeojepaError: the loss is no longer a number.
        DataError: the checkpoint is of another model.
    """
    run = _Run(model, data, config, folder, seed)
    try:
        return run.train(meter)
    finally:
        run.log.close()


def build_optimizer(model: Jepa, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW on context encoder and predictor; no weight decay on biases, norms and single tokens."""
    decayed: list[torch.nn.Parameter] = []
    free: list[torch.nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            matrix = parameter.ndim > 1 and not name.endswith("registers")
            (decayed if matrix else free).append(parameter)
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": free, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.lr, betas=(config.beta1, config.beta2), fused=True)


def generator(seed: int, *place: int) -> torch.Generator:
    """The generator of one place of a run (step, batch): a function of its arguments alone."""
    mixed = seed & 0xFFFFFFFF
    for number in place:
        mixed = (mixed * 6364136223846793005 + number + 1442695040888963407) & 0x7FFFFFFFFFFFFFFF
    return torch.Generator().manual_seed(mixed)


class _Run:
    """State of a run: model, optimiser, place, log."""

    def __init__(self, model: Jepa, data: TrainingData, config: PretrainConfig, folder: Path, seed: int) -> None:
        self.model, self.config, self.folder, self.seed = model, config, folder, seed
        self.device = next(model.parameters()).device
        self.data = data if data.device == self.device else data.to(self.device)
        self.optimizer = build_optimizer(model, config.train)
        self.rates = mask_rates(config.masking)
        self.place = Place()
        self.resumed_from: int | None = None
        if (folder / CHECKPOINT).is_file():
            self.place = load_checkpoint(folder / CHECKPOINT, model, self.optimizer)
            self.resumed_from = self.place.step
        self.means = Means(self.place.totals, self.place.total_count)
        self.log = MetricsLog(folder / METRICS, self.place.metrics_bytes)
        self.lines = 0 if self.place.step == 0 else self.place.step // config.train.log_every + 1
        self.epoch_batches = data.sampler.n_batches(self.place.epoch)
        self.fixed = data.fixed_batch(MONITOR_TILES, seed).to(self.device)

    def train(self, meter: Meter | None) -> Result:
        train = self.config.train
        self.model.train()
        begun, done_before, tokens_before = time.monotonic(), self.place.elapsed_s, self.place.tokens
        batches = self._batches()
        if self.place.step == 0:
            self._write_line()
        reason = self._stop_reason()
        while reason is None:
            self._step(batches)
            self.place.elapsed_s = done_before + time.monotonic() - begun
            reason = self._stop_reason()
            if reason is not None or self.place.step % train.log_every == 0:
                self._write_line(last=reason is not None)
            if self.place.step % train.checkpoint_every == 0:
                self._checkpoint()
            if meter is not None:
                rate = (self.place.tokens - tokens_before) / max(time.monotonic() - begun, 1e-9)
                said = f"pretrain: step {self.place.step}, loss {self.last_loss:.3f}, {rate:,.0f} tokens/s"
                meter.update(100.0 * self._progress(), 100.0, said)
        self.log.flush()
        seconds = max(time.monotonic() - begun, 1e-9)
        return Result(self.place, reason, (self.place.tokens - tokens_before) / seconds, self.resumed_from)

    def _batches(self) -> Iterator[TileBatch]:
        """Batches without end, from the place on; moves the place along."""
        while True:
            for batch in self.data.batches(self.place.epoch, self.place.batch):
                self.place.batch += 1
                if self.place.batch >= self.epoch_batches:
                    self.place.epoch, self.place.batch = self.place.epoch + 1, 0
                    self.epoch_batches = self.data.sampler.n_batches(self.place.epoch)
                yield batch
                if self.place.batch == 0:
                    break

    def _step(self, batches: Iterator[TileBatch]) -> None:
        train, place = self.config.train, self.place
        progress = self._progress()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(train, progress)
            if group["weight_decay"]:
                group["weight_decay"] = weight_decay(train, progress)
        sums: dict[str, float] = {}
        for part in range(train.accumulation):
            batch = next(batches)
            for name, value in self._backward(batch, generator(self.seed, place.step, part)).items():
                sums[name] = sums.get(name, 0.0) + value / train.accumulation
            place.tiles += batch.n_tiles
        trained = [p for group in self.optimizer.param_groups for p in group["params"]]
        sums["grad_norm"] = float(torch.nn.utils.clip_grad_norm_(trained, train.grad_clip))
        if not math.isfinite(sums["loss"]) or not math.isfinite(sums["grad_norm"]):
            lower = f"--set train.lr={train.lr / 3:.1g} --no-resume"
            raise GeojepaError(f"the loss is {sums['loss']} at step {place.step}", hint=f"a lower rate: {lower}")
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.model.update_target(ema_momentum(train, progress))
        place.step += 1
        self.last_loss = sums["loss"]
        self.means.add(sums)

    def _backward(self, batch: TileBatch, rng: torch.Generator) -> dict[str, float]:
        train = self.config.train
        with torch.autocast(self.device.type, torch.bfloat16, enabled=train.precision == "bfloat16"):
            output = self.model(batch, self.data.tag_table, self.rates, rng)
        loss, parts = objective(output, self.config.loss)
        (loss / train.accumulation).backward()
        self.place.tokens += output.tokens
        return {name: float(value) for name, value in parts.items()}

    def _progress(self) -> float:
        """The largest share that any limit is used up to."""
        train, place = self.config.train, self.place
        shares = [0.0]
        if train.max_steps:
            shares.append(place.step / train.max_steps)
        if train.epochs:
            shares.append((place.epoch + place.batch / max(self.epoch_batches, 1)) / train.epochs)
        if train.max_minutes:
            shares.append(place.elapsed_s / (60.0 * train.max_minutes))
        return min(max(shares), 1.0)

    def _stop_reason(self) -> str | None:
        train, place = self.config.train, self.place
        if train.max_steps is not None and place.step >= train.max_steps:
            return "max_steps"
        if train.epochs is not None and place.epoch + place.batch / max(self.epoch_batches, 1) >= train.epochs:
            return "epochs"
        if train.max_minutes is not None and place.elapsed_s >= 60.0 * train.max_minutes:
            return "max_minutes"
        return None

    def _write_line(self, last: bool = False) -> None:
        place, progress = self.place, self._progress()
        line: dict[str, Any] = {"step": place.step, "epoch": place.epoch, "tokens": place.tokens, "tiles": place.tiles}
        line |= {"lr": learning_rate(self.config.train, progress), **self.means.take()}
        if last or self.lines % MONITOR_LINES == 0:
            self.model.eval()
            line |= collapse_figures(self.model.target_encoder, self.fixed, self.data.tag_table)
            self.model.train()
        self.lines += 1
        self.log.write(line)

    def _checkpoint(self) -> None:
        self.place.metrics_bytes = self.log.flush()
        self.place.totals, self.place.total_count = dict(self.means.totals), self.means.count
        save_checkpoint(self.folder / CHECKPOINT, self.model, self.optimizer, self.place)
