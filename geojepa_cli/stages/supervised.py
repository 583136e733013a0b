"""Trains supervised baselines, such as `tagformer-p`, on the labels of a probe: one run for each model and fold."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from geojepa_cli import hints
from geojepa_cli.config.images import DRAWN
from geojepa_cli.config.modality import IMAGES
from geojepa_cli.errors import DataError
from geojepa_cli.stages.device import pick_device
from geojepa_cli.stages.embedding_model import Model
from geojepa_cli.stages.features import FILE as FEATURES_FILE
from geojepa_cli.stages.image_features import images_of
from geojepa_cli.stages.images import FILE as IMAGES_FILE
from geojepa_cli.stages.model_labels import label_models
from geojepa_cli.stages.processed import FILE as PROCESSED_FILE
from geojepa_cli.stages.stage import rebuilding
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geojepa_cli.baselines.supervised import TaskTiles
    from geojepa_cli.evaluate.folds import Fold
    from geojepa_cli.metrics.label_forms import Prediction
    from geojepa_cli.store.store import TileStore
    from geojepa_cli.store.view import View
    from geojepa_cli.tasks.dataset import TaskData

    Fit = Callable[[Fold, tuple[float, float], int, bool], Prediction]


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
        self._device, self._regions = device, regions
        tagged = [model for model in self._models if not model.needs() <= IMAGES]
        shown = [model for model in self._models if model.needs() <= IMAGES]
        self._features = [tagged[0].tag_features(workspace, region) for region in regions if tagged]
        self._images = images_of(workspace, regions) if shown else []
        sources = {model.name: model.images(workspace, None) for model in shown}
        self._sources = {name: source for name, source in sources.items() if source is not None}
        self._costs: dict[str, dict[str, Any]] = {}
        self._seconds: dict[str, dict[int, float]] = {}  # by label and seed

    @property
    def params(self) -> dict[str, Any]:
        """Parameters of the `probes/` artifact: configurations of the models, and versions of their first weights.

        Empty without such models.
        """
        from geojepa_cli.baselines.registry import supervised_config

        configs = {model.name: supervised_config(model.name).model_dump(mode="json") for model in self._models}
        versions = {name: source.kind.version for name, source in self._sources.items()}
        return ({"supervised": configs} if configs else {}) | ({"image_weights": versions} if versions else {})

    @property
    def inputs(self) -> list[Artifact]:
        """Artifacts that the models read, in addition to those of the task."""
        return [*self._features, *filter(None, self._images)]

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
            for model, label in self._labels(pattern):
                found[label] = self._fit(label, model.name, self._tiles(model, store, data, rows, view))
        return found

    def rows(self, without_shared: str | None = None) -> dict[str, str]:
        """Returns a dict from row name in the table of scores to model name. The rows are those of `fits`."""
        patterns = ["{}"] if without_shared is None else ["{}", without_shared]
        return {label: model.ref for pattern in patterns for model, label in self._labels(pattern)}

    def _labels(self, pattern: str) -> list[tuple[Model, str]]:
        """Returns each model with the name of its row of scores, which marks random weights and drawn images."""
        read = [self._images if model.name in self._sources else [] for model in self._models]
        names = label_models(self._models, read)
        return [(model, pattern.format(name)) for model, name in zip(self._models, names, strict=True)]

    def _tiles(self, model: Model, store: TileStore, data: TaskData, rows: NDArray[Any], view: View) -> TaskTiles:
        import numpy as np
        import torch

        from geojepa_cli.baselines.supervised import TaskTiles
        from geojepa_cli.store.features import open_features

        labels, device = data.labels[rows].astype(np.float64), pick_device(self._device)
        source = self._sources.get(model.name)
        if source is not None:
            table = torch.empty(0, device=device)
            return TaskTiles(self._with_images(rows), view, rows, labels, table, model.needs(), source.load_to_train)
        table = open_features([one.file(FEATURES_FILE) for one in self._features], store).table
        return TaskTiles(store, view, rows, labels, table.to(device))

    def _with_images(self, rows: NDArray[Any]) -> TileStore:
        """Opens the dataset with images.

        Raises:
            DataError: none of the tiles has an image, or an image file is damaged.
        """
        from geojepa_cli.store.store import TileStore

        names = [region.name for region in self._regions]
        with rebuilding(*self._regions, *self._images):
            files = [region.file(PROCESSED_FILE) for region in self._regions]
            images = [None if one is None else one.file(IMAGES_FILE) for one in self._images]
            store = TileStore.open(files, images, names)
        if not (store.image_rows[rows] >= 0).any():
            message = f"none of the {len(rows):,} tiles of the task has an image"
            raise DataError(message, hints.run("tile", region=names, imagery=DRAWN))
        return store

    def _fit(self, label: str, name: str, tiles: TaskTiles) -> Fit:
        from geojepa_cli.baselines.registry import fit_supervised

        def fit(fold: Fold, clamp: tuple[float, float], seed: int, all_labels: bool) -> Prediction:
            started = time.monotonic()
            fitted = fit_supervised(name, tiles, fold, clamp, seed)
            if all_labels:
                cost = self._costs.setdefault(label, {"parameters": 0, "runs": []})
                cost["parameters"] = max(cost["parameters"], fitted.parameters)  # each fold has other frequent tags
                epochs = {"epochs": fitted.epochs, "best_epoch": fitted.best_epoch}
                cost["runs"].append({"seed": seed, "fold": fold.number, **epochs})
                seconds = self._seconds.setdefault(label, {})
                seconds[seed] = seconds.get(seed, 0.0) + time.monotonic() - started
            return fitted.prediction

        return fit
