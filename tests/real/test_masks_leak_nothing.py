"""Masked variants of real data, checked on the batches that a model reads and not on the configuration."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from batch_contents import entity_refs, piece_tags
from osm_entities import Extract, Ref, is_kept
from raw_tokens import TASKS, Tags, goes_whole, leaks

from geojepa_cli.config.modality import Modality
from geojepa_cli.store.batch import TileBatch
from geojepa_cli.store.schema import KIND
from geojepa_cli.store.store import TileStore
from geojepa_cli.tasks.dataset import TaskData
from geojepa_cli.workspace.workspace import Workspace

REGIONS = ("state-college", "harrisburg", "columbus", "baltimore-harbor")
BLOCK = 64


@pytest.fixture(scope="module")
def store(task_workspace: Workspace) -> TileStore:
    return TileStore.open([task_workspace.find("processed", name).file("processed.h5") for name in REGIONS])


def open_task(workspace: Workspace, store: TileStore, task: str) -> TaskData:
    return TaskData.open(store, [workspace.find("tasks", f"{name}.{task}") for name in REGIONS])


def batches(store: TileStore, data: TaskData, masked: bool) -> list[TileBatch]:
    """All tiles of a variant, in blocks, with geometry."""
    view = data.view(masked)
    return [
        store.read(view, view.tiles[i : i + BLOCK], frozenset({Modality.NODES}))
        for i in range(0, len(view.tiles), BLOCK)
    ]


def shown_tags(store: TileStore, batch: TileBatch) -> list[Tags]:
    ends = batch.tag_offsets.tolist()
    tags = [store.tag(row) for row in batch.tag_ids.tolist()]
    return [dict(tags[a:b]) for a, b in itertools.pairwise(ends)]


@pytest.mark.parametrize("task", TASKS)
def test_no_batch_shows_a_counted_tag_or_an_entity_that_is_masked_whole(
    task_workspace: Workspace, store: TileStore, task: str
) -> None:
    data = open_task(task_workspace, store, task)
    seen: Counter[str] = Counter()
    for batch in batches(store, data, masked=True):
        for piece, tags in zip(batch.piece_rows.tolist(), shown_tags(store, batch), strict=True):
            raw = piece_tags(store, piece)
            assert tags, "an entity without a tag reached the batch"
            assert tags.items() <= raw.items()
            assert not [f"{k}={v}" for k, v in tags.items() if leaks(task, k, v)]
            assert not goes_whole(task, raw)
            seen.update(list(tags))
    assert seen["highway"] > 1000
    assert seen["addr:housenumber"] > 0


@pytest.mark.parametrize("task", TASKS)
def test_both_variants_have_the_same_tiles_and_the_mask_takes_no_more_than_it_says(
    task_workspace: Workspace, store: TileStore, task: str
) -> None:
    data = open_task(task_workspace, store, task)
    plain, masked = data.view(False), data.view(True)
    np.testing.assert_array_equal(plain.tiles, masked.tiles)
    gone = int(store.lengths(plain).sum() - store.lengths(masked).sum())
    reports = [task_workspace.find("tasks", f"{name}.{task}").read_json("report.json") for name in REGIONS]
    assert gone == sum(n for report in reports for reason, n in report["mask"].items() if "masked" in reason)
    # Every entity that goes had a tag to hide.
    left = {piece for batch in batches(store, data, True) for piece in batch.piece_rows.tolist()}
    hidden = {store.tag(row) for row in masked.dropped_tags.tolist()}
    for batch in batches(store, data, False):
        kinds = batch.kind.tolist()
        for piece, kind, tags in zip(batch.piece_rows.tolist(), kinds, shown_tags(store, batch), strict=True):
            if piece not in left and kind != KIND["relation"]:  # a relation also goes for its members
                assert hidden & tags.items() or tags.get("type") == "building" or "building:part" in tags


def test_signals_alone_at_a_point_are_gone(task_workspace: Workspace, store: TileStore) -> None:
    data = open_task(task_workspace, store, "traffic_signals")
    before = Counter(
        ref
        for batch in batches(store, data, False)
        for ref, tags in zip(entity_refs(batch), shown_tags(store, batch), strict=True)
        if ref.startswith("node/") and tags.get("highway") == "traffic_signals" and len(tags) == 1
    )
    assert len(before) > 50
    after = {ref for batch in batches(store, data, True) for ref in entity_refs(batch)}
    assert not after & set(before)


@pytest.mark.parametrize("task", TASKS)
def test_the_report_names_the_strongest_tag_that_is_left(task_workspace: Workspace, task: str) -> None:
    report = json.loads(task_workspace.find("tasks", f"state-college.{task}").file("report.json").read_text())
    found = report["strongest"]["tags"]
    assert found
    for indicator in found:
        assert not leaks(task, *indicator["tag"].split("=", 1))
    centre = 0.5 if report["strongest"]["measure"] == "auroc" else 0.0
    strength = [abs(indicator["score"] - centre) for indicator in found]
    assert strength == sorted(strength, reverse=True)
    assert strength[0] < 0.5 if centre else strength[0] < 0.99


def test_all_tasks_with_views_and_reports_take_less_than_a_hundredth_of_the_store(task_workspace: Workspace) -> None:
    processed = task_workspace.find("processed", "state-college").file("processed.h5").stat().st_size
    made = [task_workspace.find("tasks", f"state-college.{task}") for task in TASKS]
    size = sum(task.file(name).stat().st_size for task in made for name in task.manifest["files"])
    assert 0 < size < 0.01 * processed


@pytest.mark.parametrize("region", ["state-college", "baltimore-harbor"])
def test_a_relation_goes_exactly_where_a_member_of_the_extract_goes_and_keeps_its_geometry_otherwise(
    shared: Path, task_workspace: Workspace, region: str
) -> None:
    # Members and tags come from the extract by pyosmium, by id: a slip of an index would show here.
    extract = Extract(shared / "osm" / f"{region}.osm.pbf")
    store = TileStore.open([task_workspace.find("processed", region).file("processed.h5")])
    data = TaskData.open(store, [task_workspace.find("tasks", f"{region}.building_count")])
    shown = {piece: found for batch in batches(store, data, True) for piece, found in relations(batch).items()}
    stayed = gone = 0
    for batch in batches(store, data, masked=False):
        for piece, (relation, geometry) in relations(batch).items():
            hides = any(is_hidden(extract, ref) for ref in (("relation", relation), *extract.relations[relation]))
            assert (piece in shown) != hides, f"relation/{relation}"
            assert hides or shown[piece] == (relation, geometry)
            stayed, gone = stayed + (not hides), gone + hides
    assert stayed > 100 and gone > 0


def is_hidden(extract: Extract, ref: Ref) -> bool:
    """Returns True if `building_count` hides the whole element: it is a building, or all its tags are about one."""
    tags = {key: value for key, value in extract.tags.get(ref, {}).items() if is_kept(key)}
    if tags.get("type") == "building" or (tags and goes_whole("building_count", tags)):
        return True
    words = ("building", "building_passage")
    return bool(tags) and all(k.startswith(("building", "roof:")) or v in words for k, v in tags.items())


def relations(batch: TileBatch) -> dict[int, tuple[int, bytes]]:
    """Id and coordinates of the relations (without an area of their own) that a batch shows, by piece."""
    assert batch.node_xy is not None and batch.node_offsets is not None
    xy, ends = batch.node_xy.numpy(), batch.node_offsets.tolist()
    return {
        int(batch.piece_rows[token]): (int(batch.osm_id[token]), xy[ends[token] : ends[token + 1]].tobytes())
        for token in np.flatnonzero(batch.kind.numpy() == KIND["relation"]).tolist()
    }
