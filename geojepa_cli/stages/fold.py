"""The fold that pretraining leaves out."""

from __future__ import annotations

from collections.abc import Sequence

from geojepa_cli import hints
from geojepa_cli.errors import UsageError


def check_fold(config: str, pairs: Sequence[str], fold: int) -> int:
    """Returns the number of a fold, if the configuration has this fold and names no other one."""
    from geojepa_cli.config.data import DataConfig
    from geojepa_cli.config.load import load_run_config

    data = getattr(load_run_config(config, pairs), "data", DataConfig())
    if data.fold not in (None, fold):
        words = f"`data.fold` of the settings is {data.fold}"
        raise UsageError(f"`--fold {fold}`: {words}, expected the same fold", hints.again(fold=data.fold))
    if not 0 <= fold < data.folds:
        expected = f"expected 0 to {data.folds - 1}, as `data.folds` is {data.folds}"
        raise UsageError(f"`--fold {fold}` does not exist: {expected}", hints.again(fold=0))
    return fold
