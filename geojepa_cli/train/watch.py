"""Watches a training run: checks the model at regular steps, warns of collapse, and keeps the best weights."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch

from geojepa_cli import console, hints
from geojepa_cli.config.names import BEST_WEIGHTS, CHECKPOINT, KEPT_WEIGHTS
from geojepa_cli.config.schema import TrainConfig
from geojepa_cli.errors import UsageError
from geojepa_cli.models.base import Batch, Pretrainable
from geojepa_cli.models.published import FORMAT
from geojepa_cli.store.tensors import save_tensors
from geojepa_cli.train.alarms import Alarms
from geojepa_cli.train.monitor import Look

PICTURES = "pictures"
CANDIDATES = "best-*.safetensors"  # best weights of an unfinished run; the number is the step

BatchT = TypeVar("BatchT", bound=Batch)


class Watch(Generic[BatchT]):
    """Checks a model at regular steps of its training, and keeps the best weights.

    The state of this object is part of the checkpoint, so a resumed run gives the same warnings and keeps the same
    weights.

    Args:
        monitor: function that computes the figures of a model.
        config: settings. `monitor_every` is the number of steps between two checks. `select` is the figure of the
            training log that decides which weights are the best.
        folder: folder of the run.
        state: state of an interrupted run, from its checkpoint. Empty at the beginning.
    """

    def __init__(
        self,
        monitor: Callable[[Pretrainable[BatchT]], Look],
        config: TrainConfig,
        folder: Path,
        state: Mapping[str, Any],
    ) -> None:
        self._monitor, self._config, self._folder = monitor, config, folder
        self._alarms = Alarms(**state.get("alarms", {}))
        self._best: float | None = state.get("best")
        self._best_step: int = state.get("best_step", 0)

    def look(self, model: Pretrainable[BatchT], step: int, share: float, line: Mapping[str, float]) -> dict[str, Any]:
        """Checks a model: computes its figures, prints warnings, and saves the weights if they are to be kept.

        Args:
            model: model in training.
            step: number of completed steps.
            share: completed fraction of the run, 0 to 1.
            line: losses for the same line of the training log. The setting `train.select` can name one of them.

        Returns:
            Figures for the training log. The key `warnings` lists the warnings, if there are any.

        Raises:
            UsageError: the figure `train.select` is not computed for this model or these tiles.
        """
        model.module.eval()
        with torch.no_grad():
            found = self._monitor(model)
        model.module.train()
        warnings = self._alarms.update(found.findings, step)
        for sentence in warnings:
            console.warn(sentence)
        if found.draw is not None and step in self._config.pictures_at:
            (self._folder / PICTURES).mkdir(exist_ok=True)
            found.draw(f"step {step:,}", self._folder / PICTURES / f"step-{step:09d}.png")
        if step in self._config.keep_at:
            save_tensors(self._folder / KEPT_WEIGHTS.format(step=step), model.module.state_dict(), FORMAT)
        self._select(model, {**line, **found.figures}, step, share, healthy=not found.findings)
        return {**found.figures, "warnings": warnings} if warnings else dict(found.figures)

    def state(self) -> dict[str, Any]:
        """Returns the state of this object, for the checkpoint."""
        return {"alarms": self._alarms.as_json(), "best": self._best, "best_step": self._best_step}

    def settle(self) -> None:
        """Deletes saved weights that are no longer the best.

        Called when a checkpoint was saved or loaded, and at the end of the run. Before that, an interrupted run may
        still need these weights.
        """
        for path in self._folder.glob(CANDIDATES):
            if self._best is None or path != self._candidate():
                path.unlink()

    def forget_later(self, step: int) -> None:
        """Deletes weights of chosen steps after a step.

        Called when a run starts or resumes at this step. The interrupted run saved such weights after its last
        checkpoint. With a time limit, the resumed run may end before it saves them again.
        """
        for kept in self._config.keep_at:
            if kept > step:
                (self._folder / KEPT_WEIGHTS.format(step=kept)).unlink(missing_ok=True)

    def _select(
        self, model: Pretrainable[BatchT], figures: Mapping[str, float], step: int, share: float, healthy: bool
    ) -> None:
        """Saves the weights if they are the best so far.

        Weights of the warm-up are not saved, because an untrained model can have a high effective rank. Weights of a
        collapsed model are not saved either.
        """
        name = self._config.select
        if name == "none":
            return
        if name not in figures and name != "loss":
            usable = hints.again(set={"train.select": "loss"})
            raise UsageError(f"`train.select` is `{name}`, but this figure is not computed in this run", usable)
        if share < self._config.warmup or step == 0 or not healthy:
            return
        value = -figures[name] if name == "loss" else figures[name]
        if self._best is None or value > self._best:
            self._best, self._best_step = value, step
            save_tensors(self._candidate(), model.module.state_dict(), FORMAT)

    def _candidate(self) -> Path:
        return self._folder / CANDIDATES.replace("*", f"{self._best_step:09d}")


def publish_best(folder: Path, config: TrainConfig) -> None:
    """Copies the best weights of a finished run to `weights-best.safetensors`. Warns if weights were not kept.

    Keeps all files from which the run can resume. `discard` removes them.
    """
    found = list(folder.glob(CANDIDATES))
    for path in found:
        shutil.copyfile(path, folder / BEST_WEIGHTS)
    if config.select != "none" and not found:
        console.warn(f"no `{BEST_WEIGHTS}`: the model did not have healthy vectors at any step after the warm-up")
    steps = sorted(set(config.keep_at))
    missing = [step for step in steps if not (folder / KEPT_WEIGHTS.format(step=step)).is_file()]
    if missing:
        console.warn(f"no weights of step {', '.join(map(str, missing))} of `train.keep_at`: the run ended before")


def discard(folder: Path) -> None:
    """Removes the checkpoint and the weights that only an unfinished run needs."""
    (folder / CHECKPOINT).unlink(missing_ok=True)
    for path in folder.glob(CANDIDATES):
        path.unlink()
