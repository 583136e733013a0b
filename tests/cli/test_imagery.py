"""`--imagery DIR` of GeoTIFF and VRT files: fetched, resampled by `tile`, and left out with a word where they do not
fit."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path

import h5py
import numpy as np
import pytest
import rasterio
import rasterio.shutil
from commandline import artifact_names, call, run_main
from PIL import Image
from pyproj import Transformer
from rasterio.transform import from_origin

from geojepa_cli.grid import TileId, tile_of
from geojepa_cli.sources.mosaic import Mosaic
from geojepa_cli.sources.scenes import inspect_scene
from geojepa_cli.stages.joined_images import joined_images
from geojepa_cli.store.images import ImageStore
from geojepa_cli.workspace.workspace import Workspace

LON, LAT = -77.85, 40.8
NODE = '<node id="{}" lat="{}" lon="{}"><tag k="amenity" v="cafe"/></node>'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An extract of nodes in five tiles, and a folder with one scene that covers two of them, one in part."""
    nodes = "".join(NODE.format(i + 1, LAT, LON + i * 360 / 2**16) for i in range(5))
    (tmp_path / "x.osm").write_text(f'<osm version="0.6">{nodes}</osm>')
    (tmp_path / "images").mkdir()
    scene(tmp_path / "images/m_20200831.tif", 18)
    return tmp_path


def scene(path: Path, zone: int, dtype: str = "uint8", lon: float = LON, bands: int = 3) -> None:
    """900 m of noise around the first node."""
    crs = f"EPSG:{26900 + zone}"
    x, y = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(lon, LAT)
    data = np.random.default_rng(0).integers(1, 256, (bands, 450, 450)).astype(dtype)
    profile = {"driver": "GTiff", "width": 450, "height": 450, "count": bands, "dtype": dtype, "crs": crs}
    with rasterio.open(path, "w", **profile, transform=from_origin(x - 450, y + 450, 2, 2)) as out:
        out.write(data)


def fetch(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return call("fetch", "--pbf", "x.osm", "--name", "place", "--imagery", "images", *more, cwd=folder)


def test_scenes_become_images_of_the_tiles_they_cover_with_their_valid_share(folder: Path) -> None:
    done = fetch(folder)
    assert done.returncode == 0, done.stderr
    assert "m_20200831.tif: EPSG:26918, 2 × 2 m per pixel, uint8, 2020-08-31" in done.stderr.replace("\n", " ")
    assert "blurred" not in done.stderr
    printed = json.loads(run_main("tile", "--json", cwd=folder))
    (path,) = folder.glob("workspace/images/*/images.h5")
    assert printed["result"]["images"] == path.parent.name
    store = ImageStore(path)
    first = tile_of(LON, LAT, 16)
    wanted = [[16, first.x + step, first.y] for step in range(5)]
    mosaic = Mosaic([inspect_scene(folder / "images/m_20200831.tif")], None)
    pictures = [mosaic.picture(tile_of(LON + i * 360 / 2**16, LAT, 16)) for i in range(5)]
    mosaic.close()
    kept = [(zxy, picture) for zxy, picture in zip(wanted, pictures, strict=True) if picture is not None]
    assert 2 <= len(kept) < 5 and store.zxy.tolist() == [zxy for zxy, _ in kept]
    with h5py.File(path) as file:
        shares = file["valid"][:]
        assert json.loads(file.attrs["scenes"]) == [
            {"crs": "EPSG:26918", "date": "2020-08-31", "name": "m_20200831.tif"}
        ]
    for image, share, (_, picture) in zip(store.image, shares, kept, strict=True):
        assert np.array_equal(image, picture.pixels) and share == pytest.approx(picture.valid.mean())
        assert share > 0
    manifest = json.loads((path.parent / "manifest.json").read_text())
    assert manifest["counts"]["images"] == len(kept)
    assert manifest["counts"]["tiles without imagery"] == 5 - len(kept)
    assert manifest["counts"]["partly covered"] == sum(share < 1 for share in shares) > 0
    assert "up to date" in call("tile", cwd=folder).stderr
    assert [name.name for name in path.parent.iterdir() if "pixels" in name.name] == []


def test_the_resolution_is_printed_in_metres_with_a_warning_where_it_is_coarse(folder: Path) -> None:
    """A degree of latitude has 111 km, one of longitude at 40.8° has 84.4 km."""
    profile = {"driver": "GTiff", "width": 300, "height": 300, "count": 3, "dtype": "uint8", "crs": "EPSG:4326"}
    with rasterio.open(folder / "images/a.tif", "w", **profile, transform=from_origin(LON, LAT, 1e-4, 2e-5)) as out:
        out.write(np.full((3, 300, 300), 100, np.uint8))
    printed = " ".join(fetch(folder).stderr.split())
    assert "a.tif: EPSG:4326, 8.44 × 2.22 m per pixel" in printed
    assert "1 scene has pixels of more than 5.5 m, up to 8.44 m (`a.tif`)" in printed and "blurred" in printed


@pytest.mark.parametrize("kind", ["scene", "tile"])
def test_fetch_warns_of_imagery_outside_of_the_extract(folder: Path, kind: str) -> None:
    box = '<bounds minlat="40.79" minlon="-77.86" maxlat="40.81" maxlon="-77.8"/>'
    text = (folder / "x.osm").read_text()
    (folder / "x.osm").write_text(text.replace('<osm version="0.6">', f'<osm version="0.6">{box}'))
    path = folder / "images/m_20200831.tif"
    for lon, outside in ((LON, False), (LON + 2, True)):
        path.unlink(missing_ok=True)
        if kind == "scene":
            scene(path, 18, lon=lon)
        else:
            path = folder / f"images/{tile_of(lon, LAT, 16).name}.png"
            Image.new("RGB", (224, 224)).save(path)
            (folder / "images/m_20200831.tif").unlink(missing_ok=True)
        printed = " ".join(fetch(folder).stderr.split())
        assert ("no image of `images` intersects the extract, whose bounding box is -77.86,40.79" in printed) is outside


def test_fetch_warns_of_image_tiles_with_transparent_pixels(folder: Path) -> None:
    """Not those with an alpha band that hides nothing."""
    (folder / "images/m_20200831.tif").unlink()
    first = tile_of(LON, LAT, 16)
    for step, alpha in enumerate((255, 254)):
        Image.new("RGBA", (224, 224), (9, 9, 9, alpha)).save(folder / f"images/16_{first.x + step}_{first.y}.png")
    printed = " ".join(fetch(folder).stderr.split())
    assert f"1 of 2 image tiles have transparent pixels (`16_{first.x + 1}_{first.y}.png`" in printed


def test_fetch_warns_of_imagery_without_attribution(folder: Path) -> None:
    assert "imagery `images` has no attribution" in fetch(folder).stderr.replace("\n", " ")
    named = fetch(folder, "--attribution", "NAIP: USDA FPAC, public domain")
    assert named.returncode == 0 and "no attribution" not in named.stderr
    found = [json.loads(path.read_text()) for path in folder.glob("workspace/source/*/manifest.json")]
    assert sorted(len(manifest["attribution"]) for manifest in found) == [1, 2]


def test_the_same_scenes_give_the_same_bytes(folder: Path) -> None:
    fetch(folder)
    run_main("tile", cwd=folder)
    (path,) = folder.glob("workspace/images/*/images.h5")
    before = path.read_bytes()
    (path.parent / "manifest.json").unlink()
    run_main("tile", cwd=folder)
    assert path.read_bytes() == before


def test_a_vrt_is_fetched_as_a_geotiff_and_its_parts_are_not_fetched_again(folder: Path) -> None:
    source = folder / "images/m_20200831.tif"
    rasterio.shutil.copy(str(source), str(folder / "images/all_20210101.vrt"), driver="VRT")
    done = fetch(folder)
    assert done.returncode == 0, done.stderr
    (manifest,) = folder.glob("workspace/source/*/manifest.json")
    assert sorted(json.loads(manifest.read_text())["files"]) == ["imagery/all_20210101.vrt.tif", "map.osm"]
    source.unlink()  # the source holds all that it needs
    run_main("tile", cwd=folder)
    assert len(list(folder.glob("workspace/images/*/images.h5"))) == 1


def damage(path: Path) -> None:
    """Its pixels no longer unpack; its header and its index are whole."""
    data = bytearray(path.read_bytes())
    data[len(data) // 20 : -(len(data) // 20)] = bytes(len(data) - 2 * (len(data) // 20))
    path.write_bytes(data)


def test_where_all_imagery_fails_the_hint_fetches_other_imagery(folder: Path) -> None:
    path = folder / "images/m_20200831.tif"
    with rasterio.open(path) as source:
        data, profile = source.read(), source.profile
    with rasterio.open(path, "w", **profile | {"compress": "deflate"}) as out:
        out.write(data)
    damage(path)
    fetch(folder)
    for more, hint in (
        ((), "geojepa tile --skip-failed"),
        (("--skip-failed",), "geojepa fetch --pbf FILE --name place"),
    ):
        done = call("tile", *more, cwd=folder)
        assert done.returncode == 1 and "cannot be read" in done.stderr
        assert hint in " ".join(done.stderr.partition("hint:")[2].split())
    assert not list(folder.glob("workspace/images/*/manifest.json"))


def test_a_damaged_scene_costs_only_its_own_tiles(folder: Path) -> None:
    """24 tiles of it come before the tiles of a whole one."""
    nodes = [(LAT, LON + i % 6 * 360 / 2**16) for i in range(24)] + [
        (LAT - 0.06, LON + i * 360 / 2**16) for i in (0, 1)
    ]
    nodes[:24] = [(lat - i // 6 * 0.0042, lon) for i, (lat, lon) in enumerate(nodes[:24])]
    text = "".join(NODE.format(i + 1, lat, lon) for i, (lat, lon) in enumerate(nodes))
    (folder / "x.osm").write_text(f'<osm version="0.6">{text}</osm>')
    crs = Transformer.from_crs("EPSG:4326", "EPSG:26918", always_xy=True)
    for name, lat, size in (("damaged.tif", LAT - 0.01, 2400), ("m_20200831.tif", LAT - 0.06, 450)):
        x, y = crs.transform(LON + 0.01, lat)
        profile = {"driver": "GTiff", "width": size, "height": size, "count": 3, "dtype": "uint8", "crs": "EPSG:26918"}
        transform = from_origin(x - 2 * size, y + size, 4, 2)
        with rasterio.open(folder / "images" / name, "w", **profile, transform=transform, compress="deflate") as out:
            out.write(np.random.default_rng(0).integers(1, 256, (3, size, size), np.uint8))
    damage(folder / "images/damaged.tif")
    fetch(folder)
    done = call("tile", "--threads", "1", "--zoom", "16", cwd=folder)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "geojepa tile --threads 1 --zoom 16 --skip-failed" in done.stderr
    (listed,) = folder.glob("workspace/images/*.partial/failed.txt")
    assert len(listed.read_text().splitlines()) == 24 and "scene not read" not in listed.read_text()
    run_main("tile", "--threads", "1", "--zoom", "16", "--skip-failed", cwd=folder)
    (store,) = [ImageStore(path) for path in folder.glob("workspace/images/*[0-9a-f]/images.h5")]
    south = tile_of(LON, LAT - 0.06, 16)
    assert store.zxy.tolist() == [[16, south.x + i, south.y] for i in (0, 1)]


def test_imagery_outside_of_the_tiles_is_a_warning_and_the_map_is_published(folder: Path) -> None:
    (folder / "images/m_20200831.tif").unlink()
    scene(folder / "images/far.tif", 18, lon=LON + 2)
    fetch(folder)
    done = call("tile", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["result"]["images"] is None
    assert "no tile intersects a scene (5 tiles, 1 scene)" in done.stderr.replace("\n", " ")
    assert [name.partition("/")[0] for name in artifact_names(folder / "workspace")] == ["source", "tiles"]


def test_the_range_of_sixteen_bits_is_recorded(folder: Path) -> None:
    scene(folder / "images/m_20200831.tif", 18, "uint16")
    fetch(folder)
    run_main("tile", cwd=folder)
    (manifest,) = folder.glob("workspace/images/*/manifest.json")
    low, high = json.loads(manifest.read_text())["scaling"]
    assert 1 <= low < 12 and 245 < high <= 255


@pytest.mark.parametrize("name", ["16_1_1.png", "page.tif", "torn.vrt"])
def test_a_folder_with_a_damaged_file_is_refused_and_nothing_is_published(folder: Path, name: str) -> None:
    (folder / "images" / name).write_text("<!DOCTYPE html><html></html>")
    done = fetch(folder)
    assert done.returncode == 1 and "hint:" in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert not (folder / "workspace").exists()


def test_a_box_leaves_out_scenes_outside_of_it(folder: Path) -> None:
    scene(folder / "images/far.tif", 18, lon=LON + 2)
    assert fetch(folder, "--bbox=-77.86,40.79,-77.84,40.81").returncode == 0
    (manifest,) = folder.glob("workspace/source/*/manifest.json")
    assert sorted(json.loads(manifest.read_text())["files"]) == ["imagery/m_20200831.tif", "map.osm"]


def test_images_of_another_side_bands_and_packing_are_made_and_refused_by_models(folder: Path) -> None:
    """Then those that a model reads are made by the hint, and taken however old they are."""
    scene(folder / "images/m_20200831.tif", 18, bands=4)
    fetch(folder)
    form = ("--image-size", "100", "--bands", "rgbn", "--image-codec", "webp-lossless")
    printed = json.loads(run_main("tile", *form, "--json", cwd=folder))
    path = folder / "workspace/images" / printed["result"]["images"] / "images.h5"
    manifest = json.loads(path.with_name("manifest.json").read_text())
    expected = {"zoom": 16, "image_size": 100, "bands": "rgbn", "image_codec": "webp-lossless"}
    assert manifest["parameters"] == expected
    store = ImageStore(path, any_form=True)
    mosaic = Mosaic([inspect_scene(folder / "images/m_20200831.tif", infrared=True)], size_px=100)
    for (z, x, y), image in zip(store.zxy.tolist(), store.image, strict=True):
        picture = mosaic.picture(TileId(z, x, y))
        assert picture is not None and image.shape == (4, 100, 100) and np.array_equal(image, picture.pixels)
    mosaic.close()
    assert len(store) >= 2
    run_main("process", cwd=folder)
    done = call("pretrain", "--config", "ti", "--set", "data.min_entities=1", cwd=folder)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "models read RGB images of 224 × 224 px" in done.stderr.replace("\n", " ")
    hint = " ".join(done.stderr.partition("hint:")[2].split())
    run_main(*shlex.split(hint)[1:], cwd=folder)
    run_main("tile", *form, cwd=folder)  # up to date
    workspace = Workspace(folder / "workspace")
    joined = joined_images(workspace, workspace.find("processed", "place"))
    assert joined is not None and joined.params == {"zoom": 16}
    assert len(list(folder.glob("workspace/images/*/images.h5"))) == 2


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (("--bands", "rgbn"), 1, "no near-infrared band"),
        (("--bands", "nir"), 2, "--bands `nir` is unknown, expected one of rgb, rgbn"),
        (("--image-codec", "png"), 2, "expected one of raw, webp-lossless, webp"),
        (("--image-size", "3"), 2, "--image-size 3 is not from"),
    ],
)
def test_unknown_forms_are_refused(folder: Path, more: tuple[str, ...], code: int, message: str) -> None:
    fetch(folder)
    done = call("tile", *more, cwd=folder)
    assert done.returncode == code and message in done.stderr.replace("\n", " ") and "hint:" in done.stderr
    assert not list(folder.glob("workspace/images/*/images.h5"))


def test_image_tiles_of_a_folder_keep_their_form_and_may_be_packed(folder: Path) -> None:
    (folder / "images/m_20200831.tif").unlink()
    first = tile_of(LON, LAT, 16)
    pixels = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)
    Image.fromarray(pixels).save(folder / f"images/{first.name}.png")
    fetch(folder)
    done = call("tile", "--image-size", "256", cwd=folder)
    assert done.returncode == 2 and "apply only to scenes" in done.stderr.replace("\n", " ")
    printed = json.loads(run_main("tile", "--image-codec", "webp-lossless", "--json", cwd=folder))
    store = ImageStore(folder / "workspace/images" / printed["result"]["images"] / "images.h5")
    assert np.array_equal(store.image[0], pixels.transpose(2, 0, 1))
