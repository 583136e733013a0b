"""Preparation of probes at points: finds the GAIR models, the regions, and the zoom-14 groups to test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from geojepa_cli import console, hints
from geojepa_cli.config.images import DRAWN
from geojepa_cli.config.limits import DEFAULT_LIMITS
from geojepa_cli.errors import DataError, UsageError
from geojepa_cli.stages.arguments import wrong_type
from geojepa_cli.stages.embedding_model import Model, find_model
from geojepa_cli.stages.embeddings import check_region
from geojepa_cli.stages.entity_probe_plan import ModelInputs, find_inputs, open_store
from geojepa_cli.stages.entity_probe_regions import GROUPS, find_regions_to_probe
from geojepa_cli.stages.model_family import newest_gair
from geojepa_cli.stages.model_inputs import frozen_inputs
from geojepa_cli.stages.model_labels import label_models
from geojepa_cli.stages.probe_protocols import find_protocols
from geojepa_cli.stages.stage import Models, Regions, as_list
from geojepa_cli.stages.trained_groups import groups_of
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from geojepa_cli.config.gair import GairConfig
    from geojepa_cli.evaluate.point_groups import Dataset, PointModel
    from geojepa_cli.evaluate.protocols import Protocol
    from geojepa_cli.store.store import TileStore
    from geojepa_cli.store.view import View

TILES = 1000  # number of tiles to test, in whole zoom-14 groups


@dataclass(frozen=True)
class PointPlan:
    """Models, regions and tiles of a probe at points.

    Attributes:
        regions: `processed/` artifacts of the regions, in a fixed order.
        models: models to test.
        labels: name of each model in tables.
        inputs: artifacts that the models read.
        store: dataset of the regions, with images.
        view: tested tiles and their entities.
        protocols: protocol of each model, by its reference.
        device: device of the models.
        threads: number of CPU threads.
    """

    regions: list[Artifact]
    models: list[Model]
    labels: list[str]
    inputs: ModelInputs
    store: TileStore
    view: View
    protocols: Mapping[str, Protocol]
    device: str
    threads: int

    @property
    def read(self) -> list[Artifact]:
        """All artifacts that are read."""
        models = [one.artifact for one in self.models if one.artifact]
        return list(dict.fromkeys([*self.regions, *self.inputs.artifacts, *models]))


def plan_point_probe(
    workspace: Workspace, model: Models, region: Regions, tiles: int, seed: int, device: str, threads: int
) -> PointPlan:
    """Finds the models and regions, and draws the zoom-14 groups to test.

    Raises:
        UsageError: a model is not a GAIR model, or a region must be named.
        NotFoundError: there is no such model or region, or a region has no images.
        DataError: there is no tile to test, or a file is damaged.
    """
    if model is not None and not as_list(model):
        raise wrong_type("model", model, "at least one model", '"gair"')
    given = (
        as_list(model) if model is not None else [newest_gair(workspace, hints.run("pretrain", config="gair.yaml")).ref]
    )
    for one in given:
        _config(find_model(workspace, one))
    several = region is None and len(workspace.names("processed")) > 1
    chosen = find_regions_to_probe(workspace, given, region, None, GROUPS if several else None)
    models = [one for one in chosen.models if one.artifact is not None]  # without TagPool, which is added
    for one in models:
        for processed in chosen.regions:
            check_region(workspace, one, processed)
    inputs = find_inputs(workspace, models[0], chosen.regions, device, threads)
    store = open_store(chosen.regions, inputs)
    view = _tested(store, models, tiles, seed)
    if not len(view.tiles):
        names = ", ".join(f"`{one.name}`" for one in chosen.regions)
        hint = hints.run("tile", region=chosen.regions[0].name, imagery=DRAWN)
        raise DataError(f"{names} has no tile with an image and enough entities", hint)
    labels = label_models(models, [inputs.images for _ in models])
    protocols = find_protocols(models, store.groups[view.tiles], store.groups)
    return PointPlan(chosen.regions, models, labels, inputs, store, view, protocols, device, threads)


def open_models(plan: PointPlan) -> tuple[Dataset, list[PointModel]]:
    """Loads the models, with their trained and their first weights, and opens what they are tested on."""
    import torch

    from geojepa_cli.evaluate.point_groups import Dataset, PointModel
    from geojepa_cli.models.gair.build import bind_tags, build_gair
    from geojepa_cli.models.gair.embedder import GairEmbedder
    from geojepa_cli.models.gair.queries import hash_tags

    torch.set_num_threads(plan.threads)
    inputs = frozen_inputs(plan.store, plan.inputs.features, plan.device)
    found = []
    for model, label in zip(plan.models, plan.labels, strict=True):
        config, trained = _config(model), model.open(inputs)
        assert isinstance(trained, GairEmbedder) and model.artifact is not None
        first = build_gair(config, int(model.artifact.params["seed"])).to(inputs.device)
        for module in (trained.module, first):
            bind_tags(module, config.model, inputs)
            module.eval()
        found.append(PointModel(label, trained.module, first, inputs.tag_table))
    hashes = hash_tags(inputs.tag_list).to(inputs.device)
    return Dataset(plan.store, plan.view, hashes, inputs.device), found


def describe_models(plan: PointPlan) -> dict[str, dict[str, Any]]:
    """Returns what tells apart the models, by label: reference, protocol, decoder, and noise of coordinates."""
    found = {}
    for model, label in zip(plan.models, plan.labels, strict=True):
        config = _config(model)
        found[label] = {
            "ref": model.ref,
            "protocol": plan.protocols[model.ref].name,
            "decoder": config.model.decoder,
            "coordinate_noise_m": config.ground.coordinate_noise_m,
        }
    return found


def _config(model: Model) -> GairConfig:
    from geojepa_cli.config.gair import GairConfig

    config = model.config
    if not isinstance(config, GairConfig) or model.artifact is None:
        message = f"`{model.name}` does not read images at points: expected a GAIR model"
        raise UsageError(message, hints.run("pretrain", config="gair.yaml"))
    return config


def _tested(store: TileStore, models: list[Model], tiles: int, seed: int) -> View:
    """Returns the tested tiles: whole zoom-14 groups in random order, until there are enough tiles.

    If there are groups that no model saw in pretraining, only these are tested.
    """
    import numpy as np

    from geojepa_cli.store.view import View

    view = View.default(store, *DEFAULT_LIMITS)
    shown = view.tiles[store.image_rows[view.tiles] >= 0]
    groups = store.groups[shown]
    kept = np.isin(groups, _unseen(np.unique(groups), models))
    shown, groups = shown[kept], groups[kept]
    names, counts = np.unique(groups, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    enough = int(np.searchsorted(np.cumsum(counts[order]), tiles)) + 1
    return view.restrict(shown[np.isin(groups, names[order[:enough]])]).trimmed(store)


def _unseen(groups: NDArray[np.int64], models: list[Model]) -> NDArray[np.int64]:
    """Returns the groups to test: the fold that all models left out, or those that no model saw, or all groups."""
    import numpy as np

    from geojepa_cli.tasks.splits import FEW_TEST_GROUPS, neighbours

    known = [found for found in map(groups_of, models) if found is not None]
    seen = np.concatenate([np.empty(0, np.int64), *known])
    unseen = groups[~np.isin(groups, seen)]
    fold = _fold(unseen, models)
    if len(fold):
        return fold
    far = unseen[~np.isin(neighbours(unseen), seen).any(axis=1)]
    chosen = far if len(far) >= FEW_TEST_GROUPS else unseen
    if not len(chosen) or len(chosen) == len(groups):
        return groups
    console.note(f"testing {len(chosen):,} of {len(groups):,} zoom-14 groups, which no model saw in pretraining")
    return chosen


def _fold(unseen: NDArray[np.int64], models: list[Model]) -> NDArray[np.int64]:
    """Returns those of the groups that no model saw which are in the fold that all models left out (`--fold`)."""
    from geojepa_cli.tasks.splits import fold_groups

    configs = [_config(model).data for model in models]
    rules = {(config.fold, config.folds, config.split_seed) for config in configs}
    fold, folds, seed = rules.pop()
    if rules or fold is None or len(unseen) == 0:
        return unseen[:0]
    chosen: NDArray[np.int64] = unseen[fold_groups(unseen, folds, seed) == fold]
    if len(chosen):
        console.note(f"testing only fold {fold}, which pretraining left out (`--fold {fold}`)")
    return chosen
