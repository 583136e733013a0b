"""Tiles on a device give the same batches as the files. The oracle is `TileStore.read`, tested against a slow loop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from synthetic_store import write_synthetic_geometry, write_synthetic_images, write_synthetic_processed

from geojepa_cli.config.modality import TAGS_ONLY, Modality
from geojepa_cli.store.batch import TileBatch
from geojepa_cli.store.resident import ResidentTiles
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View

SETTINGS = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> TileStore:
    folder = tmp_path_factory.mktemp("regions")
    paths = [write_synthetic_processed(folder / f"r{i}@0" / "processed.h5", seed=i, n_tiles=30) for i in range(2)]
    bare = TileStore.open(paths)
    have = [tuple(map(int, bare.tile_zxy[i])) for i in (9, 4, 0)]
    images = [write_synthetic_images(folder / "images.h5", have), None]
    counts = [region.n_pieces for region in bare.regions]
    vectors = [write_synthetic_geometry(folder / f"g{i}.h5", count, seed=i) for i, count in enumerate(counts)]
    return TileStore.open(paths, images=images, geometry=vectors)


def assert_equal(got: TileBatch, expected: TileBatch) -> None:
    for name, value in vars(expected).items():
        found = getattr(got, name)
        if value is None:
            assert found is None, name
        else:
            assert found.dtype == value.dtype, name
            assert torch.equal(found, value), name


def random_view(store: TileStore, rng: np.random.Generator, dropped: float) -> View:
    tiles = np.flatnonzero(rng.random(store.n_tiles) >= dropped)
    tags = np.flatnonzero(rng.random(store.n_vocab) < dropped)
    return View(store.shape, tiles, tags, np.flatnonzero(rng.random(store.n_pieces) < dropped))


@SETTINGS
@given(data=st.data())
def test_batches_of_resident_tiles_equal_those_of_the_files(store: TileStore, data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    view = random_view(store, rng, data.draw(st.sampled_from([0.0, 0.2, 0.8])))
    needs = data.draw(st.frozensets(st.sampled_from(Modality)))
    resident = ResidentTiles(store, view, "cpu", needs)
    for count in (0, 1, 7, 40):
        tiles = rng.choice(view.tiles, count) if len(view.tiles) else view.tiles
        assert_equal(resident.read(tiles), store.read(view, tiles, needs))


@pytest.mark.parametrize("outside", [-1, 1, 10_000])
def test_a_tile_outside_the_view_is_refused(store: TileStore, outside: int) -> None:
    resident = ResidentTiles(store, View.full(store).restrict(np.array([0, 2, 5])), "cpu")
    with pytest.raises(ValueError, match="not in the view"):
        resident.read([0, outside])


def test_nbytes_is_the_size_of_the_tensors_and_the_estimate_is_close(tmp_path: Path) -> None:
    path = write_synthetic_processed(tmp_path / "many@0" / "processed.h5", seed=3, n_tiles=3000)
    bare = TileStore.open([path])
    have = [tuple(map(int, zxy)) for zxy in bare.tile_zxy[:20]]
    store = TileStore.open([path], images=[write_synthetic_images(tmp_path / "images.h5", have)])
    view = View.full(store)
    for needs in (TAGS_ONLY, frozenset({Modality.NODES}), frozenset(Modality)):
        whole = store.read(view, view.tiles, needs)
        held = sum(tensor.numel() * tensor.element_size() for tensor in vars(whole).values() if tensor is not None)
        assert ResidentTiles(store, view, "cpu", needs).nbytes == held
        assert ResidentTiles.estimate_bytes(store, view, needs) == pytest.approx(held, rel=0.15)
    assert ResidentTiles.estimate_bytes(store, view.restrict(view.tiles[:0])) < 1000


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_batches_are_gathered_on_the_gpu(store: TileStore) -> None:
    view = View.full(store)
    resident = ResidentTiles(store, view, "cuda", frozenset(Modality))
    tiles = view.tiles[::-3]
    batch = resident.read(tiles)
    assert batch.box.is_cuda and batch.edges is not None and batch.edges.is_cuda
    assert batch.geometry is not None and batch.geometry.is_cuda
    assert_equal(batch.to("cpu"), store.read(view, tiles, frozenset(Modality)))
