"""Reading ahead does not change the batches."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest
import torch
from synthetic_store import write_synthetic_processed

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
    return TileLoader(store, view)


def plan_of(loader: TileLoader, epoch: int) -> Iterator[npt.NDArray[np.int64]]:
    lengths = loader.store.lengths(loader.view)
    return iter(TokenBudgetSampler(loader.view.tiles, lengths, budget=60, block=16).plan(epoch))


def changed(loader: TileLoader, **options: object) -> TileLoader:
    return TileLoader(**{**vars(loader), **options})  # type: ignore[arg-type]


def same(a: TileBatch, b: TileBatch) -> bool:
    pairs = [(value, vars(b)[name]) for name, value in vars(a).items()]
    return all((x is None and y is None) or torch.equal(x, y) for x, y in pairs)


@pytest.mark.parametrize(("prefetch", "threads"), [(1, 1), (3, 2), (100, 4)])
def test_batches_read_ahead_equal_those_read_one_by_one(loader: TileLoader, prefetch: int, threads: int) -> None:
    one_by_one = list(changed(loader, prefetch=0, needs=frozenset({Modality.NODES})).read(plan_of(loader, 1)))
    ahead = list(
        changed(loader, prefetch=prefetch, threads=threads, needs=frozenset({Modality.NODES})).read(plan_of(loader, 1))
    )
    assert len(ahead) == len(one_by_one) > 5
    assert all(same(a, b) for a, b in zip(ahead, one_by_one, strict=True))


def test_an_error_while_reading_ahead_reaches_the_reader(loader: TileLoader) -> None:
    narrow = changed(loader, view=loader.view.restrict(loader.view.tiles[:5]))
    with pytest.raises(ValueError, match="not in the view"):
        list(narrow.read(plan_of(loader, 0)))


def test_leaving_an_epoch_early_leaves_no_thread_behind(loader: TileLoader) -> None:
    batches = changed(loader, prefetch=4, threads=2).read(plan_of(loader, 0))
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("read-tiles")]
