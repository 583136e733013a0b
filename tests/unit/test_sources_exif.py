"""Places and directions in EXIF: real photos against GDAL, hand-written EXIF, and hostile bytes."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import exif_bytes as eb
import numpy as np
import pytest
from gdal_exif import by_gdal, degrees_by_gdal

from geojepa_cli.sources.exif import Exif
from geojepa_cli.sources.photos import PhotoError, open_photo

LUND = eb.gps((13, 11, 43.4), (55, 41, 53.4))
LON, LAT = 13 + 11 / 60 + 43.4 / 3600, 55 + 41 / 60 + 53.4 / 3600
HOSTILE = {
    "adobe_coords": "no_gps",  # a place in XMP only
    "corrupt_exif": "",
    "corrupt_exif_2": "",
    "corrupt_exif_large_thumbnail": "no_gps",
    "corrupt_exif_trusted_wrong_type": "no_gps",
    "corrupt_exif_wrong_type": "no_gps",
    "empty_exif": "no_gps",
    "fixed_exif": "",
    "test_exif": "",
}


def read(path: Path) -> Exif:
    with open_photo(path) as photo:
        return photo.exif


def read_bytes(folder: Path, metadata: bytes | None) -> Exif:
    return read(eb.write_photo(folder / "photo.jpg", metadata))


def assert_as_gdal(path: Path, found: Exif) -> None:
    tags = by_gdal(path)
    if found.place is None:
        assert "GPSLatitude" not in tags
        return
    expected = degrees_by_gdal(tags, "Longitude"), degrees_by_gdal(tags, "Latitude")
    assert found.place == pytest.approx(expected, abs=1e-7)
    heading = float(tags.get("GPSImgDirection", "(nan)").strip("()"))
    assert found.heading == pytest.approx(heading, abs=1e-2, nan_ok=True)
    assert found.orientation == int(tags.get("Orientation", 1))
    focal_mm = float(tags.get("FocalLengthIn35mmFilm", "nan")) or math.nan
    assert found.focal_mm == pytest.approx(focal_mm, nan_ok=True)


def test_real_photos_are_read_as_gdal_reads_them(shared: Path) -> None:
    paths = sorted((shared / "photos/lund").glob("*.jpg"))
    assert len(paths) == 29
    for path in paths:
        found = read(path)
        assert found.place is not None and found.problem == ""
        assert_as_gdal(path, found)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_give_the_place_that_gdal_finds_or_a_reason(shared: Path, name: str) -> None:
    path = shared / f"photos/hostile/{name}.jpg"
    found = read(path)
    assert found.problem == HOSTILE[name] and (found.place is None) == bool(found.problem)
    assert_as_gdal(path, found)


def test_every_hostile_file_is_tested(shared: Path) -> None:
    assert {path.stem for path in (shared / "photos/hostile").glob("*.jpg")} == set(HOSTILE)


def test_place_heading_focal_length_and_orientation_are_read(tmp_path: Path) -> None:
    places = {**LUND, 16: eb.ascii_("M"), 17: eb.rationals((36_000, 100))}
    metadata = eb.exif({eb.ORIENTATION: eb.short(6)}, {eb.FOCAL_35MM: eb.short(28)}, places)
    found = read_bytes(tmp_path, metadata)
    assert found.place == pytest.approx((LON, LAT), abs=1e-12)
    assert found[1:] == ("", 0.0, True, 28.0, 6)


@pytest.mark.parametrize(("east", "north", "signs"), [("E", "N", (1, 1)), ("W", "S", (-1, -1)), ("e", "s", (1, -1))])
def test_the_letters_of_the_hemispheres_give_the_signs(
    tmp_path: Path, east: str, north: str, signs: tuple[int, int]
) -> None:
    found = read_bytes(tmp_path, eb.exif(places=eb.gps((13, 11, 43.4), (55, 41, 53.4), east, north)))
    assert found.place == pytest.approx((signs[0] * LON, signs[1] * LAT), abs=1e-12)


@pytest.mark.parametrize(
    ("places", "problem"),
    [
        (None, "no_gps"),
        ({}, "no_gps"),
        ({1: eb.ascii_("N"), 3: eb.ascii_("E")}, "no_gps"),  # letters without numbers
        (eb.gps((0, 0, 0), (0, 0, 0)), "zero_place"),
        ({**LUND, 2: eb.rationals((0, 0), (0, 0), (0, 0))}, "invalid_gps"),
        ({**LUND, 4: eb.rationals((13, 1), (11, 1), (43, 0))}, "invalid_gps"),
        ({**LUND, 2: eb.rationals((91, 1), (0, 1), (0, 1))}, "invalid_gps"),
        ({**LUND, 4: eb.rationals((180, 1), (0, 1), (1, 1))}, "invalid_gps"),
        ({**LUND, 2: eb.rationals((55, 1), (61, 1), (0, 1))}, "invalid_gps"),
        ({**LUND, 2: eb.rationals((55, 1), (41, 1), (53, 1), (1, 1))}, "invalid_gps"),
        ({**LUND, 2: eb.ascii_("55.7")}, "invalid_gps"),
        ({**LUND, 2: (7, 3, b"\x01\x02\x03")}, "invalid_gps"),
        ({**LUND, 1: eb.ascii_("")}, "invalid_gps"),
        ({**LUND, 1: eb.ascii_("E")}, "invalid_gps"),
        ({**LUND, 3: eb.short(7)}, "invalid_gps"),
        ({tag: entry for tag, entry in LUND.items() if tag != 3}, "invalid_gps"),
        ({tag: entry for tag, entry in LUND.items() if tag != 4}, "invalid_gps"),
        ({**LUND, 2: (5, 3, struct.pack("<I", 1 << 30))}, "damaged_exif"),  # the values lie outside of the EXIF
        ({**LUND, 2: (10, 3, struct.pack("<6i", -55, 1, 41, 1, 53, 1))}, "invalid_gps"),
        ({**LUND, 2: (12, 3, struct.pack("<3d", math.nan, math.inf, -1.0))}, "invalid_gps"),
    ],
)
def test_a_missing_or_invalid_place_has_a_reason(tmp_path: Path, places: eb.Entries | None, problem: str) -> None:
    found = read_bytes(tmp_path, eb.exif(places=places))
    assert (found.place, found.problem) == (None, problem)


@pytest.mark.parametrize("parts", [((559, 10),), ((55, 1), (54, 1)), ((55, 1), (53, 1), (60, 1))])
def test_degrees_without_minutes_and_sixty_seconds_are_accepted(
    tmp_path: Path, parts: tuple[tuple[int, int], ...]
) -> None:
    found = read_bytes(tmp_path, eb.exif(places={**LUND, 2: eb.rationals(*parts)}))
    assert found.place == pytest.approx((LON, 55.9), abs=1e-12)


@pytest.mark.parametrize("heading", [eb.rationals((400, 1)), eb.rationals((1, 0)), eb.ascii_("north"), eb.short(361)])
def test_an_invalid_heading_is_unknown_and_the_place_is_kept(tmp_path: Path, heading: eb.Entry) -> None:
    found = read_bytes(tmp_path, eb.exif(places={**LUND, 16: eb.ascii_("M"), 17: heading}))
    assert found.place is not None and math.isnan(found.heading) and not found.magnetic


@pytest.mark.parametrize("value", [eb.short(0), eb.short(9), eb.ascii_("6"), eb.rationals((6, 0))])
def test_an_invalid_orientation_is_ignored(tmp_path: Path, value: eb.Entry) -> None:
    assert read_bytes(tmp_path, eb.exif({eb.ORIENTATION: value}, places=LUND)).orientation == 1


@pytest.mark.parametrize("value", [eb.short(0), eb.short(65535), eb.ascii_("28"), eb.rationals((28, 0))])
def test_an_invalid_focal_length_is_unknown(tmp_path: Path, value: eb.Entry) -> None:
    assert math.isnan(read_bytes(tmp_path, eb.exif({}, {eb.FOCAL_35MM: value}, LUND)).focal_mm)


def test_values_of_the_thumbnail_are_not_those_of_the_photo(tmp_path: Path) -> None:
    of_thumbnail = {eb.ORIENTATION: eb.short(8), eb.GPS_IFD: eb.long(8)}
    found = read_bytes(tmp_path, eb.exif({}, None, None, eb.jpeg(), of_thumbnail))
    assert found == Exif(heading=found.heading, focal_mm=found.focal_mm) and found.problem == "no_gps"


def test_directories_that_point_to_themselves_end(tmp_path: Path) -> None:
    loops = [
        {eb.GPS_IFD: eb.long(8), eb.EXIF_IFD: eb.long(8)},
        {eb.GPS_IFD: eb.long(0)},
        {eb.GPS_IFD: eb.long(0xFFFFFFFF), eb.EXIF_IFD: eb.long(0xFFFFFFFF)},
        {eb.GPS_IFD: eb.ascii_("far away"), eb.EXIF_IFD: eb.rationals((1, 0))},
    ]
    for main in loops:
        found = read_bytes(tmp_path, eb.exif(main))
        assert found.place is None and found.problem in ("no_gps", "damaged_exif")
    itself = bytearray(eb.exif({}, None, LUND))
    itself[22:26] = struct.pack("<I", 8)  # the directory after the first one is the first one
    assert read_bytes(tmp_path, bytes(itself)).place == pytest.approx((LON, LAT))


@pytest.mark.parametrize("metadata", [b"", b"II", b"XX*\0\x08\0\0\0", b"II*\0\xff\xff\xff\xff", b"\0" * 60])
def test_bytes_that_are_no_exif_are_damaged_or_without_gps(tmp_path: Path, metadata: bytes) -> None:
    assert read_bytes(tmp_path, metadata).problem in ("damaged_exif", "no_gps")


def test_cut_exif_is_damaged(tmp_path: Path) -> None:
    whole = eb.exif({eb.ORIENTATION: eb.short(1)}, {eb.FOCAL_35MM: eb.short(28)}, LUND)
    problems = {read_bytes(tmp_path, whole[:length]).problem for length in range(len(whole))}
    assert problems == {"damaged_exif", "invalid_gps", "no_gps"}
    assert read_bytes(tmp_path, whole[:40]).problem == "damaged_exif"


def test_flipped_bytes_of_exif_never_raise_another_error(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    places = {**LUND, 16: eb.ascii_("T"), 17: eb.rationals((90, 1))}
    metadata = eb.exif({eb.ORIENTATION: eb.short(6)}, {eb.FOCAL_35MM: eb.short(28)}, places, eb.jpeg())
    small = np.zeros((64, 64, 3), np.uint8)
    path, seen = tmp_path / "photo.jpg", set()
    for turn in range(600):
        data = bytearray(metadata)
        for _ in range(1 + turn % 4):
            data[int(rng.integers(120 if turn % 2 else len(data)))] = int(rng.integers(256))
        path.write_bytes(eb.jpeg(small, bytes(data)))
        found = read(path)
        seen.add(found.problem)
        assert found.place is None or (abs(found.place[0]) <= 180 and abs(found.place[1]) <= 90)
        assert math.isnan(found.heading) or 0 <= found.heading < 360
        assert 1 <= found.orientation <= 8
    assert {"", "no_gps", "invalid_gps"} <= seen


def test_flipped_bytes_of_a_photo_raise_no_other_error_than_its_own(tmp_path: Path) -> None:
    rng, whole, path = np.random.default_rng(4), eb.jpeg(metadata=eb.exif({}, None, LUND)), tmp_path / "photo.jpg"
    refused = 0
    for turn in range(200):
        data = bytearray(whole)
        for _ in range(1 + turn % 5):
            data[int(rng.integers(len(data)))] = int(rng.integers(256))
        path.write_bytes(data[: int(rng.integers(len(data)))] if turn % 4 == 3 else data)
        try:
            with open_photo(path) as photo:
                assert photo.square().shape == (3, 224, 224)
        except PhotoError as error:
            assert error.reason in ("undecodable", "too_large", "too_small") and error.detail
            refused += 1
    assert refused > 40
