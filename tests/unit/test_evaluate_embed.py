"""Embedding a region: order, a slow loop as oracle, resuming after a kill, contents of the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from synthetic_store import write_synthetic_processed

from geojepa_cli import console
from geojepa_cli.config.modality import TAGS_ONLY
from geojepa_cli.errors import DataError
from geojepa_cli.evaluate import embed
from geojepa_cli.evaluate.embed import embed_region
from geojepa_cli.models.base import Embeddings as Vectors
from geojepa_cli.store.batch import TileBatch
from geojepa_cli.store.embeddings import COLUMNS, Embeddings
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View

ATTRIBUTES = {"model": "test", "region": "r@1"}


@contextmanager
def _meter() -> Iterator[console.Meter]:
    with console.progress("test") as meter:
        yield meter


Encode = Callable[[TileBatch], tuple[torch.Tensor, torch.Tensor]]


class _Embedder:
    name, needs = "test", TAGS_ONLY

    def __init__(self, encode: Encode) -> None:
        self._encode = encode

    def encode(self, batch: TileBatch) -> Vectors:
        tiles, entities = self._encode(batch)
        return Vectors(entities, tiles)


def _encode(batch: TileBatch) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns tile and entity vectors. Entity: number of its tags, and its id; tile: max and mean of these."""
    counts = batch.tag_offsets.diff().float()
    entities = torch.stack([counts, (batch.osm_id % 97).float()], 1)
    tiles = [torch.cat([part.max(0).values, part.mean(0)]) for part in entities.split(batch.lengths.tolist())]
    return torch.stack(tiles), entities


@pytest.fixture
def store(tmp_path: Path) -> TileStore:
    return TileStore.open([write_synthetic_processed(tmp_path / "processed.h5", seed=3, n_tiles=60)], names=["r"])


def _run(store: TileStore, folder: Path, view: View | None = None, encode: Encode = _encode) -> Embeddings:
    folder.mkdir(exist_ok=True)
    with _meter() as meter:
        embed_region(store, view or View.default(store), _Embedder(encode), folder, ATTRIBUTES, meter)
    return Embeddings(folder / "embeddings.h5")


@pytest.mark.parametrize(("chunk", "budget"), [(2048, 16384), (7, 40), (1, 1)])
def test_vectors_are_in_the_order_of_the_view_for_any_chunk(
    store: TileStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int, budget: int
) -> None:
    monkeypatch.setattr(embed, "CHUNK_TILES", chunk)
    monkeypatch.setattr(embed, "BATCH_TOKENS", budget)
    view = View.default(store)
    made = _run(store, tmp_path / "out", view)
    assert made.n_tiles == len(view.tiles)
    for row, tile in enumerate(view.tiles.tolist()):
        batch = store.read(view, [tile])
        tiles, entities = _encode(batch)
        first, last = made["entity/cu_seqlens"][row : row + 2].astype(int)
        np.testing.assert_array_equal(made["tile/vector"][row], tiles[0].numpy())
        np.testing.assert_array_equal(made["entity/vector"][first:last], entities.half().numpy())
        np.testing.assert_array_equal(made["entity/piece"][first:last], batch.piece_rows.numpy())
        np.testing.assert_array_equal(made["entity/osm_id"][first:last], batch.osm_id.numpy())
        for entity, ref in zip(range(first, last), batch.entity_refs(), strict=True):
            kind, number = ref.split("/")
            version = int(number) % 9  # as the synthetic file has it
            assert made.record_id(entity) == (f"{kind[0]}{number}@{version}" if version else None)
        assert (made["entity/tile"][first:last] == row).all()
        assert made.tile_name(row) == batch.tile_names()[0]
        assert made["tile/row"][row] == tile


def test_a_killed_run_resumes_and_ends_with_the_same_bytes(
    store: TileStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embed, "CHUNK_TILES", 5)
    _run(store, tmp_path / "whole")
    calls = 0

    def dies(batch: TileBatch) -> tuple[torch.Tensor, torch.Tensor]:
        nonlocal calls
        calls += 1
        if calls == 5:  # the first call measures the width
            raise KeyboardInterrupt
        return _encode(batch)

    with pytest.raises(KeyboardInterrupt):
        _run(store, tmp_path / "killed", encode=dies)
    assert len(list((tmp_path / "killed" / "chunks").glob("*.safetensors"))) == 3
    calls = 99
    _run(store, tmp_path / "killed", encode=dies)
    n_chunks = -(-len(View.default(store).tiles) // 5)
    assert calls == 100 + n_chunks - 3  # finished chunks are not embedded again
    assert (tmp_path / "killed/embeddings.h5").read_bytes() == (tmp_path / "whole/embeddings.h5").read_bytes()
    assert not (tmp_path / "killed" / "chunks").exists()


DAMAGES = {
    "cut": lambda data: data[:-7],
    "longer": lambda data: data + b"x",
    "empty": lambda data: b"",
    "other type": lambda data: data.replace(b'"F16"', b'"I16"', 1),
    "header": lambda data: b"\xff" * 8 + data[8:],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_chunk_is_made_again(
    store: TileStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    monkeypatch.setattr(embed, "CHUNK_TILES", 20)
    whole = _run(store, tmp_path / "whole").path.read_bytes()

    def dies(batch: TileBatch) -> tuple[torch.Tensor, torch.Tensor]:
        if (tmp_path / "killed/chunks/000001.safetensors").exists():
            raise KeyboardInterrupt
        return _encode(batch)

    with pytest.raises(KeyboardInterrupt):
        _run(store, tmp_path / "killed", encode=dies)
    chunk = tmp_path / "killed/chunks/000001.safetensors"
    damaged = DAMAGES[damage](chunk.read_bytes())
    assert damaged != chunk.read_bytes()
    chunk.write_bytes(damaged)
    assert _run(store, tmp_path / "killed").path.read_bytes() == whole


def test_size_is_the_area_of_areas_and_the_length_of_lines(store: TileStore, tmp_path: Path) -> None:
    made = _run(store, tmp_path / "out")
    region, pieces = store.regions[0], made["entity/piece"].astype(int)
    area, length = region["piece/area_m2"][pieces], region["piece/length_m"][pieces]
    np.testing.assert_array_equal(made["entity/size"], np.where(area > 0, area, length))


def test_columns_are_contiguous_and_of_the_documented_types(store: TileStore, tmp_path: Path) -> None:
    made = _run(store, tmp_path / "out")
    with h5py.File(made.path) as file:
        for name, dtype in COLUMNS.items():
            assert file[name].dtype == np.dtype(dtype)
            assert file[name].chunks is None


def test_a_vector_that_is_not_finite_is_an_error(store: TileStore, tmp_path: Path) -> None:
    def broken(batch: TileBatch) -> tuple[torch.Tensor, torch.Tensor]:
        tiles, entities = _encode(batch)
        return tiles * torch.nan, entities

    with pytest.raises(DataError, match="not finite"):
        _run(store, tmp_path / "out", encode=broken)


def test_a_view_without_a_tile_is_an_error(store: TileStore, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no tile of `r`"):
        _run(store, tmp_path / "out", View.default(store, min_entities=1000))


def test_another_schema_is_refused(store: TileStore, tmp_path: Path) -> None:
    path = _run(store, tmp_path / "out").path
    with h5py.File(path, "r+") as file:
        file.attrs["schema_version"] = 99
    with pytest.raises(DataError, match="schema 99"):
        Embeddings(path)
