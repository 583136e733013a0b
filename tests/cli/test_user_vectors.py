"""`probe --embeddings` on a small random region: vectors from a file stand in the tables like those of a model."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely
from commandline import Run, invoke, refused
from hint_commands import split_hint
from synthetic_workspace import add_region
from vector_file import write_vectors

from geojepa_cli import Workspace, stages
from geojepa_cli.grid import tile_bounds
from geojepa_cli.store.embeddings import Embeddings
from geojepa_cli.workspace.artifact import Artifact

TASK = ("probe", "--task", "building_count", "--head", "linear")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    made = Workspace(tmp_path_factory.mktemp("vectors") / "workspace")
    stages.build_tasks(made, add_region(made, "alpha", 0, 120), "building_count")
    stages.probe(made, "building_count", "tagpool", head="linear")
    return made


@pytest.fixture(scope="module")
def tagpool(workspace: Workspace) -> tuple[list[str], np.ndarray]:
    """Names of the embedded tiles, and the vectors of TagPool."""
    found = Embeddings(workspace.find("embeddings", "tagpool.alpha").file("embeddings.h5"))
    return [found.tile_name(row) for row in range(found.n_tiles)], np.asarray(found["tile/vector"])


def maes(made: Artifact) -> dict[str, float]:
    return {score["model"]: score["mae"]["value"] for score in made.read_json("report.json")["scores"]}


def test_the_vectors_of_a_model_score_as_the_model_does(
    workspace: Workspace, tagpool: tuple[list[str], np.ndarray], tmp_path: Path, run_here: Run
) -> None:
    order = np.random.default_rng(0).permutation(len(tagpool[0]))  # rows of a file have no order
    path = write_vectors(tmp_path / "mine.parquet", [tagpool[0][row] for row in order], tagpool[1][order])
    answer = json.loads(run_here(*TASK, "--embeddings", path, "--json"))
    made = workspace.find("probes", answer["artifact"])
    assert made.name == "building_count.mine"
    scores = {score["model"]: score for score in answer["result"]["scores"]}
    assert list(scores) == ["dummy", "tagpool", "mine"] or set(scores) == {"dummy", "tagpool", "mine"}
    assert scores["mine"]["mae"] == scores["tagpool"]["mae"]
    assert scores["mine"]["protocol"] == "unknown"
    sha256 = made.params["embeddings"][0]["sha256"]
    assert answer["result"]["protocols"][f"mine@{sha256[:12]}"]["seen_groups"] is None
    assert answer["result"]["embeddings"] == [{"name": "mine", "sha256": sha256, "dimension": tagpool[1].shape[1]}]
    assert answer["result"]["tiles_without_vectors"] == 0
    (words,) = split_hint(str(made.rebuild_hint()))
    assert words[-2:] == ["--embeddings", "mine=FILE.parquet"]
    report = run_here("report", "--out", tmp_path / "report")
    assert "mine (linear)" in report


def test_the_id_follows_the_content_of_the_file_and_its_name(
    workspace: Workspace, tagpool: tuple[list[str], np.ndarray], tmp_path: Path
) -> None:
    first = write_vectors(tmp_path / "a.parquet", *tagpool)
    other = write_vectors(tmp_path / "b.parquet", tagpool[0], tagpool[1] + 1)

    def probe(given: str | Path | list[str]) -> str:
        return stages.probe(workspace, "building_count", head="linear", embeddings=given).ref

    assert probe(f"x={first}") == probe([f"x={first}"]) != probe(f"x={other}")
    assert probe(first) != probe(f"x={first}")


def test_tiles_without_a_vector_are_left_out_for_all_models(
    workspace: Workspace, tagpool: tuple[list[str], np.ndarray], tmp_path: Path
) -> None:
    names, vectors = tagpool[0][::3] + tagpool[0][1::3], np.concatenate([tagpool[1][::3], tagpool[1][1::3]])
    whole = write_vectors(tmp_path / "whole.parquet", *tagpool)
    part = write_vectors(tmp_path / "part.parquet", names, vectors)
    done = invoke(workspace, *TASK, "--embeddings", part, "--embeddings", whole, "--json")
    result = json.loads(done.stdout)["result"]
    lacking = len(tagpool[0]) - len(names)
    assert result["tiles_without_vectors"] == lacking and result["tiles_unthinned"] == len(names)
    assert f"{lacking} tiles without vectors left out" in result["evaluation_description"]
    assert f"{lacking} tiles of {len(tagpool[0])} not used in task `building_count`" in " ".join(done.stderr.split())
    found = {score["model"]: score["mae"]["value"] for score in result["scores"]}
    assert found["part"] == found["whole"] == found["tagpool"]
    few = write_vectors(tmp_path / "few.parquet", names[:20], vectors[:20])
    error = refused(workspace, *TASK, "--embeddings", few)
    assert f"no vector for {len(tagpool[0]) - 20} of {len(tagpool[0])} tiles of `building_count`" in error.message


@pytest.mark.parametrize("kind", ["points", "polygons"])
def test_vectors_keyed_by_geometry(
    workspace: Workspace, tagpool: tuple[list[str], np.ndarray], tmp_path: Path, kind: str
) -> None:
    boxes = [shapely.box(*tile_bounds(*map(int, name.split("_")))) for name in tagpool[0]]
    shapes = [box.centroid if kind == "points" else box.buffer(1e-4) for box in boxes]
    columns = {f"emb_{i}": tagpool[1][:, i] for i in range(tagpool[1].shape[1])}
    frame = geopandas.GeoDataFrame(columns, geometry=shapes, crs="EPSG:4326").to_crs("EPSG:3857")
    frame.rename_geometry("place").to_parquet(tmp_path / f"{kind}.parquet")
    made = stages.probe(workspace, "building_count", head="linear", embeddings=tmp_path / f"{kind}.parquet")
    found = maes(made)
    assert found[kind] == found["tagpool"]


def test_a_model_stands_next_to_the_vectors_and_masked_vectors_are_marked(
    workspace: Workspace, tagpool: tuple[list[str], np.ndarray], tmp_path: Path
) -> None:
    path = write_vectors(tmp_path / "mine.parquet", *tagpool)
    done = invoke(workspace, *TASK, "--masked", "--model", "tag-counts", "--embeddings", path, "--json")
    answer = json.loads(done.stdout)
    assert answer["artifact"].startswith("building_count.tag-counts@")
    names = {score["model"] for score in answer["result"]["scores"]}
    assert names == {"dummy", "tag-counts", "tagpool", "mine (not masked)"}
    assert "`--masked` hides nothing from `mine`" in " ".join(done.stderr.split())


def test_wrong_vectors_are_clear_errors_before_any_work(
    workspace: Workspace, tagpool: tuple[list[str], np.ndarray], tmp_path: Path
) -> None:
    good = write_vectors(tmp_path / "good.parquet", *tagpool)
    broken = tagpool[1].copy()
    broken[3, 2] = np.nan
    bad = write_vectors(tmp_path / "bad.parquet", tagpool[0], broken)
    coarse = write_vectors(tmp_path / "coarse.parquet", ["14_4512_6489"], tagpool[1][:1])
    (tmp_path / "text.parquet").write_text("hello")
    (tmp_path / "a.csv").write_text("tile,emb_0\n")
    before = sorted(workspace.root.rglob("*"))
    for given, message in (
        ([bad], "row 4: the vector has a value that is missing or not finite"),
        ([coarse], "tiles of zoom 14"),
        (["none.parquet"], "`none.parquet` is not a file"),
        ([tmp_path / "text.parquet"], "cannot be read as Parquet"),
        ([tmp_path / "a.csv"], "expected a Parquet file"),
        ([good, f"good={bad}"], "the name `good` is used twice"),
        ([f"tagpool={good}"], "the name `tagpool` is used twice"),
        ([f"dummy={good}"], "the name `dummy` is used twice"),
    ):
        options = [word for one in given for word in ("--embeddings", one)]
        error = refused(workspace, *TASK, *options)
        assert message in error.message, error.message
    assert sorted(workspace.root.rglob("*")) == before
