"""`images.h5` from a folder of image tiles."""

from __future__ import annotations

import io
import pickle
import struct
import warnings
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from geojepa_cli.errors import DataError, UsageError
from geojepa_cli.grid import TileId
from geojepa_cli.store.image_files import find_images, read_image
from geojepa_cli.store.image_form import ImageForm, check_form
from geojepa_cli.store.images import ImageStore, put_images, write_images


def picture(path: Path, size: tuple[int, int] = (224, 224), seed: int = 0) -> np.ndarray:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(path, **({"lossless": True} if path.suffix == ".webp" else {}))
    return pixels


def test_images_are_sorted_like_tiles_and_keep_every_pixel(tmp_path: Path) -> None:
    names = ["16_10_9.webp", "16_3_9.png", "16_4_3.png", "16_3_3.webp", "16_0_4.png"]
    pixels = {name: picture(tmp_path / name, seed=i) for i, name in enumerate(names)}
    (tmp_path / "notes.txt").write_text("not an image")
    seen: list[tuple[int, int]] = []
    assert write_images(tmp_path, tmp_path / "out" / "images.h5", progress=lambda a, b: seen.append((a, b))) == 5
    store = ImageStore(tmp_path / "out" / "images.h5")
    # groups by row then column: (0, 0), (1, 0), (0, 1), (0, 2), (2, 2)
    assert store.zxy.tolist() == [[16, 3, 3], [16, 4, 3], [16, 0, 4], [16, 3, 9], [16, 10, 9]]
    for (_, x, y), image in zip(store.zxy.tolist(), store.image, strict=True):
        stem = f"16_{x}_{y}"
        expected = next(value for name, value in pixels.items() if name.startswith(stem + "."))
        assert np.array_equal(image, expected.transpose(2, 0, 1))
    assert seen[-1] == (5, 5)
    assert store.rows_of([16, 16, 15], [4, 4, 4], [3, 4, 3]).tolist() == [1, -1, -1]


def test_the_same_folder_gives_the_same_bytes(tmp_path: Path) -> None:
    picture(tmp_path / "16_1_2.png")
    for name in ("a.h5", "b.h5"):
        write_images(tmp_path, tmp_path / name)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_grey_and_transparent_images_become_rgb(tmp_path: Path) -> None:
    Image.new("L", (224, 224), 77).save(tmp_path / "16_1_1.png")
    Image.new("RGBA", (224, 224), (10, 20, 30, 255)).save(tmp_path / "16_1_2.png")
    assert (read_image(tmp_path / "16_1_1.png") == 77).all()
    assert read_image(tmp_path / "16_1_2.png")[:, 0, 0].tolist() == [10, 20, 30]


def test_an_image_of_another_size_is_an_error_unless_it_is_to_be_resized(tmp_path: Path) -> None:
    picture(tmp_path / "16_1_1.png", (448, 448))
    picture(tmp_path / "16_1_2.png", (224, 200))
    with pytest.raises(DataError, match="448 × 448 px, expected 224 × 224"):
        read_image(tmp_path / "16_1_1.png")
    assert read_image(tmp_path / "16_1_1.png", resize=True).shape == (3, 224, 224)
    with pytest.raises(DataError, match="224 × 200"):
        read_image(tmp_path / "16_1_2.png", resize=True)


def test_a_broken_image_and_two_of_one_tile_are_errors(tmp_path: Path) -> None:
    (tmp_path / "16_1_1.webp").write_bytes(b"RIFF....")
    with pytest.raises(DataError, match="cannot be decoded"):
        write_images(tmp_path, tmp_path / "images.h5")
    picture(tmp_path / "16_1_1.png")
    with pytest.raises(DataError, match="both images of tile `16_1_1`"):
        write_images(tmp_path, tmp_path / "images.h5")


def png_header(width: int, height: int) -> bytes:
    """A PNG whose header has this size, without pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))


@pytest.mark.parametrize("side", [10_000, 12_000, 60_000])  # Pillow accepts, warns of, and refuses these
@pytest.mark.parametrize("resize", [False, True])
def test_a_decompression_bomb_is_refused_by_its_header(tmp_path: Path, side: int, resize: bool) -> None:
    path = tmp_path / "16_1_1.png"
    path.write_bytes(png_header(side, side))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DataError) as caught:
            read_image(path, resize)
    assert str(path) in caught.value.message and str(path) in str(caught.value.hint)


def test_sixteen_bits_and_other_formats_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.full((224, 224), 40_000, np.uint16)).save(tmp_path / "16_1_1.png")
    with pytest.raises(DataError, match="more than 8 bits"):
        read_image(tmp_path / "16_1_1.png")
    Image.new("RGB", (224, 224)).save(tmp_path / "16_1_2.png", format="GIF")
    with pytest.raises(DataError, match="not a WebP, PNG or JPEG"):
        read_image(tmp_path / "16_1_2.png")


@pytest.mark.parametrize(
    "name", ["16_65536_1.png", "16_1_65536.webp", "25_1_1.png", "99999_1_1.png", f"16_{'9' * 40}_1.png"]
)
def test_a_name_outside_the_grid_is_refused_with_its_path(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(DataError) as caught:
        find_images(tmp_path)
    assert str(tmp_path / name) in caught.value.message and caught.value.hint


def test_a_folder_without_images_gives_an_empty_store(tmp_path: Path) -> None:
    assert write_images(tmp_path, tmp_path / "images.h5") == 0
    store = ImageStore(tmp_path / "images.h5")
    assert len(store) == 0 and store.rows_of([16], [1], [1]).tolist() == [-1]


def test_real_naip_tiles_are_read(shared: Path, tmp_path: Path) -> None:
    write_images(shared / "naip" / "tiles", tmp_path / "images.h5")
    store = ImageStore(tmp_path / "images.h5")
    assert len(store) == 192
    assert len({(x >> 2, y >> 2) for _, x, y in store.zxy.tolist()}) == 12


def smooth(bands: int, side: int, seed: int) -> np.ndarray:
    """An image as compressible as a photograph; infrared is 0 in places, where a transparent pixel would lose its
    colours."""
    rows, columns = np.indices((side, side)) / 30
    colours = np.stack([120 + 90 * np.sin(rows + seed + band) * np.cos(columns) for band in range(bands)])
    colours += np.random.default_rng(seed).integers(-5, 6, colours.shape)
    colours[3:, : side // 3] = 0
    return colours.astype(np.uint8)


@pytest.mark.parametrize("form", [ImageForm(96, "rgb", "webp-lossless"), ImageForm(64, "rgbn", "webp-lossless")])
def test_losslessly_packed_images_are_the_same_when_read(tmp_path: Path, form: ImageForm) -> None:
    images = [smooth(form.shape[0], form.size_px, seed) for seed in range(130)]
    tiles = [TileId(16, number, 7) for number in range(130)]
    with h5py.File(tmp_path / "images.h5", "w") as out:
        put_images(out, tiles, form, images, threads=2)
    store = ImageStore(tmp_path / "images.h5", any_form=True)
    assert store.image.shape == (130, *form.shape) and store.image.dtype == np.uint8
    assert all(np.array_equal(found, image) for found, image in zip(store.image, images, strict=True))
    rows = np.array([129, 0, 64])
    out = np.zeros((3, *form.shape), np.uint8)
    store.image.take(rows, axis=0, out=out, mode="clip")
    assert np.array_equal(out, np.stack([images[row] for row in rows]))
    assert (tmp_path / "images.h5").stat().st_size < 0.8 * sum(image.nbytes for image in images)
    again = pickle.loads(pickle.dumps(store))
    assert np.array_equal(again.image[-1], images[-1])


def test_packed_images_are_read_for_models_like_others(tmp_path: Path) -> None:
    for row in range(2):
        Image.fromarray(smooth(3, 224, row).transpose(1, 2, 0)).save(tmp_path / f"16_{row}_7.png")
    write_images(tmp_path, tmp_path / "raw.h5")
    write_images(tmp_path, tmp_path / "packed.h5", codec="webp")
    raw, packed = ImageStore(tmp_path / "raw.h5"), ImageStore(tmp_path / "packed.h5")
    assert (packed.zxy == raw.zxy).all()
    off = np.abs(packed.image.take(np.array([0, 1])).astype(int) - raw.image.take([0, 1], axis=0).astype(int))
    assert 0 < off.mean() < 6
    with h5py.File(tmp_path / "packed.h5", "r+") as file:
        file["webp"][:] = 0
    with pytest.raises(DataError, match=r"image 1 of .* cannot be decoded"):
        ImageStore(tmp_path / "packed.h5").image[1]


@pytest.mark.parametrize("form", [ImageForm(224, "rgbn"), ImageForm(256), ImageForm(256, "rgb", "webp")])
def test_images_of_another_form_are_refused_for_models(tmp_path: Path, form: ImageForm) -> None:
    with h5py.File(tmp_path / "images.h5", "w") as out:
        put_images(out, [TileId(16, 1, 1)], form, [smooth(form.shape[0], form.size_px, 0)])
    assert ImageStore(tmp_path / "images.h5", any_form=True).image.shape == (1, *form.shape)
    with pytest.raises(DataError, match="models read RGB images of 224 × 224 px") as caught:
        ImageStore(tmp_path / "images.h5")
    assert caught.value.hint and "--image-size 224 --bands rgb" in str(caught.value.hint)


@pytest.mark.parametrize("form", [ImageForm(0), ImageForm(9999), ImageForm(bands="nir"), ImageForm(codec="png")])
def test_an_unknown_form_is_a_usage_error(form: ImageForm) -> None:
    with pytest.raises(UsageError, match=r"--image-size|--bands|--image-codec"):
        check_form(form)


def store_of(path: Path, form: ImageForm, **columns: np.ndarray) -> Path:
    """Two images, with some columns replaced."""
    images = [smooth(form.shape[0], form.size_px, seed) for seed in range(2)]
    with h5py.File(path, "w") as out:
        put_images(out, [TileId(16, 1, 1), TileId(16, 2, 1)], form, images)
        for name, values in columns.items():
            del out[name]
            out.create_dataset(name, data=values)
    return path


@pytest.mark.parametrize(
    ("form", "columns", "message"),
    [
        (ImageForm(), {"x": np.array([1, 65_536], np.uint32)}, "whose zoom, x or y does not exist"),
        (ImageForm(), {"z": np.array([16, 99], np.uint32)}, "whose zoom, x or y does not exist"),
        (ImageForm(), {"y": np.array([1, 2**32 - 1], np.uint32)}, "whose zoom, x or y does not exist"),
        (ImageForm(), {"z": np.array([16], np.uint32)}, "differ in length"),
        (ImageForm(), {"image": np.zeros((1, 3, 224, 224), np.uint8)}, r"is uint8 \[1, 3, 224, 224\], expected"),
        (ImageForm(), {"image": np.zeros((2, 3, 224, 0), np.uint8)}, "expected"),
        (ImageForm(codec="webp"), {"webp_offsets": np.array([0, 2**60, 5], np.uint64)}, "webp_offsets"),
        (ImageForm(codec="webp"), {"webp_offsets": np.array([], np.uint64)}, "webp_offsets"),
        (ImageForm(codec="webp"), {"webp_offsets": np.array([0], np.uint64)}, "expected"),
    ],
)
@pytest.mark.parametrize("any_form", [False, True])
def test_a_damaged_store_is_refused(
    tmp_path: Path, form: ImageForm, columns: dict[str, np.ndarray], message: str, any_form: bool
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        ImageStore(store_of(tmp_path / "images.h5", form, **columns), any_form)
    assert caught.value.hint is not None


def test_a_packed_image_of_another_size_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    """9,000 × 9,000 px of one colour take few bytes packed and 243 MB decoded."""
    packed = io.BytesIO()
    Image.new("RGB", (9_000, 9_000)).save(packed, "WEBP", method=0, quality=0)
    data = np.frombuffer(packed.getvalue() * 2, np.uint8)
    offsets = np.array([0, len(data) // 2, len(data)], np.uint64)
    store = ImageStore(store_of(tmp_path / "images.h5", ImageForm(codec="webp"), webp=data, webp_offsets=offsets))
    with pytest.raises(DataError, match=r"image 1 of .* cannot be decoded: .*9000"):
        store.image[1]
    with pytest.raises(DataError, match="cannot be decoded"):
        store.image.take(np.array([0]))
