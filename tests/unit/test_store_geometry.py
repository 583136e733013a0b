"""Geometry vectors: written once, read as rows of a batch, refused if damaged."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from synthetic_store import write_synthetic_geometry, write_synthetic_processed

from geojepa_cli.config.modality import TAGS_ONLY, Modality
from geojepa_cli.errors import DataError
from geojepa_cli.models import geometry_encoders
from geojepa_cli.models.geometry_encoders import FOURIER, GeometryEncoder, fourier_encoder, write_geometry_vectors
from geojepa_cli.nn.geometry.fourier import FourierGeometry
from geojepa_cli.nn.geometry.polygon_gnn import PolygonGNN
from geojepa_cli.nn.geometry.shapes import Shapes
from geojepa_cli.store.geometry import GeometryKind, GeometryStore, write_geometry
from geojepa_cli.store.loader import TileLoader
from geojepa_cli.store.pieces import piece_spans, read_pieces
from geojepa_cli.store.reader import RegionStore
from geojepa_cli.store.sampler import TokenBudgetSampler
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View

VECTORS = frozenset({Modality.TAGS, Modality.GEOMETRY})
NODES = frozenset({Modality.NODES})
GNN = GeometryKind("polygon_gnn", "sha256-0123456789ab", 16)


@pytest.fixture
def processed(tmp_path: Path) -> Path:
    return write_synthetic_processed(tmp_path / "oak@0" / "processed.h5", seed=3, n_tiles=25)


@pytest.fixture(params=["u16", "f32"])
def either_form(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    return write_synthetic_processed(tmp_path / "elm@0" / "processed.h5", seed=4, n_tiles=12, xy_dtype=request.param)


def gnn() -> GeometryEncoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder = PolygonGNN(16, 2).eval()
    return GeometryEncoder(GNN, lambda pieces: encoder(Shapes(*pieces)))


def tile_by_tile(processed: Path, encode: Callable[[Shapes], torch.Tensor]) -> dict[int, torch.Tensor]:
    """The vector of every piece with a tag, computed from batches of single tiles."""
    store = TileStore.open([processed])
    found: dict[int, torch.Tensor] = {}
    for tile in range(store.n_tiles):
        batch = store.read(View.full(store), [tile], NODES)
        shapes = Shapes(*(getattr(batch, name) for name in Shapes._fields))
        with torch.no_grad():
            found |= dict(zip(batch.piece_rows.tolist(), encode(shapes), strict=True))
    return found


def test_stored_fourier_vectors_are_those_of_every_piece_to_the_bit(either_form: Path, tmp_path: Path) -> None:
    target = tmp_path / "geometry.h5"
    counts = write_geometry_vectors(either_form, target, fourier_encoder())
    expected = tile_by_tile(either_form, FourierGeometry())
    with h5py.File(target) as file:
        stored = torch.from_numpy(file["vector"][:])
    assert counts["pieces"] == len(stored) == RegionStore(either_form).n_pieces and stored.shape[1] == 336
    assert len(stored) >= len(expected) > 50
    for row, vector in expected.items():
        assert torch.equal(stored[row], vector.half()), row
    empty = [row for row, vector in expected.items() if not vector.any()]
    assert counts["without_geometry"] >= len(empty) > 0


def test_stored_polygon_vectors_are_those_of_every_piece(processed: Path, tmp_path: Path) -> None:
    encoder = gnn()
    write_geometry_vectors(processed, tmp_path / "geometry.h5", encoder)
    expected = tile_by_tile(processed, encoder.encode)
    stored = GeometryStore(tmp_path / "geometry.h5", RegionStore(processed).n_pieces, "oak")
    assert stored.kind == GNN
    for row, vector in expected.items():
        assert torch.from_numpy(stored.vector[row].copy()).float().sub(vector).abs().max() < 2e-3, row


@pytest.mark.parametrize("encoder", ["fourier", "polygon_gnn"])
def test_the_same_input_gives_the_same_bytes_with_any_number_of_threads(
    processed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoder: str
) -> None:
    monkeypatch.setattr(geometry_encoders, "MAX_PIECES", 40)  # several batches
    chosen = fourier_encoder() if encoder == "fourier" else gnn()
    for threads in (1, 3):
        write_geometry_vectors(processed, tmp_path / f"{threads}.h5", chosen, threads)
    assert (tmp_path / "1.h5").read_bytes() == (tmp_path / "3.h5").read_bytes()


def test_fourier_vectors_do_not_depend_on_the_batches(
    processed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_geometry_vectors(processed, tmp_path / "whole.h5", fourier_encoder())
    monkeypatch.setattr(geometry_encoders, "MAX_PIECES", 7)
    write_geometry_vectors(processed, tmp_path / "parts.h5", fourier_encoder())
    assert (tmp_path / "whole.h5").read_bytes() == (tmp_path / "parts.h5").read_bytes()


@pytest.mark.parametrize(("max_nodes", "max_pieces"), [(1, 5), (30, 1000), (10_000_000, 3), (17, 4)])
def test_spans_cover_all_pieces_within_the_limits(processed: Path, max_nodes: int, max_pieces: int) -> None:
    region = RegionStore(processed)
    spans = list(piece_spans(region, max_nodes, max_pieces))
    assert [row for span in spans for row in range(*span)] == list(range(region.n_pieces))
    for first, last in spans:
        nodes = read_pieces(region, first, last).node_xy
        assert last - first == 1 or (last - first <= max_pieces and len(nodes) <= max_nodes)


def test_pieces_are_read_as_a_batch_has_them(either_form: Path) -> None:
    store = TileStore.open([either_form])
    batch = store.read(View.full(store), range(store.n_tiles), NODES)
    assert torch.equal(batch.piece_rows, torch.arange(store.n_pieces))
    pieces = read_pieces(store.regions[0], 0, store.n_pieces)
    for name, tensor in pieces._asdict().items():
        assert torch.equal(tensor, getattr(batch, name)), name
    part = read_pieces(store.regions[0], 20, 31)
    first, last = int(batch.node_offsets[20]), int(batch.node_offsets[31])
    assert torch.equal(part.node_xy, batch.node_xy[first:last])
    edges = slice(int(batch.edge_offsets[20]), int(batch.edge_offsets[31]))
    assert torch.equal(part.edges, batch.edges[:, edges] - first) and part.edges.numel()


def test_a_region_without_pieces_has_an_empty_file(tmp_path: Path) -> None:
    empty = write_synthetic_processed(tmp_path / "r@0" / "processed.h5", empty=True)
    assert write_geometry_vectors(empty, tmp_path / "geometry.h5", fourier_encoder())["pieces"] == 0
    store = TileStore.open([empty], geometry=[tmp_path / "geometry.h5"])
    assert store.geometry_kind == FOURIER
    batch = store.read(View.full(store), [], VECTORS)
    assert batch.geometry is not None and batch.geometry.shape == (0, 336)


def two_regions(tmp_path: Path) -> TileStore:
    paths = [write_synthetic_processed(tmp_path / f"r{i}@0" / "processed.h5", seed=i, n_tiles=15) for i in range(2)]
    counts = [RegionStore(path).n_pieces for path in paths]
    vectors = [write_synthetic_geometry(tmp_path / f"g{i}.h5", count, seed=i) for i, count in enumerate(counts)]
    return TileStore.open(paths, geometry=vectors)


def test_a_batch_has_the_row_of_each_of_its_entities(tmp_path: Path) -> None:
    store = two_regions(tmp_path)
    stored = []
    for i in range(2):
        with h5py.File(tmp_path / f"g{i}.h5") as file:
            stored.append(file["vector"][:])
    rows = np.concatenate(stored)
    view = View.default(store, 1, None).drop(pieces=[3, 90])
    for tiles in (view.tiles, view.tiles[::-1], view.tiles[[5, 0, len(view.tiles) - 1, 1]]):
        batch = store.read(view, tiles, VECTORS)
        assert batch.geometry is not None and batch.geometry.dtype == torch.float16
        assert np.array_equal(batch.geometry.numpy(), rows[batch.piece_rows.numpy()])
    assert store.read(view, view.tiles, TAGS_ONLY).geometry is None


def test_the_loader_and_a_pickled_store_deliver_the_vectors(tmp_path: Path) -> None:
    store = two_regions(tmp_path)
    view = View.default(store, 1, None)
    sampler = TokenBudgetSampler(view.tiles, store.lengths(view), 60, 0)
    again = pickle.loads(pickle.dumps(store))
    for batch in TileLoader(store, view, needs=VECTORS, threads=2).read(iter(sampler.plan(0))):
        direct = again.read(view, batch.tile_rows, VECTORS)
        assert torch.equal(batch.geometry, direct.geometry)


def test_without_vectors_a_batch_has_none(processed: Path) -> None:
    store = TileStore.open([processed])
    assert store.geometry_kind is None
    assert store.read(View.full(store), [0], VECTORS).geometry is None


def damaged(path: Path, change: Callable[[h5py.File], None]) -> Path:
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def with_value(value: float) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        file["vector"][-1, -1] = value

    return change


def replaced(array: np.ndarray, **how: object) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file["vector"]
        file.create_dataset("vector", data=array, **how)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (with_value(np.nan), "not finite"),
        (with_value(-np.inf), "not finite"),
        (replaced(np.zeros((9, 6), np.float16)), "has 9 vectors"),
        (replaced(np.zeros((9, 6), np.float32)), "expected float16"),
        (replaced(np.zeros(9, np.float16)), "expected shape"),
        (replaced(np.zeros((9, 6), np.float16), compression="gzip"), "not stored contiguously"),
        (lambda file: file.__delitem__("vector"), "no column `vector`"),
        (lambda file: file.attrs.__setitem__("schema_version", 99), "schema 99"),
        (lambda file: file.attrs.__setitem__("encoder", "of variable length"), "not a text of fixed length"),
    ],
)
def test_a_damaged_file_is_refused(
    processed: Path, tmp_path: Path, change: Callable[[h5py.File], None], message: str
) -> None:
    count = RegionStore(processed).n_pieces
    path = damaged(write_synthetic_geometry(tmp_path / "geometry.h5", count), change)
    with pytest.raises(DataError, match=message) as caught:
        TileStore.open([processed], geometry=[path])
    assert str(path) in caught.value.message and caught.value.hint is not None


@pytest.mark.parametrize("size", [0, 100, 3000])
def test_a_truncated_file_is_refused(processed: Path, tmp_path: Path, size: int) -> None:
    path = write_synthetic_geometry(tmp_path / "geometry.h5", RegionStore(processed).n_pieces)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(DataError):
        TileStore.open([processed], geometry=[path])


@pytest.mark.parametrize(
    "other", [{"dim": 7}, {"version": "v2"}, {"encoder": "polygon_gnn"}], ids=lambda change: next(iter(change))
)
def test_regions_must_have_vectors_of_the_same_encoder(tmp_path: Path, other: dict[str, object]) -> None:
    store = two_regions(tmp_path)
    first = store.regions[0].path
    changed = write_synthetic_geometry(tmp_path / "other.h5", store.regions[1].n_pieces, **other)
    with pytest.raises(DataError, match="as for the other regions"):
        TileStore.open([first, store.regions[1].path], geometry=[tmp_path / "g0.h5", changed])


def test_values_that_float16_cannot_hold_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="float16"):
        write_geometry(tmp_path / "geometry.h5", 2, GNN, [np.full((2, 16), 1e6, np.float32)])
    with pytest.raises(ValueError, match="1 rows for column `vector`, expected 2"):
        write_geometry(tmp_path / "geometry.h5", 2, GNN, [np.zeros((1, 16), np.float32)])
