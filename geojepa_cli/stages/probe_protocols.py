"""Protocols of a probe. A protocol states what a model saw of the tested tiles in pretraining.

For example, the protocol `transfer` means that pretraining saw no tile of the tested regions.
"""

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
    """Compares the tested tiles with the tiles that each model saw in pretraining.

    Args:
        models: tested models and baselines.
        tested: for each tested tile, the zoom-14 tile (group) that contains it, int64.
        regions: for each tile of the tested regions, the zoom-14 tile (group) that contains it, int64.

    Returns:
        A dict from the reference of each model (`name@id`) to its protocol.
    """
    from geojepa_cli.evaluate.protocols import find_protocol

    return {
        model.ref: find_protocol(groups_of(model), tested, regions, learned_without_tiles(model)) for model in models
    }


def choose_fold(data: TaskData, models: Sequence[Model], regions: Groups) -> int | None:
    """Chooses the fold of a task to test: the fold that `pretrain --fold` left out.

    A model only counts if it saw the other folds in pretraining, and if the folds of the task and of the model have the
    same number and the same random seed. Returns None (all folds) if no model counts, or if models left out different
    folds.

    Args:
        data: labels and folds of the task.
        models: models to test.
        regions: for each tile of the tested regions, the zoom-14 tile (group) that contains it, int64.
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
    console.note(f"testing only fold {fold}, which pretraining left out (`--fold {fold}`)")
    return fold
