"""The walk over a PBF's blobs finds every truncation, and takes every whole file."""

from __future__ import annotations

import itertools
from pathlib import Path

import osmium
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geojepa_cli.errors import DataError
from geojepa_cli.sources.pbf import FrameError, count_data_blobs, frames, parse_blob_header


@pytest.fixture(scope="module")
def pbf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PBF of several data blobs: libosmium begins a new one after 8,000 elements."""
    path = tmp_path_factory.mktemp("pbf") / "x.osm.pbf"
    writer = osmium.SimpleWriter(str(path))
    for number in range(1, 20_001):
        writer.add_node(osmium.osm.mutable.Node(id=number, location=(number * 1e-4, 1.0), tags={"name": str(number)}))
    writer.close()
    return path


def test_a_whole_file_has_its_data_blobs_counted(pbf: Path) -> None:
    assert count_data_blobs(pbf) == 3


def test_every_real_extract_is_whole(shared: Path) -> None:
    extracts = sorted((shared / "osm").glob("*.osm.pbf"))
    assert extracts
    for extract in extracts:
        assert count_data_blobs(extract) > 0, extract


def test_blobs_cover_the_file_without_gaps(pbf: Path) -> None:
    size = pbf.stat().st_size
    with pbf.open("rb") as file:
        found = list(frames(file, size))
    assert [frame.type for frame in found] == ["OSMHeader", "OSMData", "OSMData", "OSMData"]
    assert found[-1].start + found[-1].size == size
    assert all(before.start + before.size < after.start for before, after in itertools.pairwise(found))


@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_anywhere_is_refused(pbf: Path, tmp_path_factory: pytest.TempPathFactory, share: float) -> None:
    data = pbf.read_bytes()
    with pbf.open("rb") as file:
        ends = {frame.start + frame.size for frame in frames(file, len(data))}
    length = max(1, int(share * len(data)))
    cut = tmp_path_factory.mktemp("cut") / "x.osm.pbf"
    cut.write_bytes(data[:length])
    if length in ends and length != min(ends):
        assert count_data_blobs(cut) > 0  # between two blobs nothing tells that more should come
        return
    with pytest.raises(DataError) as caught:
        count_data_blobs(cut)
    assert caught.value.hint


def test_a_file_with_only_a_header_says_that_it_holds_no_data(pbf: Path, tmp_path: Path) -> None:
    with pbf.open("rb") as file:
        header = next(frames(file, pbf.stat().st_size))
    cut = tmp_path / "x.osm.pbf"
    cut.write_bytes(pbf.read_bytes()[: header.start + header.size])
    with pytest.raises(DataError, match="holds no data"):
        count_data_blobs(cut)


@given(data=st.binary(max_size=200))
def test_no_bytes_break_the_header_parser(data: bytes) -> None:
    try:
        blob_type, size = parse_blob_header(data)
    except FrameError:
        return
    assert isinstance(blob_type, str) and size >= 0


@pytest.mark.parametrize(
    "data",
    [
        b"\x0a\x09OSMData",  # a string longer than the message
        b"\x0a\x07OSMData",  # no size
        b"\x18\x05",  # no type
        b"\x0d\x00\x00\x00\x00",  # a fixed32 field
        b"\x18" + b"\xff" * 11,  # a number without an end
    ],
)
def test_a_header_that_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(FrameError):
        parse_blob_header(data)


def test_a_header_with_index_data_between_is_read() -> None:
    assert parse_blob_header(b"\x0a\x07OSMData\x12\x03abc\x18\xac\x02") == ("OSMData", 300)


@pytest.mark.parametrize("length", [0, 65 * 1024, 2**32 - 1])
def test_a_blob_header_of_an_impossible_length_is_refused(length: int, pbf: Path, tmp_path: Path) -> None:
    broken = tmp_path / "x.osm.pbf"
    broken.write_bytes(pbf.read_bytes() + length.to_bytes(4, "big") + b"x" * 100)
    with pytest.raises(DataError, match="damaged or truncated PBF"):
        count_data_blobs(broken)


def test_a_byte_changed_inside_a_block_is_found(pbf: Path, tmp_path: Path) -> None:
    content = bytearray(pbf.read_bytes())
    with pbf.open("rb") as file:
        blocks = [frame for frame in frames(file, len(content)) if frame.type == "OSMData"]
    for block in blocks:
        damaged = bytearray(content)
        damaged[block.start + block.size // 2] ^= 0xFF
        (tmp_path / "damaged.osm.pbf").write_bytes(damaged)
        with pytest.raises(DataError, match=rf"a blob at byte {block.start}|damaged blob"):
            count_data_blobs(tmp_path / "damaged.osm.pbf")
