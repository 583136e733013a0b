"""Preparation of entity probes: finds the task, regions and models, and opens the inputs of each model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from geojepa_cli import console, hints
from geojepa_cli.config.images import DRAWN
from geojepa_cli.config.modality import IMAGES
from geojepa_cli.errors import UsageError
from geojepa_cli.stages.alpha import check_alone
from geojepa_cli.stages.argument_tables import MAX_SEED
from geojepa_cli.stages.arguments import wrong_type
from geojepa_cli.stages.embedded_view import check_entity_vectors
from geojepa_cli.stages.embedding_model import Model
from geojepa_cli.stages.embeddings import check_region, images_of_model
from geojepa_cli.stages.entity_probe_regions import REGIONS, find_regions_to_probe
from geojepa_cli.stages.geometry_features import FILE as GEOMETRY_FILE
from geojepa_cli.stages.image_features import FILE as TOKENS_FILE
from geojepa_cli.stages.images import FILE as IMAGES_FILE
from geojepa_cli.stages.probe_protocols import find_protocols
from geojepa_cli.stages.probe_regions import region_groups
from geojepa_cli.stages.processed import FILE as PROCESSED_FILE
from geojepa_cli.stages.stage import Models, Regions, as_list, rebuilding
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.evaluate.entity_parts import Part
    from geojepa_cli.evaluate.protocols import Protocol
    from geojepa_cli.store.store import TileStore
    from geojepa_cli.tasks.entity_examples import EntityExamples
    from geojepa_cli.tasks.entity_spec import EntitySpec

HIDE = ("all", "probed")  # entities whose tags are hidden
PER_CLASS = 1000  # maximum number of examples of a class
SEEDS = 3  # number of seeds over which figures are averaged


@dataclass(frozen=True)
class ProbeOptions:
    """Options of an entity probe that change its figures.

    Attributes:
        hide: entities whose tags are hidden, one of `HIDE`.
        per_class: maximum number of examples of a class.
        context: also measure context ratios.
        seed: seed of the examples, and first seed of the folds, exchanges and confidence intervals.
        seeds: number of consecutive seeds over which figures are averaged.
        alphas: weights of the curve, including 0; empty without a curve.
    """

    hide: str = "all"
    per_class: int = PER_CLASS
    context: bool = False
    seed: int = 0
    seeds: int = SEEDS
    alphas: tuple[float, ...] = ()

    @property
    def all_seeds(self) -> range:
        """All seeds."""
        return range(self.seed, self.seed + self.seeds)


@dataclass(frozen=True)
class EntityPlan:
    """Task, regions, models and options of an entity probe.

    Attributes:
        spec: definition of the task.
        regions: `processed/` artifacts of all regions, in a fixed order.
        test_regions: those of them that are tested, and not trained on; empty for cross-validation.
        leave_out: what a fold of the cross-validation leaves out: `regions` or `groups`.
        models: models and baselines to test, always including TagPool.
        settings: options.
    """

    spec: EntitySpec
    regions: list[Artifact]
    test_regions: list[Artifact]
    leave_out: str
    models: list[Model]
    settings: ProbeOptions

    @property
    def evaluation(self) -> str:
        """Way of testing, as in the report."""
        from geojepa_cli.evaluate.entity_parts import BETWEEN_REGIONS, CROSS_VALIDATION, LEFT_OUT_REGIONS

        if self.test_regions:
            return BETWEEN_REGIONS
        return LEFT_OUT_REGIONS if self.leave_out == REGIONS else CROSS_VALIDATION


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
    workspace: Workspace,
    task: str | Path,
    model: Models,
    region: Regions,
    test_region: Regions,
    leave_out: str | None,
    settings: ProbeOptions,
) -> EntityPlan:
    """Finds the task, regions and models of an entity probe, and checks that the models can embed the regions.

    Raises:
        UsageError: the task or an option is invalid, no model is given, or a region is in both parts.
        NotFoundError: a task, region or model does not exist. The hint is the command that makes it.
        DataError: there is no tile to embed, or a model is damaged.
    """
    from geojepa_cli.tasks.entity_spec import find_entity_task

    if settings.hide not in HIDE:
        raise UsageError(f"`--hide {settings.hide}`: expected `all` or `probed`", hints.again(hide="all"))
    if not isinstance(task, str | Path):
        raise wrong_type("task", task, "the name of an entity task or the path of a YAML file", '"building_class"')
    spec = find_entity_task(str(task))
    if settings.per_class < spec.min_examples:
        needed = f"a class of `{spec.name}` needs {spec.min_examples} training examples"
        raise UsageError(
            f"`--per-class {settings.per_class}`: expected at least {spec.min_examples}, because {needed}",
            hints.again(per_class=enough(spec)),
        )
    if settings.seed > MAX_SEED - settings.seeds:
        raise UsageError(f"`--seed {settings.seed}` leaves no room for more seeds", hints.again(seed=0))
    if not as_list(model):
        raise wrong_type("model", model, "at least one model", '"tagpool"')
    chosen = find_regions_to_probe(workspace, model, region, test_region, leave_out)
    for one in chosen.models:
        check_entity_vectors(one)
        if settings.context or any(settings.alphas):
            check_alone(one)
        for processed in chosen.regions:
            check_region(workspace, one, processed)
    return EntityPlan(spec, chosen.regions, chosen.tested, chosen.leave_out, chosen.models, settings)


def find_inputs(
    workspace: Workspace, model: Model, regions: Sequence[Artifact], device: str, threads: int
) -> ModelInputs:
    """Returns the artifacts that a model reads in regions (`processed/` artifacts).

    Computes missing geometry vectors and image tokens.

    Warns if a region has no images, and the model reads images.
    """
    found = [images_of_model(workspace, model, region, device, threads) for region in regions]
    if IMAGES & model.needs():
        without = [region.name for region, (images, _) in zip(regions, found, strict=True) if images is None]
        if without:
            names = ", ".join(f"`{name}`" for name in without)
            hint = hints.run("tile", region=without[0], imagery=DRAWN)
            console.warn(f"`{model.name}` is tested without images in {names}, because there are none", hint)
    geometry = [model.geometry_features(workspace, region, threads) for region in regions]
    return ModelInputs(
        [model.tag_features(workspace, region) for region in regions],
        [one for one in geometry if one is not None],
        [images for images, _ in found] if any(images for images, _ in found) else [],
        [tokens for _, tokens in found] if any(tokens for _, tokens in found) else [],
    )


def open_store(regions: Sequence[Artifact], inputs: ModelInputs | None = None) -> TileStore:
    """Opens the `processed/` artifacts of regions as one dataset, with the geometry vectors and images of `inputs`."""
    from geojepa_cli.store.store import TileStore

    images = inputs.images if inputs else []
    tokens = inputs.tokens if inputs else []
    geometry = inputs.geometry if inputs else []
    with rebuilding(*regions, *(inputs.artifacts if inputs else [])):
        return TileStore.open(
            [region.file(PROCESSED_FILE) for region in regions],
            [None if one is None else one.file(IMAGES_FILE) for one in images] or None,
            [region.name for region in regions],
            [one.file(GEOMETRY_FILE) for one in geometry] or None,
            [None if one is None else one.file(TOKENS_FILE) for one in tokens] or None,
        )


def protocols_of(plan: EntityPlan, examples: EntityExamples, parts: Sequence[Part]) -> dict[str, Protocol]:
    """Returns the protocol of the figures of each model, by reference of the model. `parts`: the folds of a seed."""
    import numpy as np

    tested = examples.groups[np.concatenate([part.test for part in parts])]
    regions = [region_groups(region) for region in plan.test_regions or plan.regions]
    return find_protocols(plan.models, tested, np.concatenate(regions))


def enough(spec: EntitySpec) -> int:
    """Returns a number of examples per class that is large enough for a task."""
    return max(PER_CLASS, 2 * spec.min_examples)
