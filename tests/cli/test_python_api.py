"""Python API: every function of `geojepa_cli.stages` with all forms of its arguments, valid and wrong."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import exif_bytes as eb
import numpy as np
import pytest
from demo_workspace import Made, map_of, probed
from hint_commands import check_hint

from geojepa_cli import stages
from geojepa_cli.errors import GeojepaError, NotFoundError, UsageError
from geojepa_cli.workspace.artifact import Artifact

TILE = "16_18052_25957"


def photo_folder(made: Made) -> Path:
    """A folder with a photo in the demo city."""
    from geojepa_cli.grid import parse_tile, tile_bounds

    west, south, _, _ = tile_bounds(*parse_tile(TILE))
    places = eb.gps((-west, 0, 0), (south, 0, 0), "W", "N")
    return eb.write_photo(Path(made["folder"]) / "photos/a.jpg", eb.exif(places=places)).parent


VALID: dict[str, Callable[[Made], Any]] = {
    "fetch, path": lambda m: stages.fetch(m["workspace"], pbf=map_of(m), name="copy"),
    "fetch, text": lambda m: stages.fetch(
        m["workspace"], None, str(map_of(m)), "copy", Path(m["source"].path / "imagery"), attribution="Someone"
    ),
    "fetch_photos, text": lambda m: stages.fetch_photos(m["workspace"], str(photo_folder(m)), "demo"),
    "fetch_photos, path": lambda m: stages.fetch_photos(m["workspace"], photo_folder(m), [m["tiles"]], None, ["Ada"]),
    "tile, name": lambda m: stages.tile(m["workspace"], "demo", zoom=np.int64(15), keep_tags="source:*"),
    "tile, source": lambda m: stages.tile(m["workspace"], m["source"], 15),
    "tile, tiles": lambda m: stages.tile(m["workspace"], [m["tiles"]], 15, bbox=np.array([-180.0, -80, 180, 80])),
    "tile, path": lambda m: stages.tile(m["workspace"], "demo", 15, polygon=m["folder"] / "area.geojson"),
    "tile, drawn": lambda m: stages.tile(m["workspace"], "demo", imagery="drawn", draw={"noise": np.float32(2)}),
    "tile, text": lambda m: stages.tile(m["workspace"], "demo", 15, polygon=str(m["folder"] / "area.geojson")),
    "process, artifact": lambda m: stages.process(m["workspace"], m["tiles"], text_encoder="none", simplify_m=1),
    "process, ref": lambda m: stages.process(m["workspace"], [m["tiles"].ref], np.float32(1.0), text_encoder="none"),
    "build_tasks, name": lambda m: stages.build_tasks(m["workspace"], m["processed"], "bridge"),
    "build_tasks, path": lambda m: stages.build_tasks(m["workspace"], "demo", m["folder"] / "bridge.yaml"),
    "build_tasks, text": lambda m: stages.build_tasks(m["workspace"], "demo", [str(m["folder"] / "bridge.yaml")]),
    "build_tasks, artifact": lambda m: stages.build_tasks(m["workspace"], "demo", m["tasks"], folds=2),
    "analyze_task, name": lambda m: stages.analyze_task(m["workspace"], "building_count", m["processed"]),
    "pretrain, model exists": lambda m: stages.pretrain(
        m["workspace"], Path("tiny.yaml"), m["processed"], "train.max_steps=1", "small", threads=np.int32(1)
    ),
    "embed, artifacts": lambda m: stages.embed(m["workspace"], m["models"], m["processed"], m["tasks"]),
    "embed, list": lambda m: stages.embed(m["workspace"], "tagpool", task=[m["tasks"]], masked=True),
    "embed, names": lambda m: stages.embed(m["workspace"], m["models"].ref, "demo", "bridge"),
    "embed, exact task": lambda m: stages.embed(m["workspace"], "tagpool", "demo", m["tasks"].ref),
    "embed, region and task": lambda m: stages.embed(m["workspace"], "tagpool", m["tiles"], m["tasks"]),
    "probe, names": lambda m: probed(m, region="demo"),
    "probe, artifacts": lambda m: probed(m, task=m["tasks"], model=[m["models"], "tagpool"]),
    "probe_entities, path": lambda m: stages.probe_entities(
        m["workspace"], m["entity_task"], ["tagpool"], m["processed"], per_class=np.int64(20)
    ),
    "report, text": lambda m: stages.report(m["workspace"], str(m["folder"] / "report")),
    "report, path": lambda m: stages.report(m["workspace"], m["folder"] / "report"),
    "knn, names": lambda m: stages.knn(m["workspace"], TILE, k=np.uint8(3), model="tagpool", region="demo"),
    "export, names": lambda m: stages.export(m["workspace"], "tagpool", "demo", dtype="int8", dimensions=np.int64(4)),
    "export, artifacts": lambda m: stages.export(m["workspace"], m["models"], [m["processed"]], format="fgb"),
    "export_model, artifact": lambda m: stages.export_model(m["workspace"], m["models"], str(m["folder"] / "hub")),
    "knn, artifacts": lambda m: stages.knn(m["workspace"], TILE, model=m["models"], region=[m["processed"]]),
}


@pytest.mark.parametrize("call", VALID)
def test_names_artifacts_paths_and_texts_are_accepted(made: Made, call: str) -> None:
    answer = VALID[call](made)
    found = [one for one in (answer if isinstance(answer, list) else [answer]) if one is not None]
    artifacts = [part for one in found for part in (one if isinstance(one, tuple) else (one,)) if part is not None]
    assert artifacts and all(isinstance(one, Artifact) and not one.verify() for one in artifacts)


def test_equal_arguments_of_other_types_make_the_same_artifact(made: Made) -> None:
    workspace = made["workspace"]
    (built,) = stages.build_tasks(workspace, "demo", made["tasks"])
    assert built == made["tasks"]
    (a,), (b,) = (stages.process(workspace, "demo", x, text_encoder="none") for x in (2, 2.0))
    assert a == b
    box = [-180, -80, 180, 80]
    ids = {stages.tile(workspace, "demo", 15, bbox=one)[0].tiles.id for one in (box, tuple(map(float, box)))}  # type: ignore[arg-type]
    assert len(ids) == 1


def test_text_where_a_list_is_expected_is_one_element(made: Made) -> None:
    one = stages.tile(made["workspace"], "demo", 15, drop_tags="building")[0].tiles
    assert one.params["drop_tags"] == ["building"]


def sweep_file(made: Made) -> Path:
    """A sweep of one untrained model."""
    path = Path(made["folder"]) / "untrained.yaml"
    path.write_text("{settings: {train.max_steps: [0]}, tasks: [bridge], masked: true}")
    return path


def label_file(made: Made) -> Path:
    """A file with a value in the demo city."""
    path: Path = made["folder"] / "prices.csv"
    path.write_text(f"tile,price\n{TILE},3\n")
    return path


FUNCTIONS = {name: getattr(stages, name) for name in stages.__all__}
# valid arguments that a call needs besides the wrong one
NEEDED: dict[str, Callable[[Made], dict[str, Any]]] = {
    "fetch": lambda m: {"pbf": map_of(m), "name": "other"},
    "plan_fetch": lambda m: {"pbf": map_of(m), "name": "other"},
    "fetch_photos": lambda m: {"photos": photo_folder(m)},
    "plan_photos": lambda m: {"photos": photo_folder(m)},
    "analyze_task": lambda m: {"analyze": "bridge"},
    "export_task": lambda m: {"export": "autogluon", "task": "bridge"},
    "build_labels": lambda m: {"labels": label_file(m), "label": "price", "reduce": "nearest", "name": "wrong"},
    "probe": lambda m: {"task": "bridge", "model": "tagpool", "head": "linear"},
    "probe_entities": lambda m: {"task": m["entity_task"], "model": "tagpool", "per_class": 20},
    "probe_retrieval": lambda m: {"task": m["feature"], "model": "tagpool"},
    "knn": lambda m: {"tile": TILE, "model": "tagpool"},
    "heatmap": lambda m: {"at": "-80.835,35.005"},
    "explore": lambda m: {"model": "tagpool"},
    "embed": lambda m: {"model": "tagpool"},
    "review": lambda m: {"model": "tagpool"},
    "export": lambda m: {"model": "tagpool"},
    "plan_sweep": lambda m: {"file": sweep_file(m)},
    "sweep": lambda m: {"file": sweep_file(m)},
    "pretrain": lambda m: {"set_": {"train.max_steps": 1}, "name": "wrong"},
    "demo": lambda m: {"size": "small", "steps": 1},
}
WRONG: dict[str, Any] = {
    "object": object(),
    "bytes": b"demo",
    "fraction": 1.5,
    "negative": -1,
    "huge": 10**30,
    "too large for a float": 10**400,
    "too large for text": 10**5000,
    "list of huge numbers": [10**400, 0, 10**5000, 1],
    "array without axes": np.array(0),
    "nan": math.nan,
    "empty list": [],
    "mapping": {"a": object()},
    "list of numbers": [1, 2],
    "unknown text": "no such thing",
    "strange text": "\x00@/..",
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_wrong_arguments_are_clear_errors(made: Made, name: str) -> None:
    kinds = ("source", "tiles", "processed", "tasks", "models", "embeddings", "probes")
    wrong = WRONG | {f"{kind} artifact": made[kind] for kind in kinds} | {"folder": made["folder"]}
    function = FUNCTIONS[name]
    needed = NEEDED.get(name, lambda m: {})(made)
    worked = []
    for parameter in inspect.signature(function).parameters:
        for what, value in wrong.items():
            if is_valid(name, parameter, what):
                continue
            arguments = {"workspace": made["workspace"], **needed, parameter: value}
            try:
                function(**arguments)
                worked.append((parameter, what))
            except GeojepaError as error:
                check_answer(error, parameter)
    assert not worked


def check_answer(error: GeojepaError, parameter: str) -> None:
    """Fails unless the hint is a command that exists, or names the argument."""
    hint = str(error.hint or "")
    if hint.startswith(("pass ", "remove ")):
        assert re.search(rf"\b{parameter}\b", hint), (parameter, error.message, hint)
        assert parameter in error.message or parameter.strip("_").replace("_", "-") in error.message, error.message
    else:
        check_hint(hint)


def is_valid(function: str, parameter: str, what: str) -> bool:
    """True for the values above that are valid for a parameter."""
    if parameter == "test_region" and function in ("sweep", "plan_sweep"):
        return what in ("source artifact", "tiles artifact", "processed artifact", "empty list")
    if parameter in ("region", "from_region"):
        regions = ("source artifact", "tiles artifact", "processed artifact")
        return what == "empty list" if function in ("fetch", "plan_fetch") else what in regions
    if function in ("probe_entities", "probe_retrieval") and parameter == "task":
        return False
    if parameter in ("task", "analyze", "model"):
        return what == ("models artifact" if parameter == "model" else "tasks artifact")
    lists = ("keep_tags", "drop_tags", "attribution", "set_", "draw", "like", "unlike", "weight")
    if parameter in lists and what == "empty list":
        return True
    if parameter in ("simplify_m", "weight", "min_distance_km") and what in ("fraction", "huge"):
        return True
    if what == "unknown text":
        return parameter in ("keep_tags", "drop_tags", "attribution", "geofabrik_url", "stac_url", "out", "text")
    return what == "folder" and parameter in ("out", "geofabrik_url", "photos")


@pytest.mark.parametrize(
    "call",
    [
        lambda m, path: stages.fetch(m["workspace"], pbf=path, name="x"),
        lambda m, path: stages.tile(m["workspace"], "demo", polygon=path),
        lambda m, path: stages.build_tasks(m["workspace"], "demo", path),
        lambda m, path: stages.pretrain(m["workspace"], path, "demo"),
    ],
)
def test_a_path_that_the_system_refuses_is_an_error_of_geojepa(made: Made, call: Any) -> None:
    with pytest.raises(GeojepaError, match=r"File name too long at `.*aaa`") as caught:
        call(made, Path("a" * 300))
    assert str(caught.value.hint) == f"geojepa --workspace {made['workspace'].root} doctor"


def test_an_artifact_of_a_wrong_kind_is_named(made: Made) -> None:
    for call in (
        lambda: stages.embed(made["workspace"], made["processed"], "demo"),
        lambda: stages.embed(made["workspace"], "tagpool", made["models"]),
        lambda: probed(made, task=made["processed"]),
        lambda: stages.knn(made["workspace"], TILE, model=made["tasks"]),
        lambda: stages.build_tasks(made["workspace"], "demo", made["probes"]),
    ):
        with pytest.raises(UsageError, match=r"is the `\w+` artifact `.*`: expected "):
            call()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda w: stages.knn(w, TILE, k=0), "`--k 0`: expected 1 to 1000"),
        (lambda w: stages.knn(w, TILE, device="tpu"), "unknown device `tpu`"),
        (lambda w: stages.embed(w, "tagpool", device="tpu"), "unknown device `tpu`"),
        (lambda w: stages.embed(w, "tagpool", threads=0), "`--threads 0`: expected 1 to 256"),
        (lambda w: stages.pretrain(w, seed=-1), "`--seed -1`: expected 0 to"),
        (lambda w: stages.pretrain(w, device="tpu"), "unknown device `tpu`"),
        (lambda w: stages.tile(w, zoom=3), "`--zoom 3`: expected 14 to 18"),
        (lambda w: stages.process(w, simplify_m=-0.5), "`--simplify-m -0.5`: expected 0 or more"),
        (lambda w: stages.build_tasks(w, folds=21), "`--folds 21`: expected 2 to 20"),
        (lambda w: stages.build_tasks(w, bbox=(1.0, 2.0, 0.0, 3.0)), "has west and east swapped"),
        (lambda w: stages.build_tasks(w, task=[]), "expected at least one task"),
        (lambda w: stages.embed(w, "tagpool", []), "expected at least one region"),
        (lambda w: stages.fetch(w, pbf="a.osm.pbf", name="a", year=1), "`--year 1`: expected 1900 to 9999"),
    ],
)
def test_the_library_checks_ranges_as_the_command_line_does(made: Made, call: Any, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        call(made["workspace"])
    assert says in caught.value.message and caught.value.hint is not None


def test_a_task_of_another_region_is_refused(made: Made) -> None:
    workspace = made["workspace"]
    other = stages.process(workspace, "demo", 3.0, text_encoder="none")[0]
    with pytest.raises(UsageError, match="is for the region"):
        stages.embed(workspace, "tagpool", other, made["tasks"])
    with pytest.raises(NotFoundError, match="was not made from"):
        stages.embed(workspace, "tagpool", other, made["tasks"].ref)
