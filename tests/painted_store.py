"""A small region whose images show which entity stands where, for tests of models that read images at points.

Each tile has entities at the centres of different cells of a grid. A square in the colour of the entity's kind is
painted in the image where the entity is. The place is computed by pyproj, not by the code under test.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import pyproj
from numpy.typing import NDArray
from synthetic_store import Object, write_objects, write_synthetic_features

from geojepa_cli.config.gair import GairConfig
from geojepa_cli.config.load import load_run_config
from geojepa_cli.config.modality import Modality
from geojepa_cli.models.gair.pretraining import GairPretraining, build
from geojepa_cli.store import schema
from geojepa_cli.store.batch import TileBatch
from geojepa_cli.store.columns import write_text
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View
from geojepa_cli.train.data import TrainingData

SIDE, GRID, PER_TILE, PX = 8, 7, 6, 224  # tiles along one side, cells of a tile, entities of a tile, pixels of an image
COLOURS = np.array([(230, 30, 30), (30, 230, 30), (30, 30, 230), (230, 230, 30)], np.uint8)
VOCAB = [(f"kind{kind}", "yes") for kind in range(len(COLOURS))] + [("name", f"N{number}") for number in range(9)]
WIDTH = 16
SMALL = [
    *("model.tag_dim=16", "model.embed_dim=32", "model.depth=1", "model.num_heads=2", "model.mlp_ratio=2"),
    *("model.patch_px=32", "model.decoder_dim=32", "model.location_features=8", "model.location_dim=16"),
    *("model.location_layers=1", "ground.queries=96", "loss.queue=100", "loss.false_negative_m=0"),
    *("train.epochs=null", "train.max_steps=6", "train.batch_tokens=900", "train.lr=3e-3", "train.log_every=3"),
    *("train.monitor_every=1000", "train.checkpoint_every=3", "data.min_entities=1", "data.split_seed=2"),
]
NEEDS = frozenset({Modality.IMAGE, Modality.NODES, Modality.TAGS})
SPHERE_M = 20037508.342789244  # half of the side of the world in EPSG:3857


class Painted(NamedTuple):
    """A written region.

    Attributes:
        folder: folder with `processed.h5`, `tags.h5` and `images.h5`.
        tiles: zoom, column and row of each tile. [n, 3]
        kind: kind of each entity, in the order of the file. int64 [m]
        pixel: place (x, y) of each entity in the image of its tile, in pixels. float64 [m, 2]
        lonlat: longitude and latitude of each entity in degrees. float64 [m, 2]
    """

    folder: Path
    tiles: list[tuple[int, int, int]]
    kind: NDArray[np.int64]
    pixel: NDArray[np.float64]
    lonlat: NDArray[np.float64]


def write_painted(folder: Path, seed: int = 0, images: int | None = None) -> Painted:
    """Writes a region of 64 tiles with 6 entities each.

    Args:
        folder: folder to write to.
        seed: random seed.
        images: number of tiles with an image. None: all.
    """
    rng = np.random.default_rng(seed)
    tiles = sorted(
        ((16, 18048 + i % SIDE, 25956 + i // SIDE) for i in range(SIDE * SIDE)),
        key=lambda tile: (tile[2] >> 2, tile[1] >> 2, tile[2], tile[1]),
    )
    objects: list[Object] = []
    wanted: list[set[int]] = []
    kinds, pixels, lonlats, local = [], [], [], []
    for tile in tiles:
        wanted.append(set(range(len(objects), len(objects) + PER_TILE)))
        for cell in rng.choice(GRID * GRID, PER_TILE, replace=False).tolist():
            uv = (np.array([cell % GRID, cell // GRID]) + 0.5 + rng.uniform(-0.3, 0.3, 2)) / GRID
            kind, name = int(rng.integers(len(COLOURS))), len(COLOURS) + int(rng.integers(9))
            place = to_lonlat(tile, uv)
            kinds.append(kind)
            pixels.append(uv * PX)
            lonlats.append(place)
            local.append(to_local(tile, place))
            given: Object = {"type": 0, "kind": 0, "token": 0, "covers": False, "members": [], "centre": local[-1]}
            objects.append({**given, "id": len(objects) + 1, "tags": {kind, name}})
    write_objects(folder / "processed.h5", rng, tiles, objects, wanted, VOCAB)
    write_synthetic_features(folder / "tags.h5", len(VOCAB), seed, WIDTH)
    with h5py.File(folder / "processed.h5", "r+") as file:
        file["node/xy"][...] = np.rint(np.array(local) * 49152 + 8192)
    painted = Painted(folder, tiles, np.array(kinds), np.array(pixels), np.array(lonlats))
    _paint(painted, len(tiles) if images is None else images, rng)
    return painted


def to_lonlat(tile: tuple[int, int, int], uv: Any) -> NDArray[np.float64]:
    """Longitude and latitude of a place in an image, by pyproj. `uv`: place from the north-west corner, 0 to 1."""
    side = 2 * SPHERE_M / 2 ** tile[0]
    x, y = -SPHERE_M + (tile[1] + uv[0]) * side, SPHERE_M - (tile[2] + uv[1]) * side
    return np.array(pyproj.Transformer.from_crs("EPSG:3857", "EPSG:4326", always_xy=True).transform(x, y))


def to_local(tile: tuple[int, int, int], lonlat: Any) -> NDArray[np.float64]:
    """Place in tile units: east and north of the south-west corner, divided by the south side, by pyproj."""
    west_south, east_south = to_lonlat(tile, (0.0, 1.0)), to_lonlat(tile, (1.0, 1.0))
    lon, lat = map(float, west_south)
    plane = pyproj.Transformer.from_pipeline(
        "+proj=pipeline +step +proj=unitconvert +xy_in=deg +xy_out=rad +step +proj=cart +ellps=WGS84 "
        f"+step +proj=topocentric +ellps=WGS84 +lon_0={lon!r} +lat_0={lat!r}"
    )
    east, north, _ = plane.transform(lonlat[0], lonlat[1], 0.0)
    return np.array([east, north]) / plane.transform(east_south[0], east_south[1], 0.0)[0]


def _paint(painted: Painted, count: int, rng: np.random.Generator) -> None:
    images = rng.integers(90, 110, (count, 3, PX, PX), np.uint8)
    for entity, (x, y) in enumerate(painted.pixel.round().astype(int).tolist()):
        tile = entity // PER_TILE
        if tile < count:
            square = slice(max(y - 9, 0), y + 9), slice(max(x - 9, 0), x + 9)
            images[(tile, slice(None), *square)] = COLOURS[painted.kind[entity]][:, None, None]
    with h5py.File(painted.folder / "images.h5", "w", alignment_threshold=1, alignment_interval=64) as file:
        file.attrs["schema_version"] = np.uint32(schema.VERSION)
        write_text(file, "kind", "images")
        for axis, name in enumerate("zxy"):
            file.create_dataset(name, data=np.array([tile[axis] for tile in painted.tiles[:count]], np.uint32))
        file.create_dataset("image", data=images)


def gair_config(*overrides: str, preset: str = "gair") -> GairConfig:
    """The small configuration with changes."""
    config = load_run_config(preset, [*SMALL, *overrides])
    assert isinstance(config, GairConfig)
    return config


def open_painted(folder: Path, config: GairConfig, seed: int = 0) -> TrainingData:
    """The training data of a painted region."""
    files = [folder / "processed.h5"], [folder / "tags.h5"], [folder / "images.h5"]
    return TrainingData.open(config, *files, seed)


def start_gair(folder: Path, *overrides: str, seed: int = 0) -> tuple[GairPretraining, TrainingData, GairConfig]:
    """An untrained model, the training data of a painted region, and the configuration."""
    config = gair_config(*overrides)
    data = open_painted(folder, config, seed)
    return build(config, data.inputs, seed), data, config


def read(painted: Painted, tiles: Any, view: View | None = None) -> TileBatch:
    """Reads tiles with their images and nodes. `view`: selection; None: all."""
    store = TileStore.open([painted.folder / "processed.h5"], [painted.folder / "images.h5"])
    return store.read(view or View.default(store, 1, None), tiles, NEEDS)


def rows_of(batch: TileBatch) -> np.ndarray:
    """Rows of the entities of a batch in the lists of `Painted`."""
    return batch.osm_id.numpy() - 1
