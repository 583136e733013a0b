"""Settings of the monitor, which measures the quality of a model during training and keeps the best weights."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from geojepa_cli.config.numbers import Int
from geojepa_cli.config.section import Section

MAX_STEPS = 1_000_000_000

Select = Literal["none", "rankme_tiles", "rankme_tokens", "probe", "knn", "loss"]


class WatchConfig(Section):
    """Settings of the monitor, which measures the quality of a model during training. They do not affect training."""

    monitor_every: Int = Field(
        default=50,
        ge=1,
        le=MAX_STEPS,
        description="number of steps between two measurements of the quality of the vectors",
    )
    select: Select = Field(
        default="none",
        description="figure of the training log by which the weights in `weights-best.safetensors` are chosen, after "
        "the warm-up: the lowest `loss`, or the highest value of another figure; `none` keeps only the last weights",
    )
    keep_at: tuple[Annotated[Int, Field(ge=0, le=MAX_STEPS)], ...] = Field(
        default=(),
        max_length=1000,
        description="list of steps whose weights are kept in `weights-step-N.safetensors`, to compare a model over its "
        "training; the monitor also measures the model after these steps",
    )
    pictures_at: tuple[Annotated[Int, Field(ge=0, le=MAX_STEPS)], ...] = Field(
        default=(), max_length=1000, description="list of steps at which a plot of the vectors is saved"
    )
    tensorboard: bool = Field(default=False, description="also write the training log in the format of TensorBoard")

    def looks_at(self, step: int) -> bool:
        """Returns True if the monitor measures the model after this number of steps."""
        return step % self.monitor_every == 0 or step in self.pictures_at or step in self.keep_at
