"""Preparation of entity probes: finds the task, regions and models, and opens the inputs of each model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from geojepa_cli import hints
from geojepa_cli.errors import DataError, UsageError, unknown
from geojepa_cli.stages.arguments import wrong_type
from geojepa_cli.stages.embedded_view import check_entity_vectors
from geojepa_cli.stages.embedding_model import TAGPOOL, Model, find_model
from geojepa_cli.stages.embeddings import check_region, images_of_model
from geojepa_cli.stages.geometry_features import FILE as GEOMETRY_FILE
from geojepa_cli.stages.image_features import FILE as TOKENS_FILE
from geojepa_cli.stages.images import FILE as IMAGES_FILE
from geojepa_cli.stages.probe_protocols import find_protocols
from geojepa_cli.stages.probe_regions import more_data, region_groups
from geojepa_cli.stages.processed import FILE as PROCESSED_FILE
from geojepa_cli.stages.stage import Models, Regions, as_list, find_regions, in_fixed_order, rebuilding
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.kinds import legal_name
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.evaluate.entity_probe import Part
    from geojepa_cli.evaluate.protocols import Protocol
    from geojepa_cli.store.store import TileStore
    from geojepa_cli.tasks.entity_examples import EntityExamples
    from geojepa_cli.tasks.entity_spec import EntitySpec

HIDE = ("all", "probed")  # entities whose tags are hidden
PER_CLASS = 1000  # maximum number of examples of a class


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
    hide: str,
    per_class: int,
) -> EntityPlan:
    """Finds the task, regions and models of an entity probe, and checks that the models can embed the regions.

    Raises:
        UsageError: the task is invalid, `hide` is unknown, `per_class` is too small, no model is given, or a region is
            in both parts.
        NotFoundError: a task, region or model does not exist. The hint is the command that makes it.
        DataError: there is no tile to embed, or a model is damaged.
    """
    from geojepa_cli.tasks.entity_spec import find_entity_task

    if hide not in HIDE:
        raise UsageError(f"`--hide {hide}`: expected `all` or `probed`", hints.again(hide="all"))
    if not isinstance(task, str | Path):
        raise wrong_type("task", task, "the name of an entity task or the path of a YAML file", '"building_class"')
    spec = find_entity_task(str(task))
    if per_class < spec.min_examples:
        needed = f"a class of `{spec.name}` needs {spec.min_examples} training examples"
        raise UsageError(
            f"`--per-class {per_class}`: expected at least {spec.min_examples}, because {needed}",
            hints.again(per_class=_enough(spec)),
        )
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


def find_parts(
    workspace: Workspace, plan: EntityPlan, hide: str, per_class: int, seed: int
) -> tuple[EntityExamples, list[Part], dict[str, dict[str, int]]]:
    """Finds the examples of the classes that are frequent enough, their parts, and the sizes of rarer classes.

    Raises:
        UsageError: `per_class` limits the examples so much that fewer than two classes remain.
        DataError: there are too few examples, groups or classes.
    """
    import numpy as np

    from geojepa_cli.evaluate.entity_probe import frequent_classes, make_parts
    from geojepa_cli.tasks.entity_examples import PROBED_SHARE, find_examples

    spec = plan.spec
    found = find_examples(open_store(plan), spec, per_class, seed, 1.0 if hide == "all" else PROBED_SHARE)
    tested = [plan.regions.index(one) for one in plan.test_regions]

    def parts_of(examples: EntityExamples) -> list[Part]:
        try:
            return make_parts(examples.groups, np.isin(examples.regions, tested) if tested else None, seed)
        except DataError as error:
            raise too_few(plan, workspace, error.message) from None

    kept = frequent_classes(found.labels, len(found.classes), parts_of(found), spec.min_examples)
    counts = np.bincount(found.labels, minlength=len(found.classes)).tolist()
    if len(kept) < 2:
        verb = "has" if len(kept) == 1 else "have"
        few = f"{len(kept)} of {len(found.classes)} classes" if found.classes else "no entity"
        need = f"{verb if found.classes else 'has'} {spec.min_examples} examples in every training part"
        message = f"{few} of `{spec.name}` {need}, expected at least 2 classes"
        if any(count >= per_class for place, count in enumerate(counts) if place not in kept):
            raise UsageError(f"`--per-class {per_class}`: {message}", hints.again(per_class=_enough(spec)))
        raise too_few(plan, workspace, message)
    examples = found.of_classes(kept)
    rare = {
        name: {"examples": counts[place], "entities_with_tag": int(found.sizes[place])}
        for place, name in enumerate(found.classes)
        if place not in kept
    }
    return examples, parts_of(examples), rare


def protocols_of(plan: EntityPlan, examples: EntityExamples, parts: list[Part]) -> dict[str, Protocol]:
    """Returns the protocol of the figures of each model, by reference of the model."""
    import numpy as np

    tested = examples.groups[np.concatenate([part.test for part in parts])]
    regions = [region_groups(region) for region in plan.test_regions or plan.regions]
    return find_protocols(plan.models, tested, np.concatenate(regions))


def _enough(spec: EntitySpec) -> int:
    return max(PER_CLASS, 2 * spec.min_examples)


def too_few(plan: EntityPlan, workspace: Workspace, message: str) -> DataError:
    """Returns the error for too few examples. The hint adds the other regions of the workspace, if there are any."""
    tested = [region.name for region in plan.test_regions]
    used = [region.name for region in plan.regions]
    others = [name for name in workspace.names("processed") if name not in used]
    if not others:
        return DataError(message, more_data())
    return DataError(message, hints.again(region=[*(name for name in used if name not in tested), *others]))
