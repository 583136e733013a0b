"""Settings that watch a training run: figures, choice of weights, TensorBoard."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from geojepa_cli.config.numbers import Int
from geojepa_cli.config.section import Section

MAX_STEPS = 1_000_000_000

Select = Literal["none", "rankme_tiles", "rankme_tokens", "probe", "knn", "loss"]


class WatchConfig(Section):
    """Settings of the monitor. None of them changes the weights at the end of the training."""

    monitor_every: Int = Field(
        default=50, ge=1, le=MAX_STEPS, description="number of steps between two looks at the vectors (monitoring)"
    )
    select: Select = Field(
        default="none",
        description="figure of the training log that chooses the weights in `weights-best.safetensors`; loss: the "
        "lowest, others: the highest after the warm-up; none: only the last weights are kept",
    )
    pictures_at: tuple[Annotated[Int, Field(ge=0, le=MAX_STEPS)], ...] = Field(
        default=(), max_length=1000, description="steps at which a picture of the vectors is written"
    )
    tensorboard: bool = Field(default=False, description="also write the training log for TensorBoard")

    def looks_at(self, step: int) -> bool:
        """Returns True if the monitor looks at the model after this number of steps."""
        return step % self.monitor_every == 0 or step in self.pictures_at
