"""Protocols of a probe: compares the tested tiles with the tiles that each model saw in pretraining."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from geojepa_cli import console
from geojepa_cli.stages.embedding_model import Model
from geojepa_cli.stages.trained_groups import groups_of, learned_without_tiles

if TYPE_CHECKING:
    from geojepa_cli.evaluate.protocols import Protocol
    from geojepa_cli.tasks.dataset import TaskData
    from geojepa_cli.tasks.splits import Groups


def find_protocols(models: Sequence[Model], tested: Groups, regions: Groups) -> dict[str, Protocol]:
    """Returns the protocol of the figures of each model, by reference of the model.

    Args:
        models: tested models and baselines.
        tested: zoom-14 group of each tested tile, int64.
        regions: zoom-14 group of each tile of the tested regions, int64.
    """
    from geojepa_cli.evaluate.protocols import find_protocol

    return {
        model.ref: find_protocol(groups_of(model), tested, regions, learned_without_tiles(model)) for model in models
    }


def choose_fold(data: TaskData, models: Sequence[Model], regions: Groups) -> int | None:
    """Returns the fold of a task that models did not see in pretraining, if they saw the other folds. None: all folds.

    `pretrain --fold` leaves out a fold. The fold is only chosen if it is the same for all models that left out one, and
    if task and models have the same number of folds and the same seed.

    Args:
        data: labels and folds of the task.
        models: models to test.
        regions: zoom-14 group of each tile of the tested regions, int64.
    """
    from geojepa_cli.evaluate.protocols import SEEN, find_protocol

    if data.fold is None:
        return None
    found = set()
    for model in models:
        config = model.data_config()
        if config is None or config.fold is None:
            continue
        seen, tested = groups_of(model), data.eligible & (data.fold == config.fold)
        if (config.folds, config.split_seed) != (data.rule.folds, data.rule.seed) or not (data.kept & tested).any():
            continue
        parts = (data.groups[data.eligible], data.groups[tested])
        names = [find_protocol(seen, part, regions).name for part in parts]
        if names[0] == SEEN and names[1] != SEEN:
            found.add(config.fold)
    if len(found) != 1:
        return None
    (fold,) = found
    console.note(f"testing fold {fold} only, which was left out of pretraining (`--fold {fold}`)")
    return fold
