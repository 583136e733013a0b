"""Stage `point_probes/`: tests if what a GAIR model reads at a point of an image fits what stands there."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from geojepa_cli import console, hints
from geojepa_cli.errors import DataError
from geojepa_cli.hints import Hint
from geojepa_cli.stages.device import check_device
from geojepa_cli.stages.point_probe_plan import TILES, PointPlan, describe_models, open_models, plan_point_probe
from geojepa_cli.stages.rebuild import input_refs, number, short_ref, texts
from geojepa_cli.stages.stage import Models, Regions, Stage, as_command, rebuilding
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.build import Build
from geojepa_cli.workspace.kinds import Remains
from geojepa_cli.workspace.workspace import Workspace

REPORT_FILE, SCORES_FILE, QUERIES_FILE, PLOT_FILE = "report.json", "scores.csv", "queries.csv", "plot.png"
ENTITY_IMAGE, OFFSET = "entity-image", "offset"


def _rebuild(remains: Remains) -> Hint:
    params = remains.params
    offset = remains.name.partition(".")[0] == OFFSET  # the name is known even if the manifest is damaged
    again = hints.run(
        "probe",
        retrieval=not offset,
        offset=offset,
        model=[short_ref(remains, "models", ref) for ref in texts(params.get("models"))] or None,
        region=input_refs(remains, "processed"),
        tiles=number(params.get("tiles"), TILES),
        seed=number(params.get("seed")),
    )
    return again if offset else replace(again, arguments=(ENTITY_IMAGE,))


POINT_PROBES = Stage(
    "point_probes",
    version=1,
    rebuild=_rebuild,
    variant=("tiles",),
    files=(REPORT_FILE, SCORES_FILE, QUERIES_FILE),
)


@as_command("probe", ENTITY_IMAGE, retrieval=True)
def probe_entity_image(
    workspace: Workspace,
    model: Models = None,
    region: Regions = None,
    tiles: int = TILES,
    seed: int = 0,
    device: str = "auto",
    threads: int = 1,
) -> Artifact:
    """Tests if a GAIR model finds the tags that belong to a point of an image, and the point that belongs to tags.

    The candidates are the entities of the tile, and those of its zoom-14 group. Other ways to read the same model, and
    its weights before training, are tested for comparison. Every score names its protocol (ADR 18).

    Args:
        workspace: workspace to read from and publish to.
        model: GAIR models to test: names, or `models/` artifacts. Default: the newest GAIR model.
        region: names of regions, or artifacts. Default: the only region in the workspace or, if there are several,
            those of which the models saw no tile in pretraining.
        tiles: number of tiles to test. They are drawn as whole zoom-14 groups, so there can be a few more. Groups that
            a model saw in pretraining are tested only if there are no others.
        seed: random seed of the tested groups and of the confidence intervals.
        device: device for computing vectors: `cpu`, `cuda` or `auto`.
        threads: number of threads; does not affect the result.

    Returns:
        The `point_probes/` artifact with `report.json`, `scores.csv` and `queries.csv`.

    Raises:
        UsageError: a model is not a GAIR model, or an argument is invalid.
        NotFoundError: there is no such region or model, or a region has no images.
        DataError: there is no entity to test, or an artifact is damaged.
    """
    check_device(device)
    plan = plan_point_probe(workspace, model, region, tiles, seed, device, threads)
    return _make(workspace, plan, ENTITY_IMAGE, tiles, seed, _measure_searches)


@as_command("probe", offset=True)
def probe_offset(
    workspace: Workspace,
    model: Models = None,
    region: Regions = None,
    tiles: int = TILES,
    seed: int = 0,
    device: str = "auto",
    threads: int = 1,
) -> Artifact:
    """Tests how the tags that a GAIR model finds at a point get worse when the point is moved by 0 to 160 m.

    Args:
        workspace: workspace to read from and publish to.
        model: GAIR models to test: names, or `models/` artifacts. Default: the newest GAIR model.
        region: names of regions, or artifacts. Default: as in `probe_entity_image`.
        tiles: number of tiles to test, as in `probe_entity_image`.
        seed: random seed of the tested groups and entities, and of the confidence intervals.
        device: device for computing vectors: `cpu`, `cuda` or `auto`.
        threads: number of threads; does not affect the result.

    Returns:
        The `point_probes/` artifact with `report.json`, `scores.csv`, `queries.csv` and `plot.png`.

    Raises:
        UsageError: a model is not a GAIR model, or an argument is invalid.
        NotFoundError: there is no such region or model, or a region has no images.
        DataError: there is no entity to test, or an artifact is damaged.
    """
    check_device(device)
    plan = plan_point_probe(workspace, model, region, tiles, seed, device, threads)
    return _make(workspace, plan, OFFSET, tiles, seed, _measure_offset)


Measure = Callable[[PointPlan, int, Path], dict[str, Any]]


def _make(workspace: Workspace, plan: PointPlan, name: str, tiles: int, seed: int, measure: Measure) -> Artifact:
    params: dict[str, Any] = {"measure": name, "models": [one.ref for one in plan.models], "tiles": tiles, "seed": seed}
    params |= {"protocols": {ref: found.name for ref, found in plan.protocols.items()}}

    def write(build: Build) -> Artifact:
        with rebuilding(*plan.read):
            found = measure(plan, seed, build.partial)
        dumped = json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False)
        (build.partial / REPORT_FILE).write_text(dumped + "\n", encoding="utf-8")
        attribution = tuple(line for one in plan.read for line in one.attribution)
        counts = {"tiles": found["tiles"], "groups": found["tested_groups"]}
        return build.publish(counts, tuple(dict.fromkeys(attribution)), extra={"seed": seed})

    return POINT_PROBES.make(workspace, f"{name}.{plan.models[0].name}", params, plan.read, write)


def _measure_searches(plan: PointPlan, seed: int, folder: Path) -> dict[str, Any]:
    from geojepa_cli.evaluate.entity_image import entity_image
    from geojepa_cli.evaluate.point_report import entity_image_report
    from geojepa_cli.evaluate.point_tables import write_search_queries, write_search_scores

    data, models = open_models(plan)
    with console.progress("search across views", len(plan.view.tiles)) as meter:
        found = entity_image(data, models, meter.update)
    if not any(len(one.all_groups) for one in found.values()):
        raise _no_query(plan)
    report = {**_about(plan, ENTITY_IMAGE, seed), **entity_image_report(found, seed)}
    write_search_scores(folder / SCORES_FILE, report)
    write_search_queries(folder / QUERIES_FILE, found)
    return report


def _measure_offset(plan: PointPlan, seed: int, folder: Path) -> dict[str, Any]:
    from geojepa_cli.evaluate.offset_curve import DISTANCES_M, offset_curves
    from geojepa_cli.evaluate.plots.offset_curve import plot_offset
    from geojepa_cli.evaluate.point_report import offset_report
    from geojepa_cli.evaluate.point_tables import write_curve_queries, write_curves

    data, models = open_models(plan)
    with console.progress("read images at moved points", len(plan.view.tiles)) as meter:
        found, moved = offset_curves(data, models, seed, meter.update)
    if not len(found.all_groups):
        raise _no_query(plan)
    report = {**_about(plan, OFFSET, seed), "moved_points": moved, **offset_report(found, seed)}
    write_curves(folder / SCORES_FILE, report)
    write_curve_queries(folder / QUERIES_FILE, found, DISTANCES_M)
    plot_offset(report, folder / PLOT_FILE)
    return report


def _about(plan: PointPlan, measure: str, seed: int) -> dict[str, Any]:
    import numpy as np

    tiles = plan.view.tiles
    return {
        "measure": measure,
        "regions": [region.ref for region in plan.regions],
        "tiles": len(tiles),
        "tested_groups": len(np.unique(plan.store.groups[tiles])),
        "seed": seed,
        "models": describe_models(plan),
        "protocols": {ref: one.to_json() for ref, one in plan.protocols.items()},
    }


def _no_query(plan: PointPlan) -> DataError:
    tiles = console.counted(len(plan.view.tiles), "tile")
    message = f"in {tiles}, no two entities of a tile have different tags, so there is nothing to find"
    return DataError(message, hints.again(region=["NAME", "ANOTHER"]))
