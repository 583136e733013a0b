"""Preparation of entity probes: finds the task, regions and models, and opens the inputs of each model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from geojepa_cli import hints
from geojepa_cli.config.images import RANDOM_LABEL
from geojepa_cli.errors import DataError, UsageError, unknown
from geojepa_cli.stages.arguments import wrong_type
from geojepa_cli.stages.device import pick_device
from geojepa_cli.stages.embedded_view import check_entity_vectors
from geojepa_cli.stages.embedding_model import TAGPOOL, Model, find_model
from geojepa_cli.stages.embeddings import check_region, images_of_model
from geojepa_cli.stages.features import FILE as FEATURES_FILE
from geojepa_cli.stages.geometry_features import FILE as GEOMETRY_FILE
from geojepa_cli.stages.image_features import FILE as TOKENS_FILE
from geojepa_cli.stages.images import FILE as IMAGES_FILE
from geojepa_cli.stages.processed import FILE as PROCESSED_FILE
from geojepa_cli.stages.stage import Regions, as_list, find_regions, in_fixed_order, rebuilding
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.kinds import legal_name
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.models.base import Embedder
    from geojepa_cli.store.store import TileStore
    from geojepa_cli.tasks.entity_spec import EntitySpec

HIDE = ("all", "probed")  # entities whose tags are hidden
Models = str | Artifact | Sequence[str | Artifact] | None


@dataclass(frozen=True)
class EntityPlan:
    """Task, regions and models of an entity probe.

    Attributes:
        spec: definition of the task.
        regions: `processed/` artifacts of all regions, in a fixed order.
        test_regions: those of them that are tested; empty for cross-validation.
        models: models and baselines to test, always including TagPool.
    """

    spec: EntitySpec
    regions: list[Artifact]
    test_regions: list[Artifact]
    models: list[Model]

    @property
    def labels(self) -> list[str]:
        """Names of the models in tables: with the id if two models have the same name."""
        names = [model.name for model in self.models]
        labels = names if len(set(names)) == len(names) else [model.ref for model in self.models]
        marks = [f" ({RANDOM_LABEL})" if model.has_random_images() else "" for model in self.models]
        return [label + mark for label, mark in zip(labels, marks, strict=True)]


@dataclass(frozen=True)
class ModelInputs:
    """Artifacts that a model reads, one per region.

    Attributes:
        features: tag embeddings.
        geometry: geometry vectors; empty if the model reads none.
        images: images; None for a region without images. Empty if the model reads none.
        tokens: image tokens, as `images`.
    """

    features: list[Artifact]
    geometry: list[Artifact]
    images: list[Artifact | None]
    tokens: list[Artifact | None]

    @property
    def artifacts(self) -> list[Artifact]:
        """All artifacts."""
        return [*self.features, *self.geometry, *filter(None, self.images), *filter(None, self.tokens)]


def plan_entity_probe(
    workspace: Workspace, task: str | Path, model: Models, region: Regions, test_region: Regions, hide: str
) -> EntityPlan:
    """Finds the task, regions and models of an entity probe, and checks that the models can embed the regions.

    Raises:
        UsageError: the task is invalid, `hide` is unknown, no model is given, or a region is in both parts.
        NotFoundError: a task, region or model does not exist. The hint is the command that makes it.
        DataError: there is no tile to embed, or a model is damaged.
    """
    from geojepa_cli.tasks.entity_spec import find_entity_task

    if hide not in HIDE:
        raise UsageError(f"`--hide {hide}`: expected `all` or `probed`", hints.again(hide="all"))
    if not isinstance(task, str | Path):
        raise wrong_type("task", task, "the name of an entity task or the path of a YAML file", '"building_class"')
    spec = find_entity_task(str(task))
    regions = find_regions(workspace, "processed", region)
    tested = [] if test_region is None else _find_test_regions(workspace, test_region)
    if both := [one.name for one in tested if one in regions]:
        raise UsageError(
            f"`{both[0]}` is a region to train on and a test region: expected different regions",
            hints.again(region="OTHER"),
        )
    wanted = as_list(model)
    if not wanted:
        raise wrong_type("model", model, "at least one model", '"tagpool"')
    used = in_fixed_order([*regions, *tested])
    models = list(dict.fromkeys(find_model(workspace, one, used) for one in wanted))
    models += [] if any(one.name == TAGPOOL for one in models) else [Model(TAGPOOL, None)]
    for one in models:
        check_entity_vectors(one)
        for processed in used:
            check_region(workspace, one, processed)
    return EntityPlan(spec, used, in_fixed_order(tested), models)


def _find_test_regions(workspace: Workspace, wanted: Regions) -> list[Artifact]:
    known = workspace.names("processed")
    for one in as_list(wanted):
        if isinstance(one, str) and one.partition("@")[0] not in known:
            hint = hints.run("process", region=legal_name(one))
            raise unknown("region", one, known, hint, "--test-region")
    return find_regions(workspace, "processed", wanted, "test_region")


def find_inputs(workspace: Workspace, model: Model, plan: EntityPlan, device: str, threads: int) -> ModelInputs:
    """Returns the artifacts that a model reads. Computes missing geometry vectors and image tokens."""
    found = [images_of_model(workspace, model, region, device, threads) for region in plan.regions]
    geometry = [model.geometry_features(workspace, region, threads) for region in plan.regions]
    return ModelInputs(
        [model.tag_features(workspace, region) for region in plan.regions],
        [one for one in geometry if one is not None],
        [images for images, _ in found] if any(images for images, _ in found) else [],
        [tokens for _, tokens in found] if any(tokens for _, tokens in found) else [],
    )


def open_store(plan: EntityPlan, inputs: ModelInputs | None = None) -> TileStore:
    """Opens all regions as one dataset, with the geometry vectors and images of `inputs`."""
    from geojepa_cli.store.store import TileStore

    images = inputs.images if inputs else []
    tokens = inputs.tokens if inputs else []
    geometry = inputs.geometry if inputs else []
    with rebuilding(*plan.regions, *(inputs.artifacts if inputs else [])):
        return TileStore.open(
            [region.file(PROCESSED_FILE) for region in plan.regions],
            [None if one is None else one.file(IMAGES_FILE) for one in images] or None,
            [region.name for region in plan.regions],
            [one.file(GEOMETRY_FILE) for one in geometry] or None,
            [None if one is None else one.file(TOKENS_FILE) for one in tokens] or None,
        )


def open_model(model: Model, store: TileStore, inputs: ModelInputs, device: str) -> Embedder:
    """Loads a model for all regions of a dataset.

    Raises:
        DataError: the files of the model or its inputs are damaged, or regions have different tag encoders.
    """
    from geojepa_cli.models.base import FrozenInputs
    from geojepa_cli.store.features import open_features

    with rebuilding(*inputs.features):
        tags = open_features([one.file(FEATURES_FILE) for one in inputs.features], store)
    frozen = FrozenInputs(tags.table, store.geometry_kind, store.image_kind)
    return model.open(frozen.to(pick_device(device)))


def too_few(plan: EntityPlan, workspace: Workspace, message: str) -> DataError:
    """Returns the error for too few examples. The hint adds the other regions of the workspace, if there are any."""
    used = [region.name for region in plan.regions]
    others = [name for name in workspace.names("processed") if name not in used]
    if not others:
        more = hints.run("fetch", pbf="FILE", name="NAME").noting("a larger extract; then `tile` and `process`")
        return DataError(message, more)
    tested = [region.name for region in plan.test_regions]
    return DataError(message, hints.again(region=[*(name for name in used if name not in tested), *others]))
