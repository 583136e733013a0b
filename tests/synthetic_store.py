"""Makes small random `processed.h5`, `tiles.h5`, `images.h5` and `tags.h5` files for tests, consistent in every column.

Two files of the same seed and size are the same. They have cases that are hard for readers: tiles without any token,
tiles of one entity, areas that cover the tile (no parts), boundaries and restrictions, boundaries without a tag,
objects in several tiles, relations with members, several parts with visibility edges.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from geojepa_cli.grid import ground_size, tile_bounds
from geojepa_cli.store import schema
from geojepa_cli.store.columns import write_text

NUMPY = {"u8": "<u1", "u16": "<u2", "u32": "<u4", "u64": "<u8", "i32": "<i4", "i64": "<i8", "f32": "<f4", "f64": "<f8"}
TAGS: dict[str, tuple[str, ...]] = {
    "highway": ("residential", "footway", "primary", "service", "traffic_signals", "crossing"),
    "building": ("yes", "house", "garage", "church"),
    "maxspeed": ("35 mph", "50", "30", "RU:urban", "none"),
    "bridge": ("yes", "viaduct"),
    "man_made": ("bridge", "tower"),
    "layer": ("1", "-1"),
    "landuse": ("grass", "residential", "forest"),
    "name": ("Straße", "Main Street", ""),
    "crossing:signals": ("yes", "no"),
    "type": ("multipolygon", "route"),
    "waterway": ("river",),
}
MAIN_KEYS = ("highway", "building", "landuse", "man_made", "waterway")
Object = dict[str, Any]


def write_synthetic_processed(
    path: Path,
    seed: int = 0,
    n_tiles: int = 40,
    *,
    kind: str = "processed",
    zoom: int = 16,
    corner: tuple[int, int] = (18048, 25956),
    mean_entities: float = 12.0,
    xy_dtype: str = "u16",
    empty: bool = False,
) -> Path:
    """Writes a random file of `n_tiles` tiles, south-east of the tile `corner` (x, y).

    Args:
        path: file to write; its folder is made.
        kind: `processed` or `tiles`.
        mean_entities: pieces a tile has on average; some tiles have none but a boundary, some exactly one.
        xy_dtype: `u16` or `f32`, the type of `node/xy` and `piece/box_centre`; with `f32` offsets are u64.
        empty: no row in any table.

    Returns:
        `path`.
    """
    rng = np.random.default_rng(seed)
    tiles = [] if empty else _tiles(rng, n_tiles, zoom, corner)
    vocab = sorted(((k, v) for k, vs in TAGS.items() for v in vs), key=lambda kv: (kv[0].encode(), kv[1].encode()))
    objects, wanted = _objects(rng, len(tiles), mean_entities, vocab)
    return write_objects(path, rng, tiles, objects, wanted, vocab, kind, zoom, xy_dtype)


def write_objects(
    path: Path,
    rng: np.random.Generator,
    tiles: Sequence[tuple[int, int, int]],
    objects: Sequence[Object],
    wanted: Sequence[set[int]],
    vocab: Sequence[tuple[str, str]],
    kind: str = "processed",
    zoom: int = 16,
    xy_dtype: str = "u16",
) -> Path:
    """Writes objects with random places and shapes.

    Args:
        path: file to write; its folder is made.
        rng: source of the places and shapes.
        tiles: zoom, x and y of the tiles, in the order of a file.
        objects: OSM elements, sorted by type and id. Those with a `centre` (x, y) in tile units are there.
        wanted: rows of the objects in each tile.
        vocab: key and value of each distinct tag.
        kind, zoom, xy_dtype: as for `write_synthetic_processed`.
    """
    empty = not tiles
    columns: dict[str, list[Any]] = {name: [0] if c.csr else [] for name, c in schema.COLUMNS.items()}
    for z, x, y in tiles:
        east_m, north_m = ground_size(z, x, y)
        for name, value in zip(("z", "x", "y", "east_m", "north_m"), (z, x, y, east_m, north_m), strict=True):
            columns[f"tile/{name}"].append(value)
    for row, number in enumerate(wanted):
        for obj in sorted(number):
            _add_piece(rng, columns, tiles[row], obj, objects[obj], xy_dtype)
        columns["tile/pieces"].append(len(columns["piece/object"]))
    _add_objects(columns, objects)
    _add_strings(columns, "role/text", ["", "inner", "outer"])
    _add_strings(columns, "vocab/key", [] if empty else [k for k, _ in vocab])
    _add_strings(columns, "vocab/value", [] if empty else [v for _, v in vocab])
    columns["vocab/count"] = [] if empty else [sum(i in o["tags"] for o in objects) for i in range(len(vocab))]
    return write_columns(path, columns, kind, zoom, xy_dtype)


def write_columns(
    path: Path, columns: dict[str, list[Any]], kind: str = "processed", zoom: int = 16, xy_dtype: str = "u16"
) -> Path:
    """Writes columns (lists or arrays by `table/column`) as a file of the given kind, contiguous and aligned."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w", alignment_threshold=1, alignment_interval=schema.ALIGNMENT) as file:
        file.attrs["schema_version"] = np.uint32(schema.VERSION)
        write_text(file, "kind", kind)
        file.attrs["zoom"] = np.uint32(zoom)
        for name, column in schema.COLUMNS.items():
            if kind not in column.files:
                continue
            wide = kind == "tiles" or xy_dtype == "f32"
            dtype = xy_dtype if xy_dtype in column.dtypes else column.dtypes[-1 if wide else 0]
            array = np.asarray(columns[name], dtype=NUMPY[dtype])
            file.create_dataset(name, data=array.reshape(-1, column.width) if column.width > 1 else array)
    return path


def write_synthetic_images(path: Path, tiles: Sequence[tuple[int, int, int]], seed: int = 0) -> Path:
    """Writes `images.h5` with random images for the given (z, x, y)."""
    rng = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w", alignment_threshold=1, alignment_interval=schema.ALIGNMENT) as file:
        file.attrs["schema_version"] = np.uint32(schema.VERSION)
        write_text(file, "kind", "images")
        for i, name in enumerate("zxy"):
            file.create_dataset(name, data=np.array([t[i] for t in tiles], np.uint32))
        file.create_dataset("image", data=rng.integers(0, 256, (len(tiles), 3, 224, 224), np.uint8))
    return path


def write_synthetic_features(path: Path, n_vocab: int, seed: int = 0, width: int = 384, encoder: str = "test") -> Path:
    """Writes a features `tags.h5` with random unit vectors for `n_vocab` tags."""
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((n_vocab, width)).astype(np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w", alignment_threshold=1, alignment_interval=schema.ALIGNMENT) as file:
        file.attrs["schema_version"] = np.uint32(schema.VERSION)
        write_text(file, "encoder", encoder)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        file.create_dataset("embedding", data=vectors / np.maximum(norms, 1e-12))
        file.create_dataset("source", data=rng.integers(0, 3, n_vocab).astype(np.uint8))
    return path


def write_synthetic_image_tokens(path: Path, n_images: int, seed: int = 0, version: str = "random") -> Path:
    """Writes a features `image_tokens.h5` with random tokens of the form of `resnet50`."""
    tokens = np.random.default_rng(seed).uniform(-1, 1, (n_images, 49, 2048)).astype(np.float16)
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w", alignment_threshold=1, alignment_interval=schema.ALIGNMENT) as file:
        file.attrs["schema_version"] = np.uint32(schema.VERSION)
        write_text(file, "encoder", "resnet50")
        write_text(file, "encoder_version", version)
        file.create_dataset("token", data=tokens)
    return path


def write_synthetic_geometry(
    path: Path, n_pieces: int, seed: int = 0, dim: int = 6, encoder: str = "fourier", version: str = "v1"
) -> Path:
    """Writes a features `geometry.h5` with random vectors for `n_pieces` pieces."""
    vectors = np.random.default_rng(seed).uniform(-1, 1, (n_pieces, dim)).astype(np.float16)
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w", alignment_threshold=1, alignment_interval=schema.ALIGNMENT) as file:
        file.attrs["schema_version"] = np.uint32(schema.VERSION)
        write_text(file, "encoder", encoder)
        write_text(file, "encoder_version", version)
        file.create_dataset("vector", data=vectors)
    return path


def _tiles(rng: np.random.Generator, n: int, zoom: int, corner: tuple[int, int]) -> list[tuple[int, int, int]]:
    """Returns `n` distinct tiles of a square a third larger, in the order of a file."""
    side = max(1, math.ceil(math.sqrt(n * 4 / 3)))
    chosen = rng.choice(side * side, size=n, replace=False)
    tiles = [(zoom, corner[0] + int(i) % side, corner[1] + int(i) // side) for i in chosen]
    shift = max(0, zoom - 14)
    return sorted(tiles, key=lambda t: (t[2] >> shift, t[1] >> shift, t[2], t[1]))


def _objects(
    rng: np.random.Generator, n_tiles: int, mean_entities: float, vocab: list[tuple[str, str]]
) -> tuple[list[Object], list[set[int]]]:
    """Returns objects sorted by type and id, and the objects of every tile."""
    by_key = {key: [i for i, (k, _) in enumerate(vocab) if k == key] for key in TAGS}
    drafts: list[Object] = []
    for tile in range(n_tiles):
        # Every seventh tile holds nothing but a boundary or a restriction, every ninth one entity.
        count = 0 if tile % 7 == 3 else 1 if tile % 9 == 5 else 1 + int(rng.poisson(mean_entities))
        for _ in range(count):
            osm_type = int(rng.choice(3, p=[0.3, 0.6, 0.1]))
            kind = (0, int(rng.choice([1, 2])), int(rng.choice([2, 3])))[osm_type]
            keys = {str(rng.choice(MAIN_KEYS)), *map(str, rng.choice(list(TAGS), size=int(rng.integers(0, 4))))}
            tags = {int(rng.choice(by_key[key])) for key in sorted(keys)}
            reach = 0 if osm_type == 0 or tile % 9 == 5 else int(rng.choice([0, 0, 0, 1, 2]))
            span = [t for t in range(tile, min(n_tiles, tile + reach + 1)) if t == tile or (t % 7 != 3 and t % 9 != 5)]
            covers = kind == 2 and bool(rng.random() < 0.15)
            drafts.append({"type": osm_type, "kind": kind, "token": 0, "tags": tags, "tiles": span, "covers": covers})
        if count == 0 or rng.random() < 0.3:
            token = 1 + tile % 2
            tags = set() if rng.random() < 0.5 else {int(rng.integers(len(vocab)))}
            kind = 2 if token == 1 else 3
            drafts.append({"type": 2, "kind": kind, "token": token, "tags": tags, "tiles": [tile], "covers": False})
    ids = rng.choice(50 * len(drafts) + 1, size=len(drafts), replace=False)
    for draft, osm_id in zip(drafts, ids, strict=True):
        draft["id"] = int(osm_id) + 1 + (1 << 33)  # past 32 bits, as real ids are
    drafts.sort(key=lambda o: (o["type"], o["id"]))
    wanted: list[set[int]] = [set() for _ in range(n_tiles)]
    for row, draft in enumerate(drafts):
        size = int(rng.integers(1, 4)) if draft["type"] == 2 else 0
        draft["members"] = [int(m) for m in rng.integers(0, len(drafts), size) if int(m) != row]
        for tile in draft["tiles"]:
            wanted[tile].add(row)
    return drafts, wanted


def _add_piece(
    rng: np.random.Generator,
    columns: dict[str, list[Any]],
    tile: tuple[int, int, int],
    row: int,
    obj: Object,
    xy_dtype: str,
) -> None:
    columns["piece/object"].append(row)
    columns["piece/covers_tile"].append(int(obj["covers"]))
    columns["piece/area_m2"].append(float(rng.uniform(1, 1e4)) if obj["kind"] >= 2 else 0.0)
    columns["piece/length_m"].append(float(rng.uniform(1, 500)) if obj["kind"] >= 1 else 0.0)
    centre, side = _box(rng, obj["covers"])
    centre = np.array(obj.get("centre", centre))
    columns["piece/box_centre"].append(np.rint(centre * 49152 + 8192) if xy_dtype == "u16" else centre)
    columns["piece/box_side"].append(side)
    n_parts = 0 if obj["covers"] else 1 if obj["kind"] == 0 else int(rng.choice([1, 1, 1, 2, 3]))
    first_nodes: list[int] = []
    n_nodes = 0
    for part in range(n_parts):
        role = obj["kind"] if obj["kind"] < 2 else (2 if part == 0 else int(rng.choice([2, 3])))
        size = 1 if role == 0 else int(rng.integers(2 if role == 1 else 3, 8))
        columns["part/role"].append(role)
        first_nodes.append(n_nodes)
        n_nodes += size
        xy = rng.uniform(0, 1, (size, 2))
        stored = np.rint(xy * 49152 + 8192) if xy_dtype == "u16" else xy
        columns["node/xy"].extend(stored.tolist())
        west, south, east, north = tile_bounds(*tile)
        lonlat = np.array([west, south]) + xy * np.array([east - west, north - south])
        columns["node/lonlat"].extend(np.rint(lonlat * 1e7).tolist())
        columns["part/nodes"].append(len(columns["node/xy"]))
    for first, second in pairwise(first_nodes):
        columns["edge/ends"].append([first, second])
    columns["piece/parts"].append(len(columns["part/role"]))
    columns["piece/edges"].append(len(columns["edge/ends"]))


def _box(rng: np.random.Generator, covers: bool) -> tuple[np.ndarray, list[float]]:
    """Returns the centre of a turned rectangle, half of its first side, and the ratio of the second side to it."""
    if covers:
        return np.array([0.5, 0.5]), [0.5, 0.0, 1.0]
    centre, size, turn = rng.uniform(0, 1, 2), rng.uniform(0.005, 0.2, 2), rng.uniform(0, math.pi / 2)
    return centre, [math.cos(turn) * size[0] / 2, math.sin(turn) * size[0] / 2, size[1] / size[0]]


def _add_objects(columns: dict[str, list[Any]], objects: Sequence[Object]) -> None:
    for obj in objects:
        columns["object/osm_type"].append(obj["type"])
        columns["object/osm_id"].append(obj["id"])
        columns["object/version"].append(obj["id"] % 9)
        columns["object/kind"].append(obj["kind"])
        columns["object/token"].append(obj["token"])
        columns["object/absent_members"].append(obj["id"] % 2)
        columns["tag/vocab"].extend(sorted(obj["tags"]))
        columns["object/tags"].append(len(columns["tag/vocab"]))
        columns["member/relation"].extend([len(columns["object/osm_id"]) - 1] * len(obj["members"]))
        columns["member/object"].extend(obj["members"])
        columns["member/role"].extend(m % 3 for m in obj["members"])
        columns["object/members"].append(len(columns["member/object"]))


def _add_strings(columns: dict[str, list[Any]], name: str, texts: list[str]) -> None:
    encoded = [text.encode() for text in texts]
    columns[name] = [0, *np.cumsum([len(e) for e in encoded], dtype=int).tolist()] if encoded else [0]
    columns[f"{name}_utf8"] = list(b"".join(encoded))
