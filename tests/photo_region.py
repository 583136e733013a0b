"""A region with a bounding box and nothing else, photos in it, and what `fetch --photos` made of them."""

from __future__ import annotations

from pathlib import Path

import exif_bytes as eb

from geojepa_cli import Workspace, stages
from geojepa_cli.store.photos import PhotoStore

TOWN = (
    '<osm version="0.6"><bounds minlon="{}" minlat="{}" maxlon="{}" maxlat="{}"/>'
    '<node id="1" lon="{}" lat="{}"><tag k="amenity" v="cafe"/></node></osm>'
)
INSIDE = eb.gps((13, 12, 0), (55, 42, 0))  # 13.2° E, 55.7° N


def add_town(workspace: Workspace, name: str, west: float, south: float, east: float, north: float) -> None:
    path = workspace.root.parent / f"{name}.osm"
    path.write_text(TOWN.format(west, south, east, north, west, south))
    stages.fetch(workspace, pbf=path, name=name)


def lund(folder: Path) -> Workspace:
    """A workspace with the region `lund`."""
    made = Workspace(folder / "workspace")
    add_town(made, "lund", 13.1, 55.6, 13.3, 55.8)
    return made


def two_photos(folder: Path) -> Path:
    """Writes two photos in `lund` to a new folder, one of them to a subfolder."""
    heading = {16: eb.ascii_("T"), 17: eb.rationals((12_345, 100))}
    metadata = eb.exif({eb.ORIENTATION: eb.short(6)}, {eb.FOCAL_35MM: eb.short(28)}, {**INSIDE, **heading})
    eb.write_photo(folder / "a.jpg", metadata)
    eb.write_photo(folder / "sub/b.JPEG", eb.exif(places=eb.gps((13, 12, 1), (55, 42, 0))), seed=1)
    return folder


def opened(workspace: Workspace, region: str = "lund") -> PhotoStore:
    return PhotoStore(workspace.find("photos", region).file("photos.h5"))


def names_of(store: PhotoStore) -> list[str]:
    return [store.name(row) for row in range(len(store))]


def dropped(workspace: Workspace, region: str = "lund") -> dict[str, str]:
    """Reason by file name."""
    return {one["file"]: one["reason"] for one in workspace.find("photos", region).read_json("dropped.json")}
