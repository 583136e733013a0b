"""Reading ahead does not change the batches; processes that share a file read the same."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from synthetic_store import write_synthetic_processed
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from geojepa_cli.config.modality import Modality
from geojepa_cli.store.batch import TileBatch
from geojepa_cli.store.loader import TileLoader
from geojepa_cli.store.sampler import TokenBudgetSampler
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View


@pytest.fixture(scope="module")
def loader(tmp_path_factory: pytest.TempPathFactory) -> TileLoader:
    folder = tmp_path_factory.mktemp("regions")
    paths = [write_synthetic_processed(folder / f"r{i}@0" / "processed.h5", seed=i, n_tiles=40) for i in range(2)]
    store = TileStore.open(paths)
    view = View.default(store, min_entities=1)
    return TileLoader(store, view, TokenBudgetSampler(view.tiles, store.lengths(view), budget=60, block=16))


def changed(loader: TileLoader, **options: object) -> TileLoader:
    return TileLoader(**{**vars(loader), **options})  # type: ignore[arg-type]


def same(a: TileBatch, b: TileBatch) -> bool:
    pairs = [(value, vars(b)[name]) for name, value in vars(a).items()]
    return all((x is None and y is None) or torch.equal(x, y) for x, y in pairs)


@pytest.mark.parametrize(("prefetch", "threads"), [(1, 1), (3, 2), (100, 4)])
def test_batches_read_ahead_equal_those_read_one_by_one(loader: TileLoader, prefetch: int, threads: int) -> None:
    one_by_one = list(changed(loader, prefetch=0, needs=frozenset({Modality.NODES})).epoch(1))
    ahead = list(changed(loader, prefetch=prefetch, threads=threads, needs=frozenset({Modality.NODES})).epoch(1))
    assert len(ahead) == len(one_by_one) > 5
    assert all(same(a, b) for a, b in zip(ahead, one_by_one, strict=True))


def test_an_epoch_resumed_in_the_middle_has_the_same_rest(loader: TileLoader) -> None:
    whole = list(loader.epoch(4))
    rest = list(loader.epoch(4, position=3))
    assert all(same(a, b) for a, b in zip(rest, whole[3:], strict=True))


def test_ranks_share_an_epoch(loader: TileLoader) -> None:
    shares = [list(changed(loader, rank=rank, ranks=2).epoch(0)) for rank in range(2)]
    assert len(shares[0]) == len(shares[1])
    seen = [row for share in shares for batch in share for row in batch.tile_rows.tolist()]
    assert sorted(seen) == loader.view.tiles.tolist()


def test_an_error_while_reading_ahead_reaches_the_reader(loader: TileLoader) -> None:
    narrow = changed(loader, view=loader.view.restrict(loader.view.tiles[:5]))
    with pytest.raises(ValueError, match="not in the view"):
        list(narrow.epoch(0))


def test_leaving_an_epoch_early_leaves_no_thread_behind(loader: TileLoader) -> None:
    batches = changed(loader, prefetch=4, threads=2).epoch(0)
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("read-tiles")]


class Share(IterableDataset):
    """One rank's batches, split over the worker processes of a `DataLoader`."""

    def __init__(self, loader: TileLoader, rank: int) -> None:
        self.loader, self.rank = loader, rank

    def __iter__(self) -> Iterator[list[int]]:
        info = get_worker_info()
        assert info is not None
        sampler, store, view = self.loader.sampler, self.loader.store, self.loader.view
        for tiles in sampler.batches(0, 0, self.rank, 2, info.id, info.num_workers):
            yield store.read(view, tiles).tile_rows.tolist()


def test_two_ranks_of_two_processes_see_every_tile_exactly_once_in_the_order_of_one_process(loader: TileLoader) -> None:
    seen: list[int] = []
    for rank in range(2):
        batches = list(DataLoader(Share(loader, rank), batch_size=None, num_workers=2))
        assert batches == [b.tile_rows.tolist() for b in changed(loader, rank=rank, ranks=2).epoch(0)]
        seen += np.concatenate(batches).astype(int).tolist()
    assert sorted(seen) == loader.view.tiles.tolist()
