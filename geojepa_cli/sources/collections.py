"""Online collections of aerial images. The option `fetch --imagery NAME` selects a collection by its name."""

from __future__ import annotations

from typing import NamedTuple

from geojepa_cli.sources.urls import STAC_API


class Collection(NamedTuple):
    """A STAC collection of 8-bit GeoTIFF files with red, green and blue bands. Files are read with HTTP range requests.

    Attributes:
        name: value of `fetch --imagery` that selects the collection.
        title: name of the collection in messages.
        area: name of the area that the collection covers, for messages.
        collection: id of the collection in the STAC API.
        attribution: attribution text of the images, which is written to the manifests of artifacts.
        stac_api: URL of the STAC API.
        footprint: regular expression for the ids of STAC items. The captured groups identify the area of the image. If
            several items have the same captured groups, only the newest item is used. If `footprint` is None, all items
            are used.
    """

    name: str
    title: str
    area: str
    collection: str
    attribution: str
    stac_api: str
    footprint: str | None = None

    @property
    def items_file(self) -> str:
        """Name of the file in which `fetch` stores the collection's STAC items."""
        return f"{self.name}.json"


COLLECTIONS = {
    one.name: one
    for one in (
        Collection(
            name="naip",
            title="NAIP",
            area="the United States",
            collection="naip",
            attribution="NAIP aerial imagery: USDA FPAC, public domain; by way of the Microsoft Planetary Computer",
            stac_api=STAC_API,
            footprint=r"(?:^|_)m_(\d{7})_(nw|ne|sw|se)_",  # a quarter of a map sheet, in any state and year
        ),
    )
}
NAIP = COLLECTIONS["naip"]
