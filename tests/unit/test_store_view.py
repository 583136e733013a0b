"""Views: the default filter and its counts, saving, several regions."""

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
from geojepa_cli.store.view_file import load_views, save_views

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
    assert error.value.hint is not None and "--imagery" in str(error.value.hint)


@SETTINGS
@given(seed=st.integers(0, 10**6))
def test_a_view_is_the_same_after_taking_its_regions_apart(store: TileStore, seed: int) -> None:
    view = random_view(store.shape, seed)
    assert same(View.concat([view.region(i) for i in range(len(view.shape))]), view)


def random_pair(shape: tuple[tuple[int, int, int], ...], seed: int) -> tuple[View, View]:
    """A plain view and one of the same tiles that hides more."""
    some, more = random_view(shape, seed), random_view(shape, seed + 1)
    plain = View(shape, some.tiles, dropped_pieces=some.dropped_pieces)
    return plain, plain.drop(more.dropped_tags, more.dropped_pieces)


@SETTINGS
@given(seed=st.integers(0, 10**6))
def test_both_views_are_the_same_after_saving_them_region_by_region(
    store: TileStore, tmp_path: Path, seed: int
) -> None:
    pairs = [random_pair((shape,), seed + i) for i, shape in enumerate(store.shape)]
    for i, pair in enumerate(pairs):
        save_views(tmp_path / f"{i}.h5", *pair)
    loaded = load_views([tmp_path / "0.h5", tmp_path / "1.h5"], store)
    for i in range(2):
        whole = View.concat([pair[i] for pair in pairs])
        assert same(loaded[i], whole)


def test_views_that_one_file_cannot_hold_are_refused(store: TileStore, tmp_path: Path) -> None:
    plain, masked = random_pair(store.shape[:1], seed=4)
    for pair in (
        (masked, plain),
        (plain, masked.restrict(masked.tiles[1:])),
        (View.full(store), View.full(store)),
        (plain.drop(tags=[1]), masked),
    ):
        with pytest.raises(ValueError, match="view"):
            save_views(tmp_path / "views.h5", *pair)


def test_saving_twice_gives_the_same_bytes(store: TileStore, tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_views(tmp_path / name, *random_pair(store.shape[:1], seed=1))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_an_empty_region_has_views_that_can_be_saved(tmp_path: Path) -> None:
    store = TileStore.open([write_synthetic_processed(tmp_path / "void@0" / "processed.h5", empty=True)])
    view = View.default(store)
    save_views(tmp_path / "views.h5", view, view)
    assert all(same(found, view) for found in load_views([tmp_path / "views.h5"], store))


def test_views_of_other_data_are_refused(store: TileStore, paths: list[Path], tmp_path: Path) -> None:
    view = View.default(TileStore.open(paths[1:]))
    save_views(tmp_path / "views.h5", view, view)
    other = TileStore.open(paths[:1])
    with pytest.raises(DataError, match="made for") as error:
        load_views([tmp_path / "views.h5"], other)
    assert str(error.value.hint) == "geojepa build-tasks --region r0"
    with pytest.raises(ValueError, match="another dataset"):
        other.read(View.full(store), [0])


def test_a_file_that_holds_no_views_is_refused(paths: list[Path], tmp_path: Path) -> None:
    (tmp_path / "junk.h5").write_bytes(b"<html>")
    for path in (paths[0], tmp_path / "junk.h5", tmp_path / "absent.h5"):
        with pytest.raises(DataError):
            load_views([path], TileStore.open(paths[:1]))


def test_a_damaged_file_is_refused_or_read_as_it_was(store: TileStore, paths: list[Path], tmp_path: Path) -> None:
    # A bit that a mask loses would show a label: damage must never give another view.
    one = TileStore.open(paths[:1])
    pair = random_pair(one.shape, seed=9)
    save_views(tmp_path / "views.h5", *pair)
    whole = (tmp_path / "views.h5").read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for turn in range(300):
        data = bytearray(whole)
        data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
        (tmp_path / "views.h5").write_bytes(data[: int(rng.integers(len(data)))] if turn % 3 == 0 else data)
        try:
            found = load_views([tmp_path / "views.h5"], one)
        except DataError as error:
            refused += 1
            assert error.hint is not None and str(error.hint).startswith("geojepa ")
        else:
            assert same(found[0], pair[0]) and same(found[1], pair[1])
    assert refused > 150


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
