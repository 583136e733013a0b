"""Stage `entity_probes/`: predicts a hidden tag of single entities from their embeddings, and tests the predictions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geojepa_cli import hints
from geojepa_cli.hints import Hint
from geojepa_cli.models.registry import baseline_params
from geojepa_cli.stages.alpha import CURVE, check_alphas
from geojepa_cli.stages.device import check_device
from geojepa_cli.stages.entity_measures import PLOT_FILE, PREDICTIONS_FILE, measure
from geojepa_cli.stages.entity_probe_parts import find_parts
from geojepa_cli.stages.entity_probe_plan import (
    PER_CLASS,
    SEEDS,
    EntityPlan,
    ProbeOptions,
    find_inputs,
    plan_entity_probe,
    protocols_of,
)
from geojepa_cli.stages.entity_probe_regions import GROUPS
from geojepa_cli.stages.rebuild import input_refs, number, short_ref, text, texts
from geojepa_cli.stages.shipped import noting_version
from geojepa_cli.stages.stage import Models, Regions, Stage, as_command
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.build import Build
from geojepa_cli.workspace.durable import file_sha256
from geojepa_cli.workspace.kinds import Remains, name_of
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.evaluate.protocols import Protocol
    from geojepa_cli.tasks.entity_spec import EntitySpec

REPORT_FILE, TASK_FILE = "report.json", "task.yaml"
COUNTER = "tag-counts"  # the baseline that counts the tags of neighbours


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
    alphas = params.get("alphas")
    again = hints.run(
        "probe-entities",
        task=task,
        region=[ref for ref in regions if name_of(ref) not in tested],
        test_region=[ref for ref in regions if name_of(ref) in tested],
        model=[short_ref(remains, "models", ref) for ref in texts(params.get("models"))] or None,
        hide=text(params.get("hide")) if params.get("hide") != "all" else None,
        per_class=number(params.get("per_class"), PER_CLASS),
        leave_out=GROUPS if params.get("leave_out") == GROUPS and len(regions) > 1 else None,
        context=params.get("context") is True,
        alpha=[f"{one:g}" for one in alphas if one] if isinstance(alphas, list) else None,
        seed=number(params.get("seed")),
        seeds=number(params.get("seeds"), SEEDS),
    )
    return noting_version(again, texts(params.get("models")))


# schema 2: `report.json` names the protocol of every score; what was called `protocol` is now `evaluation`
# schema 3: scores are averaged over seeds, and average precision has an interval
ENTITY_PROBES = Stage(
    "entity_probes",
    version=3,
    schema=3,
    rebuild=_rebuild,
    variant=("hide", "test_regions", "leave_out", "per_class", "context", "alphas"),
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
    seeds: int = SEEDS,
    leave_out: str | None = None,
    alpha: float | Sequence[float] | None = None,
) -> Artifact:
    """Tests how well the embedding of an entity predicts a tag of it that was hidden from the models.

    For comparison, also tests Dummy (the most frequent class), TagPool (the mean embedding of the entity's visible
    tags), the size and shape of the entity, the tags of its neighbours (their mean embedding, and gradient boosting on
    their counts), and tags, shape and neighbours together. Every score names its protocol (ADR 18).

    Args:
        workspace: workspace to read from and publish to.
        task: name of an entity task that comes with the package, or path of a YAML file.
        model: models to test: names of models or baselines, or `models/` artifacts. Default: the newest model or,
            if there is none, the model that comes with the package.
        region: names of regions, or artifacts. Default: the only region in the workspace or, if there are several,
            those of which the models saw no tile in pretraining.
        test_region: regions to test on, whose entities are not used for training. Default: cross-validation.
        hide: entities whose tags are hidden: `all`, or only those that are `probed`. A fifth of the entities is then
            probed, and the others show their tags.
        per_class: maximum number of examples of a class.
        context: also measure how far vectors move when tags or surroundings are exchanged.
        seed: random seed of the examples, and first seed of the folds, exchanges and confidence intervals.
        device: device for computing embeddings: `cpu`, `cuda` or `auto`.
        threads: number of threads; does not affect the result.
        seeds: number of consecutive seeds over which figures are averaged.
        leave_out: what a fold of the cross-validation leaves out: whole `regions` (default for several regions), or
            `groups` (zoom-14 tiles).
        alpha: weights of the entity alone, 0 to 1 (ADR 24), for a curve of all figures. Default: no curve or, with
            `context`, a curve of five weights.

    Returns:
        The `entity_probes/` artifact with `report.json`, `predictions.csv`, `plot.png` and `task.yaml`, and with
        `curve.png` if there is a curve.

    Raises:
        UsageError: an argument is invalid, or the definition of the task is.
        NotFoundError: there is no such task, region or model.
        DataError: there are too few entities or groups, or an artifact is damaged.
    """
    check_device(device)
    alphas = check_alphas(alpha) or (CURVE if context else ())
    settings = ProbeOptions(hide, per_class, context, seed, seeds, alphas)
    plan = plan_entity_probe(workspace, task, model, region, test_region, leave_out, settings)
    return _make(workspace, plan, device, threads)


def _make(workspace: Workspace, plan: EntityPlan, device: str, threads: int) -> Artifact:
    found = find_parts(workspace, plan)
    protocols = protocols_of(plan, found.examples, found.parts[0])
    inputs = [find_inputs(workspace, one, plan.regions, device, threads) for one in plan.models]
    params = _params(plan, protocols)
    read = dict.fromkeys([*plan.regions, *(one for each in inputs for one in each.artifacts)])
    read |= dict.fromkeys(one.artifact for one in plan.models if one.artifact)

    def write(build: Build) -> Artifact:
        content = params | measure(plan, inputs, found, protocols, build.partial, device, threads)
        _write_texts(build.partial, plan.spec, content)
        counts = {"entities": content["entities"], "groups": content["groups"]}
        attribution = tuple(line for one in plan.models for line in one.attribution)
        return build.publish(counts, attribution, extra={"seed": plan.settings.seed})

    return ENTITY_PROBES.make(workspace, f"{plan.spec.name}.{plan.models[0].name}", params, list(read), write)


def _params(plan: EntityPlan, protocols: Mapping[str, Protocol]) -> dict[str, Any]:
    settings = plan.settings
    params: dict[str, Any] = {
        "task": plan.spec.resolved(),
        "models": [one.ref for one in plan.models],
        "hide": settings.hide,
        "test_regions": [one.name for one in plan.test_regions],
        "leave_out": None if plan.test_regions else plan.leave_out,
        "per_class": settings.per_class,
        "seed": settings.seed,
        "seeds": settings.seeds,
        "protocols": {ref: found.name for ref, found in protocols.items()},
    }
    for name in (COUNTER, *(one.name for one in plan.models if one.is_baseline)):
        params |= baseline_params(name)
    params |= {"context": True} if settings.context else {}
    return params | ({"alphas": list(settings.alphas)} if settings.alphas else {})


def _write_texts(folder: Path, spec: EntitySpec, content: dict[str, Any]) -> None:
    """Writes the report, and the definition of the task with all defaults."""
    import yaml

    dumped = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / REPORT_FILE).write_text(dumped + "\n", encoding="utf-8")
    definition = yaml.safe_dump(spec.resolved(), sort_keys=False, allow_unicode=True)
    (folder / TASK_FILE).write_text(definition, encoding="utf-8")
