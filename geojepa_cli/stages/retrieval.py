"""Stage `retrieval/`: tests if a search with a tile or entity finds others with the same feature or class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from geojepa_cli import hints
from geojepa_cli.hints import Hint
from geojepa_cli.models.registry import baseline_params
from geojepa_cli.stages.device import check_device
from geojepa_cli.stages.rebuild import input_refs, number, short_ref, texts
from geojepa_cli.stages.retrieval_measures import QUERIES_FILE, REPORT_FILE, SCORES_FILE, TASKS_FOLDER, measure
from geojepa_cli.stages.retrieval_plan import K, RetrievalPlan, RetrievalSettings, find_spaces, plan_retrieval
from geojepa_cli.stages.retrieval_search import Search, entity_search, tile_search
from geojepa_cli.stages.shipped import noting_version
from geojepa_cli.stages.stage import Models, Regions, Stage, as_command
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.build import Build
from geojepa_cli.workspace.durable import file_sha256
from geojepa_cli.workspace.kinds import Remains
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.tasks.entity_spec import EntitySpec
    from geojepa_cli.tasks.retrieval_spec import RetrievalSpec


def _rebuild(remains: Remains) -> Hint:
    params = remains.params
    again = hints.run(
        "probe",
        retrieval=True,
        task=_definitions(remains),
        region=input_refs(remains, "processed"),
        masked=params.get("masked") is True,
        model=[short_ref(remains, "models", ref) for ref in texts(params.get("models"))] or None,
        space=texts(params.get("spaces")) or None,
        k=number(params.get("k"), K),
        seed=number(params.get("seed")),
    )
    return noting_version(again, texts(params.get("models")))


def _definitions(remains: Remains) -> list[str] | None:
    """Returns names of packed definitions, or paths of copies in the artifact. None for all features of the package."""
    from geojepa_cli.tasks.entity_spec import find_entity_task, packed_entity_tasks
    from geojepa_cli.tasks.retrieval_spec import find_feature, packed_features

    known = remains.params.get("definitions")
    found = []
    for name, definition in known.items() if isinstance(known, dict) else ():
        packed: RetrievalSpec | EntitySpec | None = None
        if name in packed_features():
            packed = find_feature(name)
        elif name in packed_entity_tasks():
            packed = find_entity_task(name)
        if packed is not None and packed.resolved() == definition:
            found.append(name)
        else:
            file = f"{TASKS_FOLDER}/{name}.yaml"
            copy = None if remains.path is None else remains.path / file
            whole = copy is not None and copy.is_file() and file_sha256(copy) == remains.files.get(file)
            found.append(str(copy) if whole else f"{name}.yaml")
    return None if sorted(found) == sorted(packed_features()) else found


RETRIEVAL = Stage(
    "retrieval",
    version=1,
    rebuild=_rebuild,
    variant=("masked", "definitions", "spaces"),
    files=(REPORT_FILE, SCORES_FILE, QUERIES_FILE),
)


@as_command("probe", retrieval=True)
def probe_retrieval(
    workspace: Workspace,
    task: str | Path | Sequence[str | Path] | None = None,
    model: Models = None,
    region: Regions = None,
    masked: bool = False,
    space_: str | Sequence[str] | None = None,
    k: int = K,
    seed: int = 0,
    device: str = "auto",
    threads: int = 1,
) -> list[Artifact]:
    """Tests if a search with a tile finds other tiles with the same map feature, such as a marina.

    Every tile with the feature is a query. All tiles outside its zoom-14 group are ranked by the similarity of their
    vectors. With an entity task, the same is done for entities and their classes. Compares the models with TagPool and
    with a random order. Every score names its protocol (ADR 18).

    Args:
        workspace: workspace to read from and publish to.
        task: names of features or entity tasks that come with the package, or paths of YAML files that define others.
            Default: all features of the package.
        model: models to test: names of models or baselines, or `models/` artifacts. Default: the newest model or,
            if there is none, the model that comes with the package.
        region: names of regions, or artifacts, to search together. Default: the only region in the workspace or, if
            there are several, those of which the models saw no tile in pretraining.
        masked: hide from the models the entities and tags that define a feature, or the tags that reveal a class.
        space_: spaces in which vectors are compared: `raw`, `centred`, `balanced`, `whitened`, or several. Default:
            that of `knn`.
        k: number of neighbours for precision and recall.
        seed: random seed of the entities and of the confidence intervals.
        device: device for computing vectors: `cpu`, `cuda` or `auto`.
        threads: number of threads; does not affect the result.

    Returns:
        A `retrieval/` artifact for all features together, and one for each entity task. Each has `report.json`,
        `scores.csv`, `queries.csv`, and the definitions in `tasks/`.

    Raises:
        UsageError: an argument or a definition is invalid.
        NotFoundError: there is no such feature, entity task, region or model.
        DataError: no tile can be a query, or an artifact is damaged.
    """
    check_device(device)
    settings = RetrievalSettings(masked, find_spaces(space_), k, seed, device, threads)
    plan = plan_retrieval(workspace, task, model, region)
    searches = [tile_search(workspace, plan, settings)] if plan.features else []
    searches += [entity_search(workspace, plan, one, settings) for one in plan.entities]
    return [_make(workspace, plan, settings, search) for search in searches]


def _make(workspace: Workspace, plan: RetrievalPlan, settings: RetrievalSettings, search: Search) -> Artifact:
    params = {"definitions": search.definitions, **settings.params(), "models": [one.ref for one in plan.models]}
    params |= {"protocols": {ref: found.name for ref, found in search.protocols.items()}}
    for name in (one.name for one in plan.models if one.is_baseline):
        params |= baseline_params(name)
    read = [*plan.regions, *search.inputs, *(one.artifact for one in plan.models if one.artifact)]

    def write(build: Build) -> Artifact:
        report = measure(plan, settings, search, build.partial)
        counts = {search.facts["searched"]: len(search.groups), "groups": report["groups"]}
        attribution = tuple(line for one in plan.models for line in one.attribution)
        return build.publish(counts, attribution, extra={"seed": settings.seed})

    name = f"{search.name}.{plan.models[0].name}"
    return RETRIEVAL.make(workspace, name, params, list(dict.fromkeys(read)), write)
