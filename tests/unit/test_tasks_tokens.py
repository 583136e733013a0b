"""Tokens of a region: tags that stand twice on an object count once, in labels, masks and every count."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw_tokens import TASKS
from synthetic_store import write_synthetic_processed

from geojepa_cli.tasks.analysis import analyze
from geojepa_cli.tasks.build import RegionData, write_task
from geojepa_cli.tasks.spec import find_task
from geojepa_cli.tasks.splits import SplitRule
from geojepa_cli.tasks.tokens import without_repeats


@pytest.fixture(scope="module")
def regions(tmp_path_factory: pytest.TempPathFactory) -> tuple[RegionData, RegionData]:
    """A region, and the same region with every tag of every third object twice."""
    folder = tmp_path_factory.mktemp("tokens")
    once = write_synthetic_processed(folder / "once.h5", seed=6, n_tiles=120)
    return RegionData.open(once, "r"), RegionData.open(with_tags_twice(once, folder / "twice.h5"), "r")


def with_tags_twice(path: Path, copy: Path) -> Path:
    """Copies a `processed.h5`; every third object has its tags twice."""
    with h5py.File(path) as file:
        offsets, rows = file["object/tags"][...], file["tag/vocab"][...]
        tags = [rows[first:last] for first, last in pairwise(offsets)]
        tags = [np.tile(one, 2) if row % 3 == 0 else one for row, one in enumerate(tags)]
        changed = {
            "object/tags": np.concatenate([[0], np.cumsum([len(one) for one in tags])]).astype(offsets.dtype),
            "tag/vocab": np.concatenate(tags).astype(rows.dtype),
        }
        with h5py.File(copy, "w", libver="latest", alignment_threshold=1, alignment_interval=64) as target:
            target.attrs.update(file.attrs)
            for group, columns in file.items():
                target.create_group(group).attrs.update(columns.attrs)
                for name, column in columns.items():
                    data = changed.get(f"{group}/{name}", column[...])
                    target[group].create_dataset(name, data=data).attrs.update(column.attrs)
    return copy


@pytest.mark.parametrize("task", TASKS)
def test_a_tag_that_stands_twice_counts_once_in_every_file_of_a_task(
    regions: tuple[RegionData, RegionData], tmp_path: Path, task: str
) -> None:
    assert len(regions[1].store.regions[0]["tag/vocab"]) > len(regions[0].store.regions[0]["tag/vocab"])
    for name, region in zip(("once", "twice"), regions, strict=True):
        (folder := tmp_path / name).mkdir()
        write_task(region, find_task(task), SplitRule(folds=3), folder)
    for file in ("labels.h5", "views.h5", "report.json"):
        assert (tmp_path / "once" / file).read_bytes() == (tmp_path / "twice" / file).read_bytes()


def test_a_tag_that_stands_twice_counts_once_in_an_analysis(regions: tuple[RegionData, RegionData]) -> None:
    once, twice = (analyze([region], find_task("building_count"), SplitRule()) for region in regions)
    assert once.within and once.as_json() == twice.as_json()


@given(st.lists(st.lists(st.integers(0, 4), max_size=6), max_size=8))
def test_repeated_values_of_a_row_are_removed_and_their_order_kept(table: list[list[int]]) -> None:
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in table])]).astype(np.int64)
    found_offsets, found = without_repeats(offsets, np.array([v for row in table for v in row], np.int64))
    rows = [found[a:b].tolist() for a, b in pairwise(found_offsets)]
    assert rows == [list(dict.fromkeys(row)) for row in table]
