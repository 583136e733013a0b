"""Views: the default filter and its counts, composition, saving, several regions."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from synthetic_store import write_synthetic_processed

from geojepa_cli.errors import DataError, UsageError
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View

SETTINGS = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("regions")
    return [write_synthetic_processed(folder / f"r{i}@0" / "processed.h5", seed=i, n_tiles=30 - i) for i in range(2)]


@pytest.fixture(scope="module")
def store(paths: list[Path]) -> TileStore:
    return TileStore.open(paths)


def token_count(path: Path, tile: int) -> int:
    """Tokens of a tile by the definition, one piece at a time."""
    with h5py.File(path) as f:
        count = 0
        for piece in range(int(f["tile/pieces"][tile]), int(f["tile/pieces"][tile + 1])):
            obj = int(f["piece/object"][piece])
            tagged = f["object/tags"][obj + 1] > f["object/tags"][obj]
            count += bool(f["object/token"][obj] == 0 and not f["piece/covers_tile"][piece] and tagged)
        return count


def random_view(shape: tuple[tuple[int, int, int], ...], seed: int) -> View:
    rng = np.random.default_rng(seed)
    tiles, pieces, vocab = np.array(shape).sum(0)
    rows = [np.flatnonzero(rng.random(n) < rng.random()) for n in (tiles, vocab, pieces)]
    return View(shape, *rows, {"x": seed % 7, f"y{seed % 3}": 1})


def same(a: View, b: View) -> bool:
    rows = ("tiles", "dropped_tags", "dropped_pieces")
    return a.shape == b.shape and all(np.array_equal(getattr(a, n), getattr(b, n)) for n in rows)


def test_the_default_view_keeps_the_tiles_whose_tokens_are_in_range(paths: list[Path]) -> None:
    store = TileStore.open(paths[:1])
    expected = [token_count(paths[0], tile) for tile in range(store.n_tiles)]
    view = View.default(store, min_entities=5, max_entities=14)
    assert view.tiles.tolist() == [tile for tile, n in enumerate(expected) if 5 <= n <= 14]
    assert store.lengths(view).tolist() == [n for n in expected if 5 <= n <= 14]
    assert view.counts["tiles with fewer than 5 entities"] == sum(n < 5 for n in expected)
    assert view.counts["tiles with more than 14 entities"] == sum(n > 14 for n in expected)


def test_every_drop_is_counted_once(store: TileStore) -> None:
    view = View.default(store, min_entities=3, max_entities=13, bbox=(-80.86, 34.98, -80.83, 35.02))
    dropped = {reason: n for reason, n in view.counts.items() if reason.startswith("tiles")}
    assert len(view.tiles) + sum(dropped.values()) == store.n_tiles
    assert all(n > 0 for n in dropped.values())
    in_kept = int(store.tile_piece_counts()[view.tiles].sum())
    pieces = sum(n for reason, n in view.counts.items() if reason.startswith("entities"))
    assert pieces == len(view.dropped_pieces)
    assert int(store.lengths(view).sum()) + pieces == in_kept


def test_the_bounding_box_keeps_the_tiles_that_overlap_it(store: TileStore) -> None:
    bounds = store.tile_bounds()
    west, south, east, north = (float(edge) for edge in bounds[12])
    # Neighbours share an edge with the box, and no area.
    kept = View.default(store, min_entities=0, bbox=(west, south, east, north))
    assert set(store.tile_names(kept.tiles)) == {store.tile_names([12])[0]}
    wider = View.default(store, min_entities=0, bbox=(west - 1e-6, south - 1e-6, east + 1e-6, north + 1e-6))
    x, y = store.tile_zxy[12, 1:]
    near = (np.abs(store.tile_zxy[:, 1] - x) <= 1) & (np.abs(store.tile_zxy[:, 2] - y) <= 1)
    assert wider.tiles.tolist() == np.flatnonzero(near).tolist() and near.sum() > 2
    assert len(View.default(store, min_entities=0, bbox=(0.0, 0.0, 1.0, 1.0)).tiles) == 0
    with pytest.raises(UsageError, match="empty"):
        View.default(store, bbox=(1.0, 0.0, 0.0, 1.0))


def test_imagery_only_without_any_images_is_an_error_with_a_hint(store: TileStore) -> None:
    with pytest.raises(UsageError) as error:
        View.default(store, imagery_only=True)
    assert error.value.hint is not None and "--imagery" in error.value.hint


@SETTINGS
@given(a=st.integers(0, 10**6), b=st.integers(0, 10**6))
def test_a_composed_view_shows_what_both_show(store: TileStore, a: int, b: int) -> None:
    first, second = random_view(store.shape, a), random_view(store.shape, b)
    both = first & second
    assert set(both.tiles) == set(first.tiles) & set(second.tiles)
    assert set(both.dropped_tags) == set(first.dropped_tags) | set(second.dropped_tags)
    assert set(both.dropped_pieces) == set(first.dropped_pieces) | set(second.dropped_pieces)
    assert same(both, second & first)
    assert same(first & View.full(store), first)


def test_a_reason_that_both_views_count_is_taken_once(store: TileStore) -> None:
    base = View.full(store).restrict(np.arange(20), "shared")
    first, second = base.restrict(np.arange(10), "first"), base.restrict(np.arange(5, 20), "second")
    both = {"shared": store.n_tiles - 20, "first": 10, "second": 5}
    assert (first & second).counts == (second & first).counts == both
    grown = base.restrict(np.arange(15), "shared")
    assert (grown & base).counts == (base & grown).counts == {"shared": store.n_tiles - 15}


@SETTINGS
@given(seed=st.integers(0, 10**6))
def test_a_view_is_the_same_after_saving_and_after_taking_its_regions_apart(
    store: TileStore, tmp_path: Path, seed: int
) -> None:
    view = random_view(store.shape, seed)
    view.save(tmp_path / "view.h5")
    loaded = View.load(tmp_path / "view.h5", store)
    assert same(loaded, view) and loaded.counts == view.counts
    parts = [view.region(i) for i in range(len(view.shape))]
    assert same(View.concat(parts), view)
    for i, part in enumerate(parts):
        part.save(tmp_path / f"{i}.h5")
    assert same(View.load([tmp_path / "0.h5", tmp_path / "1.h5"], store), view)


def test_saving_twice_gives_the_same_bytes(store: TileStore, tmp_path: Path) -> None:
    for name in ("a", "b"):
        View.default(store).save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_an_empty_dataset_has_a_view_that_can_be_saved(tmp_path: Path) -> None:
    store = TileStore.open([write_synthetic_processed(tmp_path / "void@0" / "processed.h5", empty=True)])
    view = View.default(store)
    view.save(tmp_path / "view.h5")
    assert same(View.load(tmp_path / "view.h5", store), view)


def test_a_view_of_other_data_is_refused(store: TileStore, paths: list[Path], tmp_path: Path) -> None:
    View.default(store).save(tmp_path / "view.h5")
    other = TileStore.open(paths[:1])
    with pytest.raises(DataError) as error:
        View.load(tmp_path / "view.h5", other)
    assert error.value.hint == "geojepa build-tasks --region r0"
    with pytest.raises(ValueError, match="another dataset"):
        other.read(View.full(store), [0])
    with pytest.raises(ValueError, match="different datasets"):
        View.full(store) & View.full(other)


def test_a_file_that_is_no_view_is_refused(paths: list[Path], tmp_path: Path) -> None:
    (tmp_path / "junk.h5").write_bytes(b"<html>")
    for path in (paths[0], tmp_path / "junk.h5", tmp_path / "absent.h5"):
        with pytest.raises(DataError):
            View.load(path)


def test_restricting_and_dropping_count_under_their_reason(store: TileStore) -> None:
    view = View.full(store).restrict(np.arange(10), "tiles of another split")
    assert view.counts == {"tiles of another split": store.n_tiles - 10}
    masked = view.drop(pieces=[3, 4]).drop(pieces=[4, 5], reason="masked entities")
    assert masked.counts["masked entities"] == 1 and masked.dropped_pieces.tolist() == [3, 4, 5]


def test_trimming_takes_away_only_what_no_kept_tile_shows(store: TileStore) -> None:
    view = View.full(store).drop(pieces=np.arange(0, store.n_pieces, 2)).restrict([1, 8, 40])
    trimmed = view.trimmed(store)
    assert 0 < len(trimmed.dropped_pieces) < len(view.dropped_pieces)
    for tile in view.tiles:
        assert store.read(trimmed, [tile]).piece_rows.tolist() == store.read(view, [tile]).piece_rows.tolist()


def test_rows_outside_the_dataset_are_refused(store: TileStore) -> None:
    with pytest.raises(ValueError, match="the dataset has"):
        View(store.shape, np.array([store.n_tiles]))
