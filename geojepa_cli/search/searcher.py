"""Searches the tiles or OSM elements of several regions that are most similar to a query."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.search.added_scores import Index, SummedIndex
from geojepa_cli.search.engine import VectorIndex
from geojepa_cli.search.exclusions import Mask, close_rows, own_rows, same_group_rows
from geojepa_cli.search.neighbours import Hit, Level, SearchRegion, element_of_row, tile_of_row
from geojepa_cli.search.query import Example, Source
from geojepa_cli.search.space import DEFAULT_FORM, Form, SearchSpace

Unit = NDArray[np.float64]


class Searcher:
    """Regions to search, their search space, and an index of each region.

    Opening a searcher reads all vectors once. Use the same searcher for several queries.

    Attributes:
        regions: regions to search.
        level: `tile` to search tiles, `entity` to search OSM elements.
        column: column of the searched vectors.
        space: search space of the regions.
        searched: number of vectors in all regions.
    """

    def __init__(self, regions: Sequence[SearchRegion], level: Level, form: Form = DEFAULT_FORM) -> None:
        """Opens the indexes.

        Args:
            regions: regions to search, in a fixed order: it decides between results with equal scores.
            level: `tile` or `entity`.
            form: form of the search space.
        """
        self.regions, self.level, self.column = regions, level, f"{level}/vector"
        self.space = SearchSpace.fit([region.vectors.statistics(self.column) for region in regions], form)
        self._indexes: list[Index] = [VectorIndex(region.vectors[self.column], self.space) for region in regions]
        self.searched = sum(map(len, self._indexes))

    def source(self, regions: Sequence[SearchRegion] | None = None) -> Source:
        """Returns what query parts read. The query comes from `regions`; by default, from the searched regions."""
        return Source(self.regions if regions is None else regions, self.level, self.space, self.regions)

    def with_scores(self, share: float, added: Sequence[NDArray[np.float64]]) -> Searcher:
        """Returns a searcher by the sum of `share` · cosine and given scores, one array per region. float64 [n]"""
        found = copy(self)
        found._indexes = [SummedIndex(index, share, one) for index, one in zip(self._indexes, added, strict=True)]
        return found

    def scores(self, query: Unit) -> list[NDArray[np.float32]]:
        """Returns the similarity of every vector to a unit query [D], for each region. float32 [n]"""
        return [index.scores(query) for index in self._indexes]

    def nearest(
        self,
        query: Unit,
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
            query: unit vector in the search space, as `combine` returns it. [D]
            k: maximum number of results.
            own: examples of the query. Their tiles and elements are not among the results.
            exclude_group: leave out rows in the zoom-14 tile of an example.
            min_distance_km: smallest distance between the centres of the tile of a result and of an example.
            far_from: examples to which `exclude_group` and `min_distance_km` refer. Default: those in `own`.
        """
        examples = own if far_from is None else far_from
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
        thresholds = np.array([hit.score for hit in hits])
        above = sum(
            (index.count_above(query, thresholds, mask) for index, mask in zip(self._indexes, itself, strict=True)),
            np.zeros(len(hits), np.int64),
        )
        return [replace(hit, place=int(count) + 1) for hit, count in zip(hits, above, strict=True)]

    def _identity(self, region: int, row: int) -> Any:
        vectors = self.regions[region].vectors
        return tile_of_row(vectors, row) if self.level == "tile" else element_of_row(vectors, row)
