"""Trains supervised baselines, such as `tagformer-p`, on the labels of a probe: one run for each model and fold."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from geojepa_cli.stages.device import pick_device
from geojepa_cli.stages.embedding_model import Model
from geojepa_cli.stages.features import FILE as FEATURES_FILE
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geojepa_cli.baselines.supervised import TaskTiles
    from geojepa_cli.evaluate.folds import Floats, Fold
    from geojepa_cli.store.store import TileStore
    from geojepa_cli.store.view import View
    from geojepa_cli.tasks.dataset import TaskData

    Fit = Callable[[Fold, tuple[float, float], int, bool], Floats]


class SupervisedRuns:
    """Trains supervised models on the folds of a probe. Records the cost of the runs with all training labels.

    Args:
        workspace: workspace that contains the artifacts.
        models: models of a probe. Models that are not supervised are skipped.
        regions: `processed/` artifacts of the regions.
        device: `cpu`, `cuda` or `auto`.
    """

    def __init__(
        self, workspace: Workspace, models: Sequence[Model], regions: Sequence[Artifact], device: str = "auto"
    ) -> None:
        self._models = [model for model in models if model.supervised]
        self._device = device
        self.features = [self._models[0].tag_features(workspace, region) for region in regions if self._models]
        self._costs: dict[str, dict[str, Any]] = {}
        self._seconds: dict[str, dict[int, float]] = {}  # by label and seed

    @property
    def params(self) -> dict[str, Any]:
        """Parameters of the `probes/` artifact: configurations of the supervised models. Empty if there are none."""
        from geojepa_cli.baselines.registry import supervised_config

        configs = {model.name: supervised_config(model.name).model_dump(mode="json") for model in self._models}
        return {"supervised": configs} if configs else {}

    @property
    def report(self) -> dict[str, Any]:
        """Entries of `report.json`: for each model, the number of parameters, and the epochs of each training run."""
        return {"supervised": self._costs} if self._costs else {}

    @property
    def timing(self) -> dict[str, Any]:
        """Entries of `timing.json`: training time of each model in s, summed over folds and averaged over seeds."""
        means = {label: sum(by_seed.values()) / len(by_seed) for label, by_seed in self._seconds.items()}
        return {"training_s": {label: round(mean, 1) for label, mean in means.items()}} if means else {}

    def fits(
        self, store: TileStore, data: TaskData, rows: NDArray[Any], masked: bool, without_shared: str | None = None
    ) -> dict[str, Fit]:
        """Returns a dict from row name in the table of scores to a function that trains the model of this row.

        The function trains the model on one fold, and returns the predictions for the test tiles.

        Args:
            store: dataset of all regions.
            data: labels of the task.
            rows: index of each tile of the probe in the dataset, in ascending order, int64 [n].
            masked: hide from the models the tags and entities that reveal the label.
            without_shared: pattern such as `{} without shared`, where `{}` is the name of a model. If it is given, each
                model has a second row with this name, for which OSM elements in several zoom-14 tiles are hidden.
        """
        if not self._models:
            return {}
        views = {"{}": data.view(masked)}
        if without_shared is not None:
            views[without_shared] = data.view_without_shared(store, masked)
        found: dict[str, Fit] = {}
        for pattern, view in views.items():
            tiles = self._tiles(store, data, rows, view)
            found |= {label: self._fit(label, name, tiles) for name, label in self._labels(pattern).items()}
        return found

    def rows(self, without_shared: str | None = None) -> dict[str, str]:
        """Returns a dict from row name in the table of scores to model name. The rows are those of `fits`."""
        patterns = ["{}"] if without_shared is None else ["{}", without_shared]
        return {label: name for pattern in patterns for name, label in self._labels(pattern).items()}

    def _labels(self, pattern: str) -> dict[str, str]:
        return {model.name: pattern.format(model.name) for model in self._models}

    def _tiles(self, store: TileStore, data: TaskData, rows: NDArray[Any], view: View) -> TaskTiles:
        import numpy as np

        from geojepa_cli.baselines.supervised import TaskTiles
        from geojepa_cli.store.features import open_features

        table = open_features([one.file(FEATURES_FILE) for one in self.features], store).table
        labels = data.labels[rows].astype(np.float64)
        return TaskTiles(store, view, rows, labels, table.to(pick_device(self._device)))

    def _fit(self, label: str, name: str, tiles: TaskTiles) -> Fit:
        from geojepa_cli.baselines.registry import fit_supervised

        def fit(fold: Fold, clamp: tuple[float, float], seed: int, all_labels: bool) -> Floats:
            started = time.monotonic()
            fitted = fit_supervised(name, tiles, fold, clamp, seed)
            if all_labels:
                cost = self._costs.setdefault(label, {"parameters": 0, "runs": []})
                cost["parameters"] = max(cost["parameters"], fitted.parameters)  # each fold has other frequent tags
                epochs = {"epochs": fitted.epochs, "best_epoch": fitted.best_epoch}
                cost["runs"].append({"seed": seed, "fold": fold.number, **epochs})
                seconds = self._seconds.setdefault(label, {})
                seconds[seed] = seconds.get(seed, 0.0) + time.monotonic() - started
            return fitted.predicted

        return fit
