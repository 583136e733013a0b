"""Answers of the explorer compared with plain loops over all vectors, entities and words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
import pytest
import shapely
from explorer_pages import synthetic_api, synthetic_regions
from sklearn.decomposition import PCA

from geojepa_cli.errors import UsageError
from geojepa_cli.pages.explorer.answers import search_json
from geojepa_cli.pages.explorer.explorer import Explorer
from geojepa_cli.pages.explorer.requests import Question, Search
from geojepa_cli.search.neighbours import SearchRegion
from geojepa_cli.search.places import Places
from geojepa_cli.search.scores import VectorScores, best_rows, principal_directions, rocchio
from geojepa_cli.search.space import Form, SearchSpace
from geojepa_cli.search.words import NAME_WEIGHT, WordSearch, query_words
from geojepa_cli.store.tile_map import read_piece


@pytest.fixture(scope="module")
def regions(tmp_path_factory: pytest.TempPathFactory) -> list[SearchRegion]:
    return synthetic_regions(tmp_path_factory.mktemp("regions"))


@pytest.fixture(scope="module")
def explorer(tmp_path_factory: pytest.TempPathFactory) -> Explorer:
    return synthetic_api(tmp_path_factory.mktemp("explorer")).explorer


def ask(explorer: Explorer, question: dict[str, Any], **options: Any) -> Any:
    return explorer.search(Search(question=Question(**question), **options))


def unit_vectors(explorer: Explorer, column: str) -> np.ndarray:
    """All vectors in the search space, from its definition: y / |y|. float64"""
    regions = explorer.places.regions
    vectors = np.concatenate([one.vectors[column] for one in regions]).astype(np.float64)
    centred = vectors - vectors.mean(0)
    return centred / np.linalg.norm(centred, axis=1, keepdims=True)


@pytest.mark.parametrize("form", get_args(Form))
@pytest.mark.parametrize("column", ["tile/vector", "entity/vector"])
def test_scores_are_dot_products_in_the_search_space(regions: list[SearchRegion], form: Form, column: str) -> None:
    columns = [one.vectors[column] for one in regions]
    space = SearchSpace.fit([one.vectors.statistics(column) for one in regions], form)
    scores = VectorScores(columns, space)
    unit = space.project(np.concatenate(columns)).astype(np.float64)
    queries = unit[[0, 7, len(unit) - 1]].T.astype(np.float32)
    np.testing.assert_allclose(scores.scores(queries), unit @ queries, atol=2e-5)
    np.testing.assert_allclose(scores.scores(queries[:, 1]), unit @ queries[:, 1], atol=2e-5)
    np.testing.assert_allclose(scores.unit_rows([5, len(unit) - 2, 0]), unit[[5, len(unit) - 2, 0]], atol=1e-6)


def test_vectors_of_zeros_have_no_similarity_to_anything() -> None:
    column = np.array([[1, 2], [0, 0], [2, 1]], np.float32)
    scores = VectorScores([column], SearchSpace("centred", np.array([1.0, 1.0])))
    assert scores.scores(np.array([0, 1], np.float32)).tolist() == [1, 0, 0]


def test_the_nearest_tiles_equal_a_slow_loop(explorer: Explorer) -> None:
    places, unit = explorer.places, unit_vectors(explorer, "tile/vector")
    query = 11
    expected = sorted((-float(unit[query] @ unit[i]), i) for i in range(len(unit)) if i != query)[:9]
    answer = ask(explorer, {"query": {"kind": "tile", "tile": places.tile_name(query)}}, k=9)
    assert answer.results == [number for _, number in expected] and not answer.entities
    np.testing.assert_allclose(answer.scores, [-score for score, _ in expected], atol=2e-5)
    np.testing.assert_allclose(answer.tile_scores, unit @ unit[query], atol=2e-5)


def test_surroundings_can_be_left_out(explorer: Explorer) -> None:
    places = explorer.places
    name = places.tile_name(11)
    groups = [(int(x) >> 2, int(y) >> 2) for x, y in zip(places.x, places.y, strict=True)]
    question = {"query": {"kind": "tile", "tile": name}}
    every, others = (ask(explorer, question, k=200, exclude_same_group=flag).results for flag in (False, True))
    assert others == [number for number in every if groups[number] != groups[11]] and len(others) < len(every)


def test_the_nearest_entities_equal_a_slow_loop_over_elements(explorer: Explorer) -> None:
    places, unit = explorer.places, unit_vectors(explorer, "entity/vector")
    refs = [one.vectors.entity_ref(row) for one in places.regions for row in range(one.vectors.n_entities)]
    query = places.entity_id(refs[40])
    best: dict[str, float] = {}
    for number, ref in enumerate(refs):
        if ref != refs[query]:
            best[ref] = max(best.get(ref, -2.0), float(unit[query] @ unit[number]))
    expected = sorted(best, key=lambda ref: -best[ref])[:15]
    answer = ask(explorer, {"query": {"kind": "entity", "entity": refs[query]}}, k=15)
    assert [refs[number] for number in answer.results] == expected and answer.entities
    per_tile = [max(float(unit[query] @ unit[i]) for i in places.entities_of_tile(tile)) for tile in range(len(places))]
    np.testing.assert_allclose(answer.tile_scores, per_tile, atol=2e-5)


def test_marks_move_the_query_by_rocchio(explorer: Explorer) -> None:
    places, unit = explorer.places, unit_vectors(explorer, "tile/vector")
    good, bad, weight = [3, 9], [20, 21, 30], 0.7
    question = {
        "query": {"kind": "tile", "tile": places.tile_name(1)},
        "good": [places.tile_name(i) for i in good],
        "bad": [places.tile_name(i) for i in bad],
        "weight": weight,
    }
    wanted = unit[[1, *good]].mean(0) - weight * unit[bad].mean(0)
    scores = unit @ wanted / np.linalg.norm(wanted)
    answer = ask(explorer, question, k=10)
    np.testing.assert_allclose(answer.tile_scores, scores, atol=3e-5)
    expected = [i for i in np.argsort(-scores).tolist() if i not in (1, *good, *bad)][:10]
    assert answer.results == expected and answer.examples == [1, *good]


def test_marks_without_a_query_are_a_query(explorer: Explorer) -> None:
    places, unit = explorer.places, unit_vectors(explorer, "tile/vector")
    answer = ask(explorer, {"good": [places.tile_name(4), places.tile_name(8)]})
    mean = unit[[4, 8]].mean(0)
    np.testing.assert_allclose(answer.tile_scores, unit @ mean / np.linalg.norm(mean), atol=2e-5)


def test_a_drawn_area_asks_for_the_mean_of_the_tiles_in_it(explorer: Explorer) -> None:
    places, unit = explorer.places, unit_vectors(explorer, "tile/vector")
    west, north = places.centres[:60].min(0)[0], places.centres[:60].max(0)[1]
    ring = [(west - 0.001, north + 0.001), (west + 0.02, north - 0.002), (west, north - 0.03)]
    inside = [i for i, at in enumerate(places.centres) if shapely.Polygon(ring).contains(shapely.Point(at))]
    assert 1 < len(inside) < 40
    answer = ask(explorer, {"query": {"kind": "area", "ring": ring}}, k=5)
    mean = unit[inside].mean(0)
    assert answer.examples == inside and not set(answer.results) & set(inside)
    np.testing.assert_allclose(answer.tile_scores, unit @ mean / np.linalg.norm(mean), atol=2e-5)


def test_an_area_without_tiles_is_a_clear_error(explorer: Explorer) -> None:
    with pytest.raises(UsageError, match="contains no centre of a tile"):
        ask(explorer, {"query": {"kind": "area", "ring": [(0, 0), (1, 0), (1, 1)]}})


def test_a_tile_in_two_regions_is_one_result() -> None:
    scores = np.array([0.9, 0.9, 0.8, 0.8, 0.7], np.float32)
    same = np.array([5, 5, 6, 7, 8])
    assert best_rows(scores, 3, same, np.zeros(5, bool)).tolist() == [0, 2, 3]
    assert best_rows(scores, 9, same, same == 6).tolist() == [0, 3, 4]


def test_many_equal_places_do_not_hide_the_next_one() -> None:
    scores = np.linspace(1, 0, 5000).astype(np.float32)
    same = np.repeat([0, 1, 2], [4000, 999, 1])
    assert best_rows(scores, 3, same, np.zeros(5000, bool)).tolist() == [0, 4000, 4999]


def test_rocchio_of_equal_good_and_bad_places_has_no_direction() -> None:
    good = np.array([[1.0, 0.0]], np.float32)
    assert rocchio(good, good, 1.0).tolist() == [0, 0]
    np.testing.assert_allclose(rocchio(good, good[:0], 1.0), good[0])


def test_colours_are_the_principal_components(explorer: Explorer) -> None:
    unit = unit_vectors(explorer, "tile/vector")
    expected = PCA(3).fit(unit).components_
    found = principal_directions(explorer.tiles)
    np.testing.assert_allclose(np.abs(np.sum(found.T * expected, axis=1)), 1, atol=1e-4)
    values = unit @ found
    low, high = np.percentile(values, [2, 98], axis=0)
    scaled = np.clip((values - low) / (high - low), 0, 1) * 255
    assert np.abs(explorer.tile_colours - scaled).max() <= 1


def test_entities_of_a_tile_query_are_compared_with_their_mean(explorer: Explorer) -> None:
    places, unit = explorer.places, unit_vectors(explorer, "entity/vector")
    own, other = list(places.entities_of_tile(2)), list(places.entities_of_tile(5))
    question = Question.model_validate({"query": {"kind": "tile", "tile": places.tile_name(2)}})
    found = explorer.entity_colours([5, 2], question) / 32767
    mean = unit[own].mean(0)
    np.testing.assert_allclose(found, unit[[*other, *own]] @ mean / np.linalg.norm(mean), atol=1e-4)


def slow_scores(regions: Sequence[SearchRegion], wanted: list[tuple[set[tuple[str, str]], float]]) -> np.ndarray:
    """The formula of `WordSearch`, with a loop over all entities of all tiles."""
    counts = [
        [
            [
                sum(bool(tags & set(read_piece(one.store, int(piece)).tags.items())) for piece in pieces)
                for pieces in np.split(one.vectors["entity/piece"], one.vectors["entity/cu_seqlens"][1:-1].astype(int))
            ]
            for one in regions
        ]
        for tags, _ in wanted
    ]
    total, weights = 0.0, 0.0
    for (_, factor), per_region in zip(wanted, counts, strict=True):
        n = np.concatenate(per_region).astype(float)
        weight = factor * math.log(1 + len(n) / max(1, (n > 0).sum()))
        total, weights = total + weight * n / (n + 1), weights + weight
    return np.asarray(total / weights)


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("building=house", [({("building", "house")}, 1.0)]),
        ("bridge=*", [({("bridge", "yes"), ("bridge", "viaduct")}, 1.0)]),
        ("Towers", [({("man_made", "tower")}, 1.0)]),
        ("garage and tower", [({("building", "garage")}, 1.0), ({("man_made", "tower")}, 1.0)]),
        ("main garage", [({("name", "Main Street")}, NAME_WEIGHT), ({("building", "garage")}, 1.0)]),
        ("garage unheard-of=*", [({("building", "garage")}, 1.0)]),
    ],
)
def test_words_score_tiles_by_the_formula(
    regions: list[SearchRegion], query: str, wanted: list[tuple[set[tuple[str, str]], float]]
) -> None:
    found = WordSearch(regions).search_text(query)
    np.testing.assert_allclose(found.tiles, slow_scores(regions, wanted), rtol=1e-5)
    assert found.tiles.max() > 0


def test_words_find_tags_by_the_terms_of_the_tagging_schema(regions: list[SearchRegion]) -> None:
    found = WordSearch(regions).search_text("promenade")  # a search term of highway=footway
    assert "highway=footway" in found.note and found.tiles.max() > 0


def test_a_text_without_a_match_scores_nothing_and_says_so(regions: list[SearchRegion]) -> None:
    found = WordSearch(regions).search_text("zeppelin")
    assert found.tiles.max() == 0 and "zeppelin" in found.note and "no tag" in found.note
    assert "no word" in WordSearch(regions).search_text("the, of !?").note


def test_words_are_normalised() -> None:
    assert query_words("The Schools of grass, bus-stops: SCHOOL natural=Water") == [
        *("school", "grass", "bus", "stop", "natural=water"),
    ]


def test_results_by_words_leave_out_tiles_without_a_match(explorer: Explorer) -> None:
    answer = ask(explorer, {"query": {"kind": "text", "text": "viaduct"}}, k=200)
    assert answer.results == [
        int(i) for i in np.argsort(-answer.tile_scores, kind="stable") if answer.tile_scores[i] > 0
    ]
    question = Question.model_validate({"query": {"kind": "text", "text": "viaduct"}})
    assert explorer.entity_colours(answer.results[:1], question).max() == 32767


def test_good_places_replace_the_words_of_a_query(explorer: Explorer) -> None:
    name = explorer.places.tile_name(3)
    by_words = ask(explorer, {"query": {"kind": "text", "text": "viaduct"}, "good": [name]})
    assert by_words.results == ask(explorer, {"good": [name]}).results


def test_results_have_rank_share_and_distance(explorer: Explorer) -> None:
    places = explorer.places
    answer = ask(explorer, {"query": {"kind": "tile", "tile": places.tile_name(0)}}, k=7)
    found = search_json(places, answer, explorer.tag_statistics)
    assert [one["rank"] for one in found["results"]] == list(range(1, 8))
    assert found["results"][2]["share"] == 3 / len(places)
    (example,) = found["examples"]
    assert example["name"] == places.tile_name(0) and example["rank"] == 0
    for one in found["results"]:
        lon1, lat1, lon2, lat2 = np.radians([example["lon"], example["lat"], one["lon"], one["lat"]])
        cosine = np.sin(lat1) * np.sin(lat2) + np.cos(lat1) * np.cos(lat2) * np.cos(lon1 - lon2)
        assert one["distance_km"] == pytest.approx(6371.0088 * np.arccos(min(1, cosine)), abs=2e-3)


def test_entities_and_tiles_of_all_regions_have_consecutive_numbers(regions: list[SearchRegion]) -> None:
    places = Places(regions)
    offsets = places.entity_offsets
    for number in (0, len(places) - 1, regions[0].vectors.n_tiles, regions[0].vectors.n_tiles - 1):
        assert places.tile_id(places.tile_name(number)) == number
        assert range(offsets[number], offsets[number + 1]) == places.entities_of_tile(number)
        assert {places.tile_of_entity(entity) for entity in places.entities_of_tile(number)} == {number}
    assert offsets[-1] == places.n_entities
