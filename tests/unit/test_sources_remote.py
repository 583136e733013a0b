"""Scenes read from a real HTTP server by ranges: the same pixels as from the file, whatever goes wrong."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import stac_server
from remote_scenes import QUICK, local, mosaic, tile_at, write

from geojepa_cli.errors import DataError, GeojepaError
from geojepa_cli.grid import tile_bounds, tile_of
from geojepa_cli.sources import naip
from geojepa_cli.sources.http import OfflineError
from geojepa_cli.sources.mosaic import Picture
from geojepa_cli.sources.ranges import RangeReader, merge_ranges
from geojepa_cli.sources.resample import Failed, resample


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2,400 × 1.4 km of noise: three by three tiles and more."""
    data = np.random.default_rng(0).integers(1, 256, (4, 3000, 3000), np.uint8)
    return write(tmp_path_factory.mktemp("naip") / "m_4609901_se_14_060_20210704.tif", data, (2, 4))


def test_a_tile_from_a_server_is_the_tile_from_the_file(
    planetary: stac_server.Planetary, items: list[naip.Item], scene: Path
) -> None:
    planetary.add(scene, items[0])
    reader = RangeReader(policy=QUICK)
    tiles = [tile_at(column, row) for column, row in itertools.product((300, 1500, 2700), repeat=2)]
    done = dict(resample(lambda: mosaic(planetary.items, reader), tiles, threads=4))
    for tile in tiles:
        found = done[tile]
        assert isinstance(found, Picture) and np.array_equal(found.pixels, local(scene, tile).pixels)
    traffic = reader.traffic
    assert traffic.requests == len(planetary.requests) and traffic.bytes == sum(one.sent for one in planetary.ranges)
    assert traffic.file_bytes == scene.stat().st_size


def test_a_byte_is_read_once_for_all_tiles(
    planetary: stac_server.Planetary, items: list[naip.Item], scene: Path
) -> None:
    planetary.add(scene, items[0])
    reader = RangeReader(policy=QUICK)
    tiles = [tile_at(column, row) for column, row in itertools.product((700, 1300, 1900), repeat=2)]
    for _ in range(2):  # each with datasets of its own
        assert all(outcome is not None for _, outcome in resample(lambda: mosaic(planetary.items, reader), tiles))
    spans = sorted((one.start, one.end) for one in planetary.ranges)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))


def test_an_expired_signature_is_requested_again(
    planetary: stac_server.Planetary, items: list[naip.Item], scene: Path
) -> None:
    planetary.add(scene, items[0])
    planetary.signature = "1"
    asked: list[str | None] = []
    current = "1"

    def sign(href: str, refused: str | None) -> str:
        nonlocal current
        asked.append(refused)
        if refused is not None:
            current = str(planetary.signature)
        return f"{href}?sig={current}"

    reader = RangeReader(sign, QUICK)
    pictures = mosaic(planetary.items, reader)
    first = pictures.picture(tile_at(300, 300))
    planetary.signature = "2"
    second = pictures.picture(tile_at(2700, 2700))
    assert first is not None and second is not None
    assert np.array_equal(second.pixels, local(scene, tile_at(2700, 2700)).pixels)
    assert [refused for refused in asked if refused] == [f"{planetary.items[0]['assets']['image']['href']}?sig=1"]
    planetary.signature = None
    pictures.close()


def a_busy_server(planetary: stac_server.Planetary, path: str) -> None:
    planetary.statuses[path].extend([503, 429, 500])


def a_cut_connection(planetary: stac_server.Planetary, path: str) -> None:
    planetary.cuts[path] = 3


@pytest.mark.parametrize("fault", [a_busy_server, a_cut_connection])
def test_a_transient_fault_changes_nothing(
    planetary: stac_server.Planetary,
    items: list[naip.Item],
    scene: Path,
    fault: Callable[[stac_server.Planetary, str], None],
) -> None:
    planetary.add(scene, items[0])
    pictures = mosaic(planetary.items, RangeReader(policy=QUICK))
    tile = tile_at(1500, 1500)
    for _ in range(2):  # of the header, then of pixels
        fault(planetary, f"/naip/{scene.name}")
        found = pictures.picture(tile)
        assert found is not None and np.array_equal(found.pixels, local(scene, tile).pixels)
        tile = tile_at(2700, 2700)


def refuse(planetary: stac_server.Planetary, path: str) -> None:
    planetary.signature = "another"


def lose(planetary: stac_server.Planetary, path: str) -> None:
    del planetary.files[path]


def break_down(planetary: stac_server.Planetary, path: str) -> None:
    planetary.statuses[path].extend([503] * 99)


def forget_ranges(planetary: stac_server.Planetary, path: str) -> None:
    planetary.whole = True


def change(planetary: stac_server.Planetary, path: str) -> None:
    planetary.files[path] = planetary.files[path][:-7]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (refuse, "refuses access"),
        (lose, "answered 404"),
        (break_down, "the server answered 503"),
        (forget_ranges, "does not support HTTP range requests"),
        (change, "changed while"),
    ],
)
@pytest.mark.parametrize("compress", ["none", "deflate"])
def test_a_tile_whose_imagery_fails_is_an_error_and_never_black(
    planetary: stac_server.Planetary,
    items: list[naip.Item],
    tmp_path: Path,
    fault: Callable[[stac_server.Planetary, str], None],
    message: str,
    compress: str,
) -> None:
    """Before the header is read, and after; and the same mosaic makes the tile when the server is well again."""
    data = np.random.default_rng(0).integers(1, 256, (4, 2000, 2000), np.uint8)
    path = write(tmp_path / "m_4609901_se_14_060_20210704.tif", data, (2,), compress=compress)
    planetary.add(path, items[0])
    place, tiles = f"/naip/{path.name}", [tile_at(300, 300), tile_at(1700, 1700)]
    for first in (False, True):
        reader = RangeReader(policy=QUICK)
        pictures = mosaic(planetary.items, reader)
        if first:
            assert pictures.picture(tiles[0]) is not None
        elif fault is change:
            continue
        fault(planetary, place)
        with pytest.raises(GeojepaError, match=message) as caught:
            pictures.picture(tiles[1])
        assert caught.value.hint
        planetary.signature, planetary.whole = None, False
        planetary.statuses.clear()
        planetary.files[place] = path.read_bytes()
        found = pictures.picture(tiles[1])
        assert found is not None and np.array_equal(found.pixels, local(path, tiles[1]).pixels)


def test_a_truncated_image_is_an_error(planetary: stac_server.Planetary, items: list[naip.Item], scene: Path) -> None:
    planetary.add(scene, items[0])
    place = f"/naip/{scene.name}"
    planetary.files[place] = planetary.files[place][: len(planetary.files[place]) // 2]
    with pytest.raises(DataError, match=r"cannot be read|truncated"):
        mosaic(planetary.items, RangeReader(policy=QUICK)).picture(tile_at(2700, 2700))


def test_a_file_that_points_to_others_is_not_followed(
    planetary: stac_server.Planetary, items: list[naip.Item], scene: Path, tmp_path: Path
) -> None:
    """A server could otherwise have files of this machine read."""
    planetary.add(scene, items[0])
    rasterio.shutil.copy(str(scene), str(tmp_path / "a.vrt"), driver="VRT")
    text = (tmp_path / "a.vrt").read_text()
    text = re.sub(r'relativeToVRT="1">[^<]*', f'relativeToVRT="0">{scene}', text)
    (tmp_path / "a.vrt").write_text(text)
    assert local(tmp_path / "a.vrt", tile_at(1500, 1500)).valid.all()
    planetary.files[f"/naip/{scene.name}"] = text.encode()
    with pytest.raises(DataError, match="cannot be read"):
        mosaic(planetary.items, RangeReader(policy=QUICK)).picture(tile_at(1500, 1500))


def test_a_redirect_to_a_local_file_is_refused_and_not_repeated(
    planetary: stac_server.Planetary, items: list[naip.Item], scene: Path
) -> None:
    planetary.add(scene, items[0])
    planetary.redirects[f"/naip/{scene.name}"] = "file:///etc/passwd"
    with pytest.raises(DataError, match="not a valid URL"):
        mosaic(planetary.items, RangeReader(policy=QUICK)).picture(tile_at(1500, 1500))
    assert len(planetary.requests) == 1


def test_no_more_of_an_endless_response_is_read_than_was_requested(
    planetary: stac_server.Planetary, items: list[naip.Item], scene: Path
) -> None:
    planetary.add(scene, items[0])
    planetary.endless.add(f"/naip/{scene.name}")
    with pytest.raises(OfflineError, match="sends more than"):
        mosaic(planetary.items, RangeReader(policy=QUICK)).picture(tile_at(1500, 1500))
    # what the sockets hold goes out too
    assert len(planetary.ranges) == QUICK.attempts and max(one.sent for one in planetary.ranges) < 1 << 25


def test_an_unreachable_server_is_not_asked_for_every_tile(
    planetary: stac_server.Planetary, items: list[naip.Item], scene: Path
) -> None:
    planetary.add(scene, items[0])
    planetary.statuses[f"/naip/{scene.name}"].extend([503] * 10_000)
    middle = tile_at(1500, 1500)
    tiles = [middle] * 100
    done = list(resample(lambda: mosaic(planetary.items, RangeReader(policy=QUICK)), tiles, threads=2))
    assert len(done) == 100 and all(isinstance(outcome, Failed) for _, outcome in done)
    assert len(planetary.requests) < 40 * QUICK.attempts


def test_an_unreachable_scene_does_not_keep_others_from_being_read(
    planetary: stac_server.Planetary, items: list[naip.Item], scene: Path, tmp_path: Path
) -> None:
    """20 tiles of it come first; and once eight reads of it failed, it is not asked for again."""
    data = np.random.default_rng(1).integers(1, 256, (4, 800, 800), np.uint8)
    lost = write(tmp_path / "m_4609902_se_14_060_20210704.tif", data)
    planetary.add(scene, items[0])
    planetary.add(lost, items[1])
    planetary.items[0]["bbox"][0], planetary.items[1]["bbox"] = -98.99, [-99.2, 46.8, -99.1, 46.9]
    planetary.statuses[f"/naip/{lost.name}"].extend([503] * 10_000)
    elsewhere, good = tile_of(-99.15, 46.85, 16), tile_at(1500, 1500)
    done = list(resample(lambda: mosaic(planetary.items, RangeReader(policy=QUICK)), [elsewhere] * 20 + [good] * 3))
    assert [isinstance(outcome, Failed) for _, outcome in done] == [True] * 20 + [False] * 3
    assert all(isinstance(outcome, Picture) and outcome.valid.all() for _, outcome in done[20:])
    assert planetary.requests.count(f"/naip/{lost.name}") == 8 * QUICK.attempts
    assert "not read" in done[19][1].error.message  # type: ignore[union-attr]


def test_the_two_dates_of_a_footprint_give_the_newer_one(
    planetary: stac_server.Planetary, items: list[naip.Item], shared: Path
) -> None:
    older, newer = (shared / f"naip/geotiff/m_4709963_se_14_1_{date}.tif" for date in ("20180716", "20200831"))
    planetary.add(older, items[0], date="2018-07-16")
    planetary.add(newer, items[1], date="2020-08-31")
    tile = tile_of(-99.15478, 47.02036, 16)
    for year, expected in ((None, newer), (2018, older), (2020, newer)):
        found = naip.search(tile_bounds(*tile), planetary.url, year)
        assert [item["id"] for item in found] == [expected.stem]
        shown = mosaic(found, RangeReader(policy=QUICK)).picture(tile)
        assert shown is not None and np.array_equal(shown.pixels, local(expected, tile).pixels)


def test_ranges_that_nearly_touch_are_merged() -> None:
    assert merge_ranges([(90_000, 100_000), (0, 10), (10, 20), (5_000, 6_000), (40_000, 40_001)]) == [
        (0, 6_000),
        (40_000, 40_001),
        (90_000, 100_000),
    ]
