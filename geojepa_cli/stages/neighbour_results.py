"""Runs a search for neighbours on opened regions, and describes the results as JSON, GeoJSON, CSV and a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    from geojepa_cli.search.neighbours import Hit, Level, SearchRegion
    from geojepa_cli.search.query import Example, ScoreKind
    from geojepa_cli.search.reasons import Comparison
    from geojepa_cli.search.results import SearchResult
    from geojepa_cli.search.tag_counts import TagStatistics

MOST_SHARED, MOST_OTHER = 8, 5  # tags of both, and of one alone, that the page shows


@dataclass(frozen=True)
class Answer:
    """Results of a search.

    Attributes:
        examples: tiles or entities that the query names, with the numbers of their parts.
        neighbours: results, best first.
        stores: for each example and then each neighbour, the region that contains it.
        searched: number of searched tiles or OSM elements.
        score_kind: kind of the scores, see `Blend`.
        notes: for each part of the query, a `note` on how it was understood, a `warning`, and what its vector was
            `read_from`, if there are any.
    """

    examples: list[tuple[int, SearchResult]]
    neighbours: list[SearchResult]
    stores: list[SearchRegion]
    searched: int
    score_kind: ScoreKind = "cosine"
    notes: Sequence[Mapping[str, str]] = ()

    @property
    def results(self) -> list[SearchResult]:
        """The examples, followed by the neighbours."""
        return [*(result for _, result in self.examples), *self.neighbours]

    def to_json(self, query: NeighbourQuery) -> dict[str, Any]:
        """Returns the query, its parts and the neighbours as JSON."""
        parts: list[dict[str, Any]] = [{**part.params(), "result": None} for part in query.parts]
        for part, said in zip(parts, self.notes, strict=False):
            part |= said
        for number, result in self.examples:
            parts[number]["result"] = result.to_json()
        return {
            "query": next((part["result"] for part in parts if part["result"] and not part["unlike"]), None),
            "parts": parts,
            "level": query.level,
            "score_kind": self.score_kind,
            "neighbours": [result.to_json() for result in self.neighbours],
            **({} if query.words_only else {"space": query.space}),
            "searched": self.searched,
        }


def open_regions(
    regions: Sequence[Artifact],
    embeddings: Sequence[Artifact | None],
    images: Sequence[Artifact | None],
    limits: EntityLimits,
    column: str,
    tags: Sequence[Artifact | None] = (),
) -> list[SearchRegion]:
    """Opens regions with their embeddings and images.

    Args:
        regions: `processed/` artifacts.
        embeddings: embeddings of each region; None for a search that needs no vectors.
        images: images of each region, or None.
        limits: minimum and maximum number of entities in a tile.
        column: column of vectors that is searched.
        tags: `features/` artifact of each region with text vectors of its tags, or None. Empty: all are None.

    Raises:
        DataError: a file is damaged.
    """
    from geojepa_cli.search.neighbours import SearchRegion
    from geojepa_cli.store.embeddings import FILE as EMBEDDINGS_FILE
    from geojepa_cli.store.embeddings import Embeddings
    from geojepa_cli.store.entity_rows import rows_of_region
    from geojepa_cli.store.images import ImageStore
    from geojepa_cli.store.reader import RegionStore

    opened = []
    tags = tags or [None] * len(regions)
    for region, made, image, tagged in zip(regions, embeddings, images, tags, strict=True):
        store = RegionStore(region.file(PROCESSED_FILE), region.name)
        shown = ImageStore(image.file(IMAGES_FILE), any_form=True) if image else None
        rows = Embeddings(made.file(EMBEDDINGS_FILE)) if made else rows_of_region(store, limits)
        words = tagged.file(FEATURES_FILE) if tagged else None
        opened.append(SearchRegion(region.name, rows, store, shown, limits, words))
        if isinstance(rows, Embeddings):
            rows.check_source(store)
            rows.check_vectors(column)
            rows.statistics(column)
    return opened


def search(query: NeighbourQuery, regions: Sequence[SearchRegion], sources: Sequence[SearchRegion]) -> Answer:
    """Searches the neighbours of a query, and describes them.

    Args:
        query: checked query.
        regions: regions to search.
        sources: regions from which the query comes.
    """
    from geojepa_cli.search.query import terms_of
    from geojepa_cli.search.results import top_percent
    from geojepa_cli.search.searcher import Searcher
    from geojepa_cli.search.tag_counts import TagStatistics

    vectors = Searcher(regions, query.level, None if query.words_only else query.space)
    examples = [part.resolve(vectors.source(sources)) for part in query.parts]
    liked = [one for one, part in zip(examples, query.parts, strict=True) if not part.unlike]
    searcher, asked = vectors.asked(terms_of(query.parts, examples))
    hits = searcher.nearest(asked.unit, query.k, examples, query.exclude_same_group, query.min_distance_km, liked)
    statistics = TagStatistics([region.store for region in regions])
    named = [(number, one.hit) for number, one in enumerate(examples) if one.hit is not None]
    explained = [_explain(regions, hit, query.level, liked, statistics) for hit in hits]
    neighbours = [
        replace(
            _describe(regions[hit.region], hit, rank, query.level, statistics),
            reason=explained[rank - 1][0],
            comparison=explained[rank - 1][1],
            top_percent=top_percent(hit.place, searcher.searched),
            score_kind=asked.kind,
            part_scores=tuple(vectors.part_score(one, hit) for one in examples) if len(examples) > 1 else (),
        )
        for rank, hit in enumerate(hits, start=1)
    ]
    return Answer(
        [(number, _describe(sources[hit.region], hit, 0, query.level, statistics)) for number, hit in named],
        neighbours,
        [sources[hit.region] for _, hit in named] + [regions[hit.region] for hit in hits],
        searcher.searched,
        asked.kind,
        [_said(one) for one in examples],
    )


def _said(example: Example) -> dict[str, str]:
    said = {"note": example.note, "warning": example.warning, "read_from": example.read_from}
    return {name: text for name, text in said.items() if text}


def _describe(region: SearchRegion, hit: Hit, rank: int, level: Level, statistics: TagStatistics) -> SearchResult:
    from geojepa_cli.search.results import describe_entity, describe_tile

    return describe_entity(region, hit, rank) if level == "entity" else describe_tile(region, hit, rank, statistics)


def _explain(
    regions: Sequence[SearchRegion], hit: Hit, level: Level, liked: Sequence[Example], statistics: TagStatistics
) -> tuple[str, Comparison | None]:
    """Returns the reason of a result in words (tags that match a text, and tags in common with examples), and the
    comparison of its tags with those of the examples; None if they have none."""
    from geojepa_cli.search.reasons import compare, reason
    from geojepa_cli.search.tag_counts import merged, tags_of_entity, tags_of_tile

    matching = [tags for one in liked if one.matching and (tags := one.matching(hit.region, hit.row))]
    parts = [f"matches: {', '.join(tags)}" for tags in matching]
    wanted, comparison = merged([one.tags for one in liked]), None
    if wanted:
        own = (tags_of_entity if level == "entity" else tags_of_tile)(regions[hit.region], hit.row)
        parts.append(reason(wanted, own, statistics))
        comparison = compare(wanted, own, statistics, MOST_SHARED, MOST_OTHER)
    return "; ".join(filter(None, parts)), comparison


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
        model: name of the model, for the page; empty if the search needed none.
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
        [part.text for part in query.parts] if len(query.parts) > 1 else (),
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
