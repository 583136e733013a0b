"""How fast scenes become image tiles: tiles and megabytes a second, beside a bare rasterio warp of the same windows.

    python benchmarks/imagery.py --folder /tmp/scenes            # makes the scenes there, or takes those it finds

The scenes are made as NAIP's are: quarters of map sheets in UTM, 0.6 m, red, green, blue and infrared, 512 px blocks,
deflate, overviews; their pixels are smooth fields with noise. The peers are what rasterio offers for it, bilinear, with
GDAL's default error of an eighth of a pixel and as many threads, without merging, validity or checks:

- `reproject` of the bands of a dataset opened at the right overview, by hand, since GDAL chooses none there;
- `vrt`: a `WarpedVRT` of each scene, whose windows are the tiles;
- `vrt_of_tile`: one for each tile.

All give uint8 [3, 224, 224] of every tile, in memory; then geojepa and the fastest peer put them into an uncompressed
HDF5 column. Runs take turns, the best of each counts, and the ratio is to the fastest peer. Prints one JSON object.
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
from rasterio.enums import ColorInterp, Resampling
from rasterio.transform import from_origin
from rasterio.vrt import WarpedVRT
from rasterio.warp import reproject, transform_bounds
from rasterio.windows import Window

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from geojepa_cli.grid import GROUP_ZOOM, TileId, tile_bounds, tile_of
from geojepa_cli.sources.mosaic import Mosaic, Picture, resample
from geojepa_cli.sources.sampling import MERCATOR, tile_transform
from geojepa_cli.sources.scenes import find_scenes, inspect_scene
from geojepa_cli.store.image_log import ImageLog

SIDE_PX, ZOOM, BLOCK_PX = 224, 16, 512
CRS, WEST_M, NORTH_M = "EPSG:26914", 500_000.0, 5_200_000.0
Pixels = npt.NDArray[np.uint8]
Work = tuple[Path, list[TileId]]
Pictures = Iterator[tuple[TileId, Pixels]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where the scenes are, or are made; default: a temporary one")
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
    """Everything, as one JSON-ready dict."""
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
    """Seconds of each, the best of some turns."""
    best = dict.fromkeys(runs, math.inf)
    for _ in range(repeat):
        for name, run in runs.items():
            best[name] = min(best[name], timed(run, count))
    return best


def timed(run: Callable[[], Any], count: int) -> float:
    """Seconds of a run, which has to make every tile."""
    begin = time.perf_counter()
    found = run()
    made = found if isinstance(found, int) else sum(1 for _ in found)
    seconds = time.perf_counter() - begin
    if made != count:
        raise SystemExit(f"{made} of {count} tiles were made")
    return seconds


def ours(work: Sequence[Work], threads: int) -> Pictures:
    """As `geojepa tile` does it."""
    scenes = [inspect_scene(path) for path, _ in work]
    tiles = [tile for _, tiles in work for tile in tiles]
    for tile, outcome in resample(lambda: Mosaic(scenes), tiles, threads):
        assert isinstance(outcome, Picture) and outcome.valid.all()
        yield tile, outcome.pixels


def bare(work: Sequence[Work], threads: int, peer: type[Peer]) -> Pictures:
    """Nothing but rasterio: every thread takes whole zoom-14 groups, from datasets of its own."""
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
    """A scene, opened by a peer."""

    def __init__(self, path: Path) -> None:
        self.source = rasterio.open(path)

    def read(self, tile: TileId) -> Pixels:
        raise NotImplementedError

    def close(self) -> None:
        self.source.close()


class Reproject(Peer):
    """Into an array; the overview is the coarsest one still as fine as the tile's pixels."""

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
    """The whole world of zoom 16 as one raster, of which tiles are windows."""

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
    """Of which all is read."""

    def read(self, tile: TileId) -> Pixels:
        how = {"transform": tile_transform(tile, SIDE_PX), "width": SIDE_PX, "height": SIDE_PX}
        with WarpedVRT(self.source, crs=MERCATOR, resampling=Resampling.bilinear, **how) as vrt:
            found: Pixels = vrt.read((1, 2, 3))
        return found


PEERS: dict[str, type[Peer]] = {"reproject": Reproject, "vrt": Vrt, "vrt_of_tile": VrtOfTile}


def store_ours(work: Sequence[Work], options: argparse.Namespace, scratch: Path) -> int:
    """Into `images.h5`, by way of the log that a killed run goes on from."""
    folder = scratch / "ours"
    folder.mkdir()
    with ImageLog(folder) as log:
        for tile, pixels in ours(work, options.threads):
            log.add(tile, pixels, 1.0, 0)
        made = log.write([tile for _, tiles in work for tile in tiles], folder / "images.h5", [])
    shutil.rmtree(folder)
    return made


def store_bare(work: Sequence[Work], options: argparse.Namespace, scratch: Path, peer: type[Peer]) -> int:
    path, made = scratch / "bare.h5", 0
    with h5py.File(path, "w") as file:
        count = sum(len(tiles) for _, tiles in work)
        column = file.create_dataset("image", (count, 3, SIDE_PX, SIDE_PX), np.uint8)
        for made, (_, pixels) in enumerate(bare(work, options.threads, peer), 1):
            column[made - 1] = pixels
    path.unlink()
    return made


def difference(work: Sequence[Work]) -> dict[str, float]:
    """Between both, of a few tiles: they must show the same."""
    few = [(path, tiles[:3]) for path, tiles in work]
    peers = dict(bare(few, 1, Reproject))
    off = np.stack([np.abs(pixels.astype(int) - peers[tile].astype(int)) for tile, pixels in ours(few, 1)])
    return {"mean": round(float(off.mean()), 3), "within_8": round(float((off <= 8).mean()), 4)}


def find_work(folder: Path) -> Iterator[Work]:
    """Each scene with the tiles that it covers wholly and no other has, in the order of the store."""
    taken: set[TileId] = set()
    for path in find_scenes(folder):
        with rasterio.open(path) as source:
            west, south, east, north = transform_bounds(source.crs, "EPSG:4326", *source.bounds)
            inner = transform_bounds(source.crs, MERCATOR, *source.bounds)
            edge = 0.01 * (inner[2] - inner[0])  # a sheet lies askew in Mercator: its outermost tiles are left out
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
    kept = []
    for path, tiles in work:
        taken = tiles[: max(0, count)]
        count -= len(taken)
        kept.append((path, taken))
    if count > 0:
        raise SystemExit(f"{count} tiles are lacking: more scenes are needed")
    return [(path, tiles) for path, tiles in kept if tiles]


def make_scenes(folder: Path, count: int, width: int, height: int, pixel: float) -> None:
    """One is made, the others are its copies at other places."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"m_46099{number + 10}_ne_14_060_20210704.tif" for number in range(count)]
    if all(path.is_file() for path in paths):
        return
    make_scene(paths[0], width, height, pixel)
    for number, path in enumerate(paths[1:], 1):
        shutil.copyfile(paths[0], path)
        with rasterio.open(path, "r+") as out:
            down, across = divmod(number, 3)
            west, north = WEST_M + across * width * pixel, NORTH_M - down * height * pixel
            out.transform = from_origin(west, north, pixel, pixel)


def make_scene(path: Path, width: int, height: int, pixel: float) -> None:
    """Smooth fields with noise: as hard to unpack as a photograph."""
    generator = np.random.default_rng(0)
    profile = {"driver": "GTiff", "count": 4, "width": width, "height": height, "dtype": "uint8", "crs": CRS}
    layout = {"tiled": True, "blockxsize": BLOCK_PX, "blockysize": BLOCK_PX, "interleave": "pixel"}
    packed = {"compress": "deflate", "zlevel": 1, "photometric": "rgb", "alpha": "unspecified", "num_threads": "2"}
    transform = from_origin(WEST_M, NORTH_M, pixel, pixel)
    columns = np.arange(width, dtype=np.float32) * pixel
    with rasterio.open(path, "w", **profile, **layout, **packed, transform=transform) as out:
        out.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.undefined]
        for top in range(0, height, BLOCK_PX):
            rows = np.arange(top, min(top + BLOCK_PX, height), dtype=np.float32)[:, None] * pixel
            smooth = 120 + 40 * np.sin(columns / 37) * np.cos(rows / 29) + 30 * np.sin((columns + rows) / 11)
            noise = generator.integers(-12, 13, (4, *smooth.shape), np.int8)
            window = Window(0, top, width, len(rows))
            out.write(np.clip(smooth + noise, 1, 255).astype(np.uint8), window=window)
    with rasterio.Env(COMPRESS_OVERVIEW="DEFLATE", ZLEVEL_OVERVIEW=1), rasterio.open(path, "r+") as out:
        out.build_overviews([2, 4, 8], Resampling.average)


if __name__ == "__main__":
    main()
