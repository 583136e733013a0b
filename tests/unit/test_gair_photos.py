"""Photos as ground views of GAIR: the encoder, places of photos in a batch, losses, gradients, and training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from painted_store import PX, Painted, gair_config, open_painted, read, to_lonlat, write_painted
from training import fixed_batch

from geojepa_cli.errors import DataError
from geojepa_cli.models.base import TagList
from geojepa_cli.models.gair.gair import Gair
from geojepa_cli.models.gair.photo_queries import add_photos
from geojepa_cli.models.gair.pretraining import GairPretraining, build
from geojepa_cli.models.gair.queries import Queries, draw_queries, hash_tags
from geojepa_cli.nn.losses.contrastive import unit
from geojepa_cli.store.photo_table import PhotoBatch, PhotoTable
from geojepa_cli.store.photos import PhotoRow, PhotoStore, write_photos
from geojepa_cli.train.data import TrainingData
from geojepa_cli.train.loop import train

PHOTOS = "ground.photos=true"
SMALL = (PHOTOS, "ground.photo_queries=16", "ground.photo_patch_px=56", "ground.photo_depth=1")
BARE = Queries(
    *(
        torch.zeros(0, *shape, dtype=dtype)
        for shape, dtype in (
            ((), torch.int64),
            ((), torch.int64),
            ((2,), torch.float32),
            ((2,), torch.float64),
            ((2,), torch.int64),
        )
    )
)


def write_some(painted: Painted, path: Path, tiles: list[int], per_tile: int = 2, seed: int = 0) -> PhotoStore:
    """Photos at random places of tiles. Every second one has a heading, every third one a field of view."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(per_tile * len(tiles)):
        tile = painted.tiles[tiles[number // per_tile]]
        lon, lat = to_lonlat(tile, rng.uniform(0.05, 0.95, 2))
        heading = float(rng.uniform(0, 360)) if number % 2 else float("nan")
        field = 65.0 if number % 3 == 0 else float("nan")
        pixels = np.kron(rng.integers(0, 255, (3, 8, 8), np.uint8), np.ones((1, 28, 28), np.uint8))
        rows.append(PhotoRow(f"{number}.jpg", float(lon), float(lat), heading, field, pixels))
    write_photos(path, rows)
    return PhotoStore(path)


@pytest.fixture(scope="module")
def painted(tmp_path_factory: pytest.TempPathFactory) -> Painted:
    return write_painted(tmp_path_factory.mktemp("painted"))


@pytest.fixture(scope="module")
def table(painted: Painted) -> PhotoTable:
    write_some(painted, painted.folder / "photos.h5", list(range(64)))
    return PhotoTable.open([painted.folder / "photos.h5"], [16])


def start(painted: Painted, *overrides: str) -> tuple[GairPretraining, TrainingData, Any]:
    config = gair_config(*SMALL, *overrides)
    files = [painted.folder / name for name in ("processed.h5", "tags.h5", "images.h5", "photos.h5")]
    data = TrainingData.open(config, *([file] for file in files[:3]), 0, photos=[[files[3]]])
    return build(config, data.inputs, 0), data, config


def test_photos_are_found_in_their_tiles(painted: Painted, table: PhotoTable) -> None:
    tiles = [5, 40, 2]
    numbers, tile = table.in_tiles(np.array([painted.tiles[one] for one in tiles]))
    assert numbers.tolist() == [10, 11, 80, 81, 4, 5] and tile.tolist() == [0, 0, 1, 1, 2, 2]
    none = np.array([(16, 1, 1)])
    assert [len(one) for one in table.in_tiles(none)] == [0, 0]
    two = PhotoTable([*table.stores, *table.stores], [16, 16])
    assert len(two) == 256 and (two.ids[:128] == two.ids[128:]).all() and (two.ids < 0).all()
    assert len(set(table.ids.tolist())) == 128
    store, row = two.find(130)
    assert store is table.stores[0] and row == 2
    batch = table.read(np.array([3, 8]))
    assert torch.equal(batch.pixels[1], torch.from_numpy(np.array(table.stores[0].image[8])))
    assert bool(torch.isnan(batch.heading[1])) and float(batch.heading[0]) == pytest.approx(float(store.heading[3]))


def test_places_of_photos_are_the_pixels_that_pyproj_gives(painted: Painted, table: PhotoTable) -> None:
    import pyproj

    batch = read(painted, np.arange(10, 20))
    queries, photos = add_photos(BARE, batch, table, 100, 0.0, torch.Generator().manual_seed(0))
    assert len(photos) == len(queries.lonlat) == 20 and set(queries.entity.tolist()) == {-1}
    mercator = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:3857", always_xy=True)
    x, y = mercator.transform(*queries.lonlat.numpy().T)
    world = 2 * 20037508.342789244
    place = np.stack([(x / world + 0.5) * 2**16, (0.5 - y / world) * 2**16], 1)
    tiles = np.array([painted.tiles[10 + image] for image in queries.image.tolist()])
    np.testing.assert_allclose(place - tiles[:, 1:], queries.uv.numpy(), atol=0.01 / PX)
    known = {tuple(one) for one in table.lonlat[20:40].tolist()}
    assert {tuple(one) for one in queries.lonlat.tolist()} == known
    for lonlat, pixels in zip(queries.lonlat.tolist(), photos.pixels, strict=True):
        number = table.lonlat.tolist().index(lonlat)
        assert torch.equal(pixels, torch.from_numpy(np.array(table.stores[0].image[number])))


def test_entities_come_first_and_do_not_change(painted: Painted, table: PhotoTable) -> None:
    batch = read(painted, np.arange(6))
    hashes = hash_tags(TagList(["kind0"] * 13, [str(n) for n in range(13)]))
    entities = draw_queries(batch, 20, 0.0, hashes, torch.Generator().manual_seed(0))
    queries, photos = add_photos(entities, batch, table, 5, 0.0, torch.Generator().manual_seed(1))
    assert len(photos) == 5 and len(queries.lonlat) == 25
    for own, joined in zip(entities, queries, strict=True):
        assert torch.equal(own, joined[:20])
    assert (queries.groups[20:] < 0).all() and len(set(queries.groups[20:, 0].tolist())) == 5
    moved, some = add_photos(BARE, batch, table, 50, 100.0, torch.Generator().manual_seed(1))
    assert 0 < len(moved.lonlat) == len(some) < 12  # some are moved out of their tile
    assert float(moved.uv.min()) >= 0 and float(moved.uv.max()) <= 1


def test_photos_of_tiles_without_an_image_are_left_out(tmp_path: Path) -> None:
    painted = write_painted(tmp_path, images=3)
    write_some(painted, tmp_path / "photos.h5", list(range(10)))
    table = PhotoTable.open([tmp_path / "photos.h5"], [16])
    queries, photos = add_photos(BARE, read(painted, [5, 1, 2]), table, 50, 0.0, torch.Generator().manual_seed(0))
    assert len(photos) == 4 and set(queries.image.tolist()) == {0, 1}


def photo_batch(table: PhotoTable) -> PhotoBatch:
    return table.read(np.arange(6))


def test_packed_photos_equal_photos_one_by_one(painted: Painted, table: PhotoTable) -> None:
    module = start(painted)[0].module
    photos = photo_batch(table)
    with torch.no_grad():
        together = module.describe_photos(photos)
        alone = [module.describe_photos(table.read(np.array([number]))) for number in range(6)]
    torch.testing.assert_close(together, torch.cat(alone))
    assert torch.isfinite(together).all()


def test_directions_matter_and_full_turns_do_not(painted: Painted, table: PhotoTable) -> None:
    module = start(painted)[0].module
    pixels = table.read(np.array([0])).pixels.expand(5, -1, -1, -1)
    nothing = torch.full((5,), float("nan"))
    with torch.no_grad():
        headings = torch.tensor([0.0, 90.0, 360.0, float("nan"), 0.0])
        found = module.describe_photos(PhotoBatch(pixels, headings, nothing))
        fields = module.describe_photos(PhotoBatch(pixels, nothing, torch.tensor([60.0, 90.0, 60.0, 60.0, 60.0])))
    torch.testing.assert_close(found[0], found[2])
    torch.testing.assert_close(found[0], found[4])
    assert not torch.allclose(found[0], found[1]) and not torch.allclose(found[0], found[3])
    assert not torch.allclose(fields[0], fields[1]) and not torch.allclose(fields[0], found[3])


def test_gradients_reach_every_parameter(painted: Painted, table: PhotoTable) -> None:
    model, data, _ = start(painted)
    batch = fixed_batch(data, 12, 0)
    prepared = model.prepare_input(batch, torch.Generator().manual_seed(0))
    assert prepared.photos is not None and len(prepared.photos) == 16
    model.collect(prepared.queries.rows())
    loss = model.prepare(batch, torch.Generator().manual_seed(0))().loss
    loss.backward()
    parts = {key: p for key, p in model.module.named_parameters() if key.startswith("photo")}
    assert len(parts) > 10
    assert {key for key, p in parts.items() if p.grad is None or not bool(p.grad.any())} == set()
    counted = sum(model.parameter_counts().values())
    assert counted == sum(p.numel() for p in model.module.parameters())


def test_a_batch_without_photos_has_zero_gradients(painted: Painted, table: PhotoTable, tmp_path: Path) -> None:
    model, data, _ = start(painted)
    model._photos = PhotoTable([], [])
    loss = model.prepare(fixed_batch(data, 12, 0), torch.Generator().manual_seed(0))().loss
    loss.backward()
    grads = [p.grad for key, p in model.module.named_parameters() if key.startswith("photo")]
    assert all(grad is not None and not bool(grad.any()) for grad in grads)


def test_other_weights_and_places_of_entities_do_not_depend_on_photos(painted: Painted, table: PhotoTable) -> None:
    with_photos, data, _ = start(painted)
    config = gair_config()
    without = build(config, open_painted(painted.folder, config).inputs, 0)
    own = without.module.state_dict()
    for name, weight in with_photos.module.state_dict().items():
        if not name.startswith("photo"):
            assert torch.equal(weight, own[name]), name
    batch = fixed_batch(data, 8, 0)
    first, second = (one.prepare_input(batch, torch.Generator().manual_seed(3)) for one in (with_photos, without))
    assert torch.equal(first.queries.uv[: len(second.queries.uv)], second.queries.uv) and second.photos is None


def test_training_finds_where_photos_were_taken(painted: Painted, tmp_path: Path) -> None:
    """Each photo shows the colour of the square next to it, so the image and the photo can be matched."""
    rng = np.random.default_rng(5)
    from painted_store import COLOURS

    rows = []
    for entity, (lon, lat) in enumerate(painted.lonlat.tolist()):
        pixels = np.broadcast_to(COLOURS[painted.kind[entity]][:, None, None], (3, PX, PX))
        noisy = np.clip(pixels + rng.normal(0, 20, pixels.shape), 0, 255).astype(np.uint8)
        rows.append(PhotoRow(f"{entity}.jpg", lon, lat, float("nan"), float("nan"), noisy))
    write_photos(tmp_path / "photos.h5", rows)
    config = gair_config(*SMALL, "ground.photo_queries=64", "train.max_steps=60", "train.log_every=30")
    files = [[painted.folder / name] for name in ("processed.h5", "tags.h5", "images.h5")]
    data = TrainingData.open(config, *files, 0, photos=[[tmp_path / "photos.h5"]])
    model = build(config, data.inputs, 0)

    def right(module: Gair) -> float:
        """Share of photos in unseen tiles whose kind is that of the most similar kind of points."""
        tiles = np.setdiff1d(np.arange(64), data.view.tiles)
        batch = read(painted, tiles)
        table = data.inputs.photos
        assert table is not None
        with torch.no_grad():
            queries, photos = add_photos(BARE, batch, table, 1000, 0.0, torch.Generator().manual_seed(0))
            numbers = [table.lonlat.tolist().index(place) for place in queries.lonlat.tolist()]
            kind = torch.from_numpy(painted.kind[numbers])
            features = module.overhead.as_map(module.overhead(batch.images))
            local = unit(module.interpolation(features, queries.uv, queries.image))
            kinds = unit(torch.stack([local[kind == one].mean(0) for one in range(4)]))
            return float(((unit(module.describe_photos(photos)) @ kinds.t()).argmax(1) == kind).float().mean())

    before = right(model.module)
    train(model, data, config.train, tmp_path, 0)
    assert right(model.module) > 0.8 > before + 0.1


def test_photos_outside_the_tiles_are_refused(painted: Painted, tmp_path: Path) -> None:
    write_photos(tmp_path / "photos.h5", [PhotoRow("a.jpg", 10.0, 50.0, 0.0, 60.0, np.zeros((3, PX, PX), np.uint8))])
    files = [[painted.folder / name] for name in ("processed.h5", "tags.h5", "images.h5")]
    with pytest.raises(DataError, match="none of the 1 photos is in a tile to train on"):
        TrainingData.open(gair_config(*SMALL), *files, 0, photos=[[tmp_path / "photos.h5"]])
    write_photos(tmp_path / "small.h5", [PhotoRow("a.jpg", 1, 1, 0, 60, np.zeros((3, 64, 64), np.uint8))], 64)
    with pytest.raises(DataError, match="64 px wide"):
        PhotoTable.open([tmp_path / "small.h5"], [16])
