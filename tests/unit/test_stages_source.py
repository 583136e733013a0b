"""`fetch` and `tile` as Python functions: they publish, and their errors name the command line that does the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from geofabrik_server import region, serve
from PIL import Image

from geojepa_cli.errors import DataError, UsageError
from geojepa_cli.grid import tile_of
from geojepa_cli.sources.http import OfflineError
from geojepa_cli.stages import fetch, tile
from geojepa_cli.workspace.workspace import Workspace

LON, LAT = -77.85, 40.8
XML = f'<osm version="0.6"><node id="1" version="1" lat="{LAT}" lon="{LON}"><tag k="amenity" v="cafe"/></node></osm>'


@pytest.fixture
def extract(tmp_path: Path) -> Path:
    path = tmp_path / "x.osm"
    path.write_text(XML)
    return path


def test_a_local_extract_with_image_tiles_becomes_tiles_and_images(tmp_path: Path, extract: Path) -> None:
    (tmp_path / "images").mkdir()
    Image.new("RGB", (224, 224), (1, 2, 3)).save(tmp_path / f"images/{tile_of(LON, LAT, 16).name}.png")
    workspace = Workspace(tmp_path / "ws")
    (source,) = fetch(workspace, pbf=extract, name="place", imagery=tmp_path / "images", attribution=["USDA"])
    assert source.attribution[-1] == "USDA" and source.counts["images"] == 1
    ((tiles, images),) = tile(workspace, "place")
    assert tiles.counts["tiles"] == 1 and images is not None and images.counts == {"images": 1}
    assert fetch(workspace, pbf=extract, name="place", imagery=tmp_path / "images", attribution=["USDA"]) == [source]
    assert tile(workspace, ["place"]) == [(tiles, images)]


def test_regions_are_downloaded_and_published(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "ws")
    with serve() as server:
        url = server.add("/a-latest.osm.pbf", XML.encode())
        server.add_index([region("a", "A", url)])
        (source,) = fetch(workspace, "a", geofabrik_url=server.url)
    assert source.full_ref.startswith("source/a@") and list(source.manifest["files"]) == ["map.osm"]
    assert list((workspace.root / "downloads").iterdir()) == []  # nothing twice on the disk


def test_errors_name_the_command_line(tmp_path: Path, extract: Path) -> None:
    root = tmp_path / "ws"
    workspace = Workspace(root)
    with pytest.raises(UsageError) as caught:
        fetch(workspace, pbf=extract)
    assert str(caught.value.hint) == f"geojepa --workspace {root} fetch --pbf {extract} --name x"
    with pytest.raises(UsageError) as caught:
        fetch(workspace, pbf=extract, name="x", year=2020)
    expected = f"geojepa --workspace {root} fetch --pbf {extract} --name x --imagery naip --year 2020"
    assert str(caught.value.hint) == expected
    with pytest.raises(OfflineError) as caught_offline:
        fetch(
            workspace, pbf=extract, name="x", imagery="naip", bbox=(1.0, 2.0, 3.0, 4.0), stac_url="http://127.0.0.1:9"
        )
    shown = str(caught_offline.value.hint)
    assert "--bbox 1.0,2.0,3.0,4.0" in shown and shown.endswith("--imagery none")
    (tmp_path / "images").mkdir()
    with pytest.raises(DataError) as caught_data:
        fetch(workspace, pbf=extract, name="x", imagery=tmp_path / "images")
    assert str(caught_data.value.hint).endswith("--imagery none")
    fetch(workspace, pbf=extract, name="x")
    with pytest.raises(UsageError) as caught:
        tile(workspace, "x", bands="nir")
    assert str(caught.value.hint) == f"geojepa --workspace {root} tile --region x --bands rgb"
