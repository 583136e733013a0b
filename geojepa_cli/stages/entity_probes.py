"""Stage `entity_probes/`: predicts a hidden tag of single entities from their embeddings, and tests the predictions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from geojepa_cli import console, hints
from geojepa_cli.config.limits import DEFAULT_LIMITS
from geojepa_cli.config.modality import Modality
from geojepa_cli.hints import Hint
from geojepa_cli.stages.device import check_device, pick_device
from geojepa_cli.stages.entity_probe_plan import (
    PER_CLASS,
    EntityPlan,
    ModelInputs,
    find_inputs,
    find_parts,
    open_store,
    plan_entity_probe,
    protocols_of,
)
from geojepa_cli.stages.model_inputs import open_embedder
from geojepa_cli.stages.model_labels import label_models
from geojepa_cli.stages.rebuild import input_refs, number, short_ref, text, texts
from geojepa_cli.stages.shipped import noting_version
from geojepa_cli.stages.stage import Models, Regions, Stage, as_command
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.build import Build
from geojepa_cli.workspace.durable import file_sha256
from geojepa_cli.workspace.kinds import Remains, name_of
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geojepa_cli.evaluate.entity_probe import Part
    from geojepa_cli.evaluate.protocols import Protocol
    from geojepa_cli.store.store import TileStore
    from geojepa_cli.store.view import View
    from geojepa_cli.tasks.entity_examples import EntityExamples
    from geojepa_cli.tasks.entity_spec import EntitySpec

REPORT_FILE, PREDICTIONS_FILE, PLOT_FILE, TASK_FILE = "report.json", "predictions.csv", "plot.png", "task.yaml"


def _rebuild(remains: Remains) -> Hint:
    from geojepa_cli.tasks.entity_spec import find_entity_task, packed_entity_tasks

    name, params = remains.name.partition(".")[0], remains.params
    copy = None if remains.path is None else remains.path / TASK_FILE
    task: str | Path = name
    if name not in packed_entity_tasks() or find_entity_task(name).resolved() != params.get("task"):
        whole = copy is not None and copy.is_file() and file_sha256(copy) == remains.files.get(TASK_FILE)
        task = copy if whole and copy is not None else f"{name}.yaml"
    tested = texts(params.get("test_regions"))
    regions = input_refs(remains, "processed")
    again = hints.run(
        "probe-entities",
        task=task,
        region=[ref for ref in regions if name_of(ref) not in tested],
        test_region=[ref for ref in regions if name_of(ref) in tested],
        model=[short_ref(remains, "models", ref) for ref in texts(params.get("models"))] or None,
        hide=text(params.get("hide")) if params.get("hide") != "all" else None,
        per_class=number(params.get("per_class"), PER_CLASS),
        context=params.get("context") is True,
        seed=number(params.get("seed")),
    )
    return noting_version(again, texts(params.get("models")))


# schema 2: `report.json` names the protocol of every score; what was called `protocol` is now `evaluation`
ENTITY_PROBES = Stage(
    "entity_probes",
    version=2,
    schema=2,
    rebuild=_rebuild,
    variant=("hide", "test_regions", "per_class", "context"),
    files=(REPORT_FILE, PREDICTIONS_FILE, PLOT_FILE, TASK_FILE),
)


@as_command("probe-entities")
def probe_entities(
    workspace: Workspace,
    task: str | Path,
    model: Models = None,
    region: Regions = None,
    test_region: Regions = None,
    hide: str = "all",
    per_class: int = PER_CLASS,
    context: bool = False,
    seed: int = 0,
    device: str = "auto",
    threads: int = 1,
) -> Artifact:
    """Tests how well the embedding of an entity predicts a tag of it that was hidden from the models.

    For comparison, also tests Dummy (the most frequent class), TagPool (the mean embedding of the entity's visible
    tags), the size and shape of the entity, the tags of its neighbours, and all three of them together.

    Args:
        workspace: workspace to read from and publish to.
        task: name of an entity task that comes with the package, or path of a YAML file.
        model: models to test: names of models or baselines, or `models/` artifacts. Default: the newest model or,
            if there is none, the model that comes with the package.
        region: names of regions, or artifacts. Default: the only region in the workspace.
        test_region: regions to test on, whose entities are not used for training. Default: cross-validation over the
            zoom-14 groups of `region`.
        hide: entities whose tags are hidden: `all`, or only those that are `probed`. A fifth of the entities is then
            probed, and the others show their tags.
        per_class: maximum number of examples of a class.
        context: also measure how far vectors move when tags or surroundings are exchanged.
        seed: random seed of the examples, the folds and the confidence intervals.
        device: device for computing embeddings: `cpu`, `cuda` or `auto`.
        threads: number of threads for computing embeddings; does not affect the result.

    Returns:
        The `entity_probes/` artifact with `report.json`, `predictions.csv`, `plot.png` and `task.yaml`.

    Raises:
        UsageError: an argument is invalid, or the definition of the task is.
        NotFoundError: there is no such task, region or model.
        DataError: there are too few entities or groups, or an artifact is damaged.
    """
    check_device(device)
    plan = plan_entity_probe(workspace, task, model, region, test_region, hide, per_class)
    examples, parts, left_out = find_parts(workspace, plan, hide, per_class, seed)
    protocols = protocols_of(plan, examples, parts)
    inputs = [find_inputs(workspace, one, plan, device, threads) for one in plan.models]
    params = _params(plan, protocols, hide, per_class, context, seed)
    read = dict.fromkeys([*plan.regions, *(one for found in inputs for one in found.artifacts)])
    read |= dict.fromkeys(one.artifact for one in plan.models if one.artifact)

    def write(build: Build) -> Artifact:
        content = _measure(build, plan, inputs, examples, parts, params, left_out, device, threads)
        content["protocols"] = {ref: found.to_json() for ref, found in protocols.items()}
        _write_texts(build.partial, plan.spec, content)
        counts = {"entities": content["entities"], "groups": content["groups"]}
        attribution = tuple(line for one in plan.models for line in one.attribution)
        return build.publish(counts, attribution, extra={"seed": seed})

    return ENTITY_PROBES.make(workspace, f"{plan.spec.name}.{plan.models[0].name}", params, list(read), write)


def _params(
    plan: EntityPlan, protocols: Mapping[str, Protocol], hide: str, per_class: int, context: bool, seed: int
) -> dict[str, Any]:
    params: dict[str, Any] = {
        "task": plan.spec.resolved(),
        "models": [one.ref for one in plan.models],
        "hide": hide,
        "test_regions": [one.name for one in plan.test_regions],
        "per_class": per_class,
        "seed": seed,
        "protocols": {ref: found.name for ref, found in protocols.items()},
    }
    return params | ({"context": True} if context else {})


def _write_texts(folder: Path, spec: EntitySpec, content: dict[str, Any]) -> None:
    """Writes the report, and the definition of the task with all defaults."""
    dumped = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / REPORT_FILE).write_text(dumped + "\n", encoding="utf-8")
    definition = yaml.safe_dump(spec.resolved(), sort_keys=False, allow_unicode=True)
    (folder / TASK_FILE).write_text(definition, encoding="utf-8")


def _measure(
    build: Build,
    plan: EntityPlan,
    inputs: list[ModelInputs],
    examples: EntityExamples,
    parts: list[Part],
    params: dict[str, Any],
    left_out: dict[str, dict[str, int]],
    device: str,
    threads: int,
) -> dict[str, Any]:
    """Computes vectors and scores, writes the predictions and the plot, and returns the content of the report."""
    import torch

    from geojepa_cli.evaluate.entity_predictions import entity_report, write_entity_predictions
    from geojepa_cli.evaluate.entity_probe import BETWEEN_REGIONS, CROSS_VALIDATION, run_entity_probe
    from geojepa_cli.evaluate.entity_tags import visible_tags
    from geojepa_cli.evaluate.plots.entity_probe import plot_entity_probe
    from geojepa_cli.evaluate.protocols import NO_PRETRAINING
    from geojepa_cli.tasks.entity_examples import hiding_view

    torch.set_num_threads(threads)
    store = open_store(plan)
    view = hiding_view(store, examples, params["hide"] == "all", DEFAULT_LIMITS)
    labels = label_models(plan.models, [files.images for files in inputs])
    vectors, shifts = _vectors(plan, labels, inputs, examples, view, params, device)
    tags = visible_tags(store, view, examples.pieces)
    torch.set_num_threads(1)  # with one thread, results do not depend on the number of cores
    data = (examples.labels, examples.classes, examples.groups, tags.bare, parts)
    evaluation = BETWEEN_REGIONS if plan.test_regions else CROSS_VALIDATION
    with console.progress(f"probe {plan.spec.name}") as meter:
        result = run_entity_probe(vectors, *data, evaluation, params["seed"], meter.update)
    write_entity_predictions(build.partial / PREDICTIONS_FILE, store, examples, tags, result)
    plot_entity_probe(result, plan.spec.title, build.partial / PLOT_FILE)
    content = {
        **params,
        "task": plan.spec.name,
        "key": plan.spec.key,
        "regions": [region.ref for region in plan.regions],
        "hidden_rules": [rule.written() for rule in plan.spec.hidden],
        **entity_report(store, examples, tags, result, left_out),
    }
    refs = dict(zip(labels, (one.ref for one in plan.models), strict=True))
    for score in content["scores"]:
        ref = refs.get(score["model"])
        score |= {"ref": ref, "protocol": NO_PRETRAINING if ref is None else params["protocols"][ref]}
    return content | ({"context": shifts} if params.get("context") else {})


def _vectors(
    plan: EntityPlan,
    labels: list[str],
    inputs: list[ModelInputs],
    examples: EntityExamples,
    view: View,
    params: dict[str, Any],
    device: str,
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Computes the vectors of the examples by name of the model or baseline, and the context ratios of the models."""
    import torch

    from geojepa_cli.evaluate.entity_vectors import model_vectors, reference_vectors
    from geojepa_cli.stages.features import FILE as FEATURES_FILE
    from geojepa_cli.store.features import open_features

    found: dict[str, NDArray[Any]] = {}
    shifts: dict[str, Any] = {}
    target = torch.device(pick_device(device))
    for model, label, files in zip(plan.models, labels, inputs, strict=True):
        store = open_store(plan, files)
        embedder = open_embedder(model, store, files.features, device)
        with console.progress(f"embed entities with {label}", len(view.tiles)) as meter:
            found[label] = model_vectors(store, view, examples.pieces, embedder, target, meter.update)
        if params.get("context") and Modality.NODES in embedder.needs:
            console.warn(f"`--context` is skipped for `{label}`, which reads the vertices of entities")
        elif params.get("context"):
            shifts[label] = _context(store, examples, embedder, params["seed"], target)
    table = open_features([one.file(FEATURES_FILE) for one in inputs[0].features], store).table
    with console.progress("compute simple features", len(view.tiles)) as meter:
        return found | reference_vectors(store, view, examples.pieces, table, meter.update), shifts


def _context(store: TileStore, examples: EntityExamples, embedder: Any, seed: int, device: Any) -> list[dict[str, Any]]:
    """Returns the context ratio of a model by class, with all tags visible."""
    import numpy as np

    from geojepa_cli.evaluate.context_ratio import context_ratio, draw_exchanges
    from geojepa_cli.store.view import View

    view = View.default(store, *DEFAULT_LIMITS).restrict(np.unique(examples.tiles)).trimmed(store)
    kinds = np.empty(len(examples.pieces), np.uint8)
    for index, region in enumerate(store.regions):
        own = examples.regions == index
        objects = region["piece/object"][examples.pieces[own] - store.piece_offsets[index]]
        kinds[own] = region["object/kind"][objects]
    exchanges = draw_exchanges(examples.pieces, examples.tiles, examples.labels, kinds, seed)
    shifts = context_ratio(store, view, exchanges, examples.classes, embedder, device)
    return [shift.to_json() for shift in shifts]
