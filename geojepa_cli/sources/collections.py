"""Collections of aerial images on servers that `fetch --imagery NAME` knows."""

from __future__ import annotations

from typing import NamedTuple

from geojepa_cli.sources.urls import STAC_API


class Collection(NamedTuple):
    """A STAC collection of georeferenced images: GeoTIFFs of 8 bits with red, green and blue, read by HTTP ranges.

    Attributes:
        name: for `--imagery`, and of the file of its items in a source.
        title: for messages.
        area: that it covers, for messages.
        collection: its id in the STAC API.
        attribution: line for the manifests.
        stac_api: URL of the STAC API.
        footprint: regular expression whose groups in an item's id name the footprint. The newest item of each footprint
            is taken. None: every item is a footprint.
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
        """Name of the file of its items."""
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
            footprint=r"(?:^|_)m_(\d{7})_(nw|ne|sw|se)_",  # a quarter of a map sheet, of any state and year
        ),
    )
}
NAIP = COLLECTIONS["naip"]
