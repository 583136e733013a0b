"""Georeference of scenes: transforms, ground control points, polynomials, and what is refused."""

from __future__ import annotations

import itertools
import math
import shlex
import subprocess
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from pyproj import Transformer
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning
from rasterio.rpc import RPC
from rasterio.transform import Affine, from_origin
from scene_files import UTM, around, bilinear, noise, picture, write

from geojepa_cli.errors import DataError, GeojepaError
from geojepa_cli.grid import tile_of
from geojepa_cli.hints import Invocation, invocation
from geojepa_cli.sources.mosaic import Mosaic
from geojepa_cli.sources.scenes import find_scenes, inspect_scene

FETCH = ("fetch", "--pbf", "a.osm.pbf", "--imagery", "my images")


@pytest.fixture(autouse=True)
def fetching() -> Iterator[None]:
    """Errors are raised while `fetch` runs, so that their hints repeat it."""
    with invocation(Invocation.parse(FETCH)):
        yield


def without_crs(path: Path) -> None:
    write(path, noise((3, 9, 9)), None, from_origin(0, 0, 1, 1))


def without_transform(path: Path) -> None:
    write(path, noise((3, 9, 9)), UTM, Affine.identity())


def complex_values(path: Path) -> None:
    write(path, np.zeros((1, 9, 9), np.complex64), UTM, from_origin(5e5, 4e6, 9, 9))


def with_palette(path: Path) -> None:
    write(path, noise((1, 9, 9)), UTM, from_origin(5e5, 4e6, 9, 9))
    with rasterio.open(path, "r+") as out:
        out.write_colormap(1, {1: (255, 0, 0, 255)})


def mixed_types(path: Path) -> None:
    """A VRT of bytes and floats."""
    for name, dtype in (("bytes", np.uint8), ("floats", np.float32)):
        write(path.with_name(f"{name}.tiff"), noise((1, 9, 9)).astype(dtype), UTM, from_origin(5e5, 4e6, 9, 9))
    rasterio.shutil.copy(str(path.with_name("bytes.tiff")), str(path), driver="VRT")
    rasterio.shutil.copy(str(path.with_name("floats.tiff")), str(path.with_name("floats.vrt")), driver="VRT")
    text = path.with_name("floats.vrt").read_text()
    band = text[text.index("  <VRTRasterBand") : text.index("</VRTDataset>")].replace('band="1"', 'band="2"', 1)
    path.write_text(path.read_text().replace("</VRTDataset>", f"{band}</VRTDataset>"))
    path.with_name("floats.vrt").unlink()


def metres_as_degrees(path: Path) -> None:
    write(path, noise((3, 9, 9)), "EPSG:4326", from_origin(5e5, 4e6, 9, 9))


def far_from_its_zone(path: Path) -> None:
    write(path, noise((3, 9, 9)), UTM, from_origin(1e9, 1e9, 9, 9))


def with_nan_in_the_transform(path: Path) -> None:
    write(path, noise((3, 9, 9)), UTM, from_origin(math.nan, 4e6, 9, 9))


def a_vrt_named_tif(path: Path) -> None:
    part = write(path.with_name("part.tif"), noise((3, 9, 9)), UTM, from_origin(5e5, 4e6, 9, 9))
    rasterio.shutil.copy(str(part), str(path), driver="VRT")


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (without_crs, "no CRS"),
        (without_transform, "no georeference"),
        (complex_values, "complex64"),
        (with_palette, "palette"),
        (mixed_types, "bands of type uint8, float32"),
        (metres_as_degrees, "outside the area of its CRS"),
        (far_from_its_zone, "outside the area of its CRS"),
        (with_nan_in_the_transform, "no georeference"),
        (a_vrt_named_tif, "cannot be read"),
        (lambda path: path.write_text("<!DOCTYPE html><html></html>"), "cannot be read"),
        (lambda path: path.write_bytes(b""), "cannot be read"),
    ],
)
def test_a_scene_that_cannot_be_used_is_an_error_with_its_path_and_a_hint(
    tmp_path: Path, make: Callable[[Path], object], message: str
) -> None:
    (tmp_path / "my images").mkdir()
    path = tmp_path / ("my images/a.vrt" if make is mixed_types else "my images/a.tif")
    make(path)
    with pytest.raises(DataError, match=message) as caught:
        inspect_scene(path)
    assert f"`{path}`" in caught.value.message
    assert str(path) in shlex.split(str(caught.value.hint))  # as one word


# -- scenes without a transform ---------------------------------------------------------------------------------------


def control_points(transform: Affine, height: int, width: int, crs: str) -> list[GroundControlPoint]:
    """3 × 3 points of a raster, in another CRS."""
    points = []
    for row, column in itertools.product((0, height / 2, height), (0, width / 2, width)):
        x, y = Transformer.from_crs(UTM, crs, always_xy=True).transform(*(transform * (column, row)))
        points.append(GroundControlPoint(row, column, x, y))
    return points


def ungeoreferenced(path: Path, data: np.ndarray, **how: object) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        count, height, width = data.shape
        profile = {"driver": "GTiff", "dtype": "uint8", "count": count, "height": height, "width": width}
        with rasterio.open(path, "w", **profile, **how) as out:
            out.write(data)
    return path


def slopes(transform: Affine, height: int, width: int) -> np.ndarray:
    """Colours that rise to the east and to the south, and never are 0."""
    columns, rows = np.meshgrid(np.linspace(20, 230, width), np.linspace(20, 230, height))
    return np.stack([columns, rows, np.full_like(rows, 99)]).astype(np.uint8)


def run_hint(path: Path, error: GeojepaError) -> list[Path]:
    """Runs the hint in a shell, without the `fetch` at its end, and returns the scenes of the folder."""
    command, _, again = str(error.hint).rpartition(" && ")
    assert again == shlex.join(["geojepa", *FETCH])
    subprocess.run(["sh", "-ec", command], check=True, cwd=path.parent, stdout=subprocess.DEVNULL)
    return find_scenes(path.parent)


@pytest.mark.parametrize("nodata", [None, 0])
@pytest.mark.parametrize("crs", ["EPSG:4326", UTM, None], ids=str)
def test_a_scene_with_control_points_is_refused_with_a_command_that_warps_it(
    tmp_path: Path, crs: str | None, nodata: int | None
) -> None:
    """With a CRS of the points, and without one in degrees. A corner of the warped scene is outside of the raster."""
    transform, height, width = around(UTM, 2.5, margin=150)
    transform = transform * Affine.rotation(20, pivot=(width / 2, height / 2))
    data = slopes(transform, height, width)
    points = control_points(transform, height, width, crs or "EPSG:4326")
    path = ungeoreferenced(tmp_path / "my scene.tif", data, gcps=points, crs=crs or CRS(), nodata=nodata)
    with pytest.raises(DataError, match="9 ground control points instead of a transform") as caught:
        inspect_scene(path)
    (warped,) = run_hint(path, caught.value)
    assert path.with_name("my scene.tif.bak").exists()
    found = picture(warped)
    assert found.valid.all()
    assert np.abs(found.pixels - bilinear(data.astype(float), UTM, transform)).max() <= 3
    with rasterio.open(warped) as source:
        west, north = source.transform * (3, 3)
    corner = Transformer.from_crs("EPSG:3857", "EPSG:4326", always_xy=True).transform(west, north)
    outside = Mosaic([inspect_scene(warped)]).picture(tile_of(*corner, 20))
    assert outside is None or not outside.valid.any()


def test_control_points_in_metres_without_a_crs_leave_its_code_to_the_user(tmp_path: Path) -> None:
    transform, height, width = around(UTM, 10)
    points = control_points(transform, height, width, UTM)
    path = ungeoreferenced(tmp_path / "a.tif", slopes(transform, height, width), gcps=points, crs=CRS())
    with pytest.raises(DataError, match="ground control points") as caught:
        inspect_scene(path)
    assert "-s_srs EPSG:CODE" in str(caught.value.hint)


def test_a_scene_with_rational_polynomials_is_refused_with_a_command_that_warps_it(tmp_path: Path) -> None:
    """Line and sample are linear in latitude and longitude, at any height."""
    transform, height, width = around("EPSG:4326", 2.8e-5, margin=60)
    data = slopes(transform, height, width)
    (west, north), (east, south) = transform * (0, 0), transform * (width, height)
    zeros = [0.0] * 20
    rpcs = RPC(
        height_off=0, height_scale=100,
        lat_off=(north + south) / 2, lat_scale=(north - south) / 2,
        long_off=(west + east) / 2, long_scale=(east - west) / 2,
        line_off=height / 2 - 0.5, line_scale=height / 2, samp_off=width / 2 - 0.5, samp_scale=width / 2,
        line_num_coeff=[0.0, 0.0, -1.0, *zeros[3:]], line_den_coeff=[1.0, *zeros[1:]],
        samp_num_coeff=[0.0, 1.0, *zeros[2:]], samp_den_coeff=[1.0, *zeros[1:]],
    )  # fmt: skip
    path = ungeoreferenced(tmp_path / "a.tif", data, rpcs=rpcs)
    with pytest.raises(DataError, match=r"rational polynomial coefficients \(RPC\) instead of") as caught:
        inspect_scene(path)
    (warped,) = run_hint(path, caught.value)
    found = picture(warped)
    assert found.valid.all()
    assert np.abs(found.pixels - bilinear(data.astype(float), "EPSG:4326", transform)).max() <= 3


def test_a_scene_with_a_geolocation_array_is_refused_with_a_command_that_warps_it(tmp_path: Path) -> None:
    transform, height, width = around("EPSG:4326", 2.8e-5, margin=60)
    data = slopes(transform, height, width)
    lon = transform.c + transform.a * (np.arange(width) + 0.5)
    lat = transform.f + transform.e * (np.arange(height) + 0.5)
    for name, values in (("lon", np.tile(lon, (height, 1))), ("lat", np.tile(lat[:, None], (1, width)))):
        profile = {"driver": "ENVI", "dtype": "float64", "count": 1, "height": height, "width": width}
        with warnings.catch_warnings(), rasterio.open(tmp_path / f"{name}.img", "w", **profile) as out:
            out.write(values[None])
    path = ungeoreferenced(tmp_path / "a.tif", data)
    with rasterio.open(path, "r+") as out:
        bands = {"X_DATASET": str(tmp_path / "lon.img"), "Y_DATASET": str(tmp_path / "lat.img")}
        places = {"X_BAND": 1, "Y_BAND": 1, "PIXEL_OFFSET": 0, "LINE_OFFSET": 0, "PIXEL_STEP": 1, "LINE_STEP": 1}
        out.update_tags(ns="GEOLOCATION", SRS="EPSG:4326", **bands, **places)
    with pytest.raises(DataError, match="a geolocation array instead of") as caught:
        inspect_scene(path)
    (warped,) = run_hint(path, caught.value)
    found = picture(warped)
    assert found.valid.all()
    assert np.abs(found.pixels - bilinear(data.astype(float), "EPSG:4326", transform)).max() <= 4


@pytest.mark.parametrize("make", [with_palette, mixed_types], ids=lambda make: make.__name__)
def test_the_command_for_a_palette_or_mixed_types_works(tmp_path: Path, make: Callable[[Path], object]) -> None:
    path = tmp_path / ("a.vrt" if make is mixed_types else "a.tif")
    make(path)
    with pytest.raises(DataError) as caught:
        inspect_scene(path)
    assert [inspect_scene(found).bands for found in run_hint(path, caught.value) if "convert" in found.name]


# -- transforms of any direction --------------------------------------------------------------------------------------


@pytest.mark.parametrize("flip", [(1, -1), (-1, 1), (-1, -1)], ids=["south-up", "east-left", "both"])
def test_a_raster_that_begins_in_another_corner_gives_the_same_tile(tmp_path: Path, flip: tuple[int, int]) -> None:
    transform, height, width = around(UTM, 2.5)
    data = noise((3, height, width))
    across, down = flip
    turned = transform * Affine.translation(width * (across < 0), height * (down < 0)) * Affine.scale(across, down)
    expected = picture(write(tmp_path / "a.tif", data, UTM, transform))
    found = picture(write(tmp_path / "b.tif", data[:, ::down, ::across], UTM, turned))
    assert found.valid.all() and np.abs(found.pixels.astype(int) - expected.pixels).max() <= 1


def test_a_world_file_is_read_and_belongs_to_the_scene(tmp_path: Path) -> None:
    transform, height, width = around(UTM, 2.5)
    data = noise((3, height, width))
    path = ungeoreferenced(tmp_path / "a.tif", data, crs=UTM)
    x, y = transform * (0.5, 0.5)
    (tmp_path / "a.tfw").write_text(f"2.5\n0\n0\n-2.5\n{x!r}\n{y!r}\n")
    assert tmp_path / "a.tfw" in inspect_scene(path).files
    off = np.abs(picture(path).pixels - bilinear(data.astype(float), UTM, transform))
    assert (off <= 2).mean() >= 0.99
