"""Runs a search for neighbours on opened regions, and describes the results as JSON, GeoJSON, CSV and a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from geojepa_cli.config.limits import EntityLimits
from geojepa_cli.stages.features import FILE as FEATURES_FILE
from geojepa_cli.stages.images import FILE as IMAGES_FILE
from geojepa_cli.stages.neighbour_query import NeighbourQuery
from geojepa_cli.stages.processed import FILE as PROCESSED_FILE
from geojepa_cli.workspace.artifact import Artifact

if TYPE_CHECKING:
    from geojepa_cli.pages.neighbours.page import Card
    from geojepa_cli.search.neighbours import Hit, SearchRegion
    from geojepa_cli.search.results import SearchResult


@dataclass(frozen=True)
class Answer:
    """Results of a search.

    Attributes:
        examples: tiles or entities that the query names, with the numbers of their parts.
        neighbours: results, best first.
        stores: for each example and then each neighbour, the region that contains it.
        searched: number of searched vectors.
        notes: for each part of the query, a remark on how it was understood; empty if there is none.
    """

    examples: list[tuple[int, SearchResult]]
    neighbours: list[SearchResult]
    stores: list[SearchRegion]
    searched: int
    notes: Sequence[str] = ()

    @property
    def results(self) -> list[SearchResult]:
        """The examples, followed by the neighbours."""
        return [*(result for _, result in self.examples), *self.neighbours]

    def to_json(self, query: NeighbourQuery) -> dict[str, Any]:
        """Returns the query, its parts and the neighbours as JSON."""
        parts: list[dict[str, Any]] = [{**part.params(), "result": None} for part in query.parts]
        for part, note in zip(parts, self.notes, strict=False):
            part |= {"note": note} if note else {}
        for number, result in self.examples:
            parts[number]["result"] = result.to_json()
        return {
            "query": next((part["result"] for part in parts if part["result"] and not part["unlike"]), None),
            "parts": parts,
            "level": query.level,
            "neighbours": [result.to_json() for result in self.neighbours],
            "space": query.space,
            "searched": self.searched,
        }


def open_regions(
    regions: Sequence[Artifact],
    embeddings: Sequence[Artifact],
    images: Sequence[Artifact | None],
    limits: EntityLimits,
    column: str,
    tags: Sequence[Artifact | None] = (),
) -> list[SearchRegion]:
    """Opens regions with their embeddings and images.

    Raises:
        DataError: a file is damaged.
    """
    from geojepa_cli.search.neighbours import SearchRegion
    from geojepa_cli.store.embeddings import FILE as EMBEDDINGS_FILE
    from geojepa_cli.store.embeddings import Embeddings
    from geojepa_cli.store.images import ImageStore
    from geojepa_cli.store.reader import RegionStore

    opened = [
        SearchRegion(
            region.name,
            Embeddings(made.file(EMBEDDINGS_FILE)),
            RegionStore(region.file(PROCESSED_FILE), region.name),
            ImageStore(image.file(IMAGES_FILE), any_form=True) if image else None,
            limits,
            tagged.file(FEATURES_FILE) if tagged else None,
        )
        for region, made, image, tagged in zip(regions, embeddings, images, tags or [None] * len(regions), strict=True)
    ]
    for one in opened:
        one.vectors.check_source(one.store)
        one.vectors.check_vectors(column)
        one.vectors.statistics(column)
    return opened


def search(query: NeighbourQuery, regions: Sequence[SearchRegion], sources: Sequence[SearchRegion]) -> Answer:
    """Searches the neighbours of a query, and describes them.

    Args:
        query: checked query.
        regions: regions to search.
        sources: regions from which the query comes.
    """
    from geojepa_cli.search.query import blend
    from geojepa_cli.search.reasons import reason
    from geojepa_cli.search.results import describe_entity, describe_tile, top_percent
    from geojepa_cli.search.searcher import Searcher
    from geojepa_cli.search.tag_counts import TagStatistics, merged, tags_of_entity, tags_of_tile

    searcher = Searcher(regions, query.level, query.space)
    source = searcher.source(sources)
    examples = [part.resolve(source) for part in query.parts]
    liked = [one for one, part in zip(examples, query.parts, strict=True) if not part.unlike]
    asked = blend(query.parts, examples)
    if asked.added is not None:
        searcher = searcher.with_scores(asked.share, asked.added)
    hits = searcher.nearest(asked.unit, query.k, examples, query.exclude_same_group, query.min_distance_km, liked)
    statistics = TagStatistics([region.store for region in regions])

    def describe(region: SearchRegion, hit: Hit, rank: int) -> SearchResult:
        if query.level == "entity":
            return describe_entity(region, hit, rank)
        return describe_tile(region, hit, rank, statistics)

    tags_of = tags_of_entity if query.level == "entity" else tags_of_tile
    wanted = merged([one.tags for one in liked])

    def explain(hit: Hit) -> str:
        matches = [f"matches: {', '.join(one.matching(hit.region, hit.row))}" for one in liked if one.matching]
        if wanted:
            matches.append(reason(wanted, tags_of(regions[hit.region], hit.row), statistics))
        return "; ".join(filter(None, matches))

    named = [(number, one.hit) for number, one in enumerate(examples) if one.hit is not None]
    neighbours = [
        replace(
            describe(regions[hit.region], hit, rank),
            reason=explain(hit),
            top_percent=top_percent(hit.place, searcher.searched),
        )
        for rank, hit in enumerate(hits, start=1)
    ]
    return Answer(
        [(number, describe(sources[hit.region], hit, 0)) for number, hit in named],
        neighbours,
        [sources[hit.region] for _, hit in named] + [regions[hit.region] for hit in hits],
        searcher.searched,
        [one.note for one in examples],
    )


def make_page(
    answer: Answer,
    query: NeighbourQuery,
    searched_regions: Sequence[SearchRegion],
    model: str,
    credits: Sequence[str],
    drawn: Sequence[bool],
) -> str:
    """Returns the HTML page of a search.

    Args:
        answer: results of the search.
        query: the query.
        searched_regions: regions that were searched.
        model: name of the model, for the page.
        credits: attribution lines.
        drawn: for each result of `answer`, True if images of its region were drawn from the map.
    """
    import numpy as np

    from geojepa_cli.grid import tiles_bounds
    from geojepa_cli.pages.neighbours.page import render_page

    cards = [
        _card(result, region, is_drawn)
        for result, region, is_drawn in zip(answer.results, answer.stores, drawn, strict=True)
    ]
    others = [number for number, _ in answer.examples[1:]]
    further = [
        ("unlike" if query.parts[number].unlike else "also like", query.parts[number].weight, card)
        for number, card in zip(others, cards[1:], strict=False)
    ]
    unnamed = len(answer.examples) < len(query.parts)
    bounds = [tiles_bounds(*(one.vectors[f"tile/{axis}"] for axis in "zxy")) for one in searched_regions]
    names = sorted({region.name for region in searched_regions})
    return render_page(
        [*(cards[:1] if answer.examples else []), *cards[len(answer.examples) :]],
        model,
        names,
        answer.searched,
        np.concatenate(bounds),
        credits,
        further,
        query.space,
        query.title if unnamed else "",
        bool(answer.examples),
    )


def _card(result: SearchResult, region: SearchRegion, drawn: bool) -> Card:
    from geojepa_cli.grid import parse_tile
    from geojepa_cli.pages.neighbours.page import Card
    from geojepa_cli.store.tile_map import read_map

    image = None
    if region.images is not None:
        z, x, y = parse_tile(result.tile)
        row = int(region.images.rows_of([z], [x], [y])[0])
        image = region.images.image[row] if row >= 0 else None
    return Card(result, read_map(region.store, result.tile_row), image, drawn)
