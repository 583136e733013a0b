"""NAIP through a STAC API: real HTTP and recorded items; only the signer is replaced."""

from __future__ import annotations

import copy
import itertools
import json
from pathlib import Path

import pytest
import stac_server
from remote_scenes import VERMONT

from geojepa_cli.errors import DataError
from geojepa_cli.sources import naip
from geojepa_cli.sources.collections import NAIP
from geojepa_cli.sources.http import OfflineError


def test_the_newest_image_of_each_footprint_is_found_through_all_pages(
    planetary: stac_server.Planetary, items: list[naip.Item], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(naip, "_PAGE", 10)
    planetary.items = items
    found = naip.search(VERMONT, planetary.url)
    assert [item["id"] for item in found] == [
        "vt_m_4307307_ne_18_030_20230622_20231113",
        "vt_m_4307307_nw_18_030_20230622_20231113",
        "vt_m_4307308_nw_18_030_20230622_20231113",
        "vt_m_4407363_se_18_030_20230621_20231113",
        "vt_m_4407363_sw_18_030_20230620_20231113",
        "vt_m_4407364_sw_18_030_20230621_20231113",
    ]
    assert len(planetary.searches) == 5  # 42 items
    assert naip.scenes_of(found)[0].bands == (1, 2, 3) and naip.scenes_of(found)[0].crs == "EPSG:26918"


def test_a_year_limits_the_images(planetary: stac_server.Planetary, items: list[naip.Item]) -> None:
    planetary.items = items
    found = naip.search(VERMONT, planetary.url, 2018)
    assert len(found) == 6 and {item["properties"]["datetime"][:4] for item in found} == {"2018"}
    assert naip.search(VERMONT, planetary.url, 2017) == []
    assert naip.search((9.4, 47.0, 9.6, 47.2), planetary.url) == []


def test_boxes_with_heights_and_intervals_of_time_are_read(
    planetary: stac_server.Planetary, items: list[naip.Item]
) -> None:
    planetary.items = copy.deepcopy(items[:1])
    west, south, east, north = planetary.items[0]["bbox"]
    planetary.items[0]["bbox"] = [west, south, 0, east, north, 900]
    day = planetary.items[0]["properties"]["datetime"]
    planetary.items[0]["properties"] |= {"datetime": None, "start_datetime": day, "end_datetime": day}
    (found,) = naip.search(VERMONT, planetary.url)
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
    planetary: stac_server.Planetary, items: list[naip.Item], what: str
) -> None:
    planetary.items = copy.deepcopy(items[:3])
    broken(planetary.items[1], what)
    with pytest.raises(OfflineError, match="not the response of a STAC API"):
        naip.search(VERMONT, planetary.url)


def test_a_search_whose_pages_repeat_is_an_error(planetary: stac_server.Planetary, items: list[naip.Item]) -> None:
    planetary.items, planetary.circles = items[:3], True
    with pytest.raises(OfflineError, match="no new items"):
        naip.search(VERMONT, planetary.url)
    assert len(planetary.searches) < 10


def test_stored_items_are_read_as_the_same_items(tmp_path: Path, items: list[naip.Item]) -> None:
    newest = naip.newest(items)
    path = tmp_path / NAIP.items_file
    path.write_text(naip.to_json(newest))
    again = naip.read_items(path)
    assert naip.to_json(again) == naip.to_json(naip.newest(again))
    assert naip.scenes_of(again) == naip.scenes_of(newest)
    path.write_text('{"features": [{"id": 1}]}')
    with pytest.raises(DataError, match="not a valid file of STAC items"):
        naip.read_items(path)


def test_an_api_that_fails_is_an_error_with_a_hint(planetary: stac_server.Planetary) -> None:
    planetary.statuses["/search"].extend([500] * 9)
    for url in (planetary.url, planetary.root + "/elsewhere", "http://127.0.0.1:9"):
        with pytest.raises(OfflineError, match="cannot be searched") as caught:
            naip.search(VERMONT, url)
        assert "--imagery none" in str(caught.value.hint)


def test_a_new_token_is_requested_where_the_server_refuses_the_old_one(
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


def test_items_are_stored_without_signatures(items: list[naip.Item]) -> None:
    stored = json.loads(naip.to_json(naip.newest(items)))
    assert all("?" not in item["assets"]["image"]["href"] for item in stored["features"])
