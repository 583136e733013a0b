"""Built tasks: read, joined over regions, the same bytes in every run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from batch_contents import entity_refs
from raw_tokens import TASKS, raw_tiles
from synthetic_store import write_synthetic_processed

from geojepa_cli.errors import DataError
from geojepa_cli.stages.filters import Filters
from geojepa_cli.stages.tasks import TaskSettings, build_tasks, make_tasks
from geojepa_cli.store.store import TileStore
from geojepa_cli.tasks.dataset import TaskData, split_rule
from geojepa_cli.tasks.labels import label_range, label_tiles
from geojepa_cli.tasks.spec import find_task
from geojepa_cli.tasks.splits import SplitRule, fold_groups, split_groups, with_buffer
from geojepa_cli.tasks.tokens import RegionTokens
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace

CORNERS = {"north": (18048, 25956), "south": (18048, 25990)}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("workspace"))
    for seed, (name, corner) in enumerate(CORNERS.items()):
        with workspace.build("processed", name, {}) as build:
            write_synthetic_processed(build.partial / "processed.h5", seed=seed, n_tiles=150, corner=corner)
            build.publish()
    return workspace


@pytest.fixture(scope="module")
def made(workspace: Workspace) -> dict[str, list[Artifact]]:
    regions = [build_tasks(workspace, name, list(TASKS)) for name in CORNERS]
    return {task: [region[i] for region in regions] for i, task in enumerate(TASKS)}


@pytest.fixture(scope="module")
def store(workspace: Workspace) -> TileStore:
    return TileStore.open([workspace.find("processed", name).file("processed.h5") for name in CORNERS])


@pytest.mark.parametrize("task", TASKS)
def test_regions_are_joined_in_the_rows_of_the_store(
    store: TileStore, made: dict[str, list[Artifact]], task: str
) -> None:
    data = TaskData.open(store, made[task])
    expected = [label_tiles(RegionTokens(region), find_task(task).label).values for region in store.regions]
    np.testing.assert_array_equal(data.labels, np.concatenate(expected))
    np.testing.assert_array_equal(data.groups, store.groups)
    assert data.view(masked=False).tiles.tolist() == np.flatnonzero(data.eligible).tolist()
    assert data.view(masked=True).tiles.tolist() == np.flatnonzero(data.eligible).tolist()
    assert len(data.view(masked=True).dropped_tags) > 0 == len(data.view(masked=False).dropped_tags)
    rows = np.concatenate([data.rows(name) for name in ("train", "val", "test")])
    assert sorted(rows.tolist()) == np.flatnonzero(data.kept).tolist()


def test_only_tiles_within_the_limits_with_a_label_are_eligible(
    store: TileStore, made: dict[str, list[Artifact]]
) -> None:
    data = TaskData.open(store, made["max_speed"])
    sizes = np.array([len(tokens) for region in store.regions for _, tokens in raw_tiles(region.path)])
    np.testing.assert_array_equal(data.eligible, (sizes >= 5) & (sizes <= 1250) & ~np.isnan(data.labels))
    assert (data.kept == data.eligible).all()


def test_thinning_takes_tiles_of_label_0_only(store: TileStore, made: dict[str, list[Artifact]]) -> None:
    data = TaskData.open(store, made["car_bridge"])
    thinned = data.eligible & ~data.kept
    assert thinned.sum() > 20
    assert (data.labels[thinned] == 0).all()
    assert (data.kept & (data.labels == 0)).sum() < 0.3 * (data.eligible & (data.labels == 0)).sum()
    assert set(data.rows("train")) < set(data.rows("train", thinned=False))


def test_predictions_are_clamped_to_the_range_of_the_labels(store: TileStore, made: dict[str, list[Artifact]]) -> None:
    speed, bridge = (TaskData.open(store, made[task]) for task in ("max_speed", "bridge"))
    assert label_range(speed.labels[speed.rows("train")], speed.spec.label.clamp) == (-100.0, pytest.approx(60.0))
    assert label_range(bridge.labels[bridge.rows("train")], bridge.spec.label.clamp) == (0.0, 1.0)


@pytest.mark.parametrize("rule", [SplitRule(), SplitRule(by="random")])
def test_no_two_blocks_share_an_entity_in_a_view_without_shared_ones(
    workspace: Workspace, store: TileStore, rule: SplitRule
) -> None:
    regions = [workspace.find("processed", name) for name in CORNERS]
    built = make_tasks(workspace, regions, [find_task("bridge")], TaskSettings(rule, Filters()))
    data = TaskData.open(store, [built[name][0] for name in CORNERS])
    view = data.view_without_shared(store, masked=True)
    batch = store.read(view, view.tiles)
    tiles = np.repeat(view.tiles, np.diff(batch.cu_seqlens.numpy()))
    blocks = data.groups if rule.by == "group" else np.arange(store.n_tiles)
    pairs = set(zip(entity_refs(batch), blocks[tiles].tolist(), strict=True))
    assert len(pairs) == len({ref for ref, _ in pairs}) > 100
    assert len(batch.piece_rows) < store.lengths(data.view(masked=True)).sum()


def test_the_same_inputs_give_the_same_bytes(
    workspace: Workspace, made: dict[str, list[Artifact]], tmp_path: Path
) -> None:
    from geojepa_cli.tasks.build import RegionData, write_task

    processed = workspace.find("processed", "north").file("processed.h5")
    write_task(RegionData.open(processed, "north"), find_task("bridge"), SplitRule(0), tmp_path)
    names = sorted(made["bridge"][0].manifest["files"])
    assert names == ["labels.h5", "report.json", "task.yaml", "views.h5"]
    for name in names:
        assert (tmp_path / name).read_bytes() == made["bridge"][0].file(name).read_bytes()


def test_a_second_run_makes_nothing(workspace: Workspace, made: dict[str, list[Artifact]]) -> None:
    again = build_tasks(workspace, "north", list(TASKS))
    assert [artifact.id for artifact in again] == [made[task][0].id for task in TASKS]
    other_seed = build_tasks(workspace, "north", "bridge", seed=1)
    assert other_seed[0].id != made["bridge"][0].id


def test_tasks_of_other_data_or_another_definition_are_refused(
    workspace: Workspace, store: TileStore, made: dict[str, list[Artifact]]
) -> None:
    with pytest.raises(DataError, match="differ in the task's definition"):
        TaskData.open(store, [made["bridge"][0], made["car_bridge"][1]])
    single = TileStore.open([workspace.find("processed", "north").file("processed.h5")])
    fewer = write_synthetic_processed(workspace.root / "other" / "processed.h5", n_tiles=20)
    with pytest.raises(DataError, match="20"):
        TaskData.open(TileStore.open([fewer]), [made["bridge"][0]])
    with pytest.raises(ValueError, match="2 task artifacts"):
        TaskData.open(single, made["bridge"])


def test_folds_and_buffer_are_read_and_tasks_of_other_splits_are_not_joined(
    workspace: Workspace, store: TileStore, made: dict[str, list[Artifact]]
) -> None:
    rule = SplitRule(seed=0, folds=3, buffer=True)
    regions = [workspace.find("processed", name) for name in CORNERS]
    built = make_tasks(workspace, regions, [find_task("bridge")], TaskSettings(rule, Filters()))
    artifacts = [built[name][0] for name in CORNERS]
    data = TaskData.open(store, artifacts)
    assert data.rule == rule
    np.testing.assert_array_equal(data.fold, fold_groups(store.groups, 3, 0))
    np.testing.assert_array_equal(data.split, with_buffer(store.groups, split_groups(store.groups, 0), 0))
    plain = TaskData.open(store, made["bridge"])
    assert plain.fold is None and plain.rule == SplitRule(0)
    with pytest.raises(DataError, match="seed or split"):
        TaskData.open(store, [made["bridge"][0], artifacts[1]])
    report = artifacts[0].read_json("report.json")
    for parts in (report["splits"].values(), report["folds"]):
        assert sum(part["tiles"] for part in parts) == report["tiles"]["kept"]
    assert report["splits"]["buffer"]["tiles"] == int((data.kept & (data.split == 3))[: store.tile_offsets[1]].sum())


def test_an_artifact_from_before_there_were_rules_is_split_by_group(tmp_path: Path) -> None:
    with Workspace(tmp_path).build("tasks", "r.bridge", {"seed": 4}) as build:
        assert split_rule(build.publish()) == SplitRule(4)
