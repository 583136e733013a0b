"""Probes at points of images, with a model that reads exact positions and with models that do not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from painted_store import COLOURS, PER_TILE, PX, Painted, read, start_gair, to_lonlat, write_painted
from torch import Tensor, nn

from geojepa_cli.evaluate.entity_image import CELLS, Cell, entity_image
from geojepa_cli.evaluate.offset_curve import DISTANCES_M, offset_curves
from geojepa_cli.evaluate.point_groups import FIRST_WEIGHTS, Dataset, Figures, PointModel, Row
from geojepa_cli.evaluate.point_report import Means, entity_image_report, offset_report
from geojepa_cli.grid import parse_tile
from geojepa_cli.metrics.metrics import spearman
from geojepa_cli.models.base import TagList
from geojepa_cli.models.gair.gair import Gair
from geojepa_cli.models.gair.queries import hash_tags
from geojepa_cli.models.gair.readings import (
    AT_POINT,
    CENTRE_PATCH,
    NEAREST_CELL,
    PLACE,
    TILE_MEAN,
    entity_points,
    moved_points,
    read_in_all_ways,
)
from geojepa_cli.nn.inr import LocalInterpolation
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View

CELL_PX = 4
Found = dict[Cell, Figures]


class Colours(nn.Module):
    """Overhead encoder whose map is the image in cells of 4 pixels, as the deviation from grey."""

    grid = PX // CELL_PX

    def forward(self, images: Tensor) -> Tensor:
        cells = nn.functional.avg_pool2d(images.float() - 100.0, CELL_PX)
        return cells.flatten(2).transpose(1, 2)

    def as_map(self, tokens: Tensor) -> Tensor:
        return tokens.transpose(1, 2).unflatten(2, (self.grid, self.grid))


class ColourOfKind(nn.Module):
    """Ground encoder: the colour in which an entity is painted. `shift`: the colour of another kind."""

    def __init__(self, shift: int = 0) -> None:
        super().__init__()
        self.shift = shift

    def forward(self, table: Tensor, tag_ids: Tensor, offsets: Tensor, *_: Tensor) -> Tensor:
        kind = tag_ids[offsets[:-1]]  # tags are sorted, and the tag of the kind comes before the name
        colours = torch.from_numpy(COLOURS.astype(np.float32)) - 100.0
        return colours[(kind + self.shift) % len(COLOURS)]


class Longitude(nn.Module):
    def forward(self, lonlat: Tensor) -> Tensor:
        return torch.cat([lonlat, torch.ones(len(lonlat), 1)], dim=1).float()


def exact_model(shift: int = 0) -> Gair:
    """A model whose two views of a place are equal: the colour that is painted there."""
    interpolation = LocalInterpolation(3, 3, "nearest")
    nn.init.eye_(interpolation.proj.weight)
    nn.init.zeros_(interpolation.proj.bias)
    parts: tuple[Any, ...] = Colours(), ColourOfKind(shift), Longitude()
    model: Any = Gair(parts[0], interpolation, parts[1], parts[2], 3, 1)
    model.head = nn.Identity()
    found: Gair = model.eval()
    return found


@pytest.fixture(scope="module")
def painted(tmp_path_factory: pytest.TempPathFactory) -> Painted:
    return write_painted(tmp_path_factory.mktemp("painted"))


def open_data(painted: Painted, tiles: Any = None) -> Dataset:
    store = TileStore.open([painted.folder / "processed.h5"], [painted.folder / "images.h5"])
    view = View.default(store, 1, None)
    hashes = hash_tags(TagList(store.keys, store.values))
    return Dataset(store, view if tiles is None else view.restrict(tiles), hashes, torch.device("cpu"))


@pytest.fixture(scope="module")
def found(painted: Painted) -> Found:
    models = [PointModel("exact", exact_model(), exact_model(1), torch.zeros(1, 1))]
    return entity_image(open_data(painted), models, lambda done: None)


def mean(found: Found, reading: str, cell: Cell = CELLS[0], figure: int = 0) -> float:
    return float(found[cell].of(Row("exact", reading))[:, figure].mean())


def test_a_model_that_reads_exact_positions_finds_all_tags_and_points(found: Found) -> None:
    for cell in CELLS:
        assert mean(found, AT_POINT, cell) == 1.0 and mean(found, AT_POINT, cell, 2) == 1.0
        for reading in (CENTRE_PATCH, TILE_MEAN, PLACE):
            assert mean(found, reading, cell) < 0.7


def test_a_reading_that_ignores_the_point_finds_points_as_in_a_random_order(found: Found) -> None:
    cell = Cell("tags to points", "tile")
    chance = found[cell].of(None)
    for reading in (CENTRE_PATCH, TILE_MEAN):
        np.testing.assert_allclose(found[cell].of(Row("exact", reading)), chance)
    assert abs(mean(found, AT_POINT, cell) - chance[:, 0].mean()) > 0.4


def test_wrong_pairs_are_found_less_often_than_by_chance(found: Found) -> None:
    for cell in CELLS:
        assert mean(found, FIRST_WEIGHTS, cell) < found[cell].of(None)[:, 0].mean()


def test_queries_are_all_entities_and_the_random_order_depends_on_the_number_of_tag_sets(
    found: Found, painted: Painted
) -> None:
    kinds = painted.kind.reshape(-1, PER_TILE)
    sets = np.array([len(set(tile.tolist())) for tile in kinds])
    figures = found[Cell("points to tags", "tile")]
    expected = (1.0 / sets).repeat(PER_TILE)[(sets > 1).repeat(PER_TILE)]
    order = np.argsort([int(name.split("/")[1]) for name, _ in figures.entities])
    np.testing.assert_allclose(figures.of(None)[order, 0], expected)
    assert len({tile for _, tile in figures.entities}) == int((sets > 1).sum())


def test_a_trained_kind_of_model_is_read_in_all_ways(painted: Painted) -> None:
    model, _, _ = start_gair(painted.folder, "model.decoder=mlp")
    batch = read(painted, [3, 9])
    points = entity_points(batch, torch.arange(50))
    with torch.no_grad():
        ways = read_in_all_ways(model.module, batch, points)
    assert points.entity.tolist() == list(range(2 * PER_TILE))
    np.testing.assert_allclose(points.uv.numpy() * PX, painted.pixel[batch.osm_id.numpy() - 1], atol=0.05)
    for name in (TILE_MEAN, CENTRE_PATCH):
        assert torch.equal(ways[name][:PER_TILE], ways[name][:1].expand(PER_TILE, -1))
        assert not torch.allclose(ways[name][0], ways[name][-1])
    for name in (AT_POINT, NEAREST_CELL, PLACE):
        assert not torch.allclose(ways[name][0], ways[name][1])
        torch.testing.assert_close(ways[name].norm(dim=1), torch.ones(2 * PER_TILE))
    assert not torch.allclose(ways[AT_POINT], ways[NEAREST_CELL])


def test_a_tile_without_an_image_has_no_points(painted: Painted) -> None:
    batch = replace(read(painted, [3]), images=None, image_tiles=None)
    assert not len(entity_points(batch, torch.arange(50)).entity)


def test_points_are_moved_by_metres_in_eight_directions_and_stay_in_the_image(painted: Painted) -> None:
    from pyproj import Geod

    batch = read(painted, [3, 9])
    points = entity_points(batch, torch.arange(50))
    distances = torch.tensor([0.0, 34.0, 160.0], dtype=torch.float64)
    chosen = torch.tensor([1, 4, 8])
    owner, uv = moved_points(batch, points, chosen, distances)
    assert 0 < len(owner) < 24 and float(uv.min()) >= 0.0 and float(uv.max()) <= 1.0
    geod, kept = Geod(ellps="WGS84"), 0
    for point in chosen.tolist():
        tile = tuple(batch.tile_zxy[points.tile[point]].tolist())
        for azimuth in range(90, -270, -45):
            lon, lat, _ = geod.fwd(*points.lonlat[point].tolist(), azimuth, 160.0)
            west, north = to_lonlat(tile, (0.0, 0.0))
            east, south = to_lonlat(tile, (1.0, 1.0))
            if west < lon < east and south < lat < north:
                moved = to_lonlat(tile, uv[kept, 2].tolist())
                assert owner[kept] == point and torch.allclose(uv[kept, 0], points.uv[point])
                assert geod.inv(lon, lat, *moved)[2] < 1.0  # the sphere and the ellipsoid differ by up to 0.4 %
                kept += 1
    assert kept == len(owner)


def test_the_curve_of_an_exact_model_is_best_at_the_point_and_falls_within_the_painted_square(painted: Painted) -> None:
    models = [PointModel("exact", exact_model(), exact_model(1), torch.zeros(1, 1))]
    figures, moved = offset_curves(open_data(painted), models, 0, lambda done: None)
    report = offset_report(figures, 0)
    exact, wrong = report["scores"]
    curve = [one["value"] for one in exact["recall_1"]["curve"]]
    assert curve[:3] == [1.0, 1.0, 1.0] and curve[-1] < 0.6  # the square reaches 9 pixels, or 19 m
    assert exact["recall_1"]["best_m"] == 0.0 and exact["recall_1"]["spearman"]["value"] < -0.6
    assert 19 < exact["recall_1"]["half_distance_m"]["value"] < 68
    assert wrong["reading"] == FIRST_WEIGHTS and wrong["recall_1"]["curve"][0]["value"] < curve[-1]
    assert report["queries"] == len(figures.entities) <= moved and report["groups"] > 3


def test_the_curves_are_means_over_directions_in_a_loop(painted: Painted) -> None:
    data, model = open_data(painted, np.arange(4)), exact_model()
    models = [PointModel("exact", model, exact_model(1), torch.zeros(1, 1))]
    figures, _ = offset_curves(data, models, 0, lambda done: None)
    values = figures.of(Row("exact", AT_POINT))
    for line, (name, tile_name) in zip(values, figures.entities, strict=True):
        entity = int(name.split("/")[1]) - 1
        tile = painted.tiles.index(parse_tile(tile_name))
        batch = read(painted, [tile])
        points = entity_points(batch, data.tag_hashes)
        chosen = torch.tensor([entity - tile * PER_TILE])
        _, uv = moved_points(batch, points, chosen, torch.tensor(DISTANCES_M, dtype=torch.float64))
        kinds = painted.kind[tile * PER_TILE : (tile + 1) * PER_TILE]
        assert batch.images is not None
        tokens = model.overhead(batch.images)[0].numpy()
        for column, _ in enumerate(DISTANCES_M):
            hits = []
            for u, v in uv[:, column].numpy():
                cell = min(int(v * 56), 55) * 56 + min(int(u * 56), 55)
                scores = {k: round(float(tokens[cell] @ unit_colour(k)), 4) for k in set(kinds.tolist())}
                best = [k for k, score in scores.items() if score == max(scores.values())]
                hits.append((painted.kind[entity] in best) / len(best))
            assert line[column] == pytest.approx(np.mean(hits))


def unit_colour(kind: int) -> np.ndarray:
    colour = COLOURS[kind].astype(np.float64) - 100.0
    return colour / np.linalg.norm(colour)


def test_intervals_and_differences_are_those_of_a_bootstrap_in_a_loop() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(12), rng.integers(1, 9, 12))
    a, b = Row("a", AT_POINT), Row("b", AT_POINT)
    figures = Figures([groups], [], {a: [rng.random((len(groups), 1))], b: [rng.random((len(groups), 1))]})
    means = Means(figures, 5)
    drawn = np.random.default_rng(5).multinomial(12, np.full(12, 1 / 12), size=2000)
    difference = (figures.of(a) - figures.of(b))[:, 0]
    expected = [np.average(difference, weights=times[groups]) for times in drawn]
    found = means.interval(0, a, b)
    assert found["value"] == pytest.approx(difference.mean(), abs=1e-6)
    assert [found["low"], found["high"]] == pytest.approx(list(np.percentile(expected, [2.5, 97.5])), abs=1e-6)


def test_a_flat_curve_has_no_shape(painted: Painted, tmp_path: Path) -> None:
    model, _, _ = start_gair(painted.folder, "model.decoder=centre")
    models = [PointModel("centre", model.module, model.module, model._inputs.tag_table)]
    figures, _ = offset_curves(open_data(painted, np.arange(8)), models, 0, lambda done: None)
    (score, _) = offset_report(figures, 0)["scores"]
    for name in ("recall_1", "reciprocal_rank"):
        assert len({one["value"] for one in score[name]["curve"]}) == 1
        assert (score[name]["best_m"], score[name]["spearman"], score[name]["half_distance_m"]) == (None, None, None)


def test_the_report_compares_a_model_with_its_readings_and_with_other_models(found: Found, painted: Painted) -> None:
    models = [PointModel(name, exact_model(), exact_model(1), torch.zeros(1, 1)) for name in ("a", "b")]
    report = entity_image_report(entity_image(open_data(painted, np.arange(20)), models, lambda done: None), 0)
    assert [(one["search"], one["scope"]) for one in report["searches"]] == [tuple(cell) for cell in CELLS]
    pairs = [(one["a"], one["b"]) for one in report["searches"][0]["differences"]]
    own = (NEAREST_CELL, TILE_MEAN, CENTRE_PATCH, PLACE, FIRST_WEIGHTS)
    expected = [(name, reading) for name in ("a", "b") for reading in own] + [("b", AT_POINT)]
    assert [(b["model"], b["reading"]) for _, b in pairs] == expected
    assert {a["reading"] for a, _ in pairs} == {AT_POINT}
    last = report["searches"][0]["differences"][-1]["recall_1"]
    assert (last["value"], last["low"], last["high"]) == (0.0, 0.0, 0.0)
    assert spearman(np.array(DISTANCES_M), -np.array(DISTANCES_M)) == pytest.approx(-1.0)
