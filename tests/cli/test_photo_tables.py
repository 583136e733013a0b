"""`geojepa fetch --photos TABLE`: places and directions of photos in CSV, GeoJSON and Parquet files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely
from commandline import refused, succeed
from photo_region import dropped, lund, names_of, opened, two_photos
from pyproj import Transformer

from geojepa_cli import Workspace, stages


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return lund(tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return two_photos(tmp_path / "photos")


def test_a_photo_at_two_places_of_a_table_is_no_copy_and_twice_at_one_place_is(
    workspace: Workspace, folder: Path
) -> None:
    table = folder / "table.csv"
    table.write_text("file,lon,lat\na.jpg,13.2,55.7\na.jpg,13.21,55.7\na.jpg,13.2,55.7\n")
    stages.fetch_photos(workspace, table)
    assert opened(workspace).lon.tolist() == [13.2, 13.21] and dropped(workspace) == {"a.jpg": "duplicate"}


def rows(**columns: list[Any]) -> dict[str, list[Any]]:
    return {"File": ["sub/b.JPEG", "a.jpg"], "lon": [13.15, 13.16], "lat": [55.65, 55.66], **columns}


def write_csv(path: Path) -> Path:
    pd.DataFrame(rows(compass_angle=[-90, None], hfov=[None, 90])).to_csv(path / "t.csv", index=False)
    return path / "t.csv"


def write_parquet(path: Path) -> Path:
    pd.DataFrame(rows(heading=[270.0, None], fov=[np.nan, 90.0])).to_parquet(path / "t.parquet")
    return path / "t.parquet"


def as_frame(columns: dict[str, list[Any]]) -> geopandas.GeoDataFrame:
    frame = pd.DataFrame(columns)
    points = shapely.points(frame.pop("lon"), frame.pop("lat"))
    return geopandas.GeoDataFrame(frame, geometry=points, crs=4326)


def write_geoparquet(path: Path) -> Path:
    made = as_frame(rows(heading=[270.0, None], field_of_view=[None, 90.0], tile=["x", "y"]))
    made.to_crs(3006).to_parquet(path / "t.geoparquet")  # SWEREF99 TM
    return path / "t.geoparquet"


def write_geojson(path: Path) -> Path:
    as_frame(rows(bearing=[270.0, None], FOV=[None, 90.0])).to_file(path / "t.geojson", driver="GeoJSON")
    return path / "t.geojson"


@pytest.mark.parametrize("write", [write_csv, write_parquet, write_geoparquet, write_geojson])
def test_a_table_gives_place_and_direction_and_exif_what_the_table_lacks(
    workspace: Workspace, folder: Path, write: Callable[[Path], Path]
) -> None:
    succeed(workspace, "fetch", "--photos", write(folder), "--region", "lund")
    store = opened(workspace)
    assert names_of(store) == ["a.jpg", "sub/b.JPEG"]
    assert store.lon == pytest.approx([13.16, 13.15], abs=1e-8) and store.lat == pytest.approx([55.66, 55.65], abs=1e-8)
    assert store.heading == pytest.approx([123.45, 270.0])
    # `a.jpg` is 160 × 120 px and lies on its side, so that the square has the whole width
    assert store.field_of_view == pytest.approx([90.0, np.nan], nan_ok=True)


def test_coordinates_of_a_table_may_have_another_crs(workspace: Workspace, folder: Path) -> None:
    x, y = Transformer.from_crs(4326, 3006, always_xy=True).transform(13.2, 55.7)
    table = folder / "table.csv"
    table.write_text(f"photo;x;y\na.jpg;{x};{y}\n")
    error = refused(workspace, "fetch", "--photos", table)
    assert "states no CRS" in error.message and "--crs EPSG:4326" in str(error.hint)
    succeed(workspace, "fetch", "--photos", table, "--crs", "EPSG:3006")
    store = opened(workspace)
    assert [store.lon[0], store.lat[0]] == pytest.approx([13.2, 55.7], abs=1e-8)


def test_rows_of_a_table_without_a_file_or_place_are_left_out(workspace: Workspace, folder: Path) -> None:
    absolute = (folder / "sub/b.JPEG").absolute()
    (folder.parent / "other.jpg").write_bytes((folder / "a.jpg").read_bytes())
    lines = ["a.jpg,13.2,55.7", "lost.jpg,13.2,55.7", ",13.2,55.7", "a.jpg,,", f"{absolute},13.2,55.7"]
    lines += [f"{'n' * 300}.jpg,13.2,55.7", "sub,13.2,55.7", f"{folder.parent.absolute()}/other.jpg,13.21,55.7"]
    lines += ["zero.jpg,0,0", "a.jpg,0,0"]
    table = folder / "table.csv"
    table.write_text("\n".join(["path,lon,lat", *lines]))
    stages.fetch_photos(workspace, table)
    assert names_of(opened(workspace)) == ["a.jpg", "other.jpg", "sub/b.JPEG"]
    found = [(one["file"], one["reason"]) for one in workspace.find("photos", "lund").read_json("dropped.json")]
    assert sorted(found) == sorted(
        [("lost.jpg", "no_file"), ("line 4", "no_file"), ("a.jpg", "no_place"), (f"{'n' * 300}.jpg", "no_file"),
         ("sub", "no_file"), ("zero.jpg", "no_file"), ("a.jpg", "zero_place")]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("file,lon,lat\n", "is empty"),
        ("lon,lat\n13.2,55.7\n", "no column with the paths of photos (columns: `lon`, `lat`)"),
        ("file\na.jpg\n", "has no locations"),
        ("file,tile\na.jpg,16_1_1\n", "has no locations"),
        ("file,lon,lat\na.jpg,13.2,x\n", "line 2: `lat` is `x`: expected a number"),
        ("file,lon,lat\na.jpg,13.2,\n", "line 2: one of `lon` and `lat` is missing"),
        ("file,lon,lat\na.jpg,13.2,95\n", "(13.2, 95) is not a position"),
        ("file,lon,lat,heading\na.jpg,13.2,55.7,north\n", "line 2: `heading` is `north`: expected a number"),
        ("file,lon,lat,heading\na.jpg,13.2,55.7,361\n", "`heading` is 361: expected an angle from -360 to 360 degrees"),
        ("file,lon,lat,fov\na.jpg,13.2,55.7,0\n", "`fov` is 0: expected an angle"),
        ("file,lon,lat,fov\na.jpg,13.2,55.7,1e-50\n", "`fov` is 1e-50: expected an angle"),
    ],
)
def test_a_wrong_table_is_an_error_with_a_hint(workspace: Workspace, folder: Path, text: str, message: str) -> None:
    (folder / "table.csv").write_text(text)
    error = refused(workspace, "fetch", "--photos", folder / "table.csv")
    assert message in error.message and "--photos" in str(error.hint)
    assert not workspace.artifacts("photos")


def test_polygons_are_no_places_of_photos(workspace: Workspace, folder: Path) -> None:
    box = geopandas.GeoDataFrame({"file": ["a.jpg"]}, geometry=[shapely.box(13.1, 55.6, 13.2, 55.7)], crs=4326)
    box.to_parquet(folder / "t.parquet")
    assert "expected points" in refused(workspace, "fetch", "--photos", folder / "t.parquet").message
