"""Settings that select the tiles of a training run."""

from __future__ import annotations

from pydantic import Field, model_validator

from geojepa_cli.config.limits import DEFAULT_LIMITS, MAX_FOLDS
from geojepa_cli.config.numbers import MAX_COUNT, MAX_SEED, Int
from geojepa_cli.config.section import ConflictError, Section


class DataConfig(Section):
    """Settings that select the tiles to train on."""

    min_entities: Int = Field(
        default=DEFAULT_LIMITS.low, ge=1, le=MAX_COUNT, description="minimum number of entities in a training tile"
    )
    max_entities: Int = Field(
        default=DEFAULT_LIMITS.high, ge=1, le=MAX_COUNT, description="maximum number of entities in a training tile"
    )
    split_seed: Int = Field(
        default=0,
        ge=0,
        le=MAX_SEED,
        description="random seed that splits the zoom-14 tiles into train, validation and test; must equal the "
        "`--seed` of `build-tasks`",
    )
    exclude_test_groups: bool = Field(
        default=True, description="do not use the tiles of the test split for training; ignored if `fold` is set"
    )
    folds: Int = Field(
        default=5, ge=2, le=MAX_FOLDS, description="number of folds, if `fold` is set; must equal `build-tasks --folds`"
    )
    fold: Int | None = Field(
        default=None,
        ge=0,
        le=MAX_FOLDS - 1,
        examples=[0],
        description="fold that training leaves out, together with the zoom-14 tiles next to it; null: no fold",
    )

    @model_validator(mode="after")
    def _check(self) -> DataConfig:
        if self.min_entities > self.max_entities:
            message = f"min_entities {self.min_entities} is above max_entities {self.max_entities}"
            raise ConflictError(message, "min_entities", "max_entities")
        if self.fold is not None and self.fold >= self.folds:
            message = f"fold {self.fold} is not one of the {self.folds} folds, which are numbered from 0"
            raise ConflictError(message, "fold", "folds")
        return self
