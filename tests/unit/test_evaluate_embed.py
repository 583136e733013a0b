"""Embedding a region: order, a slow loop as oracle, resuming after a kill, contents of the file."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from batch_contents import entity_refs, tile_names
from safetensors import safe_open
from safetensors.torch import save_file
from synthetic_store import write_synthetic_processed

from geojepa_cli import console
from geojepa_cli.config.modality import TAGS_ONLY
from geojepa_cli.errors import DataError
from geojepa_cli.evaluate import embed
from geojepa_cli.evaluate.embed import embed_chunks, open_chunks
from geojepa_cli.models.base import BatchVectors
from geojepa_cli.store.batch import TileBatch
from geojepa_cli.store.embeddings import Embeddings
from geojepa_cli.store.entity_rows import COLUMNS
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View

ATTRIBUTES = {"model": "test", "region": "r@1"}


class Counts:
    """Entity: number of its tags, and its id; tile: max and mean of these."""

    name, needs = "counts", TAGS_ONLY

    def encode(self, batch: TileBatch) -> BatchVectors:
        counts = batch.tag_offsets.diff().float()
        entities = torch.stack([counts, (batch.osm_id % 97).float()], 1)
        tiles = [torch.cat([part.max(0).values, part.mean(0)]) for part in entities.split(batch.lengths.tolist())]
        return BatchVectors(entities, torch.stack(tiles))


class Killed(Counts):
    """Is interrupted at a call of `encode`. The first call measures the widths of the vectors."""

    def __init__(self, at: int) -> None:
        self.at, self.calls = at, 0

    def encode(self, batch: TileBatch) -> BatchVectors:
        self.calls += 1
        if self.calls == self.at:
            raise KeyboardInterrupt
        return super().encode(batch)


@pytest.fixture
def store(tmp_path: Path) -> TileStore:
    return TileStore.open([write_synthetic_processed(tmp_path / "processed.h5", seed=3, n_tiles=60)], names=["r"])


def _run(
    store: TileStore,
    folder: Path,
    view: View | None = None,
    embedder: Counts | None = None,
    attributes: dict[str, str] = ATTRIBUTES,
) -> Embeddings:
    folder.mkdir(exist_ok=True)
    with console.progress("test") as meter:
        embed_chunks(
            open_chunks(store, view or View.default(store), embedder or Counts(), folder, attributes), folder, meter
        )
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
        entities, tiles = Counts().encode(batch).entities, Counts().encode(batch).tiles
        first, last = made["entity/cu_seqlens"][row : row + 2].astype(int)
        np.testing.assert_array_equal(made["tile/vector"][row], tiles[0].numpy())
        np.testing.assert_array_equal(made["entity/vector"][first:last], entities.half().numpy())
        np.testing.assert_array_equal(made["entity/piece"][first:last], batch.piece_rows.numpy())
        np.testing.assert_array_equal(made["entity/osm_id"][first:last], batch.osm_id.numpy())
        for entity, ref in zip(range(first, last), entity_refs(batch), strict=True):
            kind, number = ref.split("/")
            version = int(number) % 9  # as the synthetic file has it; 0 is unknown
            assert made.record_id(entity) == (f"{kind[0]}{number}@{version}" if version else None)
        assert (made["entity/tile"][first:last] == row).all()
        assert made.tile_name(row) == tile_names(batch)[0]
        assert made["tile/row"][row] == tile


def test_a_killed_run_resumes_and_ends_with_the_same_bytes(
    store: TileStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embed, "CHUNK_TILES", 5)
    _run(store, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        _run(store, tmp_path / "killed", embedder=Killed(at=5))
    assert len(list((tmp_path / "killed" / "chunks").glob("*.safetensors"))) == 3
    resumed = Killed(at=0)
    _run(store, tmp_path / "killed", embedder=resumed)
    n_chunks = -(-len(View.default(store).tiles) // 5)
    assert resumed.calls == 1 + n_chunks - 3  # finished chunks are not embedded again
    assert (tmp_path / "killed/embeddings.h5").read_bytes() == (tmp_path / "whole/embeddings.h5").read_bytes()
    assert not (tmp_path / "killed" / "chunks").exists()


def _resaved(change: Callable[[dict[str, torch.Tensor], dict[str, str]], None]) -> Callable[[Path], None]:
    def rewrite(path: Path) -> None:
        with safe_open(path, framework="pt") as file:
            tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
        change(tensors, metadata)
        save_file(tensors, path, metadata)

    return rewrite


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-7]),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"x"),
    "header": lambda path: path.write_bytes(b"\xff" * 8 + path.read_bytes()[8:]),
    "a pickle": lambda path: path.write_bytes(pickle.dumps({"tiles": [1.0]})),
    "a zip of arrays": lambda path: np.savez(path.open("wb"), tiles=np.zeros((20, 4), np.float32)),
    "another chunk": lambda path: shutil.copy(path.with_name("000000.safetensors"), path),
    "other shape": _resaved(lambda tensors, _: tensors.update(tiles=tensors["tiles"][:-1].clone())),
    "other width": _resaved(lambda tensors, _: tensors.update(entities=tensors["entities"][:, :1].clone())),
    "other type": _resaved(lambda tensors, _: tensors.update(entities=tensors["entities"].float())),
    "missing tensor": _resaved(lambda tensors, _: tensors.pop("tiles")),
    "further tensor": _resaved(lambda tensors, _: tensors.update(more=torch.zeros(1))),
    "not finite": _resaved(lambda tensors, _: tensors.update(tiles=tensors["tiles"] * torch.nan)),
    "without identity": _resaved(lambda _, metadata: metadata.clear()),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_or_foreign_chunk_is_made_again(
    store: TileStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    monkeypatch.setattr(embed, "CHUNK_TILES", 20)
    whole = _run(store, tmp_path / "whole").path.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        _run(store, tmp_path / "killed", embedder=Killed(at=4))
    chunk = tmp_path / "killed/chunks/000001.safetensors"
    before = chunk.read_bytes()
    DAMAGES[damage](chunk)
    assert chunk.read_bytes() != before
    resumed = Killed(at=0)
    assert _run(store, tmp_path / "killed", embedder=resumed).path.read_bytes() == whole
    assert resumed.calls == 1 + -(-len(View.default(store).tiles) // 20) - 1


def test_chunks_of_another_model_or_view_are_made_again(
    store: TileStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embed, "CHUNK_TILES", 20)
    view = View.default(store)
    with pytest.raises(KeyboardInterrupt):
        _run(store, tmp_path / "killed", view, Killed(at=4))
    other_model = Killed(at=0)
    shutil.copytree(tmp_path / "killed", tmp_path / "other")
    _run(store, tmp_path / "other", view, other_model, {"model": "another", "region": "r@1"})
    tag = int(store.read(view, view.tiles[:1]).tag_ids[0])
    hidden = view.drop(tags=[tag])
    other_view = Killed(at=0)
    made = _run(store, tmp_path / "killed", hidden, other_view)
    expected = _run(store, tmp_path / "expected", hidden)
    assert made.path.read_bytes() == expected.path.read_bytes()
    assert other_model.calls == other_view.calls == 1 + -(-len(view.tiles) // 20)


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
    class Broken(Counts):
        def encode(self, batch: TileBatch) -> BatchVectors:
            found = super().encode(batch)
            return BatchVectors(found.entities, found.tiles * torch.nan)

    class Large(Counts):
        def encode(self, batch: TileBatch) -> BatchVectors:
            found = super().encode(batch)
            return BatchVectors(found.entities + 70_000, found.tiles)  # above the largest float16

    for embedder in (Broken(), Large()):
        with pytest.raises(DataError, match="not finite"):
            _run(store, tmp_path / "out", embedder=embedder)


def test_a_view_without_a_tile_is_an_error(store: TileStore, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="`r` has no tile to embed"):
        _run(store, tmp_path / "out", View.default(store, min_entities=1000))


def test_another_schema_is_refused(store: TileStore, tmp_path: Path) -> None:
    path = _run(store, tmp_path / "out").path
    with h5py.File(path, "r+") as file:
        file.attrs["schema_version"] = 99
    with pytest.raises(DataError, match="schema 99"):
        Embeddings(path)
