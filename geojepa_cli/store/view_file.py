"""`views.h5`: the plain and the masked view of a region in one file, one compressed bit for each row.

The masked view shows the same tiles and hides more; what it hides beside the plain one is all that is written of it.
Drops by reason are not: the task's report counts them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from geojepa_cli.errors import DataError
from geojepa_cli.store import schema
from geojepa_cli.store.view import Rows, View

if TYPE_CHECKING:
    from geojepa_cli.store.store import TileStore

# column -> which of a region's sizes (tiles, pieces, vocabulary rows) it has a bit for
_BITS = {"tiles": 0, "dropped_pieces": 1, "masked_pieces": 1, "masked_tags": 2}


def save_views(path: Path, plain: View, masked: View) -> None:
    """Writes both views of one region.

    Args:
        path: the file.
        plain: drops pieces, and no tags.
        masked: of the same tiles, and dropping what `plain` does.

    Raises:
        ValueError: they are of several regions, or the masked view shows what the plain one does not.
    """
    if len(plain.shape) != 1 or plain.shape != masked.shape:
        raise ValueError(f"views of {plain.shape} and {masked.shape}, expected one region")
    hidden_twice = np.isin(plain.dropped_pieces, masked.dropped_pieces).all()
    if len(plain.dropped_tags) or not hidden_twice or not np.array_equal(plain.tiles, masked.tiles):
        raise ValueError("the masked view must show the plain view's tiles and less of them")
    rows = {
        "tiles": plain.tiles,
        "dropped_pieces": plain.dropped_pieces,
        "masked_pieces": np.setdiff1d(masked.dropped_pieces, plain.dropped_pieces, assume_unique=True),
        "masked_tags": masked.dropped_tags,
    }
    with h5py.File(path, "w", libver="latest") as file:
        file.attrs["schema_version"] = np.uint32(schema.VERSION)
        # Fixed length: a string of variable length costs a heap of 4 KB, twice as much as most views.
        file.attrs["kind"] = np.bytes_("views")
        file.attrs["shape"] = np.array(plain.shape[0], np.uint64)
        for name, place in _BITS.items():
            _write_bits(file, name, rows[name], plain.shape[0][place])


def load_views(paths: Sequence[Path], store: TileStore) -> tuple[View, View]:
    """The plain and the masked view of a dataset, from the files of its regions.

    Raises:
        DataError: unreadable, of another schema, or made for other data.
    """
    regions = zip(paths, store.shape, store.regions, strict=True)
    found = [_load(path, shape, region.name) for path, shape, region in regions]
    return View.concat([plain for plain, _ in found]), View.concat([masked for _, masked in found])


def _load(path: Path, shape: tuple[int, int, int], region: str) -> tuple[View, View]:
    anew = f"geojepa build-tasks --region {region}"
    try:
        with h5py.File(path, "r") as file:
            version, kind = file.attrs.get("schema_version"), _text(file.attrs.get("kind", b""))
            if kind != "views" or version != schema.VERSION:
                found = f"`{path}` is `{kind}` of schema {version}, expected `views` of schema {schema.VERSION}"
                raise DataError(found, anew)
            made_for = tuple(int(n) for n in file.attrs["shape"])
            if made_for != shape:
                told = f"made for {made_for} tiles, pieces and tags, and `{region}` has {shape}"
                raise DataError(f"`{path}` was {told}", anew)
            rows = {name: _read_bits(file, name, shape[place]) for name, place in _BITS.items()}
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise DataError(f"`{path}` cannot be read: {error}", "geojepa artifacts --verify") from error
    plain = View((shape,), rows["tiles"], dropped_pieces=rows["dropped_pieces"])
    return plain, plain.drop(rows["masked_tags"], rows["masked_pieces"])


def _write_bits(file: h5py.File, name: str, rows: Rows, size: int) -> None:
    bits = np.zeros(size, bool)
    bits[rows] = True
    packed = np.packbits(bits)
    options: dict[str, Any] = {"compression": "gzip", "compression_opts": 9, "chunks": packed.shape} if size else {}
    file.create_dataset(name, data=packed, **options)


def _read_bits(file: h5py.File, name: str, size: int) -> Rows:
    packed = file[name][...]
    if packed.dtype != np.uint8 or packed.shape != ((size + 7) // 8,):
        raise ValueError(f"`{name}` holds {packed.dtype} {list(packed.shape)}, expected a bit for each of {size} rows")
    return np.flatnonzero(np.unpackbits(packed, count=size))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
