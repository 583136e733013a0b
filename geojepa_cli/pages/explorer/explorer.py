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

from geojepa_cli.errors import UsageError
from geojepa_cli.pages.explorer.requests import AreaQuery, EntityQuery, Question, Search, TextQuery, TileQuery
from geojepa_cli.search.neighbours import SearchRegion
from geojepa_cli.search.places import Places
from geojepa_cli.search.scores import VectorScores, best_rows, mean_direction, principal_directions, rocchio
from geojepa_cli.search.space import SearchSpace
from geojepa_cli.search.tag_counts import TagStatistics
from geojepa_cli.search.words import TextScores, WordSearch

Rows = NDArray[np.int64]
Unit = NDArray[np.float32]
Scores = NDArray[np.float32]
Colours = NDArray[np.uint8]


@dataclass(frozen=True)
class Answer:
    """Answer to a search.

    Attributes:
        entities: True if the results are entities, False if they are tiles.
        results: number of each result in `Places`, best first.
        scores: score of each result.
        total: number of tiles or entities that were compared.
        examples: numbers of the tiles or entities that the query consists of.
        tile_scores: score of every tile, for its colour. In a search for entities, the best score of its entities.
        note: sentence for the user; empty if there is nothing to say.
    """

    entities: bool
    results: list[int]
    scores: list[float]
    total: int
    examples: list[int]
    tile_scores: Scores
    note: str = ""


class Explorer:
    """Searches several regions.

    Several threads may call its methods.

    Args:
        regions: opened regions. Their vectors come from one model.
        tile_space, entity_space: spaces in which tile vectors and entity vectors are compared.
    """

    def __init__(self, regions: Sequence[SearchRegion], tile_space: SearchSpace, entity_space: SearchSpace) -> None:
        self.places = Places(regions)
        self.tiles = VectorScores([one.vectors["tile/vector"] for one in regions], tile_space)
        self.entities = VectorScores([one.vectors["entity/vector"] for one in regions], entity_space)
        self._words = WordSearch(regions)
        self._busy = threading.Semaphore(2)  # searches at the same time: each one uses all threads of torch

    def search_text(self, query: str) -> TextScores:
        """Returns the score of every tile for a query in words. All searches by text go through this method."""
        return self._words.search_text(query)

    def search(self, wanted: Search) -> Answer:
        """Finds the tiles or entities that are most similar to a question.

        Raises:
            UsageError: a name is wrong, or a polygon contains no tile.
            NotFoundError: there is no such tile or entity.
        """
        with self._busy:
            if wanted.question.about_entities:
                return self._search_entities(wanted)
            return self._search_tiles(wanted)

    def entity_colours(self, tiles: Sequence[int], question: Question | None) -> NDArray[np.int16] | Colours:
        """Returns the colours of all entities of several tiles, one tile after the other.

        Args:
            tiles: numbers of the tiles.
            question: question with which the entities are compared; None for colours by principal components.

        Returns:
            Scores as int16 [M], see `as_int16`; or red, green and blue, uint8 [M, 3].

        Raises:
            UsageError: there is no such tile.
        """
        spans = [self.places.entities_of_tile(self._checked(tile)) for tile in tiles]
        rows = np.concatenate([np.arange(span.start, span.stop, dtype=np.int64) for span in spans])
        if question is None:
            directions, low, high = self._entity_components
            return _as_colours(self.entities.unit_rows(rows) @ directions, low, high)
        if isinstance(question.query, TextQuery) and question.by_words:
            text = question.query.text
            found = [self._words.score_entities(text, *self._local(span)) for span in spans]
            return as_int16(np.concatenate(found))
        return as_int16(self.entities.unit_rows(rows) @ self._entity_query(question))

    @functools.cached_property
    def tag_statistics(self) -> TagStatistics:
        """Numbers of OSM elements with each tag in all regions."""
        return TagStatistics([one.store for one in self.places.regions])

    @functools.cached_property
    def tile_colours(self) -> Colours:
        """Red, green and blue of every tile from the first three principal components of its vector: uint8 [N, 3].

        The 2nd percentile of a component becomes 0, the 98th percentile 255.
        """
        found = self.tiles.scores(principal_directions(self.tiles))
        low, high = np.percentile(found, [2, 98], axis=0)
        return _as_colours(found, low, high)

    def _search_tiles(self, wanted: Search) -> Answer:
        question, places = wanted.question, self.places
        if isinstance(question.query, TextQuery) and question.by_words:
            text = self.search_text(question.query.text)
            kept = text.tiles > 0
            return self._ranked(wanted, text.tiles, [], [], ~kept, text.note)
        examples = self._tile_examples(question)
        good = [places.tile_id(name) for name in question.good]
        bad = [places.tile_id(name) for name in question.bad]
        scores = self.tiles.scores(self._combined(self.tiles, examples, good, bad, question.weight))
        return self._ranked(wanted, scores, [*examples, *good], bad, np.zeros(len(places), np.bool_))

    def _ranked(
        self,
        wanted: Search,
        scores: Scores,
        good: list[int],
        bad: list[int],
        left_out: NDArray[np.bool_],
        note: str = "",
    ) -> Answer:
        squares = self.places.squares
        left_out = left_out | np.isin(squares, squares[[*good, *bad]])
        if wanted.exclude_same_group:
            groups = self.places.groups
            left_out = left_out | np.isin(groups, groups[good])
        results = best_rows(scores, wanted.k, squares, left_out)
        return Answer(False, results.tolist(), scores[results].tolist(), len(scores), good, scores, note)

    def _search_entities(self, wanted: Search) -> Answer:
        question, places = wanted.question, self.places
        examples = [places.entity_id(question.query.entity)] if isinstance(question.query, EntityQuery) else []
        good = [*examples, *(places.entity_id(name) for name in question.good)]
        bad = [places.entity_id(name) for name in question.bad]
        scores = self.entities.scores(self._entity_query(question))
        elements, offsets = self.places.elements, self.places.entity_offsets
        left_out = np.isin(elements, elements[[*good, *bad]])
        if wanted.exclude_same_group:
            own = self.places.groups[[places.tile_of_entity(number) for number in good]]
            left_out |= np.repeat(np.isin(self.places.groups, own), np.diff(offsets))
        results = best_rows(scores, wanted.k, elements, left_out)
        filled = np.flatnonzero(np.diff(offsets) > 0)
        tile_scores = np.full(len(places), -1.0, np.float32)
        tile_scores[filled] = np.maximum.reduceat(scores, offsets[:-1][filled])
        return Answer(True, results.tolist(), scores[results].tolist(), len(scores), good, tile_scores)

    def _tile_examples(self, question: Question) -> list[int]:
        query = question.query
        if isinstance(query, TileQuery):
            return [self.places.tile_id(query.tile)]
        return self.tiles_inside(query) if isinstance(query, AreaQuery) else []

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

    def _entity_query(self, question: Question) -> Unit:
        """Returns the query vector for entities. The vector of a tile is the mean of its entities' vectors."""
        places, scores = self.places, self.entities
        if not question.about_entities:
            tiles = [*self._tile_examples(question), *(places.tile_id(name) for name in question.good)]
            rows = np.concatenate([np.asarray(places.entities_of_tile(tile), np.int64) for tile in tiles])
            return mean_direction(scores.unit_rows(rows[:: max(1, len(rows) // 20_000)]))
        query = question.query
        examples = [places.entity_id(query.entity)] if isinstance(query, EntityQuery) else []
        good = [places.entity_id(name) for name in question.good]
        bad = [places.entity_id(name) for name in question.bad]
        return self._combined(scores, examples, good, bad, question.weight)

    @staticmethod
    def _combined(scores: VectorScores, examples: list[int], good: list[int], bad: list[int], weight: float) -> Unit:
        """Returns the query vector: examples count as one good mark, with their mean vector."""
        wanted = scores.unit_rows(good)
        if examples:
            wanted = np.concatenate([mean_direction(scores.unit_rows(examples))[None], wanted])
        return rocchio(wanted, scores.unit_rows(bad), weight)

    def _checked(self, tile: int) -> int:
        if tile >= len(self.places):
            raise UsageError(f"there is no tile number {tile}: expected 0 to {len(self.places) - 1}")
        return tile

    def _local(self, span: range) -> tuple[int, Rows]:
        """Converts numbers of entities of one tile to the index of the region, and rows in its embeddings."""
        if not span:
            return 0, np.empty(0, np.int64)
        first = self.places.entity_hit(span.start)
        return first.region, np.arange(first.row, first.row + len(span), dtype=np.int64)

    @functools.cached_property
    def _entity_components(self) -> tuple[Unit, Any, Any]:
        directions = principal_directions(self.entities)
        rows = np.linspace(0, len(self.entities) - 1, min(5_000, len(self.entities))).astype(np.int64)
        low, high = np.percentile(self.entities.unit_rows(rows) @ directions, [2, 98], axis=0)
        return directions, low, high


def as_int16(scores: Scores) -> NDArray[np.int16]:
    """Converts scores from -1 to 1 to integers from -32767 to 32767."""
    return np.asarray(np.rint(scores.clip(-1, 1) * 32767), np.int16)


def _as_colours(found: NDArray[Any], low: NDArray[Any], high: NDArray[Any]) -> Colours:
    spread = np.maximum(high - low, 1e-9)
    return np.asarray(np.rint(((found - low) / spread).clip(0, 1) * 255), np.uint8)
