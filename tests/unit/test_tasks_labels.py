"""Labels compared with a slow loop over raw tags, on random tiles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from raw_tokens import TASKS, raw_tiles, slow_label
from synthetic_store import write_synthetic_processed

from geojepa_cli.store.reader import RegionStore
from geojepa_cli.tasks.label_spec import LabelSpec
from geojepa_cli.tasks.labels import label_tiles
from geojepa_cli.tasks.spec import find_task
from geojepa_cli.tasks.tokens import RegionTokens


@pytest.fixture(scope="module", params=[0, 1, 2])
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labels")
    return write_synthetic_processed(folder / "processed.h5", seed=request.param, n_tiles=60)


@pytest.mark.parametrize("task", TASKS)
def test_labels_equal_a_slow_count_over_raw_tags(path: Path, task: str) -> None:
    expected = [slow_label(task, [token.tags for token in tokens]) for _, tokens in raw_tiles(path)]
    found = label_tiles(RegionTokens(RegionStore(path)), find_task(task).label).values
    np.testing.assert_array_equal(found, np.array(expected, np.float32))
    assert len(set(expected)) > 1


def test_tokens_are_those_of_the_slow_reading(path: Path) -> None:
    expected = [token.piece for _, tokens in raw_tiles(path) for token in tokens]
    assert RegionTokens(RegionStore(path)).pieces.tolist() == expected


def test_tiles_with_roads_but_no_readable_limit_are_left_out_and_tiles_without_roads_get_minus_100(path: Path) -> None:
    spec = find_task("max_speed").label
    labels = label_tiles(RegionTokens(RegionStore(path)), spec)
    roads = np.array([any("highway" in token.tags for token in tokens) for _, tokens in raw_tiles(path)])
    assert np.isnan(labels.values[roads]).any()
    assert (labels.values[~roads] == -100).all()
    assert (~roads).any()


def test_values_without_a_number_are_counted_by_form(path: Path) -> None:
    labels = label_tiles(RegionTokens(RegionStore(path)), find_task("max_speed").label)
    assert set(labels.read) == {"number", "zone", "unlimited"}
    assert labels.unread == {}


def test_unreadable_values_are_counted_by_object(path: Path) -> None:
    spec = LabelSpec.model_validate({"kind": "max", "tags": ["name"], "read": "number"})
    region = RegionStore(path)
    labels = label_tiles(RegionTokens(region), spec)
    counts = dict(zip(zip(region.keys, region.values, strict=True), region["vocab/count"].tolist(), strict=True))
    assert labels.unread["Main Street"] == counts["name", "Main Street"]
    assert np.isnan(labels.values).all()


def test_a_sum_adds_up_the_ground_measure_of_matching_entities(path: Path) -> None:
    spec = LabelSpec.model_validate({"kind": "sum", "tags": ["landuse=grass"], "of": "area_m2"})
    area = RegionStore(path)["piece/area_m2"]
    expected = [
        sum(float(area[token.piece]) for token in tokens if token.tags.get("landuse") == "grass")
        for _, tokens in raw_tiles(path)
    ]
    found = label_tiles(RegionTokens(RegionStore(path)), spec).values
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert max(expected) > 0


def test_an_empty_region_has_no_labels(tmp_path: Path) -> None:
    path = write_synthetic_processed(tmp_path / "processed.h5", empty=True)
    for task in TASKS:
        assert label_tiles(RegionTokens(RegionStore(path)), find_task(task).label).values.shape == (0,)


def test_a_number_that_labels_cannot_hold_is_unreadable_and_counted(path: Path) -> None:
    tokens = RegionTokens(RegionStore(path))
    tokens.vocabulary.values = ["1e300" if key == "layer" else value for key, value in _pairs(tokens)]
    found = label_tiles(tokens, LabelSpec.model_validate({"kind": "max", "read": "number", "tags": ["layer"]}))
    assert np.isnan(found.values).all()
    assert set(found.unread) == {"1e300"} and found.unread["1e300"] > 0


def _pairs(tokens: RegionTokens) -> list[tuple[str, str]]:
    return list(zip(tokens.vocabulary.keys, tokens.vocabulary.values, strict=True))
