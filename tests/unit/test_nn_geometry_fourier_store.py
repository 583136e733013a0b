"""The Fourier encoder on entities that are read from a store."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import shapely
import torch
from geometry_batches import entities_of, shape_of
from training import write_region

from geojepa_cli.config.modality import TAGS_ONLY, Modality
from geojepa_cli.demo.city import make_city
from geojepa_cli.demo.write import write_pbf
from geojepa_cli.nn.geometry.fourier import FourierGeometry, fourier_transform
from geojepa_cli.stages import fetch, tile
from geojepa_cli.stages.processed import make_processed
from geojepa_cli.store.batch import TileBatch
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View
from geojepa_cli.workspace.workspace import Workspace

GEOMETRY = frozenset({Modality.NODES})
AREA = 2  # kind of an entity


def read_all(path: Path) -> TileBatch:
    """All pieces of a region, also those that models leave out by default."""
    store = TileStore.open([path])
    return store.read(View.full(store), range(store.n_tiles), GEOMETRY)


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> TileBatch:
    """All pieces of the small demo city, clipped and processed by the native binary."""
    folder = tmp_path_factory.mktemp("city")
    write_pbf(make_city("small"), folder / "city.osm.pbf")
    workspace = Workspace(folder / "workspace")
    fetch(workspace, pbf=folder / "city.osm.pbf", name="city")
    return read_all(make_processed(workspace, tile(workspace)[0].tiles).file("processed.h5"))


@pytest.fixture(scope="module")
def shapes(city: TileBatch) -> list[shapely.Geometry | None]:
    """The shapely geometry of every piece of the city; None for a piece with parts of different kinds, or without."""
    entities = entities_of(city)
    alike = [len({min(role, AREA) for role, _ in parts}) == 1 for parts in entities]
    return [shape_of(parts) if same else None for parts, same in zip(entities, alike, strict=True)]


def test_pieces_of_a_city_have_their_mass_and_centroid(city: TileBatch, shapes: list[shapely.Geometry | None]) -> None:
    step = 1e-5
    transform = fourier_transform(city, torch.tensor([[0.0, 0.0], [step, 0.0], [0.0, step]]).double())
    known = [row for row, shape in enumerate(shapes) if shape is not None and shape.is_valid]
    assert {shapes[row].geom_type for row in known} >= {"MultiPoint", "MultiLineString", "Polygon"}
    assert any(shapes[row].geom_type == "Polygon" and shapes[row].interiors for row in known)
    assert len(known) > 0.9 * city.n_tokens > 500
    centroids = shapely.get_coordinates([shapes[row].centroid for row in known])
    np.testing.assert_allclose(transform[known, 0], 1, atol=1e-12)
    np.testing.assert_allclose(transform[known, 1:].imag / (-2 * math.pi * step), centroids, atol=1e-7)


def test_areas_of_a_city_are_the_mean_of_the_wave_over_their_triangles(
    city: TileBatch, shapes: list[shapely.Geometry | None]
) -> None:
    """Every triangle is cut into 64² parts of equal area, and the wave is taken at the centroid of each part."""
    frequencies = torch.tensor([[0.5, 0.0], [-1.0, 2.0], [4.0, 4.0]]).double()
    areas = [row for row, shape in enumerate(shapes) if shape is not None and shape.geom_type == "Polygon"]
    holed = [row for row in areas if shapes[row].interiors]
    transform = fourier_transform(city, frequencies).numpy()
    assert len(holed) >= 3
    for row in {*areas[:: len(areas) // 12], *holed[:6]}:
        total = np.zeros(3, complex)
        for triangle in shapely.get_parts(shapely.constrained_delaunay_triangles(shapes[row])):
            xy = part_centroids(np.array(triangle.exterior.coords)[:3], 64)
            total += triangle.area * np.exp(-2j * math.pi * xy @ frequencies.numpy().T).mean(0)
        np.testing.assert_allclose(transform[row], total / shapes[row].area, atol=2e-3)


def part_centroids(corners: np.ndarray, n: int) -> np.ndarray:
    """Centroids of the n² equal triangles into which lines parallel to the sides cut a triangle."""
    i, j = (axis.ravel() for axis in np.meshgrid(np.arange(n), np.arange(n)))
    upright, inverted = i + j < n, i + j < n - 1
    u = np.concatenate([i[upright] + 1 / 3, i[inverted] + 2 / 3]) / n
    v = np.concatenate([j[upright] + 1 / 3, j[inverted] + 2 / 3]) / n
    assert len(u) == n * n
    return corners[0] + u[:, None] * (corners[1] - corners[0]) + v[:, None] * (corners[2] - corners[0])


def test_an_entity_has_the_same_vector_in_any_batch(tmp_path: Path) -> None:
    path = write_region(tmp_path / "oak@000000000000") / "processed.h5"
    store, encoder = TileStore.open([path]), FourierGeometry()
    view = View.default(store, min_entities=1)
    whole = store.read(view, view.tiles, GEOMETRY)
    vectors = encoder(whole)
    assert bool(vectors.isfinite().all()) and float(vectors.abs().max()) <= 1
    for position in range(0, len(view.tiles), 20):
        alone = encoder(store.read(view, view.tiles[position : position + 1], GEOMETRY))
        first, last = whole.cu_seqlens[position : position + 2].tolist()
        assert torch.equal(alone, vectors[first:last])


def test_pieces_without_parts_have_zeros_and_all_others_have_not(city: TileBatch) -> None:
    vectors = FourierGeometry()(city)
    assert torch.equal(vectors.any(1), city.part_offsets.diff() > 0)
    assert bool(vectors.isfinite().all()) and float(vectors.abs().max()) <= 1


def test_a_batch_that_was_read_without_geometry_is_an_error(tmp_path: Path) -> None:
    store = TileStore.open([write_region(tmp_path / "oak@000000000000") / "processed.h5"])
    view = View.default(store, min_entities=1)
    with pytest.raises(ValueError, match="without geometry"):
        FourierGeometry()(store.read(view, view.tiles[:2], TAGS_ONLY))
