"""`build-tasks --labels` on small random regions: labels from CSV, GeoJSON and GeoParquet files, and wrong files."""

from __future__ import annotations

import json
import re
from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely
from commandline import Run, invoke, output_of, refused
from hint_commands import split_hint
from synthetic_workspace import add_region

from geojepa_cli import Workspace, stages
from geojepa_cli.grid import tile_bounds
from geojepa_cli.store.label_file import read_labels
from geojepa_cli.store.reader import RegionStore
from geojepa_cli.store.store import TileStore
from geojepa_cli.tasks.dataset import TaskData
from geojepa_cli.workspace.artifact import Artifact


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Two regions side by side."""
    made = Workspace(tmp_path_factory.mktemp("labels") / "workspace")
    add_region(made, "alpha", 0, 120)
    add_region(made, "beta", 1, 60, corner=(18100, 25956))
    return made


def tiles_of(workspace: Workspace, region: str = "alpha") -> list[list[int]]:
    store = RegionStore(workspace.find("processed", region).file("processed.h5"), region)
    return np.stack([store[f"tile/{axis}"] for axis in "zxy"], 1).tolist()


def centre(tile: list[int]) -> tuple[float, float]:
    west, south, east, north = tile_bounds(*tile)
    return (west + east) / 2, (south + north) / 2


def labels_of(task: Artifact, n_tiles: int) -> np.ndarray:
    return read_labels(task.file("labels.h5"), n_tiles, 0, None)["label"]


def write_points(path: Path, tiles: list[list[int]], values: list[object]) -> Path:
    rows = [f"{centre(tile)[0]!r},{centre(tile)[1]!r},{value}" for tile, value in zip(tiles, values, strict=True)]
    path.write_text("lon,lat,House Price\n" + "\n".join(rows) + "\n")
    return path


def test_points_of_a_csv_become_a_task_like_any_other(workspace: Workspace, tmp_path: Path) -> None:
    tiles = tiles_of(workspace)
    values = np.arange(len(tiles), dtype=float)
    path = write_points(tmp_path / "prices.csv", [*tiles, tiles[0]], [*values, 100])
    command = ("build-tasks", "--region", "alpha", "--labels", path, "--label", "House Price")
    answer = json.loads(output_of(workspace, *command, "--attribution", "City, CC0", "--json"))
    task = workspace.find("tasks", "alpha.house_price")
    assert answer["artifact"] == task.ref
    report = answer["result"]
    np.testing.assert_array_equal(labels_of(task, len(tiles)), [50.0, *values[1:]])
    assert report["label_file"] == {
        "column": "House Price",
        "kind": "points",
        "reduce": "mean",
        "rows": len(tiles) + 1,
        "rows in tiles of the region": len(tiles) + 1,
    }
    assert "City, CC0" in task.attribution and task.params["attribution"] == ["City, CC0"]
    assert sum(part["groups"] for part in report["splits"].values()) > 3
    assert sum(count for _, count in report["splits"]["train"]["histogram"]) == report["splits"]["train"]["tiles"] > 0
    store = TileStore.open([workspace.find("processed", "alpha").file("processed.h5")], names=["alpha"])
    data = TaskData.open(store, [task])
    plain, masked = data.view(False), data.view(True)
    assert len(masked.dropped_tags) == 0
    np.testing.assert_array_equal(plain.dropped_pieces, masked.dropped_pieces)
    text = output_of(workspace, *command, "--attribution", "City, CC0")
    assert "labels from the column `House Price` of a file (mean of points): 121 rows" in text


def test_the_same_file_gives_the_same_artifact_and_another_one_another(workspace: Workspace, tmp_path: Path) -> None:
    tiles = tiles_of(workspace)
    first = write_points(tmp_path / "a.csv", tiles[:30], [*range(30)])
    copy = write_points(tmp_path / "b.csv", tiles[:30], [*range(30)])
    other = write_points(tmp_path / "c.csv", tiles[:30], [*range(1, 31)])
    (one,), (same,), (changed,), (summed,) = (
        stages.build_labels(workspace, path, "House Price", "alpha", name="same", reduce=reduce)
        for path, reduce in ((first, None), (copy, "mean"), (other, None), (first, "sum"))
    )
    assert one.ref == same.ref and len({one.ref, changed.ref, summed.ref}) == 3
    assert "labels of task same: attribution unknown" in one.attribution
    (hint,) = split_hint(str(one.rebuild_hint()))
    assert hint[hint.index("build-tasks") :] == [
        *("build-tasks", "--region", "alpha", "--labels", "FILE", "--label", "House Price"),
        *("--name", "same", "--reduce", "mean"),
    ]


@pytest.mark.parametrize("which", ["one group", "few tiles"])
def test_too_few_labels_for_a_probe_are_a_warning_that_names_what_is_missing(
    workspace: Workspace, tmp_path: Path, which: str
) -> None:
    tiles = tiles_of(workspace)
    groups = [(x // 4, y // 4) for _, x, y in tiles]
    largest = max(set(groups), key=groups.count)
    chosen = [tile for tile, group in zip(tiles, groups, strict=True) if which == "few tiles" or group == largest]
    chosen = chosen[:19] if which == "few tiles" else chosen
    path = write_points(tmp_path / "few.csv", chosen, [*range(len(chosen))])
    command = ("build-tasks", "--region", "alpha", "--labels", path, "--label", "House Price", "--name", "few")
    done = invoke(workspace, *command, "--attribution", "City")
    error = refused(workspace, "probe", "--region", "alpha", "--task", "few")
    has = error.message.removeprefix("too few tiles to probe: ")
    assert (" in 1 zoom-14 group," in has) == (which == "one group") and "expected at least 20 tiles in 3 groups" in has
    assert done.exit_code == 0 and "cross-validates" not in done.stderr
    assert f"`probe` cannot use the task `few`: it has {has}" in " ".join(done.stderr.split())


def test_tile_tables_and_geoparquet_polygons_give_the_same_labels(workspace: Workspace, tmp_path: Path) -> None:
    tiles = tiles_of(workspace)
    flags = [row % 2 for row in range(len(tiles))]
    names = [f"{z}_{x}_{y}" for z, x, y in tiles]
    (tmp_path / "t.csv").write_text(
        "tile;flag\n" + "".join(f"{name};{flag}\n" for name, flag in zip(names, flags, strict=True))
    )
    shapes = [shapely.box(*tile_bounds(*tile)) for tile in tiles]
    frame = geopandas.GeoDataFrame({"flag": flags}, geometry=shapes, crs="EPSG:4326").rename_geometry("cell")
    frame.to_parquet(tmp_path / "p.parquet")
    (table,) = stages.build_labels(workspace, tmp_path / "t.csv", "flag", "alpha")
    (cells,) = stages.build_labels(workspace, tmp_path / "p.parquet", "flag", "alpha", name="cells")
    np.testing.assert_array_equal(labels_of(table, len(tiles)), flags)
    np.testing.assert_allclose(labels_of(cells, len(tiles)), flags, atol=1e-6)
    assert table.params["task"]["label"]["file"]["binary"] and not cells.params["task"]["label"]["file"]["binary"]
    reports = [one.read_json("report.json") for one in (table, cells)]
    assert [report["strongest"]["measure"] for report in reports] == ["auroc", "spearman"]


def test_several_regions_share_the_definition_and_a_region_without_rows_is_refused(
    workspace: Workspace, tmp_path: Path
) -> None:
    alpha, beta = tiles_of(workspace), tiles_of(workspace, "beta")
    both = write_points(tmp_path / "both.csv", [*alpha, *beta], [*range(180)])
    made = stages.build_labels(workspace, both, "House Price", ["alpha", "beta"], name="both")
    assert [one.name for one in made] == ["alpha.both", "beta.both"]
    assert made[0].params["task"] == made[1].params["task"]
    np.testing.assert_array_equal(labels_of(made[1], 60), range(120, 180))
    one = write_points(tmp_path / "one.csv", alpha, [*range(120)])
    command = ("build-tasks", "--labels", one, "--label", "House Price", "--region")
    error = refused(workspace, *command, "alpha", "--region", "beta")
    assert "lies in a tile of `beta`" in error.message
    assert "--region alpha" in str(error.hint) and "beta" not in str(error.hint)


@pytest.mark.parametrize(
    ("text", "more", "message"),
    [
        ("x,y,v\n380000,5300000,1\n", (), "states no CRS"),
        ("x,y,v\n380000,5300000,1\n", ("--crs", "EPSG:25832"), "lies in a tile of `alpha`: they lie at longitude"),
        ("x,y,v\n380000,5300000,1\n", ("--crs", "EPSG:4326"), "is not a position in WGS 84"),
        ("lon,lat,v\n8.5,48.7,1\n", (), "latitude 48.7 to 48.7, the region at longitude"),
        ("lon,lat,v\n34.98,-80.85,1\n", (), "longitude and latitude seem to be swapped"),
        ("lon,lat,v\n", (), "is empty"),
        ("lon,lat,value\n1,2,3\n", (), "no column `v`"),
        ("lon,lat,v\n1,2,cheap\n", (), "line 2: `v` is `cheap`: expected a number"),
        ("lon,lat,v\n1,2,\n1,2,NA\n1,2,3\n", (), "2 of 3 rows of .* have no value in `v`"),
        ("lon,lat,v\n1,2,1e39\n", (), "`v` is 1e.39: expected at most"),
        ("tile,v\n14_4513_6489,1\n", (), "tiles of zoom 14, but those of the region `alpha` have zoom 16"),
        ("tile,v\n16_1_1,1\n", (), "is a tile of `alpha`; the first is `16_1_1`"),
        ("tile,v\n16_1_1,1\n16_1_1,2\n", (), "occurs twice"),
        ("lon,lat,v\n1,2,3\n", ("--reduce", "median"), "`--reduce median`: expected `mean`"),
        ("lon,lat,v\n1,2,3\n", ("--name", "My Task"), "is not the name of a task"),
        ("lon,lat,v\n1,2,3\n", ("--name", "max_speed"), "a task that comes with geojepa"),
        ("lon,lat,v\n1,2,3\n", ("--task", "max_speed"), "cannot be combined with `--task`"),
    ],
)
def test_wrong_files_and_options_are_clear_errors(
    workspace: Workspace, tmp_path: Path, text: str, more: tuple[str, ...], message: str
) -> None:
    (tmp_path / "a.csv").write_text(text)
    before = sorted(workspace.root.glob("tasks/*"))
    command = ("build-tasks", "--region", "alpha", "--labels", tmp_path / "a.csv", "--label", "v")
    error = refused(workspace, *command, *more)
    assert re.search(message, error.message), error.message
    assert sorted(workspace.root.glob("tasks/*")) == before


def test_options_of_labels_need_each_other(workspace: Workspace, tmp_path: Path) -> None:
    path = write_points(tmp_path / "a.csv", tiles_of(workspace)[:3], [1, 2, 3])
    assert "requires `--label`" in refused(workspace, "build-tasks", "--labels", path).message
    assert "`--crs` requires `--labels`" in refused(workspace, "build-tasks", "--crs", "EPSG:4326").message
    missing = refused(workspace, "build-tasks", "--region", "alpha", "--labels", "no.csv", "--label", "v")
    assert "`no.csv` is not a file" in missing.message


def test_the_definition_of_such_a_task_cannot_be_built_without_its_file(workspace: Workspace, tmp_path: Path) -> None:
    path = write_points(tmp_path / "a.csv", tiles_of(workspace)[:30], [*range(30)])
    (made,) = stages.build_labels(workspace, path, "House Price", "alpha", name="given")
    error = refused(workspace, "build-tasks", "--region", "alpha", "--task", made.file("task.yaml"))
    assert "come from a file: `--labels` is required" in error.message
    assert "--labels FILE --label 'House Price' --name given" in str(error.hint)


def test_a_probe_finds_a_label_that_the_map_shows_and_has_no_mask_for_it(
    workspace: Workspace, tmp_path: Path, run_here: Run
) -> None:
    tiles = tiles_of(workspace)
    store = RegionStore(workspace.find("processed", "alpha").file("processed.h5"), "alpha")
    entities = np.diff(store["tile/pieces"].astype(np.int64))
    path = write_points(tmp_path / "n.csv", tiles, entities.tolist())
    run_here("build-tasks", "--region", "alpha", "--labels", path, "--label", "House Price", "--name", "size")
    command = ("probe", "--region", "alpha", "--task", "size", "--model", "tag-counts", "--head", "linear")
    plain = json.loads(run_here(*command, "--json"))
    relative = {score["model"]: score["relative"] for score in plain["result"]["scores"]}
    assert relative["tag-counts"] < 0.5
    done = invoke(workspace, *command, "--masked", "--json")
    assert json.loads(done.stdout)["artifact"] == plain["artifact"]
    assert "`--masked` is ignored, because no tag reveals them" in " ".join(done.stderr.split())
