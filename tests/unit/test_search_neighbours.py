"""Tile and entity queries compared with a slow loop, and the errors of wrong queries."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from synthetic_embeddings import write_synthetic_embeddings
from synthetic_store import write_synthetic_processed

from geojepa_cli.errors import NotFoundError, UsageError
from geojepa_cli.search.neighbours import Hit, SearchRegion, find_entity, find_tile
from geojepa_cli.search.parts.entity import EntityPart
from geojepa_cli.search.parts.tile import TilePart
from geojepa_cli.search.searcher import Searcher
from geojepa_cli.search.tag_counts import tags_of_pieces
from geojepa_cli.store.embeddings import Embeddings
from geojepa_cli.store.entity_rows import COLUMNS, rows_of_region
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View


def _region(
    folder: Path, name: str, seed: int, corner: tuple[int, int] = (18048, 25956), width: int = 4
) -> SearchRegion:
    """A random region with random vectors of few distinct values, so that there are ties."""
    store = TileStore.open([write_synthetic_processed(folder / f"{name}.h5", seed, 60, corner=corner)], names=[name])
    view = View.default(store)
    rng = np.random.default_rng(seed)
    tiles, entities = (
        rng.integers(-2, 3, shape) + 0.5 for shape in ((len(view.tiles), 2 * width), (store.lengths(view).sum(), width))
    )
    path = write_synthetic_embeddings(folder / f"{name}-embeddings.h5", store, view, tiles, entities, seed)
    return SearchRegion(name, Embeddings(path), store.regions[0])


@pytest.fixture
def regions(tmp_path: Path) -> list[SearchRegion]:
    return [_region(tmp_path, "a", 0), _region(tmp_path, "b", 1, corner=(18100, 25956))]


def nearest_tiles(regions: Sequence[SearchRegion], name: str, k: int, exclude_group: bool = False) -> list[Hit]:
    searcher = Searcher(regions, "tile", "raw")
    example = TilePart(name).resolve(searcher.source())
    return searcher.nearest(example.unit, k, [example], exclude_group)


def nearest_entities(regions: Sequence[SearchRegion], ref: str, k: int, exclude_group: bool = False) -> list[Hit]:
    searcher = Searcher(regions, "entity", "raw")
    example = EntityPart(ref).resolve(searcher.source())
    return searcher.nearest(example.unit, k, [example], exclude_group)


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def _slow_entities(regions: Sequence[SearchRegion], ref: str) -> list[tuple[float, str]]:
    """Every other element's best piece, best first; ties in order of region and row."""
    best: dict[str, tuple[float, int, int]] = {}
    query = max(
        (
            (float(r.vectors["entity/size"][i]), r, i)
            for r in regions
            for i in range(r.vectors.n_entities)
            if r.vectors.entity_ref(i) == ref
        ),
        key=lambda entry: entry[0],
    )
    vector = query[1].vectors["entity/vector"][query[2]]
    for number, region in enumerate(regions):
        for row in range(region.vectors.n_entities):
            name = region.vectors.entity_ref(row)
            key = (-round(_cosine(vector, region.vectors["entity/vector"][row]), 12), number, row)
            if name != ref and key < best.get(name, (9.0, 0, 0)):
                best[name] = key
    return [(-score, name) for name, (score, _, _) in sorted(best.items(), key=lambda entry: entry[1])]


def test_the_nearest_tiles_of_two_regions_equal_a_slow_loop(regions: list[SearchRegion]) -> None:
    query = regions[0].vectors.tile_name(5)
    vector = regions[0].vectors["tile/vector"][5]
    expected = sorted(
        (-round(_cosine(vector, r.vectors["tile/vector"][row]), 12), n, row)
        for n, r in enumerate(regions)
        for row in range(r.vectors.n_tiles)
        if (n, row) != (0, 5)
    )
    found = nearest_tiles(regions, query, 10)
    assert [(hit.region, hit.row) for hit in found] == [(n, row) for _, n, row in expected[:10]]
    np.testing.assert_allclose([hit.score for hit in found], [-score for score, _, _ in expected[:10]])


def test_the_nearest_entities_equal_a_slow_loop_and_none_comes_twice(regions: list[SearchRegion]) -> None:
    for row in (0, 17, 101):
        ref = regions[1].vectors.entity_ref(row)
        found = nearest_entities(regions, ref, 12)
        names = [regions[hit.region].vectors.entity_ref(hit.row) for hit in found]
        expected = _slow_entities(regions, ref)[:12]
        assert names == [name for _, name in expected]
        assert len(set(names)) == 12
        assert ref not in names


def test_a_query_uses_the_entitys_largest_piece(regions: list[SearchRegion]) -> None:
    vectors = regions[0].vectors
    refs = [vectors.entity_ref(row) for row in range(vectors.n_entities)]
    several = next(ref for ref in refs if refs.count(ref) > 1)
    rows = [row for row, ref in enumerate(refs) if ref == several]
    assert find_entity(regions, several).row == max(rows, key=lambda row: float(vectors["entity/size"][row]))


def test_more_neighbours_than_there_are_gives_all(regions: list[SearchRegion]) -> None:
    found = nearest_tiles(regions, regions[0].vectors.tile_name(0), 10_000)
    assert len(found) == sum(region.vectors.n_tiles for region in regions) - 1


def test_the_querys_own_block_can_be_left_out(regions: list[SearchRegion]) -> None:
    vectors = regions[0].vectors
    x, y = int(vectors["tile/x"][0]) >> 2, int(vectors["tile/y"][0]) >> 2
    tiles = nearest_tiles(regions, vectors.tile_name(0), 500, exclude_group=True)
    entities = nearest_entities(regions, vectors.entity_ref(0), 5000, exclude_group=True)
    places = [(hit.region, hit.row) for hit in tiles]
    places += [(hit.region, int(regions[hit.region].vectors["entity/tile"][hit.row])) for hit in entities]
    for region, row in places:
        tile = regions[region].vectors
        assert (int(tile["tile/x"][row]) >> 2, int(tile["tile/y"][row]) >> 2) != (x, y)


def test_a_tile_that_two_regions_share_comes_once_and_never_as_its_own_neighbour(tmp_path: Path) -> None:
    twice = [_region(tmp_path, "a", 0), _region(tmp_path, "c", 0)]
    found = nearest_tiles(twice, twice[0].vectors.tile_name(3), 500)
    names = [twice[hit.region].vectors.tile_name(hit.row) for hit in found]
    assert len(names) == len(set(names)) == twice[0].vectors.n_tiles - 1


def test_an_unknown_tile_names_the_nearest(regions: list[SearchRegion]) -> None:
    with pytest.raises(NotFoundError, match="unknown tile `16_100_100`") as caught:
        find_tile(regions, "16_100_100")
    corner = min(
        ((int(r.vectors["tile/x"][i]) - 100) ** 2 + (int(r.vectors["tile/y"][i]) - 100) ** 2, r.vectors.tile_name(i))
        for r in regions
        for i in range(r.vectors.n_tiles)
    )
    assert f"the nearest tile is `{corner[1]}`" in caught.value.message


def test_a_filtered_tile_is_an_error_with_its_number_of_entities(regions: list[SearchRegion]) -> None:
    store = regions[0].store
    kept = set(regions[0].vectors["tile/row"].tolist())
    row = next(r for r in range(store.n_tiles) if r not in kept)
    name = f"16_{store['tile/x'][row]}_{store['tile/y'][row]}"
    with pytest.raises(NotFoundError, match=r"has \d entit(y|ies), but only tiles with 5 to 1,250 are"):
        find_tile(regions, name)


def test_an_unknown_entity_names_the_same_id_of_another_type_or_the_nearest_id(regions: list[SearchRegion]) -> None:
    vectors = regions[0].vectors
    row = int(np.flatnonzero(vectors["entity/osm_type"] == 1)[0])
    osm_id = int(vectors["entity/osm_id"][row])
    with pytest.raises(NotFoundError, match=f"the nearest id is `way/{osm_id}`"):
        find_entity(regions, f"relation/{osm_id}")
    with pytest.raises(NotFoundError, match="the nearest id is `node/"):
        find_entity(regions, "node/1")


def test_an_entity_without_a_vector_gets_the_reason(regions: list[SearchRegion]) -> None:
    store, kept = regions[0].store, set(regions[0].vectors["entity/osm_id"].tolist())
    reasons = set()
    for row in range(store.n_objects):
        osm_id = int(store["object/osm_id"][row])
        if osm_id in kept:
            continue
        kind = ("node", "way", "relation")[int(store["object/osm_type"][row])]
        with pytest.raises(NotFoundError) as caught:
            find_entity(regions[:1], f"{kind}/{osm_id}")
        reasons |= {text for text in ("has no vector", "only tiles with 5 to 1,250") if text in caught.value.message}
    assert reasons == {"has no vector", "only tiles with 5 to 1,250"}


@pytest.mark.parametrize("ref", ["way/", "way/-1", "street/1", "way/1.5", "1", "way/99999999999999999999", "way/١٢"])
def test_a_malformed_entity_is_a_usage_error(regions: list[SearchRegion], ref: str) -> None:
    with pytest.raises(UsageError, match="is not an entity"):
        find_entity(regions, ref)


def test_of_equally_near_pieces_of_a_neighbour_the_largest_is_shown(tmp_path: Path) -> None:
    region = _region(tmp_path, "a", 0, width=1)  # vectors of one number: every cosine is 1 or -1
    vectors = region.vectors
    found = nearest_entities([region], vectors.entity_ref(0), 10_000)
    shared = 0
    for hit in found:
        rows = vectors.rows_of_entity(int(vectors["entity/osm_type"][hit.row]), int(vectors["entity/osm_id"][hit.row]))
        equal = [row for row in rows if vectors["entity/vector"][row, 0] * vectors["entity/vector"][hit.row, 0] > 0]
        shared += len(equal) > 1
        assert vectors["entity/size"][hit.row] == max(vectors["entity/size"][row] for row in equal)
    assert shared > 3


def test_places_count_elements_once_however_many_tiles_they_cross(regions: list[SearchRegion]) -> None:
    ref = regions[0].vectors.entity_ref(3)
    names = {region.vectors.entity_ref(row) for region in regions for row in range(region.vectors.n_entities)}
    searcher = Searcher(regions, "entity", "raw")
    assert searcher.searched == len(names) < sum(region.vectors.n_entities for region in regions)
    slow = _slow_entities(regions, ref)
    for hit in nearest_entities(regions, ref, 40):
        assert hit.place == 1 + sum(score > hit.score for score, _ in slow)


def test_a_tile_that_two_regions_share_counts_once(tmp_path: Path) -> None:
    twice = [_region(tmp_path, "a", 0), _region(tmp_path, "c", 0)]
    assert Searcher(twice, "tile").searched == twice[0].vectors.n_tiles
    found, once = (nearest_tiles(regions, twice[0].vectors.tile_name(3), 500) for regions in (twice, twice[:1]))
    assert [hit.place for hit in found] == [hit.place for hit in once]


def test_tags_of_a_tile_count_an_element_once(regions: list[SearchRegion]) -> None:
    store = regions[0].store
    pieces = np.flatnonzero(store["piece/object"] == store["piece/object"][0])
    assert set(tags_of_pieces(store, np.concatenate([pieces, pieces])).values()) <= {1}


def test_rows_without_vectors_equal_those_of_embeddings(regions: list[SearchRegion]) -> None:
    for region in regions:
        rows = rows_of_region(region.store, region.limits)
        for name in COLUMNS:
            if not name.endswith(("/vector", "/size")):  # random in synthetic embeddings
                np.testing.assert_array_equal(rows[name], region.vectors[name], err_msg=name)
