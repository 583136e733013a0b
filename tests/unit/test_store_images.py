"""`images.h5` from a folder of image tiles."""

from __future__ import annotations

import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geojepa_cli.errors import DataError
from geojepa_cli.store.images import ImageStore, find_images, read_image, write_images


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


def test_an_image_of_another_size_is_an_error_unless_resizing_is_asked_for(tmp_path: Path) -> None:
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
    """A PNG that says it has this size, and holds no pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))


@pytest.mark.parametrize("side", [10_000, 12_000, 60_000])  # Pillow lets pass, warns of, and refuses these
@pytest.mark.parametrize("resize", [False, True])
def test_a_decompression_bomb_is_refused_by_its_header(tmp_path: Path, side: int, resize: bool) -> None:
    path = tmp_path / "16_1_1.png"
    path.write_bytes(png_header(side, side))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DataError) as caught:
            read_image(path, resize)
    assert str(path) in caught.value.message and str(path) in (caught.value.hint or "")


def test_sixteen_bits_and_other_formats_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.full((224, 224), 40_000, np.uint16)).save(tmp_path / "16_1_1.png")
    with pytest.raises(DataError, match="more than 8 bits"):
        read_image(tmp_path / "16_1_1.png")
    Image.new("RGB", (224, 224)).save(tmp_path / "16_1_2.png", format="GIF")
    with pytest.raises(DataError, match="no WebP, PNG or JPEG"):
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
