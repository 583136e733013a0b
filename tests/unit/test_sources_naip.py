"""NAIP through a STAC API: real HTTP, recorded items; only the signer is replaced."""

from __future__ import annotations

import copy
import itertools
import json
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import shapely
import stac_server
from pyproj import Transformer
from rasterio.enums import ColorInterp
from rasterio.transform import from_origin

from geojepa_cli.errors import DataError, GeojepaError
from geojepa_cli.grid import TileId, tile_bounds, tile_of
from geojepa_cli.sources import naip
from geojepa_cli.sources.http import OfflineError, RetryPolicy
from geojepa_cli.sources.mosaic import Mosaic, Picture
from geojepa_cli.sources.ranges import RangeReader, merge_ranges
from geojepa_cli.sources.resample import Failed, resample
from geojepa_cli.sources.scenes import inspect_scene, newest_first

VERMONT = (-73.21, 43.99, -73.12, 44.05)  # of the recorded search
QUICK = RetryPolicy(attempts=4, pause_s=0.01, max_pause_s=0.05, timeout_s=5.0)
UTM = "EPSG:26914"
WEST, NORTH = 500_000.0, 5_200_000.0


@pytest.fixture
def server() -> Iterator[stac_server.Planetary]:
    with stac_server.serve() as running:
        yield running


@pytest.fixture(scope="session")
def items(shared: Path) -> list[naip.Item]:
    return stac_server.recorded(shared, "naip-search-intersects")


def test_the_newest_image_of_each_footprint_is_found_through_all_pages(
    server: stac_server.Planetary, items: list[naip.Item], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(naip, "_PAGE", 10)
    server.items = items
    found = naip.search(VERMONT, server.url)
    assert [item["id"] for item in found] == [
        "vt_m_4307307_ne_18_030_20230622_20231113",
        "vt_m_4307307_nw_18_030_20230622_20231113",
        "vt_m_4307308_nw_18_030_20230622_20231113",
        "vt_m_4407363_se_18_030_20230621_20231113",
        "vt_m_4407363_sw_18_030_20230620_20231113",
        "vt_m_4407364_sw_18_030_20230621_20231113",
    ]
    assert len(server.searches) == 5  # 42 items
    assert naip.scenes_of(found)[0].bands == (1, 2, 3) and naip.scenes_of(found)[0].crs == "EPSG:26918"


def test_a_year_is_that_of_every_image(server: stac_server.Planetary, items: list[naip.Item]) -> None:
    server.items = items
    found = naip.search(VERMONT, server.url, 2018)
    assert len(found) == 6 and {item["properties"]["datetime"][:4] for item in found} == {"2018"}
    assert naip.search(VERMONT, server.url, 2017) == []
    assert naip.search((9.4, 47.0, 9.6, 47.2), server.url) == []


def test_boxes_with_heights_and_spans_of_time_are_read_as_stac_means_them(
    server: stac_server.Planetary, items: list[naip.Item]
) -> None:
    server.items = copy.deepcopy(items[:1])
    west, south, east, north = server.items[0]["bbox"]
    server.items[0]["bbox"] = [west, south, 0, east, north, 900]
    day = server.items[0]["properties"]["datetime"]
    server.items[0]["properties"] |= {"datetime": None, "start_datetime": day, "end_datetime": day}
    (found,) = naip.search(VERMONT, server.url)
    assert found["bbox"] == [west, south, east, north]
    assert naip.scenes_of([found])[0].date == day[:10]


def broken(item: naip.Item, what: str) -> None:
    properties, image = item["properties"], item["assets"]["image"]
    if what == "gsd":
        properties["gsd"] = "fine"
    elif what == "date":
        properties["datetime"] = "yesterday"
    elif what == "image":
        del item["assets"]["image"]
    else:
        image["href"] = {"file": "file:///etc/passwd", "relative": "../../a.tif", "null": None}[what]


@pytest.mark.parametrize("what", ["gsd", "date", "image", "file", "relative", "null"])
def test_items_that_cannot_be_read_are_refused_by_fetch(
    server: stac_server.Planetary, items: list[naip.Item], what: str
) -> None:
    server.items = copy.deepcopy(items[:3])
    broken(server.items[1], what)
    with pytest.raises(OfflineError, match="not the response of a STAC API"):
        naip.search(VERMONT, server.url)


def test_a_search_without_an_end_is_ended(server: stac_server.Planetary, items: list[naip.Item]) -> None:
    server.items, server.circles = items[:3], True
    with pytest.raises(OfflineError, match="no other items"):
        naip.search(VERMONT, server.url)
    assert len(server.searches) < 10


def test_what_is_stored_gives_the_same_items_again(tmp_path: Path, items: list[naip.Item]) -> None:
    newest = naip.newest(items)
    path = tmp_path / naip.ITEMS_FILE
    path.write_text(naip.to_json(newest))
    again = naip.read_items(path)
    assert naip.to_json(again) == naip.to_json(naip.newest(again))
    assert naip.scenes_of(again) == naip.scenes_of(newest)
    path.write_text('{"features": [{"id": 1}]}')
    with pytest.raises(DataError, match="not a list of images"):
        naip.read_items(path)


def test_an_api_that_fails_is_told_with_a_way_out(server: stac_server.Planetary) -> None:
    server.statuses["/search"].extend([500] * 9)
    for url in (server.url, server.root + "/elsewhere", "http://127.0.0.1:9"):
        with pytest.raises(OfflineError, match="cannot be searched") as caught:
            naip.search(VERMONT, url)
        assert "--imagery none" in str(caught.value.hint)


def write(path: Path, data: np.ndarray, overviews: tuple[int, ...] = (), **how: object) -> Path:
    """A GeoTIFF as NAIP's are: red, green, blue and infrared, tiled, of one plane; 0.6 m."""
    profile = {"driver": "GTiff", "count": 4, "height": data.shape[1], "width": data.shape[2], "dtype": "uint8"}
    layout = {"tiled": True, "blockxsize": 512, "blockysize": 512, "interleave": "pixel", **how}
    with rasterio.open(path, "w", **profile, **layout, crs=UTM, transform=from_origin(WEST, NORTH, 0.6, 0.6)) as out:
        out.write(data)
        out.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.undefined]
    if overviews:
        with rasterio.open(path, "r+") as out:
            out.build_overviews(overviews, rasterio.enums.Resampling.average)
    return path


def tile_at(east_px: float, south_px: float) -> TileId:
    lon, lat = Transformer.from_crs(UTM, "EPSG:4326", always_xy=True).transform(
        WEST + east_px * 0.6, NORTH - south_px * 0.6
    )
    return tile_of(lon, lat, 16)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2,400 × 1.4 km of noise: three by three tiles and more."""
    data = np.random.default_rng(0).integers(1, 256, (4, 3000, 3000), np.uint8)
    return write(tmp_path_factory.mktemp("naip") / "m_4609901_se_14_060_20210704.tif", data, (2, 4))


def mosaic(items: list[naip.Item], reader: RangeReader) -> Mosaic:
    scenes = newest_first(naip.scenes_of(items))
    return Mosaic(scenes, None, naip.scene_opener(items, reader))


def local(path: Path, tile: TileId) -> Picture:
    found = Mosaic([inspect_scene(path)]).picture(tile)
    assert found is not None
    return found


def test_a_tile_from_a_server_is_the_tile_from_the_file(
    server: stac_server.Planetary, items: list[naip.Item], scene: Path
) -> None:
    server.add(scene, items[0])
    reader = RangeReader(policy=QUICK)
    tiles = [tile_at(column, row) for column, row in itertools.product((300, 1500, 2700), repeat=2)]
    done = dict(resample(lambda: mosaic(server.items, reader), tiles, threads=4))
    for tile in tiles:
        found = done[tile]
        assert isinstance(found, Picture) and np.array_equal(found.pixels, local(scene, tile).pixels)
    traffic = reader.traffic
    assert traffic.requests == len(server.requests) and traffic.bytes == sum(one.sent for one in server.ranges)
    assert traffic.file_bytes == scene.stat().st_size


def test_a_byte_is_read_once_however_many_tiles_need_it(
    server: stac_server.Planetary, items: list[naip.Item], scene: Path
) -> None:
    server.add(scene, items[0])
    reader = RangeReader(policy=QUICK)
    tiles = [tile_at(column, row) for column, row in itertools.product((700, 1300, 1900), repeat=2)]
    for _ in range(2):  # each with datasets of its own
        assert all(outcome is not None for _, outcome in resample(lambda: mosaic(server.items, reader), tiles))
    spans = sorted((one.start, one.end) for one in server.ranges)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))


@pytest.mark.slow
def test_sixteen_scattered_tiles_read_little_more_than_their_blocks(
    server: stac_server.Planetary, items: list[naip.Item], tmp_path: Path
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
    server.add(path, items[0])
    places = [(1000 + 2500 * i + 130 * j, 1000 + 3000 * j + 170 * i) for i in range(4) for j in range(4)]
    tiles = sorted({tile_at(*place) for place in places})
    assert len(tiles) == 16
    reader = RangeReader(policy=QUICK)
    done = dict(resample(lambda: mosaic(server.items, reader), tiles, threads=4))
    assert all(isinstance(outcome, Picture) and outcome.valid.all() for outcome in done.values())
    allowed = 1.2 * block_bytes(path, tiles)
    pixels = reader.traffic.bytes - reader.traffic.header_bytes
    print(f"{pixels:,} bytes of blocks, {allowed / 1.2:,.0f} met, {reader.traffic}")
    assert 0 < pixels <= allowed
    assert reader.traffic.header_bytes < 1 << 20
    assert reader.traffic.bytes == sum(one.sent for one in server.ranges)


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


def test_a_signature_that_runs_out_is_asked_for_again(
    server: stac_server.Planetary, items: list[naip.Item], scene: Path
) -> None:
    server.add(scene, items[0])
    server.signature = "1"
    asked: list[str | None] = []
    current = "1"

    def sign(href: str, refused: str | None) -> str:
        nonlocal current
        asked.append(refused)
        if refused is not None:
            current = str(server.signature)
        return f"{href}?sig={current}"

    reader = RangeReader(sign, QUICK)
    pictures = mosaic(server.items, reader)
    first = pictures.picture(tile_at(300, 300))
    server.signature = "2"
    second = pictures.picture(tile_at(2700, 2700))
    assert first is not None and second is not None
    assert np.array_equal(second.pixels, local(scene, tile_at(2700, 2700)).pixels)
    assert [refused for refused in asked if refused] == [f"{server.items[0]['assets']['image']['href']}?sig=1"]
    server.signature = None
    pictures.close()


def test_planetary_computer_gives_a_new_token_where_the_server_refuses_the_old_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its own cache of tokens is used until then."""
    from planetary_computer import sas

    href, tokens = "https://naipeuwest.blob.core.windows.net/naip/v002/a.tif", itertools.count(1)

    def token(account: str, container: str, *_: object, **__: object) -> sas.SASToken:
        cached = sas.TOKEN_CACHE.get("here")
        if cached is None:
            assert (account, container) == ("naipeuwest", "naip")
            fields = {"msft:expiry": "2999-01-01T00:00:00Z", "token": f"sig={next(tokens)}"}
            cached = sas.TOKEN_CACHE["here"] = sas.SASToken(**fields)
        return cached

    monkeypatch.setattr(sas, "get_token", token)
    monkeypatch.setattr(sas, "TOKEN_CACHE", {})
    assert naip.sign(href) == naip.sign(href) == f"{href}?sig=1"
    assert naip.sign(href, f"{href}?sig=1") == f"{href}?sig=2"
    assert naip.sign(href, f"{href}?sig=1") == f"{href}?sig=2"  # another thread has asked already
    assert naip.sign("http://127.0.0.1/a.tif", "http://127.0.0.1/a.tif") == "http://127.0.0.1/a.tif"


def a_busy_server(server: stac_server.Planetary, path: str) -> None:
    server.statuses[path].extend([503, 429, 500])


def a_cut_connection(server: stac_server.Planetary, path: str) -> None:
    server.cuts[path] = 3


@pytest.mark.parametrize("fault", [a_busy_server, a_cut_connection])
def test_a_passing_fault_changes_nothing(
    server: stac_server.Planetary,
    items: list[naip.Item],
    scene: Path,
    fault: Callable[[stac_server.Planetary, str], None],
) -> None:
    server.add(scene, items[0])
    pictures = mosaic(server.items, RangeReader(policy=QUICK))
    tile = tile_at(1500, 1500)
    for _ in range(2):  # of the header, then of pixels
        fault(server, f"/naip/{scene.name}")
        found = pictures.picture(tile)
        assert found is not None and np.array_equal(found.pixels, local(scene, tile).pixels)
        tile = tile_at(2700, 2700)


def refuse(server: stac_server.Planetary, path: str) -> None:
    server.signature = "another"


def lose(server: stac_server.Planetary, path: str) -> None:
    del server.files[path]


def break_down(server: stac_server.Planetary, path: str) -> None:
    server.statuses[path].extend([503] * 99)


def forget_ranges(server: stac_server.Planetary, path: str) -> None:
    server.whole = True


def change(server: stac_server.Planetary, path: str) -> None:
    server.files[path] = server.files[path][:-7]


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (refuse, "is refused"),
        (lose, "answered 404"),
        (break_down, "it answered 503"),
        (forget_ranges, "does not support ranges"),
        (change, "changed while"),
    ],
)
@pytest.mark.parametrize("compress", ["none", "deflate"])
def test_a_tile_whose_imagery_fails_is_told_and_never_black(
    server: stac_server.Planetary,
    items: list[naip.Item],
    tmp_path: Path,
    fault: Callable[[stac_server.Planetary, str], None],
    told: str,
    compress: str,
) -> None:
    """Before the header is read, and after; and the same mosaic makes the tile when the server is well again."""
    data = np.random.default_rng(0).integers(1, 256, (4, 2000, 2000), np.uint8)
    path = write(tmp_path / "m_4609901_se_14_060_20210704.tif", data, (2,), compress=compress)
    server.add(path, items[0])
    place, tiles = f"/naip/{path.name}", [tile_at(300, 300), tile_at(1700, 1700)]
    for first in (False, True):
        reader = RangeReader(policy=QUICK)
        pictures = mosaic(server.items, reader)
        if first:
            assert pictures.picture(tiles[0]) is not None
        elif fault is change:
            continue
        fault(server, place)
        with pytest.raises(GeojepaError, match=told) as caught:
            pictures.picture(tiles[1])
        assert caught.value.hint
        server.signature, server.whole = None, False
        server.statuses.clear()
        server.files[place] = path.read_bytes()
        found = pictures.picture(tiles[1])
        assert found is not None and np.array_equal(found.pixels, local(path, tiles[1]).pixels)


def test_a_truncated_image_is_told(server: stac_server.Planetary, items: list[naip.Item], scene: Path) -> None:
    server.add(scene, items[0])
    place = f"/naip/{scene.name}"
    server.files[place] = server.files[place][: len(server.files[place]) // 2]
    with pytest.raises(DataError, match=r"cannot be read|truncated"):
        mosaic(server.items, RangeReader(policy=QUICK)).picture(tile_at(2700, 2700))


def test_a_file_that_points_to_others_is_not_followed(
    server: stac_server.Planetary, items: list[naip.Item], scene: Path, tmp_path: Path
) -> None:
    """A server could otherwise have files of this machine read."""
    server.add(scene, items[0])
    rasterio.shutil.copy(str(scene), str(tmp_path / "a.vrt"), driver="VRT")
    text = (tmp_path / "a.vrt").read_text()
    text = re.sub(r'relativeToVRT="1">[^<]*', f'relativeToVRT="0">{scene}', text)
    (tmp_path / "a.vrt").write_text(text)
    assert local(tmp_path / "a.vrt", tile_at(1500, 1500)).valid.all()
    server.files[f"/naip/{scene.name}"] = text.encode()
    with pytest.raises(DataError, match="cannot be read"):
        mosaic(server.items, RangeReader(policy=QUICK)).picture(tile_at(1500, 1500))


def test_an_address_that_is_none_is_told_at_once(
    server: stac_server.Planetary, items: list[naip.Item], scene: Path
) -> None:
    server.add(scene, items[0])
    server.redirects[f"/naip/{scene.name}"] = "file:///etc/passwd"
    with pytest.raises(DataError, match="no valid address"):
        mosaic(server.items, RangeReader(policy=QUICK)).picture(tile_at(1500, 1500))
    assert len(server.requests) == 1


def test_of_an_answer_that_goes_on_no_more_is_taken_than_was_asked_for(
    server: stac_server.Planetary, items: list[naip.Item], scene: Path
) -> None:
    server.add(scene, items[0])
    server.endless.add(f"/naip/{scene.name}")
    with pytest.raises(OfflineError, match="sends more than"):
        mosaic(server.items, RangeReader(policy=QUICK)).picture(tile_at(1500, 1500))
    # what the sockets hold goes out too
    assert len(server.ranges) == QUICK.attempts and max(one.sent for one in server.ranges) < 1 << 25


def test_a_server_that_is_gone_is_not_asked_for_every_tile(
    server: stac_server.Planetary, items: list[naip.Item], scene: Path
) -> None:
    server.add(scene, items[0])
    server.statuses[f"/naip/{scene.name}"].extend([503] * 10_000)
    middle = tile_at(1500, 1500)
    tiles = [middle] * 100
    done = list(resample(lambda: mosaic(server.items, RangeReader(policy=QUICK)), tiles, threads=2))
    assert len(done) == 100 and all(isinstance(outcome, Failed) for _, outcome in done)
    assert len(server.requests) < 40 * QUICK.attempts


def test_a_scene_that_its_server_refuses_does_not_keep_others_from_being_read(
    server: stac_server.Planetary, items: list[naip.Item], scene: Path, tmp_path: Path
) -> None:
    """20 tiles of it come first; and once eight reads of it failed, it is not asked for again."""
    data = np.random.default_rng(1).integers(1, 256, (4, 800, 800), np.uint8)
    lost = write(tmp_path / "m_4609902_se_14_060_20210704.tif", data)
    server.add(scene, items[0])
    server.add(lost, items[1])
    server.items[0]["bbox"][0], server.items[1]["bbox"] = -98.99, [-99.2, 46.8, -99.1, 46.9]
    server.statuses[f"/naip/{lost.name}"].extend([503] * 10_000)
    elsewhere, good = tile_of(-99.15, 46.85, 16), tile_at(1500, 1500)
    done = list(resample(lambda: mosaic(server.items, RangeReader(policy=QUICK)), [elsewhere] * 20 + [good] * 3))
    assert [isinstance(outcome, Failed) for _, outcome in done] == [True] * 20 + [False] * 3
    assert all(isinstance(outcome, Picture) and outcome.valid.all() for _, outcome in done[20:])
    assert server.requests.count(f"/naip/{lost.name}") == 8 * QUICK.attempts
    assert "not tried" in done[19][1].error.message  # type: ignore[union-attr]


def test_the_two_dates_of_a_footprint_give_the_newer_one(
    server: stac_server.Planetary, items: list[naip.Item], shared: Path
) -> None:
    older, newer = (shared / f"naip/geotiff/m_4709963_se_14_1_{date}.tif" for date in ("20180716", "20200831"))
    server.add(older, items[0], date="2018-07-16")
    server.add(newer, items[1], date="2020-08-31")
    tile = tile_of(-99.15478, 47.02036, 16)
    for year, expected in ((None, newer), (2018, older), (2020, newer)):
        found = naip.search(tile_bounds(*tile), server.url, year)
        assert [item["id"] for item in found] == [expected.stem]
        shown = mosaic(found, RangeReader(policy=QUICK)).picture(tile)
        assert shown is not None and np.array_equal(shown.pixels, local(expected, tile).pixels)


def test_ranges_that_nearly_touch_are_one_request() -> None:
    assert merge_ranges([(90_000, 100_000), (0, 10), (10, 20), (5_000, 6_000), (40_000, 40_001)]) == [
        (0, 6_000),
        (40_000, 40_001),
        (90_000, 100_000),
    ]


def test_items_are_stored_without_signatures(items: list[naip.Item]) -> None:
    stored = json.loads(naip.to_json(naip.newest(items)))
    assert all("?" not in item["assets"]["image"]["href"] for item in stored["features"])
