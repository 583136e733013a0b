"""Pixels of photos: orientation, crop, field of view, and files that are no photo."""

from __future__ import annotations

import io
import math
import struct
import zlib
from pathlib import Path

import exif_bytes as eb
import numpy as np
import pytest
from PIL import Image

from geojepa_cli.sources.photos import MAX_PIXELS, PhotoError, open_photo

# orientation -> rows of the file, from the rows of the upright photo (EXIF 2.32, section 4.6.4, tag 274)
STORED = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: upright[::-1, ::-1].swapaxes(0, 1),
    8: lambda upright: np.rot90(upright, -1),
}


def scene(height: int, width: int) -> np.ndarray:
    """A smooth picture that differs from all its turned and mirrored forms: uint8 [height, width, 3]."""
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    bands = [200 * x + 30, 220 * y + 10, 120 + 100 * np.sin(9 * x + 4 * y * y)]
    return np.stack(bands, -1).round().astype(np.uint8)


def square(path: Path, side_px: int = 224) -> np.ndarray:
    with open_photo(path) as photo:
        return photo.square(side_px)


def reason(path: Path) -> str:
    with pytest.raises(PhotoError) as caught:
        square(path)
    return caught.value.reason


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(float) - b.astype(float)).mean())


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("shape", [(300, 420), (420, 300)])
def test_a_photo_is_turned_upright(tmp_path: Path, orientation: int, shape: tuple[int, int]) -> None:
    upright = scene(*shape)
    path = tmp_path / "photo.jpg"
    stored = np.ascontiguousarray(STORED[orientation](upright))
    path.write_bytes(eb.jpeg(stored, eb.exif({eb.ORIENTATION: eb.short(orientation)})))
    with open_photo(path) as photo:
        assert (photo.height, photo.width) == shape
        found = photo.square()
    height, width = shape
    top, left = (height - 300) // 2, (width - 300) // 2
    expected = Image.fromarray(upright[top : top + 300, left : left + 300]).resize((224, 224), Image.Resampling.BOX)
    assert difference(found, np.asarray(expected).transpose(2, 0, 1)) < 2.0


def test_a_large_photo_that_is_decoded_at_a_smaller_size_looks_like_one_decoded_in_full(tmp_path: Path) -> None:
    whole = scene(2400, 3200)
    rng = np.random.default_rng(0)
    whole = np.clip(whole + np.kron(rng.integers(-30, 30, (300, 400, 3)), np.ones((8, 8, 1))), 0, 255).astype(np.uint8)
    path = tmp_path / "photo.jpg"
    path.write_bytes(eb.jpeg(whole))
    found = square(path)
    expected = Image.fromarray(whole[:, 400:2800]).resize((224, 224), Image.Resampling.LANCZOS)
    assert difference(found, np.asarray(expected).transpose(2, 0, 1)) < 2.0


def test_the_photo_is_taken_and_never_its_thumbnail(tmp_path: Path) -> None:
    thumbnail = eb.jpeg(np.full((120, 160, 3), (255, 0, 0), np.uint8))
    content = eb.jpeg(np.full((480, 640, 3), (0, 0, 255), np.uint8), eb.exif({}, thumbnail=thumbnail))
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    assert np.abs(square(path).mean((1, 2)) - (0, 0, 255)).max() < 3
    path.write_bytes(content[: len(content) // 2 + len(thumbnail)][:-300])  # the photo is cut, its thumbnail is not
    assert reason(path) == "undecodable"
    for keep in (12, 40, len(thumbnail)):  # cut in its EXIF
        path.write_bytes(content[:keep])
        assert reason(path) == "undecodable"


def test_of_several_images_in_a_file_the_first_is_taken(tmp_path: Path) -> None:
    first, second = (Image.new("RGB", (200, 100), colour) for colour in ("blue", "red"))
    path = tmp_path / "photo.jpg"
    first.save(path, "MPO", save_all=True, append_images=[second])
    assert np.abs(square(path).mean((1, 2)) - (0, 0, 255)).max() < 3


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB", "P", "RGBA", "LA", "1"])
def test_other_colour_modes_become_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "photo"
    kind = "JPEG" if mode in ("L", "CMYK", "RGB") else "PNG"
    Image.new("RGB", (90, 80), (255, 255, 255)).convert(mode).save(path, kind)
    assert np.abs(square(path).astype(int) - 255).max() <= 2


def test_a_square_of_another_side_and_an_enlarged_one(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(eb.jpeg(scene(64, 100)))
    assert square(path, 32).shape == (3, 32, 32) and square(path).shape == (3, 224, 224)


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    # a 35 mm frame is 36 × 24 mm, so that its square has 24 mm; a photo of 4 : 3 with the same diagonal is
    # 34.61 × 25.96 mm
    [(150, 100, 2 * math.atan(12 / 35)), (100, 150, 2 * math.atan(12 / 35)), (400, 300, 2 * math.atan(12.98 / 35))],
)
def test_the_field_of_view_of_the_square_follows_from_the_focal_length(
    tmp_path: Path, width: int, height: int, expected: float
) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(eb.jpeg(scene(height, width), eb.exif({}, {eb.FOCAL_35MM: eb.short(35)})))
    with open_photo(path) as photo:
        assert photo.field_of_view_of_square(photo.field_of_view) == pytest.approx(math.degrees(expected), abs=0.01)


def test_a_given_field_of_view_shrinks_with_the_crop(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(eb.jpeg(scene(100, 200)))
    with open_photo(path) as photo:
        assert math.isnan(photo.field_of_view) and math.isnan(photo.field_of_view_of_square(math.nan))
        assert photo.field_of_view_of_square(90.0) == pytest.approx(math.degrees(2 * math.atan(0.5)))
        assert photo.field_of_view_of_square(360.0) == 180.0  # a panorama
    path.write_bytes(eb.jpeg(scene(200, 100)))
    with open_photo(path) as photo:  # the whole width is in the square
        assert photo.field_of_view_of_square(50.0) == 50.0


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xd8",
        b"<!DOCTYPE html><html></html>",
        b"GIF89a" + b"\0" * 100,
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n",  # Pillow would start Ghostscript
        b"\0" * 5000,
    ],
)
def test_other_files_are_undecodable(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    assert reason(path) == "undecodable"


def test_a_bitmap_named_jpg_is_undecodable(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    Image.new("RGB", (100, 100)).save(path, "BMP")
    assert reason(path) == "undecodable"


def test_a_photo_with_sixteen_bits_is_undecodable(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    Image.fromarray(np.zeros((100, 100), np.uint16)).save(path)
    assert reason(path) == "undecodable"


def png_bomb(width: int, height: int) -> bytes:
    """A PNG of some kilobytes whose pixels are all zero."""
    rows = zlib.compress(b"\0" * 100_000)

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("width", "height"), [(65_500, 65_500), (12_000, 10_001), (65_535, 1_832)])
def test_a_decompression_bomb_is_refused_by_its_header(tmp_path: Path, width: int, height: int) -> None:
    assert width * height > MAX_PIXELS
    path = tmp_path / "photo.jpg"
    path.write_bytes(eb.with_size(eb.jpeg(), width, height))
    assert reason(path) == "too_large"
    path.write_bytes(png_bomb(width, height))
    assert reason(path) == "too_large"


def test_a_photo_that_pillow_warns_of_is_decoded(tmp_path: Path) -> None:
    size = (9_500, 9_500)
    assert Image.MAX_IMAGE_PIXELS is not None and Image.MAX_IMAGE_PIXELS < size[0] * size[1] < MAX_PIXELS
    file = io.BytesIO()
    Image.new("L", size, 77).save(file, "JPEG", quality=30)
    path = tmp_path / "photo.jpg"
    path.write_bytes(file.getvalue())
    assert np.abs(square(path).astype(int) - 77).max() <= 2


def test_a_tiny_image_is_too_small(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(eb.jpeg(scene(63, 400)))
    assert reason(path) == "too_small"
    path.write_bytes(eb.jpeg(scene(64, 400)))
    assert square(path).shape == (3, 224, 224)
