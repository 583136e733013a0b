"""Forged columns, links and attributes are refused before a value is read."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from geojepa_cli import hints
from geojepa_cli.errors import DataError
from geojepa_cli.store import schema
from geojepa_cli.store.columns import VERIFY, ColumnSpec, Expected, map_columns, read_columns, write_packed

HINT = hints.run("process", region="oak")
EXPECTED = Expected(
    1,
    {"t/a": ColumnSpec(("<u4", "<u8")), "t/b": ColumnSpec(("<f4",), (None, 2))},
    {"kind": str, "count": int, "shape": tuple},
)
SMALL = Expected(1, {"a": ColumnSpec(("<u4",), (6,))})
U32, SIX = h5py.h5t.STD_U32LE, h5py.h5s.create_simple((6,))
Forge = Callable[[h5py.File], None]


def write_sound(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        file.attrs["schema_version"] = np.uint32(1)
        file.attrs["kind"], file.attrs["count"] = np.bytes_("sound"), np.uint8(3)
        file.attrs["shape"] = np.array([1, 2, 3], np.uint64)
        file["t/a"] = np.arange(6, dtype=np.uint32)
        file["t/b"] = np.arange(12, dtype=np.float32).reshape(6, 2)
    return path


def write_small(path: Path) -> Path:
    with h5py.File(path, "w", libver="latest") as file:
        file.attrs["schema_version"] = np.uint32(1)
        write_packed(file, "a", np.arange(6, dtype=np.uint32))
    return path


def replaced(name: str, make: Callable[[h5py.File, str], object]) -> Forge:
    def forge(file: h5py.File) -> None:
        del file[name]
        make(file, name)

    return forge


def external_storage(file: h5py.File, name: str) -> None:
    secret = Path(file.filename).with_name("secret.bin")
    secret.write_bytes(np.arange(6, dtype=np.uint32).tobytes())
    file.create_dataset(name, (6,), "<u4", external=[(str(secret), 0, 24)])


def external_link(file: h5py.File, name: str) -> None:
    other = Path(file.filename).with_name("other.h5")
    with h5py.File(other, "w") as made:
        made["a"] = np.arange(6, dtype=np.uint32)
    file[name] = h5py.ExternalLink(str(other), "a")


def virtual(file: h5py.File, name: str) -> None:
    external_link(file, "elsewhere")
    layout = h5py.VirtualLayout((6,), "<u4")
    layout[:] = h5py.VirtualSource(str(Path(file.filename).with_name("other.h5")), "a", (6,))
    file.create_virtual_dataset(name, layout)


def soft_link(file: h5py.File, name: str) -> None:
    file["elsewhere"] = np.arange(6, dtype=np.uint32)
    file[name] = h5py.SoftLink("/elsewhere")


def odd_float(file: h5py.File, name: str) -> None:
    kind = h5py.h5t.IEEE_F32LE.copy()
    kind.set_ebias(100)
    h5py.h5d.create(file.id, name.encode(), kind, SIX)


def of(values: object, **options: object) -> Callable[[h5py.File, str], object]:
    return lambda file, name: file.create_dataset(name, data=values, **options)


def typed(dtype: object, shape: tuple[int, ...] = (6,), **options: object) -> Callable[[h5py.File, str], object]:
    return lambda file, name: file.create_dataset(name, shape, dtype, **options)


TYPES: dict[str, Callable[[h5py.File, str], object]] = {
    "variable-length text": of(["x" * 9] * 6),
    "fixed-length text": typed("S4"),
    "variable-length numbers": typed(h5py.vlen_dtype(np.uint32)),
    "object references": typed(h5py.ref_dtype),
    "region references": typed(h5py.regionref_dtype),
    "compound": typed(np.dtype([("a", "<u4")])),
    "compound with text": typed(np.dtype([("a", h5py.string_dtype())])),
    "arrays": typed(np.dtype(("<u4", (1,)))),
    "opaque": typed("V4"),
    "enumeration": typed(h5py.enum_dtype({"a": 0}, "<u4")),
    "big-endian numbers": of(np.arange(6, dtype=">u4")),
    "signed numbers": of(np.arange(6, dtype="<i4")),
    "wider numbers": of(np.arange(6, dtype="<f8")),
    "narrower numbers": of(np.arange(6, dtype="<u2")),
    "floats of another bias": odd_float,
}
PLACES: dict[str, Callable[[h5py.File, str], object]] = {
    "external storage": external_storage,
    "external link": external_link,
    "virtual dataset": virtual,
    "soft link": soft_link,
    "dangling link": lambda file, name: file.__setitem__(name, h5py.SoftLink("/absent")),
    "group": lambda file, name: file.create_group(name),
}
SHAPES: dict[str, Callable[[h5py.File, str], object]] = {
    "scalar": of(np.uint32(1)),
    "no space": of(h5py.Empty("<u4")),
    "another rank": of(np.zeros((6, 1), np.uint32)),
}


@pytest.mark.parametrize("name", [*TYPES, *PLACES, *SHAPES])
def test_a_forged_column_is_never_mapped(tmp_path: Path, name: str) -> None:
    path = write_sound(tmp_path / "x.h5")
    forge = {**TYPES, **PLACES, **SHAPES}[name]
    with h5py.File(path, "r+") as file:
        replaced("t/a", forge)(file)
    with pytest.raises(DataError, match="`t/a` of ") as error:
        map_columns(path, EXPECTED, HINT)
    assert str(error.value.hint) == "geojepa process --region oak"


STORAGES: dict[str, tuple[str, Callable[[h5py.File, str], object]]] = {
    "chunked": ("t/a", of(np.arange(6, dtype="<u4"), chunks=(2,))),
    "compressed": ("t/a", of(np.arange(6, dtype="<u4"), compression="gzip")),
    "compact": ("t/a", lambda file, name: h5py.h5d.create(file.id, name.encode(), U32, SIX, compact())),
    "unallocated": ("t/a", lambda file, name: h5py.h5d.create(file.id, name.encode(), U32, SIX)),
    "width": ("t/b", of(np.zeros((6, 1), np.float32))),
}


@pytest.mark.parametrize("name", STORAGES)
def test_data_that_is_not_plain_rows_in_the_file_is_never_mapped(tmp_path: Path, name: str) -> None:
    column, make = STORAGES[name]
    path = write_sound(tmp_path / "x.h5")
    with h5py.File(path, "r+") as file:
        replaced(column, make)(file)
    with pytest.raises(DataError, match=f"`{column}` of "):
        map_columns(path, EXPECTED, HINT)


def compact() -> h5py.h5p.PropDCID:
    created = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    created.set_layout(h5py.h5d.COMPACT)
    return created


def test_a_column_longer_than_the_file_is_refused(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "x.h5")
    data = path.read_bytes()
    rows = np.uint64(6).tobytes()
    refused = 0
    for place in [i for i in range(len(data)) if data.startswith(rows, i)]:
        for n in (7 << 20, 1 << 40, (1 << 62) + 6, 1 << 63):
            path.write_bytes(data[:place] + np.uint64(n).tobytes() + data[place + 8 :])
            try:
                columns, _ = map_columns(path, EXPECTED, HINT)
            except DataError:
                refused += 1
            else:
                assert {name: column.shape for name, column in columns.items()} == {"t/a": (6,), "t/b": (6, 2)}
    assert refused >= 8


def test_expected_columns_and_attributes_are_read_and_others_ignored(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "x.h5")
    with h5py.File(path, "r+") as file:
        file["t/pointers"] = ["x"] * 6
        file["t/link"] = h5py.ExternalLink("/etc/passwd", "x")
        file.attrs["more"] = ["text"] * 3
    columns, attributes = map_columns(path, EXPECTED, HINT)
    assert set(columns) == {"t/a", "t/b"}
    assert columns["t/a"].tolist() == list(range(6)) and columns["t/b"].tolist()[5] == [10, 11]
    assert not columns["t/a"].flags.writeable
    assert attributes == {"schema_version": 1, "kind": "sound", "count": 3, "shape": (1, 2, 3)}


def test_empty_columns_have_their_type_and_width(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "x.h5")
    with h5py.File(path, "r+") as file:
        replaced("t/a", of(np.empty(0, "<u8")))(file)
        replaced("t/b", of(np.empty((0, 2), "<f4")))(file)
    columns, _ = map_columns(path, EXPECTED, HINT)
    assert columns["t/a"].dtype == np.uint64 and columns["t/b"].shape == (0, 2)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("schema_version", "1", "is not a whole number"),
        ("schema_version", np.uint32(2), "has schema 2, this version reads 1"),
        ("schema_version", np.float64(1), "is not a whole number"),
        ("count", [1, 2], "is not a whole number"),
        ("kind", np.uint8(1), "is not a text"),
        ("kind", "text of variable length", "is not a text of fixed length"),
        ("kind", ["a", "b"], "is not a text"),
        ("shape", np.zeros((2, 2), np.int64), "is not whole numbers"),
        ("shape", np.zeros(65, np.int64), "is not whole numbers"),
        ("shape", np.zeros(2, np.dtype([("a", "<u4")])), "is not whole numbers"),
    ],
)
def test_an_attribute_of_another_type_is_refused(tmp_path: Path, name: str, value: object, message: str) -> None:
    path = write_sound(tmp_path / "x.h5")
    with h5py.File(path, "r+") as file:
        file.attrs[name] = value
    with pytest.raises(DataError, match=message):
        map_columns(path, EXPECTED, HINT)


def test_text_that_is_not_utf_8_can_be_printed(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "x.h5")
    with h5py.File(path, "r+") as file:
        file.attrs["kind"] = np.bytes_(b"\xffx")
    assert str(map_columns(path, EXPECTED, HINT)[1]["kind"]).encode("utf-8") == b"\xef\xbf\xbdx"


def test_a_missing_column_is_an_error_unless_it_is_optional(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "x.h5")
    with h5py.File(path, "r+") as file:
        del file["t/b"]
    with pytest.raises(DataError, match="has no column `t/b`"):
        map_columns(path, EXPECTED, HINT)
    optional = Expected(1, {"t/a": ColumnSpec(("<u4",)), "t/b": ColumnSpec(("<f4",), (None, 2), optional=True)})
    assert set(map_columns(path, optional, HINT)[0]) == {"t/a"}


def another_filter(file: h5py.File, name: str) -> None:
    created = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    created.set_chunk((6,))
    created.set_filter(h5py.h5z.FILTER_FLETCHER32, 0, ())
    h5py.h5d.create(file.id, name.encode(), U32, SIX, created)


def large_chunks(file: h5py.File, name: str) -> None:
    file.create_dataset(name, (6,), "<u4", maxshape=(None,), chunks=(1 << 20,), compression="gzip")


@pytest.mark.parametrize("name", [*TYPES, *PLACES, *SHAPES, "another filter", "large chunks"])
def test_a_forged_small_column_is_never_read(tmp_path: Path, name: str) -> None:
    path = write_small(tmp_path / "x.h5")
    forge = {**TYPES, **PLACES, **SHAPES, "another filter": another_filter, "large chunks": large_chunks}[name]
    with h5py.File(path, "r+") as file:
        replaced("a", forge)(file)
    with pytest.raises(DataError, match="`a` of "):
        read_columns(path, SMALL, HINT)


def test_a_small_column_is_read_back_and_its_length_is_what_the_reader_expects(tmp_path: Path) -> None:
    path = write_small(tmp_path / "x.h5")
    assert read_columns(path, SMALL, HINT)[0]["a"].tolist() == list(range(6))
    with pytest.raises(DataError, match=r"is \[6\], expected \[5\]"):
        read_columns(path, Expected(1, {"a": ColumnSpec(("<u4",), (5,))}), HINT)


def test_damage_of_the_file_has_a_hint_that_verifies_artifacts(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "x.h5")
    for content in (b"", b"<html></html>", path.read_bytes()[:500]):
        path.write_bytes(content)
        for read in (map_columns, read_columns):
            with pytest.raises(DataError, match="cannot be read") as error:
                read(path, SMALL, HINT)
            assert error.value.hint == VERIFY


def test_no_byte_of_a_forged_file_becomes_a_pointer(tmp_path: Path) -> None:
    """Runs in a separate process, which a dereferenced value would crash."""
    path = tmp_path / "tags.h5"
    with h5py.File(path, "w") as file:
        file.attrs["schema_version"] = np.uint32(schema.VERSION)
        file.attrs["encoder"] = np.bytes_("x")
        file.create_dataset("embedding", (64, 384), h5py.string_dtype())[...] = "A" * 64
        file["source"] = np.zeros(64, np.uint8)
    code = (
        "import sys; from pathlib import Path; from geojepa_cli import hints\n"
        "from geojepa_cli.errors import DataError\n"
        "from geojepa_cli.store.columns import map_columns; from geojepa_cli.store.features import EXPECTED\n"
        "try:\n"
        "    columns, _ = map_columns(Path(sys.argv[1]), EXPECTED, hints.run('process'))\n"
        "except DataError as error:\n"
        "    sys.exit(error.message)\n"
        "print([repr(row) for row in columns['embedding']])\n"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    assert done.returncode == 1 and "is of type string, expected float32" in done.stderr
