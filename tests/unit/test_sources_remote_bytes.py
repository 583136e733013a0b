"""Bytes that are read of scenes on a real HTTP server."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import shapely
import stac_server
from pyproj import Transformer
from rasterio.transform import from_origin
from remote_scenes import NORTH, QUICK, UTM, WEST, mosaic, tile_at

from geojepa_cli.grid import TileId, tile_bounds
from geojepa_cli.sources import naip
from geojepa_cli.sources.mosaic import Picture
from geojepa_cli.sources.ranges import RangeReader
from geojepa_cli.sources.resample import resample


@pytest.mark.slow
def test_sixteen_scattered_tiles_read_little_more_than_their_blocks(
    planetary: stac_server.Planetary, items: list[naip.Item], tmp_path: Path
) -> None:
    """10,000 × 12,000 px; the blocks that a tile meets are found by pyproj and shapely, at the overview that is the
    coarsest one still as fine as the tile's pixels."""
    height, width = 12_000, 10_000
    rng, path = np.random.default_rng(0), tmp_path / "m_4609901_se_14_060_20210704.tif"
    profile = {"driver": "GTiff", "count": 4, "height": height, "width": width, "dtype": "uint8", "crs": UTM}
    layout = {"tiled": True, "blockxsize": 512, "blockysize": 512, "interleave": "pixel", "compress": "deflate"}
    transform = from_origin(WEST, NORTH, 0.6, 0.6)
    with rasterio.open(path, "w", **profile, **layout, zlevel=1, transform=transform, photometric="rgb") as out:
        for row in range(0, height, 512):
            rows = min(512, height - row)
            out.write(rng.integers(0, 256, (4, rows, width), np.uint8), window=((row, row + rows), (0, width)))
    with rasterio.open(path, "r+") as out:
        out.build_overviews([2, 4, 8], rasterio.enums.Resampling.nearest)
    planetary.add(path, items[0])
    places = [(1000 + 2500 * i + 130 * j, 1000 + 3000 * j + 170 * i) for i in range(4) for j in range(4)]
    tiles = sorted({tile_at(*place) for place in places})
    assert len(tiles) == 16
    reader = RangeReader(policy=QUICK)
    done = dict(resample(lambda: mosaic(planetary.items, reader), tiles, threads=4))
    assert all(isinstance(outcome, Picture) and outcome.valid.all() for outcome in done.values())
    allowed = 1.2 * block_bytes(path, tiles)
    pixels = reader.traffic.bytes - reader.traffic.header_bytes
    print(f"{pixels:,} bytes of blocks, {allowed / 1.2:,.0f} met, {reader.traffic}")
    assert 0 < pixels <= allowed
    assert reader.traffic.header_bytes < 1 << 20
    assert reader.traffic.bytes == sum(one.sent for one in planetary.ranges)


def block_bytes(path: Path, tiles: list[TileId]) -> int:
    """Bytes of the blocks that tiles meet, each once."""
    with rasterio.open(path) as source:
        finer = min(
            math.cos(math.radians(tile_bounds(*tile)[1])) * 40_075_016.686 / 2**tile.z / 224 / 0.6 for tile in tiles
        )
        level = max(i for i, factor in enumerate([1, *source.overviews(1)]) if factor <= finer)
        pixel = 0.6 * [1, *source.overviews(1)][level]
        met: set[tuple[int, int]] = set()
        for tile in tiles:
            west, south, east, north = tile_bounds(*tile)
            edge = np.linspace(0, 1, 9)
            ring = np.concatenate(
                [
                    np.stack([west + (east - west) * edge, np.full(9, north)], 1),
                    np.stack([np.full(9, east), north + (south - north) * edge], 1),
                    np.stack([east + (west - east) * edge, np.full(9, south)], 1),
                    np.stack([np.full(9, west), south + (north - south) * edge], 1),
                ]
            )
            x, y = Transformer.from_crs("EPSG:4326", UTM, always_xy=True).transform(ring[:, 0], ring[:, 1])
            shape = shapely.Polygon(np.stack([(x - WEST) / pixel, (NORTH - y) / pixel], 1))
            columns = range(int(shape.bounds[0] // 512), int(shape.bounds[2] // 512) + 1)
            rows = range(int(shape.bounds[1] // 512), int(shape.bounds[3] // 512) + 1)
            for column, row in itertools.product(columns, rows):
                if shape.intersects(shapely.box(512 * column, 512 * row, 512 * column + 512, 512 * row + 512)):
                    met.add((column, row))
        ovr = {} if level == 0 else {"ovr": level - 1}
        sizes = [source.get_tag_item(f"BLOCK_SIZE_{c}_{r}", "TIFF", bidx=1, **ovr) for c, r in met]
    return sum(int(size) for size in sizes)
