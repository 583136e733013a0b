"""Benchmark of resampling scenes to image tiles, compared with a plain rasterio warp of the same windows.

    python benchmarks/imagery.py --folder scenes     # creates the scenes there, or uses existing ones

The scenes resemble NAIP: quarters of map sheets in UTM, 0.6 m, red, green, blue and infrared, 512 px blocks, deflate,
overviews. Their pixels are smooth fields with noise. The peers are the methods that rasterio offers, bilinear, with
GDAL's default error threshold of an eighth of a pixel and the same number of threads, but without merging, validity
or checks:

- `reproject`: from a dataset opened at the right overview, because GDAL does not select one there;
- `vrt`: a `WarpedVRT` per scene, whose windows are the tiles;
- `vrt_of_tile`: a `WarpedVRT` per tile.

Every method makes uint8 [3, 224, 224] per tile in memory. Then geojepa and the fastest peer write the tiles to an
uncompressed HDF5 column. Runs alternate, the best run of each counts, and the ratio refers to the fastest peer. Prints
tiles and megabytes per second as one JSON object.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import rasterio
from naip_like_scenes import make_scenes
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from rasterio.warp import reproject, transform_bounds
from rasterio.windows import Window

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from geojepa_cli.grid import GROUP_ZOOM, TileId, tile_bounds, tile_of
from geojepa_cli.sources.mosaic import Mosaic, Picture
from geojepa_cli.sources.resample import resample
from geojepa_cli.sources.sampling import MERCATOR, tile_transform
from geojepa_cli.sources.scenes import find_scenes, inspect_scene
from geojepa_cli.store.image_log import ImageLog

SIDE_PX, ZOOM = 224, 16
Pixels = npt.NDArray[np.uint8]
Work = tuple[Path, list[TileId]]
Pictures = Iterator[tuple[TileId, Pixels]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="folder of the scenes, created if missing; default: temporary")
    parser.add_argument("--tiles", type=int, default=1000)
    parser.add_argument("--scenes", type=int, default=6)
    parser.add_argument("--size", type=int, nargs=2, default=(10_000, 12_000), help="width and height of a scene, px")
    parser.add_argument("--pixel", type=float, default=0.6, help="side of a pixel, m")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch) / "scenes"
        make_scenes(folder, options.scenes, *options.size, options.pixel)
        print(json.dumps(measure(options, folder, Path(scratch)), indent=2))


def measure(options: argparse.Namespace, folder: Path, scratch: Path) -> dict[str, Any]:
    """Runs all measurements and returns values for JSON."""
    work = list(itertools.islice(find_work(folder), options.scenes))
    work = shorten(work, options.tiles)
    count = sum(len(tiles) for _, tiles in work)
    runs: dict[str, Callable[[], Pictures]] = {"geojepa": partial(ours, work, options.threads)}
    runs |= {name: partial(bare, work, options.threads, peer) for name, peer in PEERS.items()}
    result: dict[str, Any] = {"tiles": count, "threads": options.threads, "scenes": len(work), "pixel_m": options.pixel}
    result["difference"] = difference(work)
    best = best_of(runs, options.repeat, count)
    fastest = min(PEERS, key=lambda name: best[name])
    stored = {"geojepa_stored": lambda: store_ours(work, options, scratch)}
    stored["peer_stored"] = lambda: store_bare(work, options, scratch, PEERS[fastest])
    best |= best_of(stored, options.repeat, count)
    for name, seconds in best.items():
        rate = count / seconds
        result[name] = {"tiles_per_s": round(rate, 1), "mb_per_s": round(rate * 3 * SIDE_PX**2 / 1e6, 1)}
    result |= {"fastest_peer": fastest, "ratio": round(best[fastest] / best["geojepa"], 3)}
    result["ratio_stored"] = round(best["peer_stored"] / best["geojepa_stored"], 3)
    return result


def best_of(runs: Mapping[str, Callable[[], Any]], repeat: int, count: int) -> dict[str, float]:
    """Returns the seconds of the fastest of `repeat` runs of each method."""
    best = dict.fromkeys(runs, math.inf)
    for _ in range(repeat):
        for name, run in runs.items():
            best[name] = min(best[name], timed(run, count))
    return best


def timed(run: Callable[[], Any], count: int) -> float:
    """Returns the seconds of a run. Exits if the run did not make every tile."""
    begin = time.perf_counter()
    found = run()
    made = found if isinstance(found, int) else sum(1 for _ in found)
    seconds = time.perf_counter() - begin
    if made != count:
        raise SystemExit(f"{made} of {count} tiles were made")
    return seconds


def ours(work: Sequence[Work], threads: int) -> Pictures:
    """Makes the tiles in the way of `geojepa tile`."""
    scenes = [inspect_scene(path) for path, _ in work]
    tiles = [tile for _, tiles in work for tile in tiles]
    for tile, outcome in resample(lambda: Mosaic(scenes), tiles, threads):
        assert isinstance(outcome, Picture) and outcome.valid.all()
        yield tile, outcome.pixels


def bare(work: Sequence[Work], threads: int, peer: type[Peer]) -> Pictures:
    """Makes the tiles with rasterio alone. Each thread processes whole zoom-14 groups and opens its own datasets."""
    shift = ZOOM - GROUP_ZOOM
    parts = [
        (path, list(group))
        for path, tiles in work
        for _, group in itertools.groupby(tiles, lambda tile: (tile.x >> shift, tile.y >> shift))
    ]

    def warp(lane: int) -> list[tuple[TileId, Pixels]]:
        made: list[tuple[TileId, Pixels]] = []
        opened: dict[Path, Peer] = {}
        for path, tiles in parts[lane::threads]:
            if path not in opened:
                opened[path] = peer(path)
            made += [(tile, opened[path].read(tile)) for tile in tiles]
        for one in opened.values():
            one.close()
        return made

    with ThreadPoolExecutor(threads) as pool:
        for made in pool.map(warp, range(threads)):
            yield from made


class Peer:
    """A scene opened by a peer."""

    def __init__(self, path: Path) -> None:
        self.source = rasterio.open(path)

    def read(self, tile: TileId) -> Pixels:
        raise NotImplementedError

    def close(self) -> None:
        self.source.close()


class Reproject(Peer):
    """Warps into an array, from the coarsest overview that is still as fine as the tile's pixels."""

    def __init__(self, path: Path) -> None:
        with rasterio.open(path) as whole:
            lat = transform_bounds(whole.crs, "EPSG:4326", *whole.bounds)[1]
            finer = tile_transform(TileId(ZOOM, 0, 0), SIDE_PX).a * math.cos(math.radians(lat)) / whole.res[0]
            level = sum(factor <= finer for factor in whole.overviews(1)) - 1
        self.source = rasterio.open(path) if level < 0 else rasterio.open(path, overview_level=level)

    def read(self, tile: TileId) -> Pixels:
        out = np.zeros((3, SIDE_PX, SIDE_PX), np.uint8)
        how = {"dst_transform": tile_transform(tile, SIDE_PX), "dst_crs": MERCATOR, "resampling": Resampling.bilinear}
        reproject(rasterio.band(self.source, (1, 2, 3)), out, **how)
        return out


class Vrt(Peer):
    """Warps windows of a virtual raster that covers the world at zoom 16."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        side = SIDE_PX * 2**ZOOM
        how = {"transform": tile_transform(TileId(ZOOM, 0, 0), SIDE_PX), "width": side, "height": side}
        self.vrt = WarpedVRT(self.source, crs=MERCATOR, resampling=Resampling.bilinear, **how)

    def read(self, tile: TileId) -> Pixels:
        window = Window(tile.x * SIDE_PX, tile.y * SIDE_PX, SIDE_PX, SIDE_PX)
        found: Pixels = self.vrt.read((1, 2, 3), window=window)
        return found

    def close(self) -> None:
        self.vrt.close()
        super().close()


class VrtOfTile(Peer):
    """Warps with a virtual raster per tile."""

    def read(self, tile: TileId) -> Pixels:
        how = {"transform": tile_transform(tile, SIDE_PX), "width": SIDE_PX, "height": SIDE_PX}
        with WarpedVRT(self.source, crs=MERCATOR, resampling=Resampling.bilinear, **how) as vrt:
            found: Pixels = vrt.read((1, 2, 3))
        return found


PEERS: dict[str, type[Peer]] = {"reproject": Reproject, "vrt": Vrt, "vrt_of_tile": VrtOfTile}


def store_ours(work: Sequence[Work], options: argparse.Namespace, scratch: Path) -> int:
    """Writes `images.h5` through the log from which a killed run resumes."""
    folder = scratch / "ours"
    folder.mkdir()
    with ImageLog(folder) as log:
        for tile, pixels in ours(work, options.threads):
            log.add(tile, pixels, 1.0, 0)
        made = log.write([tile for _, tiles in work for tile in tiles], folder / "images.h5", [])
    shutil.rmtree(folder)
    return made


def store_bare(work: Sequence[Work], options: argparse.Namespace, scratch: Path, peer: type[Peer]) -> int:
    """Writes the tiles of a peer to an uncompressed HDF5 column."""
    path, made = scratch / "bare.h5", 0
    with h5py.File(path, "w") as file:
        count = sum(len(tiles) for _, tiles in work)
        column = file.create_dataset("image", (count, 3, SIDE_PX, SIDE_PX), np.uint8)
        for made, (_, pixels) in enumerate(bare(work, options.threads, peer), 1):
            column[made - 1] = pixels
    path.unlink()
    return made


def difference(work: Sequence[Work]) -> dict[str, float]:
    """Compares some tiles of both methods, in grey levels."""
    few = [(path, tiles[:3]) for path, tiles in work]
    peers = dict(bare(few, 1, Reproject))
    off = np.stack([np.abs(pixels.astype(int) - peers[tile].astype(int)) for tile, pixels in ours(few, 1)])
    return {"mean": round(float(off.mean()), 3), "within_8": round(float((off <= 8).mean()), 4)}


def find_work(folder: Path) -> Iterator[Work]:
    """Yields each scene with the tiles that it alone covers completely, in the order of the store."""
    taken: set[TileId] = set()
    for path in find_scenes(folder):
        with rasterio.open(path) as source:
            west, south, east, north = transform_bounds(source.crs, "EPSG:4326", *source.bounds)
            inner = transform_bounds(source.crs, MERCATOR, *source.bounds)
            edge = 0.01 * (inner[2] - inner[0])  # a sheet is rotated in Mercator: skip its outermost tiles
        first, last = tile_of(west, north, ZOOM), tile_of(east, south, ZOOM)
        tiles = []
        for y, x in itertools.product(range(first.y, last.y + 1), range(first.x, last.x + 1)):
            tile = TileId(ZOOM, x, y)
            box = transform_bounds("EPSG:4326", MERCATOR, *tile_bounds(*tile))
            inside = box[0] > inner[0] + edge and box[1] > inner[1] + edge
            inside = inside and box[2] < inner[2] - edge and box[3] < inner[3] - edge
            if inside and tile not in taken:
                tiles.append(tile)
        taken.update(tiles)
        tiles.sort(key=lambda tile: (tile.y >> 2, tile.x >> 2, tile.y, tile.x))
        yield path, tiles


def shorten(work: list[Work], count: int) -> list[Work]:
    """Keeps the first `count` tiles."""
    kept = []
    for path, tiles in work:
        taken = tiles[: max(0, count)]
        count -= len(taken)
        kept.append((path, taken))
    if count > 0:
        raise SystemExit(f"{count} tiles are missing: use more scenes")
    return [(path, tiles) for path, tiles in kept if tiles]


if __name__ == "__main__":
    main()
