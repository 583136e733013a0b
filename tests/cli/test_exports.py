"""`build-tasks --export autogluon`: tables and images as AutoGluon reads them, without the label in masked counts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commandline import invoke, output_of, refused
from hint_commands import check_hint, split_hint
from PIL import Image
from raw_tokens import goes_whole, leaks, raw_tiles, spans_hidden
from synthetic_workspace import ATTRIBUTION, add_region

from geojepa_cli import Workspace, stages
from geojepa_cli.errors import NotFoundError, UsageError
from geojepa_cli.store.images import ImageStore
from geojepa_cli.store.store import TileStore
from geojepa_cli.tags.frequent import frequent_tags
from geojepa_cli.tasks.dataset import TaskData
from geojepa_cli.tasks.splits import SPLITS
from geojepa_cli.workspace.artifact import Artifact

TASK = "building_count"
REGIONS = ("--region", "oak", "--region", "elm")
WORDS = ("build-tasks", *REGIONS, "--task", TASK, "--seed", "2", "--export", "autogluon")  # all splits have tiles


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The region `oak`, in which half of the tiles have images, and `elm` with the same tiles and no images."""
    made = Workspace(tmp_path_factory.mktemp("exports") / "workspace")
    add_region(made, "oak", 1, 160, with_images=True)
    add_region(made, "elm", 2, 40)
    return made


def export(workspace: Workspace, *more: str) -> Artifact:
    answer = json.loads(output_of(workspace, *WORDS, *more, "--json"))
    assert answer["artifact"][-1].startswith("building_count.autogluon@")
    made = workspace.find("exports", answer["artifact"][-1])
    assert answer["result"][-1]["path"] == str(made.path)
    return made


def tables(made: Artifact) -> dict[str, pd.DataFrame]:
    return {split: pd.read_csv(made.path / f"{split}.csv") for split in SPLITS}


def task_of(workspace: Workspace) -> tuple[TileStore, TaskData]:
    names = ["elm", "oak"]
    store = TileStore.open([workspace.find("processed", one).file("processed.h5") for one in names], names=names)
    return store, TaskData.open(store, [workspace.find("tasks", f"{one}.building_count") for one in names])


def test_the_tables_load_as_autogluon_loads_them(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rules of its `infer_column_types`: numbers convert, and at least a tenth of the image paths open."""
    made = export(workspace)
    monkeypatch.chdir(made.path)  # as `README.txt` says
    found = tables(made)
    assert len({tuple(table.columns) for table in found.values()}) == 1
    for table in found.values():
        assert len(table) > 0 and not table["label"].isna().any()
        for name in table.columns.drop("image"):
            assert pd.to_numeric(table[name]).notna().all()
        paths = table["image"].dropna()
        assert len(paths) > 0.1 * len(table)
        for path in paths:
            with Image.open(path) as image:
                assert image.size == (224, 224) and image.mode == "RGB"
    assert found["train"].columns.drop(["image", "label"]).isin(frequent_tags()).all()
    assert (found["train"].drop(columns=["image", "label"]).sum() > 0).all()
    readme = (made.path / "README.txt").read_text()
    code = readme.partition("from autogluon")[0].rpartition("\n\n")[2] + readme.partition("MultiModalPredictor\n")[2]
    lines = [line.strip() for line in code.splitlines() if line.startswith("    ")]
    names: dict[str, object] = {}
    exec("\n".join(line for line in lines if "predictor" not in line), names)
    assert isinstance(names["train"], pd.DataFrame) and names["train"].equals(found["train"])


@pytest.mark.parametrize("masked", [False, True])
def test_rows_have_counts_labels_splits_and_images_of_their_tiles(workspace: Workspace, masked: bool) -> None:
    made = export(workspace, *(["--masked"] if masked else []))
    store, data = task_of(workspace)
    about = pd.read_csv(made.path / "tiles.csv")
    features = pd.concat(tables(made).values(), ignore_index=True)
    assert len(about) == len(features) == int((data.kept & (data.split < 3)).sum())
    images = ImageStore(workspace.find("images", "oak").file("images.h5"))
    tokens = {one: [t for _, t in raw_tiles(store.regions[i].path)] for i, one in enumerate(("elm", "oak"))}
    listed, first = store.tile_names(), int(store.tile_offsets[1])
    names = {"elm": listed[:first], "oak": listed[first:]}
    columns = features.columns.drop(["image", "label"])
    for (_, row), (_, given) in zip(about.iterrows(), features.iterrows(), strict=True):
        place = names[row["region"]].index(row["tile"])
        in_store = place + (0 if row["region"] == "elm" else len(names["elm"]))
        assert SPLITS[data.split[in_store]] == row["split"] and given["label"] == data.labels[in_store]
        expected = dict.fromkeys(columns, 0)
        for token in tokens[row["region"]][place]:
            if masked and (goes_whole(TASK, token.tags) or spans_hidden(TASK, token)):
                continue
            for key, value in token.tags.items():
                if masked and leaks(TASK, key, value):
                    continue
                for text in {f"{key}={value}", f"{key}=*"} & set(columns):
                    expected[text] += 1
        assert given[columns].to_dict() == expected
        zoom, x, y = map(int, row["tile"].split("_"))
        assert row["group"] == f"14_{x >> 2}_{y >> 2}"
        at = int(images.rows_of(zoom, x, y)) if row["region"] == "oak" else -1
        assert pd.isna(given["image"]) == (at < 0)
        if at >= 0:
            assert given["image"] == f"images/oak/{row['tile']}.png"
            pixels = np.asarray(Image.open(made.path / given["image"]))
            np.testing.assert_array_equal(pixels, np.moveaxis(images.image[at], 0, -1))
    assert about.groupby("group")["split"].nunique().max() == 1
    assert not about.duplicated(["region", "tile"]).any()
    revealing = [name for name in columns if name.startswith("building=")]
    assert bool(revealing) is not masked


def test_the_same_inputs_give_the_same_bytes_and_masks_another_folder(workspace: Workspace, tmp_path: Path) -> None:
    first, masked = export(workspace), export(workspace, "--masked")
    assert first.id != masked.id and export(workspace).path == first.path
    files = first.manifest["files"]
    hint = str(first.rebuild_hint())
    check_hint(hint)
    first.path.rename(tmp_path / "aside")
    ((_, *words),) = split_hint(hint)
    assert invoke(workspace, *words[2:]).exit_code == 0, hint
    again = Workspace(workspace.root).find("exports", first.ref)
    assert again.manifest["files"] == files and len(files) > 60
    for name in ("oak", "elm"):
        assert workspace.find("processed", name).full_ref in again.inputs
    assert "--masked" in str(masked.rebuild_hint()) and "--masked" not in hint


def test_sources_are_named_in_the_folder(workspace: Workspace) -> None:
    made = export(workspace)
    assert (made.path / "ATTRIBUTION.txt").read_text() == "".join(f"{line}\n" for line in ATTRIBUTION)
    assert made.attribution == ATTRIBUTION
    assert "include the tags that make the label" in (made.path / "README.txt").read_text()
    masked = (export(workspace, "--masked").path / "README.txt").read_text()
    assert "hidden from the counts" in masked and "include the tags" not in masked


def test_folds_are_in_the_table_of_tiles(workspace: Workspace) -> None:
    made = export(workspace, "--folds", "3")
    about = pd.read_csv(made.path / "tiles.csv")
    assert set(about["fold"]) == {0, 1, 2} and about.groupby("group")["fold"].nunique().max() == 1


def test_errors_are_explained(workspace: Workspace) -> None:
    error = refused(workspace, *WORDS[:-1], "autoglun")
    assert isinstance(error, UsageError) and "expected `autogluon`" in error.message
    error = refused(workspace, *WORDS[:-2], "--masked")
    assert isinstance(error, UsageError) and "`--masked` requires `--export`" in error.message
    error = refused(workspace, "build-tasks", "--region", "oak", "--analyze", "bridge", "--export", "autogluon")
    assert isinstance(error, UsageError) and "cannot be combined" in error.message
    error = refused(workspace, "build-tasks", "--region", "elm", "--task", "building_count", "--export", "autogluon")
    assert isinstance(error, NotFoundError) and "no images for the tiles of `elm`" in error.message


def test_the_function_exports_all_tasks_of_a_region(workspace: Workspace) -> None:
    stages.build_tasks(workspace, "oak", ["max_speed", TASK])
    made = stages.export_task(workspace, "autogluon", region="oak")
    assert [one.name for one in made] == ["building_count.autogluon", "max_speed.autogluon"]
    assert pd.read_csv(made[1].path / "train.csv")["label"].nunique() > 1
