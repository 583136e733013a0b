"""Labels of every task on every tile of real extracts, against a count by pyosmium and shapely alone."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from batch_contents import entity_refs, tile_names
from osm_entities import Ref, Tags, tokens_by_tile
from raw_tokens import TASKS, slow_label

from geojepa_cli.store.store import TileStore
from geojepa_cli.tasks.dataset import TaskData
from geojepa_cli.workspace.workspace import Workspace

Tokens = dict[str, dict[Ref, Tags]]


@pytest.fixture(scope="module", params=["state-college", "harrisburg", "columbus", "baltimore-harbor"])
def region(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def store(task_workspace: Workspace, region: str) -> TileStore:
    return TileStore.open([task_workspace.find("processed", region).file("processed.h5")])


@pytest.fixture(scope="module")
def expected(shared: Path, region: str) -> Tokens:
    return tokens_by_tile(shared / "osm" / f"{region}.osm.pbf")


@pytest.mark.parametrize("task", TASKS)
def test_labels_equal_an_independent_count_on_every_tile(
    task_workspace: Workspace, region: str, store: TileStore, expected: Tokens, task: str
) -> None:
    data = TaskData.open(store, [task_workspace.find("tasks", f"{region}.{task}")])
    names = store.tile_names()
    assert set(expected) <= set(names)
    wanted = [slow_label(task, list(expected.get(name, {}).values())) for name in names]
    np.testing.assert_array_equal(data.labels, np.array(wanted, np.float32))
    assert len({label for label in wanted if label == label}) > 1


@pytest.mark.parametrize("task", TASKS)
def test_200_random_tiles_hold_labels_worth_a_test(
    task_workspace: Workspace, region: str, store: TileStore, expected: Tokens, task: str
) -> None:
    # The same comparison on a sample of the tiles that heads are trained on, so that empty ones cannot hide an error.
    data = TaskData.open(store, [task_workspace.find("tasks", f"{region}.{task}")])
    rows = np.flatnonzero(data.kept).tolist()
    sample = random.Random(0).sample(rows, min(200, len(rows)))
    wanted = [slow_label(task, list(expected[name].values())) for name in store.tile_names(sample)]
    assert data.labels[sample].tolist() == np.array(wanted, np.float32).tolist()
    assert len(set(wanted)) > 1


def test_tokens_and_their_tags_are_those_of_the_extract(store: TileStore, expected: Tokens) -> None:
    from geojepa_cli.store.view import View

    view = View.default(store, min_entities=0, max_entities=None)
    batch = store.read(view, view.tiles)
    refs, ends = entity_refs(batch), batch.tag_offsets.tolist()
    tags = [store.tag(row) for row in batch.tag_ids.tolist()]
    names, bounds = tile_names(batch), batch.cu_seqlens.tolist()
    found: Tokens = {}
    for name, first, last in zip(names, bounds, bounds[1:], strict=False):
        for token in range(first, last):
            kind, _, number = refs[token].partition("/")
            found.setdefault(name, {})[kind, int(number)] = dict(tags[ends[token] : ends[token + 1]])
    assert found == expected
