"""Texts compared with tags by a slow loop, sums of scores, and combined queries with texts."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from synthetic_embeddings import write_synthetic_embeddings
from synthetic_store import write_synthetic_processed

from geojepa_cli.search.added_scores import SummedIndex
from geojepa_cli.search.engine import VectorIndex
from geojepa_cli.search.query import Term, blend
from geojepa_cli.search.space import SearchSpace
from geojepa_cli.search.text import MATCHING, Match, Phrase, TaggedRegion, encode_text, match, split_phrases
from geojepa_cli.store.embeddings import Embeddings
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.vector_statistics import add_rows, no_vectors
from geojepa_cli.store.view import View
from geojepa_cli.tags.descriptions import describe


class _Letters:
    """Encodes a text by its letters, so that similar words have similar vectors."""

    def encode(self, texts: list[str]) -> np.ndarray:
        counts = np.array([[text.lower().count(chr(97 + i)) + 1e-3 for i in range(26)] for text in texts], np.float32)
        return counts / np.linalg.norm(counts, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> tuple[TaggedRegion, TileStore, Embeddings, np.ndarray]:
    folder = tmp_path_factory.mktemp("text")
    store = TileStore.open([write_synthetic_processed(folder / "a.h5", 3, 40)], names=["a"])
    view = View.default(store)
    rng = np.random.default_rng(0)
    tiles, entities = rng.standard_normal((len(view.tiles), 6)), rng.standard_normal((store.lengths(view).sum(), 3))
    vectors = Embeddings(write_synthetic_embeddings(folder / "e.h5", store, view, tiles, entities))
    table = _Letters().encode([f"{key} {value}" for key, value in zip(store.keys, store.values, strict=True)])
    return TaggedRegion(store.regions[0], vectors, table), store, vectors, table


def _phrase(text: str) -> Phrase:
    return Phrase(text, _Letters().encode([text])[0].astype(np.float64))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("school next to a motorway", ["school", "motorway"]),
        ("An airfield with a grass runway", ["airfield", "grass runway"]),
        ("park, playground; pond & benches", ["park", "playground", "pond", "benches"]),
        ("drive-in cinema", ["drive-in cinema"]),
        ("withered sandy beach", ["withered sandy beach"]),
        (" , café near the Straße ", ["café", "Straße"]),
    ],
)
def test_a_text_is_split_where_it_names_another_thing(text: str, expected: list[str]) -> None:
    assert split_phrases(text) == expected


def test_scores_equal_a_slow_loop(region: tuple[TaggedRegion, TileStore, Embeddings, np.ndarray]) -> None:
    tagged, store, vectors, table = region
    phrase = _phrase(f"a {store.values[0]} {store.keys[1]}s")
    wanted = [store.values[0].lower(), f"{store.keys[1].lower()}s"]
    expected = []
    counts = store.regions[0]["vocab/count"].tolist()
    for key, value, count, vector in zip(store.keys, store.values, counts, table, strict=True):
        shared = 0.0
        for text in (f"{key} {value}", describe(key, value, count).text):
            words = re.split(r"[^a-z0-9]+", text.lower())
            shared += sum(word in words or word.rstrip("s") in words or word + "s" in words for word in wanted) / 4
        expected.append((float(vector.astype(np.float64) @ phrase.vector) + 0.2 * shared) / 1.2)
    found = tagged.similarities(phrase)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    of_entity = tagged.scores(found, "entity")
    source = store.regions[0]
    for row, piece in enumerate(vectors["entity/piece"].tolist()):
        element = int(source["piece/object"][piece])
        tags = source["tag/vocab"][int(source["object/tags"][element]) : int(source["object/tags"][element + 1])]
        assert of_entity[row] == pytest.approx(max(expected[tag] for tag in tags.tolist()))
    of_tile = tagged.scores(found, "tile")
    for tile in range(vectors.n_tiles):
        inside = of_entity[vectors["entity/tile"] == tile]
        assert of_tile[tile] == pytest.approx(0.01 * math.log(sum(math.exp(one / 0.01) for one in inside)))


def test_a_tile_with_more_matching_entities_is_better_but_not_than_a_better_match() -> None:
    found = [0.01 * math.log(sum(math.exp(one / 0.01) for one in tile)) for tile in ([0.8], [0.8] * 5, [0.5] * 1000)]
    assert found[1] > found[0] > found[2]


def test_the_reading_that_tags_match_better_is_chosen(
    region: tuple[TaggedRegion, TileStore, Embeddings, np.ndarray],
) -> None:
    tagged, store, _, _ = region
    one, other = store.values[0], store.values[1]
    parts = match(encode_text(f"{one} near {other}", _Letters()), [tagged], "tile")
    assert [phrase.text for phrase in parts.phrases] == [one, other]
    scores = [tagged.scores(tagged.similarities(_phrase(name)), "tile") for name in (one, other)]
    np.testing.assert_allclose(parts.scores()[0], np.mean(scores, axis=0))
    whole = encode_text(f"{one} and xqzj", _Letters())
    assert len(match(whole, [tagged], "tile").phrases) == 1


def test_the_tags_that_match_explain_a_result(region: tuple[TaggedRegion, TileStore, Embeddings, np.ndarray]) -> None:
    tagged, store, vectors, _ = region
    tag = int(store.regions[0]["tag/vocab"][int(store.regions[0]["object/tags"][_first_element(store, vectors)])])
    wanted = f"{store.keys[tag]}={store.values[tag]}"
    found = match(
        [[Phrase(wanted, _Letters().encode([wanted.replace("=", " ")])[0].astype(np.float64))]], [tagged], "tile"
    )
    assert found.tags(0, 0) == [wanted]


def _first_element(store: TileStore, vectors: Embeddings) -> int:
    return int(store.regions[0]["piece/object"][int(vectors["entity/piece"][0])])


@pytest.mark.parametrize("share", [0.0, 0.4])
def test_sums_of_cosines_and_scores_equal_a_full_sort(share: float) -> None:
    rng = np.random.default_rng(1)
    vectors, added = rng.standard_normal((300, 5)).astype(np.float32) + 4, np.round(rng.standard_normal(300), 1)
    space = SearchSpace.fit([add_rows(no_vectors(5), vectors)], "centred")
    query = space.project(rng.standard_normal((1, 5)) + 4).astype(np.float64)[0]
    y = vectors.astype(np.float64) - vectors.astype(np.float64).mean(0)
    total = np.round(share * (y / np.linalg.norm(y, axis=1, keepdims=True)) @ query + added, 9)
    excluded = rng.random(300) < 0.2
    index = SummedIndex(VectorIndex(vectors, space), share, added)
    found = index.search(query[None], 20, excluded)
    allowed = np.flatnonzero(~excluded)
    order = allowed[np.lexsort((allowed, -total[allowed]))][:20]
    assert found.rows[0].tolist() == order.tolist()
    np.testing.assert_allclose(found.scores[0], total[order], atol=1e-8)
    rows, scores = index.above(query, found.scores[0], excluded)
    assert not excluded[rows].any()
    counts = [int((scores > one).sum()) for one in found.scores[0]]
    assert counts == [int((total[allowed] > one + 1e-9).sum()) for one in total[order]]


def _z(values: np.ndarray) -> np.ndarray:
    return np.asarray((values - values.mean()) / values.std())


def test_texts_and_vectors_are_standardised_before_the_weighted_sum() -> None:
    rng = np.random.default_rng(3)
    one, other = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    scores = [0.3 + 0.01 * rng.random(30), 0.3 + 0.01 * rng.random(20)]  # a much smaller spread than that of cosines
    cosines = [rng.uniform(-1, 1, 30), rng.uniform(-1, 1, 20)]
    asked: list[np.ndarray] = []

    def search(unit: np.ndarray) -> list[np.ndarray]:
        asked.append(unit)
        return cosines

    terms = [Term(3.0, one), Term(1.0, scores=scores), Term(2.0, other, unlike=True)]
    found = blend(terms, search)
    expected = one - 0.5 * 2.0 * other
    np.testing.assert_allclose(found.unit, expected / np.linalg.norm(expected))
    np.testing.assert_allclose(asked[0], expected / np.linalg.norm(expected))
    assert found.kind == "blend" and found.added is not None
    total = np.concatenate([found.share * c + a for c, a in zip(cosines, found.added, strict=True)])
    np.testing.assert_allclose(total, 0.75 * _z(np.concatenate(cosines)) + 0.25 * _z(np.concatenate(scores)), atol=1e-4)
    avoided = blend([Term(1.0, scores=scores), Term(2.0, other, unlike=True)], search)
    np.testing.assert_allclose(avoided.unit, -other)
    total = np.concatenate([avoided.share * c + a for c, a in zip(cosines, avoided.added or (), strict=True)])
    np.testing.assert_allclose(total, _z(np.concatenate(cosines)) + _z(np.concatenate(scores)), atol=1e-4)


def test_equal_scores_do_not_count_in_a_sum() -> None:
    found = blend([Term(1.0, np.array([1.0])), Term(1.0, scores=[np.full(4, 0.2)])], lambda _: [np.arange(4.0)])
    assert found.added is not None
    np.testing.assert_allclose(found.share * np.arange(4.0) + found.added[0], 0.5 * _z(np.arange(4.0)), atol=1e-5)


def test_a_text_alone_keeps_its_scores_and_needs_no_vector() -> None:
    scores = [np.array([0.5, 0.2])]
    found = blend([Term(7.0, scores=scores)], lambda _: pytest.fail("no cosine is needed"))
    assert found.kind == "text" and found.unit is None and found.share == 0
    assert found.added == scores


def test_tags_that_hardly_resemble_a_phrase_do_not_match(
    region: tuple[TaggedRegion, TileStore, Embeddings, np.ndarray],
) -> None:
    tagged, store, _, _ = region
    low = np.full(len(store.keys), MATCHING - 0.01)
    row = next(
        i
        for i, (key, value) in enumerate(zip(store.keys, store.values, strict=True))
        if f"{key}={value}" == "building=house"
    )
    assert not tagged.matching(_phrase("zeppelin"), low).any()
    assert tagged.matching(_phrase("zeppelin"), low + 0.02).all()
    assert tagged.matching(_phrase("Houses"), low)[row], "a tag with all words matches"
    assert not tagged.matching(_phrase("house with a red roof"), low)[row]
    assert not any(store.keys[i] == "name" for i in np.flatnonzero(tagged.matching(_phrase("main street"), low)))
    none = Match([tagged], "tile", [_phrase("zeppelin")], [[low]])
    assert none.tags(0, 0) == [] and none.note == "read as `zeppelin`; `zeppelin`: no tag matches"
