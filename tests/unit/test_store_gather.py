"""The gather compared with a slow loop over the same file, read with h5py only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from batch_contents import piece_tags, tile_names, token_tiles
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from synthetic_store import TAGS, write_synthetic_features, write_synthetic_images, write_synthetic_processed

from geojepa_cli.config.modality import Modality
from geojepa_cli.store.batch import TileBatch
from geojepa_cli.store.features import open_features
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View

SETTINGS = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three regions: u16 and f32 vertices, and one without a row."""
    folder = tmp_path_factory.mktemp("regions")
    return [
        write_synthetic_processed(folder / "oak@1" / "processed.h5", seed=1, n_tiles=24),
        write_synthetic_processed(folder / "void@1" / "processed.h5", empty=True),
        write_synthetic_processed(
            folder / "elm@1" / "processed.h5", seed=2, n_tiles=18, xy_dtype="f32", corner=(20000, 25000)
        ),
    ]


@pytest.fixture(scope="module")
def store(paths: list[Path]) -> TileStore:
    return TileStore.open(paths)


@pytest.fixture(scope="module")
def files(paths: list[Path]) -> list[dict[str, np.ndarray]]:
    """Every column of every region, copied by h5py."""
    regions = []
    for path in paths:
        columns: dict[str, np.ndarray] = {}
        with h5py.File(path) as file:
            file.visititems(lambda n, d, c=columns: c.update({n: d[...]}) if isinstance(d, h5py.Dataset) else None)
        regions.append(columns)
    return regions


def slow_read(files: list[dict[str, np.ndarray]], view: View, tiles: list[int]) -> list[dict[str, Any]]:
    """The tokens of some tiles, one dict each, by plain loops."""
    dropped_tags, dropped_pieces = set(view.dropped_tags.tolist()), set(view.dropped_pieces.tolist())
    tokens = []
    for position, row in enumerate(tiles):
        tile_base = piece_base = vocab_base = 0
        for f in files:
            if row < tile_base + len(f["tile/z"]):
                break
            tile_base += len(f["tile/z"])
            piece_base += len(f["piece/object"])
            vocab_base += len(f["vocab/count"])
        for piece in range(int(f["tile/pieces"][row - tile_base]), int(f["tile/pieces"][row - tile_base + 1])):
            obj = int(f["piece/object"][piece])
            stored = f["tag/vocab"][int(f["object/tags"][obj]) : int(f["object/tags"][obj + 1])]
            tags = [int(v) + vocab_base for v in stored if int(v) + vocab_base not in dropped_tags]
            if not tags or piece + piece_base in dropped_pieces:
                continue
            token = {"tile": position, "piece": piece + piece_base, "tags": tags, "parts": [], "edges": []}
            token |= {name: f[f"piece/{name}"][piece] for name in ("area_m2", "length_m")}
            token["box"] = slow_box(f["piece/box_centre"][piece], *f["piece/box_side"][piece].tolist())
            token |= {name: int(f[f"object/{name}"][obj]) for name in ("kind", "osm_type", "osm_id")}
            for part in range(int(f["piece/parts"][piece]), int(f["piece/parts"][piece + 1])):
                xy = f["node/xy"][int(f["part/nodes"][part]) : int(f["part/nodes"][part + 1])]
                if xy.dtype == np.uint16:
                    xy = [[(int(x) - 8192) / 49152, (int(y) - 8192) / 49152] for x, y in xy]
                token["parts"].append((int(f["part/role"][part]), np.asarray(xy, np.float32)))
            for edge in range(int(f["piece/edges"][piece]), int(f["piece/edges"][piece + 1])):
                token["edges"].append(f["edge/ends"][edge].astype(int).tolist())
            tokens.append(token)
    return tokens


def slow_box(centre: np.ndarray, along_x: float, along_y: float, ratio: float) -> list[float]:
    """The corners as docs/formats.md gives them, in double."""
    x, y = ((int(v) - 8192) / 49152 for v in centre) if centre.dtype == np.uint16 else centre.tolist()
    across_x, across_y = -along_y * ratio, along_x * ratio
    signs = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    return [c for a, b in signs for c in (x + a * along_x + b * across_x, y + a * along_y + b * across_y)]


def tokens_of(batch: TileBatch) -> list[dict[str, Any]]:
    """The same dicts from a batch with geometry."""
    tokens = []
    assert batch.node_xy is not None and batch.edges is not None and batch.part_role is not None
    assert batch.node_offsets is not None and batch.part_offsets is not None
    assert batch.part_node_offsets is not None and batch.edge_offsets is not None
    for t, tile in enumerate(token_tiles(batch).tolist()):
        first_node = int(batch.node_offsets[t])
        parts = []
        for p in range(int(batch.part_offsets[t]), int(batch.part_offsets[t + 1])):
            a, b = int(batch.part_node_offsets[p]), int(batch.part_node_offsets[p + 1])
            parts.append((int(batch.part_role[p]), batch.node_xy[a:b].numpy()))
        e, f = int(batch.edge_offsets[t]), int(batch.edge_offsets[t + 1])
        k, m = int(batch.tag_offsets[t]), int(batch.tag_offsets[t + 1])
        token: dict[str, Any] = {"tile": tile, "piece": int(batch.piece_rows[t]), "parts": parts}
        token |= {"tags": batch.tag_ids[k:m].tolist(), "edges": (batch.edges[:, e:f].T - first_node).tolist()}
        token |= {name: getattr(batch, name)[t].numpy() for name in ("box", "area_m2", "length_m")}
        token |= {name: int(getattr(batch, name)[t]) for name in ("kind", "osm_type", "osm_id")}
        tokens.append(token)
    return tokens


def assert_same(got: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    assert len(got) == len(expected)
    for a, b in zip(got, expected, strict=True):
        assert a.keys() == b.keys()
        for name, value in b.items():
            if name == "parts":
                assert [role for role, _ in a[name]] == [role for role, _ in value]
                assert all(np.array_equal(x, y) for (_, x), (_, y) in zip(a[name], value, strict=True))
            elif name == "box":
                assert np.allclose(a[name], value, atol=1e-6)
            else:
                assert np.array_equal(a[name], value), name


@st.composite
def views(draw: st.DrawFn, store: TileStore) -> View:
    """A random view, from one that drops nothing to one that drops nearly everything."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    share = [draw(st.sampled_from([0.0, 0.1, 0.5, 0.9])) for _ in range(3)]
    tiles = np.flatnonzero(rng.random(store.n_tiles) >= share[0])
    tags = np.flatnonzero(rng.random(store.n_vocab) < share[1])
    pieces = np.flatnonzero(rng.random(store.n_pieces) < share[2])
    return View(store.shape, tiles, tags, pieces)


@SETTINGS
@given(data=st.data())
def test_a_batch_equals_a_slow_loop_for_any_view_and_order_of_tiles(
    store: TileStore, files: list[dict[str, np.ndarray]], data: st.DataObject
) -> None:
    view = data.draw(views(store))
    tiles = data.draw(st.lists(st.sampled_from(view.tiles.tolist()), max_size=30)) if len(view.tiles) else []
    if data.draw(st.booleans()):
        tiles = sorted(tiles)
    batch = store.read(view, tiles, frozenset({Modality.NODES}))
    assert_same(tokens_of(batch), slow_read(files, view, tiles))
    assert batch.tile_rows.tolist() == tiles
    assert tile_names(batch) == store.tile_names(tiles)


def test_the_synthetic_regions_hold_the_hard_cases(store: TileStore) -> None:
    default = View.default(store, min_entities=0)
    lengths = store.lengths(default)
    assert 0 in lengths and 1 in lengths and lengths.max() > 5
    full = store.read(View.full(store), np.arange(store.n_tiles), frozenset({Modality.NODES}))
    assert full.part_offsets is not None and full.edges is not None
    assert 0 in full.part_offsets.diff()  # entities without a vertex
    assert full.edges.shape[1] > 0


def test_every_tensor_has_the_type_of_the_contract(store: TileStore) -> None:
    batch = store.read(View.full(store), [0, 30], frozenset({Modality.NODES}))
    types = {
        "tile_rows": torch.int64, "tile_zxy": torch.int64, "cu_seqlens": torch.int32, "box": torch.float32,
        "kind": torch.uint8, "area_m2": torch.float32, "length_m": torch.float32, "tag_ids": torch.int64,
        "tag_offsets": torch.int64, "piece_rows": torch.int64, "osm_type": torch.uint8, "osm_id": torch.int64,
        "node_xy": torch.float32, "node_offsets": torch.int64, "part_offsets": torch.int64,
        "part_node_offsets": torch.int64, "part_role": torch.uint8, "edges": torch.int64, "edge_offsets": torch.int64,
    }  # fmt: skip
    assert {name: getattr(batch, name).dtype for name in types} == types
    assert int(batch.cu_seqlens[-1]) == batch.n_tokens == len(batch.box)


def test_a_tag_only_batch_has_no_geometry_and_no_images(store: TileStore) -> None:
    batch = store.read(View.full(store), [0])
    assert batch.node_xy is None and batch.edges is None and batch.images is None


def test_an_entity_without_a_visible_tag_is_left_out(store: TileStore) -> None:
    full = View.full(store)
    batch = store.read(full, full.tiles)
    building = [i for i, key in enumerate(store.keys) if key == "building"]
    masked = store.read(full.drop(tags=building), full.tiles)
    other = {
        piece
        for piece, a, b in zip(batch.piece_rows.tolist(), batch.tag_offsets[:-1], batch.tag_offsets[1:], strict=True)
        if not set(batch.tag_ids[a:b].tolist()) <= set(building)
    }
    assert set(masked.piece_rows.tolist()) == other < set(batch.piece_rows.tolist())
    assert not set(masked.tag_ids.tolist()) & set(building)
    assert (masked.tag_offsets.diff() > 0).all()


def test_no_tiles_and_all_tags_dropped_give_empty_tensors_of_the_right_shape(store: TileStore) -> None:
    nothing = store.read(View.full(store), [], frozenset(Modality))
    assert nothing.box.shape == (0, 8) and nothing.cu_seqlens.tolist() == [0] and nothing.edges.shape == (2, 0)
    view = View.full(store).drop(tags=np.arange(store.n_vocab))
    bare = store.read(view, [0, 1], frozenset({Modality.NODES}))
    assert bare.cu_seqlens.tolist() == [0, 0, 0] and bare.node_xy.shape == (0, 2) and bare.tag_offsets.tolist() == [0]


def test_a_tile_that_the_view_does_not_keep_is_refused(store: TileStore) -> None:
    view = View.full(store).restrict([0, 2])
    for tiles in ([1], [-1], [store.n_tiles]):
        with pytest.raises(ValueError, match="not in the view"):
            store.read(view, tiles)


def test_images_of_the_tiles_that_have_one_are_in_the_order_of_the_batch(paths: list[Path], tmp_path: Path) -> None:
    oak, elm = (TileStore.open([path]) for path in (paths[0], paths[2]))
    have = [tuple(map(int, oak.tile_zxy[i])) for i in (7, 2)] + [(16, 1, 1)]
    first = write_synthetic_images(tmp_path / "oak.h5", have, seed=3)
    second = write_synthetic_images(tmp_path / "elm.h5", [tuple(map(int, elm.tile_zxy[5]))], seed=4)
    store = TileStore.open(paths, images=[first, None, second])
    with h5py.File(first) as a, h5py.File(second) as b:
        pictures = {7: a["image"][0], 2: a["image"][1], oak.n_tiles + 5: b["image"][0]}
    tiles = [2, oak.n_tiles + 5, 0, 7, 1]
    batch = store.read(View.full(store), tiles, frozenset({Modality.IMAGE}))
    assert batch.image_tiles.tolist() == [0, 1, 3]
    assert all(np.array_equal(batch.images[i], pictures[tiles[t]]) for i, t in enumerate(batch.image_tiles.tolist()))
    bare = store.read(View.full(store), [0, 1], frozenset({Modality.IMAGE}))
    assert bare.images.shape == (0, 3, 224, 224) and bare.image_tiles.tolist() == []
    kept = View.default(store, min_entities=0, imagery_only=True)
    assert kept.tiles.tolist() == sorted(pictures)


def test_mean_tag_embeddings_equal_a_loop_over_keys_and_values(
    paths: list[Path], store: TileStore, tmp_path: Path
) -> None:
    sizes = [region.n_vocab for region in store.regions]
    files = [write_synthetic_features(tmp_path / f"{i}.h5", n, seed=i) for i, n in enumerate(sizes)]
    features = open_features(files, store)
    view = View.default(store, min_entities=1)
    batch = store.read(view, view.tiles[::-1])
    mean = torch.nn.functional.embedding_bag(batch.tag_ids, features.table, batch.tag_offsets[:-1], mode="mean")
    tables = [h5py.File(file)["embedding"][...] for file in files]
    for token in range(0, batch.n_tokens, 7):
        region = int(store.tile_regions([int(batch.tile_rows[token_tiles(batch)[token]])])[0])
        tags = piece_tags(store, int(batch.piece_rows[token]))
        pairs = list(zip(store.regions[region].keys, store.regions[region].values, strict=True))
        expected = np.mean([tables[region][pairs.index(pair)] for pair in tags.items()], axis=0)
        assert np.allclose(mean[token], expected, atol=1e-6)


def test_moving_a_batch_keeps_every_field(store: TileStore) -> None:
    batch = store.read(View.full(store), [3, 1], frozenset({Modality.NODES}))
    moved = batch.to("cpu")
    assert all(v is getattr(moved, k) or torch.equal(v, getattr(moved, k)) for k, v in vars(batch).items())


def test_the_test_vocabulary_is_in_the_order_of_the_format(store: TileStore) -> None:
    pairs = list(zip(store.regions[0].keys, store.regions[0].values, strict=True))
    assert pairs == sorted(((k, v) for k, vs in TAGS.items() for v in vs), key=lambda p: (p[0].encode(), p[1].encode()))
