"""Searches the tiles or OSM elements of several regions that are most similar to a query."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from copy import copy
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.config.spaces import DEFAULT_FORM, Form
from geojepa_cli.search.added_scores import Index, SummedIndex
from geojepa_cli.search.engine import VectorIndex
from geojepa_cli.search.exclusions import Mask, close_rows, own_rows, same_group_rows
from geojepa_cli.search.neighbours import Hit, Level, SearchRegion, element_of_row
from geojepa_cli.search.query import Blend, Example, Source, Term, Unit, blend
from geojepa_cli.search.space import SearchSpace
from geojepa_cli.store.columns import Array


class Searcher:
    """Regions to search, their search space, and an index of each region.

    The first search reads all vectors once more. Use the same searcher for several queries.

    Attributes:
        regions: regions to search.
        level: `tile` to search tiles, `entity` to search OSM elements.
        column: column of the searched vectors.
        space: search space of the regions; None if they have no vectors.
    """

    def __init__(self, regions: Sequence[SearchRegion], level: Level, form: Form | None = DEFAULT_FORM) -> None:
        """Opens the indexes.

        Args:
            regions: regions to search, in a fixed order: it decides between results with equal scores.
            level: `tile` or `entity`.
            form: form of the search space. None: the regions have no vectors, and are searched only by given scores.
        """
        self.regions, self.level, self.column = regions, level, f"{level}/vector"
        self.space: SearchSpace | None = None
        self._vectors: list[VectorIndex] = []
        if form is not None:
            statistics = [region.embeddings.statistics(self.column) for region in regions]
            self.space = space = SearchSpace.fit(statistics, form)
            self._vectors = [VectorIndex(region.vectors[self.column], space) for region in regions]
        self._indexes: list[Index] = list(self._vectors)

    @functools.cached_property
    def searched(self) -> int:
        """Number of distinct tiles or OSM elements in all regions."""
        return len(np.unique(np.concatenate(self._codes)))

    @property
    def opened(self) -> tuple[SearchSpace, list[Array]]:
        """The search space, and the vectors of each region."""
        if self.space is None:
            raise ValueError("the regions were opened without vectors")
        return self.space, [index.vectors for index in self._vectors]

    def source(self, regions: Sequence[SearchRegion] | None = None) -> Source:
        """Returns what query parts read. The query comes from `regions`; by default, from the searched regions."""
        return Source(self.regions if regions is None else regions, self.level, self.space, self.regions)

    def asked(self, terms: Sequence[Term]) -> tuple[Searcher, Blend]:
        """Combines the terms of a query. Returns a searcher by the combined score, and the query for its methods."""
        query = blend(terms, self.scores)
        if query.added is None:
            return self, query
        found = copy(self)
        vectors: Sequence[VectorIndex | None] = self._vectors or [None] * len(self.regions)
        found._indexes = [SummedIndex(index, query.share, one) for index, one in zip(vectors, query.added, strict=True)]
        return found, query

    def scores(self, query: Unit | None) -> list[NDArray[np.float32]]:
        """Returns the similarity of every vector to a unit query [D], for each region. float32 [n]"""
        return [index.scores(_given(query)) for index in self._indexes]

    def cosine(self, unit: Unit, hit: Hit) -> float:
        """Returns the cosine of the vector of a result to a unit vector [D]."""
        return float(self._vectors[hit.region].exact_scores(unit, np.array([hit.row]))[0])

    def part_score(self, example: Example, hit: Hit) -> float:
        """Returns the score of a result by one part of the query alone."""
        if example.scores is not None:
            return float(example.scores[hit.region][hit.row])
        return 0.0 if example.unit is None else self.cosine(example.unit, hit)

    def nearest(
        self,
        query: Unit | None,
        k: int,
        own: Sequence[Example] = (),
        exclude_group: bool = False,
        min_distance_km: float = 0.0,
        far_from: Sequence[Example] | None = None,
    ) -> list[Hit]:
        """Returns the k tiles or OSM elements that are most similar to a query, best first.

        A tile that lies in two regions is returned once. An OSM element has a vector for its part in each tile; the
        most similar part decides its rank. If several parts are equally similar, the largest of them is returned.

        Args:
            query: unit vector in the search space, as `combine` returns it. None in a search by scores alone. [D]
            k: maximum number of results.
            own: examples of the query. Their tiles and elements are not among the results.
            exclude_group: leave out rows in the zoom-14 tile of an example.
            min_distance_km: smallest distance between the centres of the tile of a result and of an example.
            far_from: examples to which `exclude_group` and `min_distance_km` refer. Default: those in `own`.
        """
        query, examples = _given(query), own if far_from is None else far_from
        itself = [own_rows(region.vectors, self.level, own) for region in self.regions]
        masks = []
        for region, mask in zip(self.regions, itself, strict=True):
            excluded = mask.copy()
            if exclude_group:
                excluded |= same_group_rows(region.vectors, self.level, examples)
            if min_distance_km > 0:
                excluded |= close_rows(region.vectors, self.level, examples, min_distance_km)
            masks.append(excluded)
        found = self._distinct(query, k, masks)
        if self.level == "entity":
            found = [self._largest_of_equals(query, hit, masks[hit.region]) for hit in found]
        return self._with_places(query, found, itself)

    def _distinct(self, query: Unit, k: int, masks: Sequence[Mask]) -> list[Hit]:
        """Returns the best vectors of k distinct tiles or elements.

        In each region, the 2 · k best vectors are searched first. If they belong to fewer than k tiles or elements,
        four times as many are searched, until they belong to k or the region has no more vectors.
        """
        found: list[Hit] = []
        for number, (index, mask) in enumerate(zip(self._indexes, masks, strict=True)):
            available, wanted = int((~mask).sum()), 2 * k
            while available:
                best = index.search(query[None], wanted, mask)
                rows = best.rows[0].tolist()
                if wanted >= available or len({self._identity(number, row) for row in rows}) >= k:
                    found += [Hit(number, row, score) for row, score in zip(rows, best.scores[0].tolist(), strict=True)]
                    break
                wanted *= 4
        distinct: dict[object, Hit] = {}
        for hit in sorted(found, key=lambda hit: (-hit.score, hit.region, hit.row)):
            distinct.setdefault(self._identity(hit.region, hit.row), hit)
        return list(distinct.values())[:k]

    def _largest_of_equals(self, query: Unit, hit: Hit, excluded: Mask) -> Hit:
        vectors = self.regions[hit.region].vectors
        rows = vectors.rows_of_entity(*element_of_row(vectors, hit.row))
        rows = rows[~excluded[rows]]
        equal = rows[self._indexes[hit.region].exact_scores(query, rows) == hit.score]
        return replace(hit, row=int(equal[np.argmax(vectors["entity/size"][equal])])) if len(equal) else hit

    def _with_places(self, query: Unit, hits: Sequence[Hit], itself: Sequence[Mask]) -> list[Hit]:
        """Adds the place of each result among all tiles or elements. The best part of an element decides."""
        thresholds = np.array([hit.score for hit in hits])
        found = [index.above(query, thresholds, mask) for index, mask in zip(self._indexes, itself, strict=True)]
        codes = np.concatenate([codes[rows] for codes, (rows, _) in zip(self._codes, found, strict=True)])
        distinct, places = np.unique(codes, return_inverse=True)
        best = np.full(len(distinct), -np.inf)
        np.maximum.at(best, places, np.concatenate([scores for _, scores in found]))
        above = len(best) - np.searchsorted(np.sort(best), thresholds, side="right")
        return [replace(hit, place=int(count) + 1) for hit, count in zip(hits, above, strict=True)]

    @functools.cached_property
    def _codes(self) -> list[NDArray[np.int64]]:
        """One number for each vector of each region. Equal numbers are one tile, or parts of one OSM element."""
        names = ("tile/z", "tile/x", "tile/y") if self.level == "tile" else ("entity/osm_id", "entity/osm_type")
        bits = 28 if self.level == "tile" else 2
        found = []
        for region in self.regions:
            code = np.zeros(len(region.vectors[names[0]]), np.int64)
            for name in names:
                code = code << bits | region.vectors[name].astype(np.int64)
            found.append(code)
        return found

    def _identity(self, region: int, row: int) -> int:
        return int(self._codes[region][row])


def _given(query: Unit | None) -> Unit:
    """Replaces a missing query vector by one that indexes without vectors ignore."""
    return np.zeros(0) if query is None else query
