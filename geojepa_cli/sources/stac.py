"""Reads STAC items of versions 1.0 and 1.1: selects the fields to store, and finds band order, CRS and date."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from geojepa_cli.sources.scene_bands import MaskRule
from geojepa_cli.sources.scenes import Scene

Item = dict[str, Any]

IMAGE = "image"  # key of the asset that holds the image
_COLOURS = ("red", "green", "blue")
_INFRARED = "nir"
_CODE = re.compile(r"[A-Za-z0-9_.-]+:[A-Za-z0-9_.-]+")
# Fields of the projection extension: `proj:code` since version 2, `proj:epsg` before; definitions if there is no code.
_CODES = ("proj:code", "proj:epsg")
_DEFINITIONS = ("proj:wkt2", "proj:projjson")
_BANDS = ("bands", "eo:bands")  # STAC 1.1 and 1.0
_BAND_NAMES = ("eo:common_name", "common_name", "name")
_NOT_DATA = {"thumbnail", "overview", "metadata"}


def trim_item(item: Mapping[str, Any]) -> Item:
    """Returns a copy of a STAC item with only those fields that `fetch` stores.

    Raises:
        KeyError, TypeError, ValueError: the item lacks a required field, or is not a valid STAC item.
    """
    asset, properties = _image_asset(item), item["properties"]
    if not str(asset["href"]).startswith(("https://", "http://")):
        raise ValueError(f"the image of `{item['id']}` is at `{asset['href']}`, not on a server")
    kept: dict[str, Any] = {"datetime": _capture_time(properties)}
    kept |= {name: properties[name] for name in ("naip:year", "naip:state") if name in properties}
    resolution = properties.get("gsd") if properties.get("gsd") is not None else asset.get("gsd")
    kept |= {} if resolution is None else {"gsd": float(resolution)}
    kept |= _projection({**properties, **{key: value for key, value in asset.items() if value is not None}})
    _parse_crs(kept)
    image: dict[str, Any] = {"href": str(asset["href"])}
    image |= {name: _checked_bands(asset[name]) for name in _BANDS if asset.get(name) is not None}
    return {
        "type": "Feature",
        "id": str(item["id"]),
        "bbox": _parse_box(item["bbox"]),
        "geometry": item["geometry"],
        "properties": kept,
        "assets": {IMAGE: image},
    }


def scene_of(item: Item, infrared: bool) -> Scene:
    """Returns the scene of a stored STAC item.

    The data type is assumed to be `uint8`, and is checked when the image is opened. The rule that decides which pixels
    are valid is left empty, because it depends on the image, which is not opened here.

    Args:
        item: STAC item with the fields that `trim_item` keeps.
        infrared: True to select the near-infrared band too.
    """
    west, south, east, north = (float(value) for value in item["bbox"])
    gsd = float(item["properties"].get("gsd") or 0.0)
    bands = band_order(item["assets"][IMAGE])
    return Scene(
        file_name(item),
        _parse_crs(item["properties"]),
        (gsd, gsd),
        "uint8",
        bands if infrared else bands[:3],
        MaskRule(),
        capture_date(item),
        (west, south, east, north),
        (),
    )


def band_order(asset: Mapping[str, Any]) -> tuple[int, int, int, int]:
    """Returns the 1-based indices of the red, green, blue and near-infrared bands of a STAC asset.

    The bands are found by their names in the field `bands` (STAC 1.1) or `eo:bands` (STAC 1.0). If neither field names
    red, green and blue, the order of NAIP is assumed: red, green, blue, near infrared.
    """
    names: list[str] = []
    for key in _BANDS:
        found = [_band_name(band) for band in asset.get(key) or []]
        names = found if set(_COLOURS) <= set(found) else names
        if names:
            break
    if not names:
        return 1, 2, 3, 4
    red, green, blue = (names.index(colour) + 1 for colour in _COLOURS)
    rest = [index for index in range(1, 5) if index not in (red, green, blue)]
    return red, green, blue, names.index(_INFRARED) + 1 if _INFRARED in names else rest[0]


def capture_date(item: Item) -> str:
    """Returns the date of capture of a STAC item, such as `2020-08-31`."""
    return str(item["properties"]["datetime"])[:10]


def file_name(item: Item) -> Path:
    """Returns the file name that identifies the image of a STAC item, such as `<id>.tif`."""
    return Path(f"{item['id']}.tif")


def _image_asset(item: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the asset `image` of a STAC item. If there is no such asset, returns the only GeoTIFF asset of the item.

    GeoTIFF assets that are thumbnails, overviews or metadata are ignored.

    Raises:
        ValueError: the item has no asset `image`, and the number of its GeoTIFF assets is not one.
    """
    assets: Mapping[str, Mapping[str, Any]] = item["assets"]
    if IMAGE in assets:
        return assets[IMAGE]
    images = [
        asset
        for asset in assets.values()
        if str(asset.get("type", "")).startswith("image/tiff") and not _NOT_DATA.intersection(asset.get("roles") or ())
    ]
    if len(images) != 1:
        raise ValueError(f"`{item['id']}` has no asset `{IMAGE}`, and {len(images)} other GeoTIFF assets, expected 1")
    return images[0]


def _projection(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields of a STAC item that state the CRS.

    Returns the fields with the code of the CRS, such as `EPSG:26918`. If the item has no code, returns the fields with
    the definition of the CRS in WKT2 or PROJJSON.
    """
    codes = {name: fields[name] for name in _CODES if fields.get(name) is not None}
    if "proj:epsg" in codes:
        codes["proj:epsg"] = int(codes["proj:epsg"])
    definitions = {name: fields[name] for name in _DEFINITIONS if fields.get(name) is not None}
    return codes or definitions


def _parse_crs(properties: Mapping[str, Any]) -> str:
    """Returns the CRS of a STAC item as text, such as `EPSG:26918`; "" if the item does not state a CRS.

    Raises:
        ValueError: the fields do not define a valid CRS.
    """
    code = properties.get("proj:code")
    if code is not None:
        if not isinstance(code, str) or not _CODE.fullmatch(code):
            raise ValueError(f"`proj:code` is `{code}`, expected a code such as `EPSG:26918`")
        return code
    if properties.get("proj:epsg") is not None:
        return f"EPSG:{properties['proj:epsg']}"
    definition = next((properties[name] for name in _DEFINITIONS if properties.get(name) is not None), None)
    if definition is None:
        return ""
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    try:
        crs = CRS.from_user_input(definition)
    except CRSError as error:
        raise ValueError(f"the CRS of the item cannot be read: {error}") from error
    authority = crs.to_authority()
    return ":".join(authority) if authority else str(crs.to_wkt())


def _checked_bands(bands: Any) -> list[Any]:
    if not isinstance(bands, list) or not all(isinstance(band, Mapping) for band in bands):
        raise ValueError("the bands of the item are not a list of objects")
    return bands


def _band_name(band: Mapping[str, Any]) -> str:
    """Returns the colour of a band (`red`, `green`, `blue` or `nir`) from the band's names; "" for other bands."""
    known = (*_COLOURS, _INFRARED)
    names = [str(band[key]).lower() for key in _BAND_NAMES if band.get(key) is not None]
    return next((name for name in names if name in known), "")


def _capture_time(properties: Mapping[str, Any]) -> str:
    """Returns the time of capture of a STAC item. If `datetime` is null, returns the start of the capture instead."""
    text = str(properties.get("datetime") or properties["start_datetime"])
    datetime.date.fromisoformat(text[:10])
    return text


def _parse_box(values: Sequence[Any]) -> list[float]:
    """Returns (west, south, east, north) of a STAC bounding box. Heights in the bounding box are dropped.

    Raises:
        ValueError: the values are not a bounding box.
    """
    box = [float(value) for value in values]
    box = [*box[:2], *box[3:5]] if len(box) == 6 else box
    if len(box) != 4 or not all(map(math.isfinite, box)):
        raise ValueError(f"{values} is not a bounding box")
    return box
