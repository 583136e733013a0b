"""Preparation of retrieval: finds the features and entity tasks to search for, the regions and the models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geojepa_cli import hints
from geojepa_cli.errors import NotFoundError, UsageError, unknown
from geojepa_cli.stages.arguments import wrong_type
from geojepa_cli.stages.embedded_view import check_entity_vectors
from geojepa_cli.stages.embedding_model import Model
from geojepa_cli.stages.embeddings import check_region
from geojepa_cli.stages.entity_probe_regions import GROUPS, find_regions_to_probe
from geojepa_cli.stages.stage import Models, Regions, as_list
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.config.spaces import Form
    from geojepa_cli.tasks.entity_spec import EntitySpec
    from geojepa_cli.tasks.retrieval_spec import RetrievalSpec

K = 8  # number of neighbours that count for precision and recall, as in the thesis
PER_CLASS = 1000  # maximum number of entities of a class
FEATURES = "features"  # name of the search for map features, which has several of them


@dataclass(frozen=True)
class RetrievalSettings:
    """Settings of retrieval.

    Attributes:
        masked: hide from the models what defines the feature or the class.
        spaces: spaces in which vectors are compared.
        k: number of candidates that count for precision and recall.
        seed: random seed of the entities and the confidence intervals.
        device: device for computing vectors.
        threads: number of CPU threads; does not affect the result.
    """

    masked: bool
    spaces: tuple[Form, ...]
    k: int
    seed: int
    device: str
    threads: int

    def params(self) -> dict[str, Any]:
        """Returns the settings that change the result, for the manifest."""
        return {"masked": self.masked, "spaces": list(self.spaces), "k": self.k, "seed": self.seed}


@dataclass(frozen=True)
class RetrievalPlan:
    """Searches to test, regions and models.

    Attributes:
        features: map features to search for. Empty if only entities are searched.
        entities: entity tasks whose classes are searched for.
        regions: `processed/` artifacts of the searched regions, in a fixed order.
        models: models and baselines to test, always including TagPool.
    """

    features: list[RetrievalSpec]
    entities: list[EntitySpec]
    regions: list[Artifact]
    models: list[Model]


def plan_retrieval(
    workspace: Workspace, task: str | Path | Sequence[str | Path] | None, model: Models, region: Regions
) -> RetrievalPlan:
    """Finds what to search for, where, and with which models. Checks that the models can embed the regions.

    Raises:
        UsageError: a definition or argument is invalid, or a region must be named.
        NotFoundError: there is no such feature, entity task, region or model.
        DataError: a region cannot be embedded.
    """
    features, entities = find_searches(task)
    if not as_list(model):
        raise wrong_type("model", model, "at least one model", '"tagpool"')
    chosen = find_regions_to_probe(workspace, model, region, None, GROUPS if _several(workspace, region) else None)
    for one in chosen.models:
        if entities:
            check_entity_vectors(one)
        for processed in chosen.regions:
            check_region(workspace, one, processed)
    return RetrievalPlan(features, entities, chosen.regions, chosen.models)


def find_searches(task: str | Path | Sequence[str | Path] | None) -> tuple[list[RetrievalSpec], list[EntitySpec]]:
    """Returns the definitions of map features and of entity tasks. None selects all features of the package.

    Args:
        task: names or paths of YAML files. A file with the key `has` defines a map feature, another an entity task.

    Raises:
        UsageError: a definition is invalid, or two have the same name.
        NotFoundError: there is no such definition. The message suggests the most similar name.
    """
    from geojepa_cli.tasks.entity_spec import find_entity_task, packed_entity_tasks
    from geojepa_cli.tasks.retrieval_spec import EXAMPLE, find_feature, packed_features

    given = list(packed_features()) if task is None else as_list(task)
    if not given:
        raise wrong_type("task", task, "at least one feature", f'"{EXAMPLE}"')
    features: dict[str, RetrievalSpec] = {}
    entities: dict[str, EntitySpec] = {}
    for one in given:
        if not isinstance(one, str | Path):
            raise wrong_type("task", one, "the name of a feature or the path of a YAML file", f'"{EXAMPLE}"')
        name = str(one)
        if name in packed_entity_tasks() or (_is_file(name) and not _defines_feature(Path(name))):
            spec = find_entity_task(name)
            _add(entities, spec.name, spec, name)
        elif name in packed_features() or _is_file(name):
            feature = find_feature(name)
            _add(features, feature.name, feature, name)
        else:
            known = [*packed_features(), *packed_entity_tasks()]
            example = hints.instead(("--task", name), ("--task", EXAMPLE)).noting("or a YAML file")
            raise unknown("feature or entity task", name, known, example, "--task")
    return list(features.values()), list(entities.values())


def find_spaces(space: str | Sequence[str] | None) -> tuple[Form, ...]:
    """Returns the spaces in which vectors are compared, without duplicates. None selects the default of `knn`.

    Raises:
        UsageError: a space is unknown.
    """
    from geojepa_cli.config.spaces import DEFAULT_FORM, FORMS

    given = [DEFAULT_FORM] if space is None else list(dict.fromkeys(as_list(space)))
    if not given:
        raise wrong_type("space_", space, "at least one space", f'"{DEFAULT_FORM}"')
    for one in given:
        if one not in FORMS:
            expected = ", ".join(f"`{name}`" for name in FORMS)
            raise UsageError(f"`--space {one}`: expected {expected}", hints.again(space=list(FORMS)))
    return tuple(form for form in FORMS if form in given)


def _several(workspace: Workspace, region: Regions) -> bool:
    return region is None and len(workspace.names("processed")) > 1


def _add(found: dict[str, Any], name: str, spec: Any, given: str) -> None:
    if name in found and found[name] != spec:
        raise UsageError(
            f"`--task {given}`: another definition has the name `{name}`", hints.instead(("--task", given))
        )
    found[name] = spec


def _is_file(name: str) -> bool:
    path = Path(name)
    if path.suffix not in (".yaml", ".yml") and path.name == name:
        return False
    if not path.is_file():
        example = hints.instead(("--task", name), ("--task", "cemetery"))
        raise NotFoundError(f"file `{name}` with a map feature or entity task not found", example)
    return True


def _defines_feature(path: Path) -> bool:
    from geojepa_cli.config.yaml import read_yaml
    from geojepa_cli.tasks.spec import WordsLoader

    content = read_yaml(path, WordsLoader)
    return not isinstance(content, dict) or "key" not in content
