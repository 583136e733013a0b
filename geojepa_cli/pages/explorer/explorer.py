"""`Explorer`: answers the questions of the page about the tiles and entities of several regions."""

from __future__ import annotations

import functools
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from geojepa_cli.config.spaces import DEFAULT_FORM, Form
from geojepa_cli.errors import UsageError
from geojepa_cli.pages.explorer.requests import AreaQuery, EntityQuery, Question, Search, TextQuery, TileQuery
from geojepa_cli.search.components import components_of, principal_directions, unit_rows_of
from geojepa_cli.search.neighbours import Hit, Level, SearchRegion
from geojepa_cli.search.places import Places
from geojepa_cli.search.query import UNLIKE, Example, ScoreKind, Term
from geojepa_cli.search.searcher import Searcher
from geojepa_cli.search.tag_counts import TagStatistics
from geojepa_cli.search.text import Match
from geojepa_cli.search.text_matcher import TextMatcher

Scores = NDArray[np.float32]
Colours = NDArray[np.uint8]
MOST_VECTORS = 20_000  # of entities, for the mean vector of tiles


@dataclass(frozen=True)
class Found:
    """A result of a search.

    Attributes:
        hit: region, row, score and place among all.
        parts: score by the vectors of the question, and by its words, if it has both.
    """

    hit: Hit
    parts: tuple[float, ...] = ()


@dataclass(frozen=True)
class Answer:
    """Answer to a search.

    Attributes:
        entities: True if the results are entities, False if they are tiles.
        kind: kind of the scores, see `Blend`.
        results: results, best first.
        total: number of distinct tiles or OSM elements that were compared.
        examples: numbers of the tiles or entities that the query consists of.
        tile_scores: score of every tile, for its colour. In a search for entities, the best score of its entities.
        match: words of the question, compared with tags; None if it has no words.
    """

    entities: bool
    kind: ScoreKind
    results: list[Found]
    total: int
    examples: list[int]
    tile_scores: Scores
    match: Match | None = None


class Explorer:
    """Searches several regions, with the code that `geojepa knn` uses too.

    Several threads may call its methods.

    Args:
        regions: opened regions. Their vectors come from one model.
        form: form of the space in which vectors are compared.
    """

    def __init__(self, regions: Sequence[SearchRegion], form: Form = DEFAULT_FORM) -> None:
        self.places = Places(regions)
        self.searchers: dict[Level, Searcher] = {
            "tile": Searcher(regions, "tile", form),
            "entity": Searcher(regions, "entity", form),
        }
        self._words = TextMatcher(regions)
        self._matches = functools.lru_cache(maxsize=4)(self._words.match)
        self._busy = threading.Semaphore(2)  # searches at the same time: each one uses all threads of torch

    def search(self, wanted: Search) -> Answer:
        """Finds the tiles or entities that are most similar to a question.

        Raises:
            UsageError: a name is wrong, or a polygon contains no tile.
            NotFoundError: there is no such tile or entity.
            DataError: the examples cancel each other, or tags have no text vectors.
            MissingExtraError: the question has words, and the text encoder is not installed.
        """
        with self._busy:
            return self._search(wanted)

    def _search(self, wanted: Search) -> Answer:
        question, places = wanted.question, self.places
        level: Level = "entity" if question.about_entities else "tile"
        number_of = places.entity_id if question.about_entities else places.tile_id
        examples = self._examples(question)
        good, bad = ([number_of(name) for name in names] for names in (question.good, question.bad))
        match = self._match(question, level)
        terms = self._terms(question, level, examples, good, bad, match)
        searcher, query = self.searchers[level].asked(terms)
        liked = self._described([*examples, *good], level)
        own = [*liked, *self._described(bad, level)]
        hits = searcher.nearest(query.unit, wanted.k, own, wanted.exclude_same_group, far_from=liked)
        scores = np.concatenate(searcher.scores(query.unit))
        found = [Found(hit, self._parts(hit, level, query.unit, match)) for hit in hits]
        tile_scores = self._best_of_tiles(scores) if level == "entity" else scores
        total, entities = self.searchers[level].searched, level == "entity"
        return Answer(entities, query.kind, found, total, [*examples, *good], tile_scores, match)

    def entity_colours(self, tiles: Sequence[int], question: Question | None) -> NDArray[np.int16] | Colours:
        """Returns the colours of all entities of several tiles, one tile after the other.

        Args:
            tiles: numbers of the tiles.
            question: question with which the entities are compared; None for colours by principal components. The words
                of a question count alone, because marks of tiles say nothing about single entities.

        Returns:
            Scores as int16 [M], see `as_int16`; or red, green and blue, uint8 [M, 3].

        Raises:
            UsageError: there is no such tile.
        """
        spans = [self.places.entities_of_tile(self._checked(tile)) for tile in tiles]
        rows = np.concatenate([np.arange(span.start, span.stop, dtype=np.int64) for span in spans])
        if question is None:
            directions, low, high = self._entity_components
            return _as_colours(self._unit_rows("entity", rows) @ directions, low, high)
        if (match := self._match(question, "entity")) is not None:
            scores = np.concatenate([np.zeros(0), *match.scores()])[rows]
            return as_int16(scores, scale_of(scores))
        return as_int16(self._unit_rows("entity", rows) @ self._entity_query(question).astype(np.float32))

    @functools.cached_property
    def tag_statistics(self) -> TagStatistics:
        """Numbers of OSM elements with each tag in all regions."""
        return TagStatistics([one.store for one in self.places.regions])

    @functools.cached_property
    def tile_colours(self) -> Colours:
        """Red, green and blue of every tile from the first three principal components of its vector: uint8 [N, 3].

        The 2nd percentile of a component becomes 0, the 98th percentile 255.
        """
        space, columns = self.searchers["tile"].opened
        found = components_of(columns, space, principal_directions(columns, space))
        low, high = np.percentile(found, [2, 98], axis=0)
        return _as_colours(found, low, high)

    def tiles_inside(self, query: AreaQuery) -> list[int]:
        """Returns the numbers of the tiles whose centre lies in a polygon. A tile in several regions is returned once.

        Raises:
            UsageError: the polygon contains no centre of a tile.
        """
        polygon = shapely.make_valid(shapely.Polygon(query.ring))
        shapely.prepare(polygon)
        rows = np.flatnonzero(shapely.contains_xy(polygon, self.places.centres))
        _, first = np.unique(self.places.squares[rows], return_index=True)
        if not len(first):
            raise UsageError("the area contains no centre of a tile; draw a larger one")
        return [int(row) for row in np.sort(rows[first])]

    def _match(self, question: Question, level: Level) -> Match | None:
        return self._matches(question.query.text, level) if isinstance(question.query, TextQuery) else None

    def _examples(self, question: Question) -> list[int]:
        query = question.query
        if isinstance(query, TileQuery):
            return [self.places.tile_id(query.tile)]
        if isinstance(query, EntityQuery):
            return [self.places.entity_id(query.entity)]
        return self.tiles_inside(query) if isinstance(query, AreaQuery) else []

    def _terms(
        self,
        question: Question,
        level: Level,
        examples: Sequence[int],
        good: Sequence[int],
        bad: Sequence[int],
        match: Match | None,
    ) -> list[Term]:
        """Returns a question as terms. Its query counts as one good mark; that of an area is a mean vector."""
        units = [self._mean(level, examples)] if examples else []
        units += [self._mean(level, [number]) for number in good]
        terms = [Term(1.0, unit) for unit in units]
        if match is not None:
            terms.append(Term(1.0, scores=match.scores()))
        weight = question.weight / UNLIKE
        return terms + [Term(weight, self._mean(level, [number]), unlike=True) for number in bad if weight]

    def _parts(
        self, hit: Hit, level: Level, unit: NDArray[np.float64] | None, match: Match | None
    ) -> tuple[float, ...]:
        if match is None or unit is None:
            return ()
        return self.searchers[level].cosine(unit, hit), float(match.scores()[hit.region][hit.row])

    def _described(self, numbers: Sequence[int], level: Level) -> list[Example]:
        """Returns tiles or entities as examples, whose surroundings can be left out of a search."""
        places, found = self.places, []
        for number in numbers:
            tile = places.tile_of_entity(number) if level == "entity" else number
            element = places.element(number) if level == "entity" else None
            found.append(Example(None, None, places.tile(tile), element, (tuple(places.centres[tile].tolist()),)))
        return found

    def _best_of_tiles(self, scores: Scores) -> Scores:
        offsets = self.places.entity_offsets
        filled = np.flatnonzero(np.diff(offsets) > 0)
        found = np.full(len(self.places), scores.min() if len(scores) else 0.0, np.float32)
        found[filled] = np.maximum.reduceat(scores, offsets[:-1][filled])
        return found

    def _entity_query(self, question: Question) -> NDArray[np.float64]:
        """Returns the unit vector for entities. The vector of a tile is the mean of its entities' vectors."""
        places = self.places
        if question.about_entities:
            good, bad = ([places.entity_id(name) for name in names] for names in (question.good, question.bad))
            terms = self._terms(question, "entity", self._examples(question), good, bad, None)
            _, query = self.searchers["entity"].asked(terms)
            return np.zeros(self._width) if query.unit is None else query.unit
        tiles = [*self._examples(question), *(places.tile_id(name) for name in question.good)]
        rows = np.concatenate([np.asarray(places.entities_of_tile(tile), np.int64) for tile in tiles])
        return self._mean("entity", rows[:: max(1, len(rows) // MOST_VECTORS)])

    def _mean(self, level: Level, rows: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float64]:
        """Returns the direction of the mean of unit vectors; zeros if it has none. float64 [D]"""
        space, columns = self.searchers[level].opened
        if len(rows) == 1:
            hit = self.places.entity_hit(int(rows[0])) if level == "entity" else self.places.tile_hit(int(rows[0]))
            return self.searchers[level].source().unit(columns[hit.region][hit.row])
        mean = unit_rows_of(columns, space, rows).astype(np.float64).mean(axis=0)
        norm = float(np.linalg.norm(mean))
        return np.asarray(mean / norm if norm > 1e-12 else np.zeros_like(mean))

    def _unit_rows(self, level: Level, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        space, columns = self.searchers[level].opened
        return unit_rows_of(columns, space, rows)

    @property
    def _width(self) -> int:
        return int(self.searchers["entity"].opened[1][0].shape[1])

    def _checked(self, tile: int) -> int:
        if tile >= len(self.places):
            raise UsageError(f"there is no tile number {tile}: expected 0 to {len(self.places) - 1}")
        return tile

    @functools.cached_property
    def _entity_components(self) -> tuple[NDArray[np.float32], Any, Any]:
        space, columns = self.searchers["entity"].opened
        directions, total = principal_directions(columns, space), self.places.n_entities
        rows = np.linspace(0, total - 1, min(5_000, total)).astype(np.int64)
        low, high = np.percentile(self._unit_rows("entity", rows) @ directions, [2, 98], axis=0)
        return directions, low, high


def scale_of(scores: NDArray[np.floating]) -> float:
    """Returns the number by which scores are divided so that they lie between -1 and 1; at least 1."""
    return max(1.0, float(np.abs(scores).max())) if len(scores) else 1.0


def as_int16(scores: NDArray[np.floating], scale: float = 1.0) -> NDArray[np.int16]:
    """Converts scores from -`scale` to `scale` to integers from -32767 to 32767."""
    return np.asarray(np.rint((scores / scale).clip(-1, 1) * 32767), np.int16)


def _as_colours(found: NDArray[Any], low: NDArray[Any], high: NDArray[Any]) -> Colours:
    spread = np.maximum(high - low, 1e-9)
    return np.asarray(np.rint(((found - low) / spread).clip(0, 1) * 255), np.uint8)
