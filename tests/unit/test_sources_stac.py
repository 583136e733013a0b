"""STAC items of versions 1.0 and 1.1: CRS, band order, resolution, date and the image's asset."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import stac_server
from pyproj import CRS

from geojepa_cli.sources import naip
from geojepa_cli.sources.stac import Item, scene_of, trim_item

UTM = CRS.from_epsg(26918)
RGBN = ("red", "green", "blue", "nir")


@pytest.fixture(scope="module")
def recorded(shared: Path) -> Item:
    """An item as the Planetary Computer has it: STAC 1.0, `proj:epsg` and `eo:bands`."""
    return stac_server.recorded(shared, "naip-search-intersects")[0]


def changed(item: Item, properties: dict[str, Any] | None = None, asset: dict[str, Any] | None = None) -> Item:
    """The item without CRS and bands, and with these fields."""
    item = copy.deepcopy(item)
    for fields, names in (
        (item["properties"], ("proj:epsg", "proj:code", "gsd")),
        (item["assets"]["image"], ("eo:bands", "bands")),
    ):
        for name in names:
            fields.pop(name, None)
    item["properties"] |= properties or {}
    item["assets"]["image"] |= asset or {}
    return item


def scene(item: Item, infrared: bool = True) -> Any:
    """As `fetch` stores it and `tile` reads it again."""
    stored = json.loads(naip.to_json([trim_item(item)]))["features"][0]
    assert trim_item(stored) == stored
    return scene_of(stored, infrared)


def test_a_recorded_item_has_crs_and_bands(recorded: Item) -> None:
    found = scene(recorded)
    assert found.crs == "EPSG:26918" and found.bands == (1, 2, 3, 4) and found.resolution == (0.3, 0.3)


@pytest.mark.parametrize(
    ("fields", "crs"),
    [
        ({"proj:epsg": 26918}, "EPSG:26918"),
        ({"proj:code": "EPSG:26918"}, "EPSG:26918"),
        ({"proj:code": "EPSG:26918", "proj:epsg": 26918}, "EPSG:26918"),
        ({"proj:code": "EPSG:26918", "proj:epsg": None}, "EPSG:26918"),
        ({"proj:code": None, "proj:epsg": 26918}, "EPSG:26918"),
        ({"proj:code": "IAU_2015:30100"}, "IAU_2015:30100"),
        ({"proj:wkt2": UTM.to_wkt()}, "EPSG:26918"),
        ({"proj:projjson": UTM.to_json_dict()}, "EPSG:26918"),
        ({"proj:code": None, "proj:wkt2": UTM.to_wkt(), "proj:projjson": None}, "EPSG:26918"),
        ({"proj:code": "EPSG:26918", "proj:wkt2": CRS.from_epsg(4326).to_wkt()}, "EPSG:26918"),
        ({}, ""),
        ({"proj:code": None, "proj:epsg": None}, ""),
    ],
)
@pytest.mark.parametrize("place", ["properties", "asset"])
def test_the_crs_is_recorded_in_every_form(recorded: Item, fields: dict[str, Any], crs: str, place: str) -> None:
    """STAC allows fields of the projection extension in the properties and in the asset."""
    assert scene(changed(recorded, **{place: fields})).crs == crs


def test_a_crs_without_a_code_is_recorded_as_wkt(recorded: Item) -> None:
    wkt = CRS.from_proj4("+proj=tmerc +lon_0=-71.2 +ellps=GRS80").to_wkt()
    assert scene(changed(recorded, {"proj:wkt2": wkt})).crs == wkt


def test_the_crs_of_the_asset_comes_before_that_of_the_item(recorded: Item) -> None:
    item = changed(recorded, {"proj:code": "EPSG:4326"}, {"proj:code": "EPSG:26918"})
    assert scene(item).crs == "EPSG:26918"


@pytest.mark.parametrize(
    "fields",
    [
        {"proj:code": 26918},
        {"proj:code": "26918"},
        {"proj:code": ["EPSG:26918"]},
        {"proj:epsg": "NAD83"},
        {"proj:epsg": [1]},
        {"proj:wkt2": "PROJCRS["},
        {"proj:projjson": {"type": "no"}},
    ],
)
def test_a_crs_that_cannot_be_read_is_refused(recorded: Item, fields: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        trim_item(changed(recorded, fields))


def names(key: str, order: tuple[str, ...]) -> list[dict[str, Any]]:
    return [{key: name} for name in order]


@pytest.mark.parametrize(
    ("asset", "bands"),
    [
        ({"eo:bands": names("common_name", RGBN)}, (1, 2, 3, 4)),
        ({"eo:bands": names("common_name", ("nir", "red", "green", "blue"))}, (2, 3, 4, 1)),
        ({"bands": names("eo:common_name", RGBN)}, (1, 2, 3, 4)),
        ({"bands": names("eo:common_name", ("nir", "red", "green", "blue"))}, (2, 3, 4, 1)),
        ({"bands": names("eo:common_name", ("blue", "green", "red", "nir"))}, (3, 2, 1, 4)),
        ({"bands": names("common_name", ("blue", "green", "red", "nir"))}, (3, 2, 1, 4)),
        ({"bands": names("name", ("Blue", "Green", "Red", "NIR"))}, (3, 2, 1, 4)),
        ({"bands": names("name", ("b1", "b2", "b3", "b4"))}, (1, 2, 3, 4)),
        ({"bands": [{"name": "b1", "eo:common_name": one} for one in ("green", "red", "blue")]}, (2, 1, 3, 4)),
        ({"bands": names("eo:common_name", ("red", "green"))}, (1, 2, 3, 4)),
        ({"bands": [{}, {"eo:common_name": "red"}, *names("eo:common_name", ("green", "blue"))]}, (2, 3, 4, 1)),
        (
            {
                "bands": names("eo:common_name", ("nir", "red", "green", "blue")),
                "eo:bands": names("common_name", RGBN),
            },
            (2, 3, 4, 1),
        ),
        (
            {"bands": [{"nodata": 0}] * 4, "eo:bands": names("common_name", ("nir", "red", "green", "blue"))},
            (2, 3, 4, 1),
        ),
        ({"raster:bands": [{"nodata": 0, "data_type": "uint8"}] * 4}, (1, 2, 3, 4)),
        ({"bands": None}, (1, 2, 3, 4)),
        ({"bands": []}, (1, 2, 3, 4)),
        ({}, (1, 2, 3, 4)),
    ],
)
def test_the_order_of_bands_is_that_of_the_item(
    recorded: Item, asset: dict[str, Any], bands: tuple[int, int, int, int]
) -> None:
    item = changed(recorded, asset=asset)
    assert scene(item).bands == bands and scene(item, infrared=False).bands == bands[:3]


@pytest.mark.parametrize("bands", ["red", [1, 2], {"red": 1}])
def test_bands_that_cannot_be_read_are_refused(recorded: Item, bands: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        trim_item(changed(recorded, asset={"bands": bands}))


@pytest.mark.parametrize(
    ("properties", "asset", "metres"),
    [({"gsd": 0.6}, {}, 0.6), ({}, {"gsd": 1}, 1.0), ({"gsd": None}, {"gsd": 1}, 1.0), ({}, {}, 0.0)],
)
def test_the_resolution_is_of_the_item_or_its_asset(
    recorded: Item, properties: dict[str, Any], asset: dict[str, Any], metres: float
) -> None:
    assert scene(changed(recorded, properties, asset)).resolution == (metres, metres)


GEOTIFF = "image/tiff; application=geotiff; profile=cloud-optimized"


def test_without_an_asset_image_the_only_geotiff_is_the_image(recorded: Item) -> None:
    item = changed(recorded, {"proj:code": "EPSG:26918"})
    image = item["assets"].pop("image")
    item["assets"] |= {
        "thumbnail": {"href": "https://example.org/a.tif", "type": GEOTIFF, "roles": ["thumbnail"]},
        "data": {"href": image["href"], "type": GEOTIFF, "roles": ["data"]},
        "metadata": {"href": "https://example.org/a.txt", "type": "text/plain"},
    }
    stored = trim_item(item)
    assert stored["assets"] == {"image": {"href": image["href"]}}
    item["assets"]["red"] = {"href": "https://example.org/red.tif", "type": GEOTIFF, "roles": ["data"]}
    with pytest.raises(ValueError, match="2 other GeoTIFF"):
        trim_item(item)
    item["assets"]["image"] = image
    assert trim_item(item)["assets"]["image"]["href"] == image["href"]


def test_items_of_both_versions_are_searched_together(recorded: Item) -> None:
    new = changed(recorded, {"proj:code": "EPSG:26918"}, {"bands": names("eo:common_name", ("nir", *RGBN[:3]))})
    new |= {"id": "vt_m_4307307_nw_18_030_20230622_20231113", "stac_version": "1.1.0"}
    with stac_server.serve() as server:
        server.items = [recorded, new]
        west, south, east, north = recorded["bbox"]
        found = naip.search((west, south, east, north), server.url)
    assert sorted(one.bands for one in naip.scenes_of(found, infrared=True)) == [(1, 2, 3, 4), (2, 3, 4, 1)]
    assert {one.crs for one in naip.scenes_of(found)} == {"EPSG:26918"}
