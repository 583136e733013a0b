"""Says in words which tags a query and a result have in common, and which only one of them has."""

from __future__ import annotations

import math
from collections.abc import Mapping

from geojepa_cli.search.tag_counts import TagStatistics

MAX_SHARED, MAX_OTHER = 3, 2
# A tag of one or two elements is often a misspelling, or has a name as its value. It explains nothing, unless shared.
_LEAST_COUNT = 3
_LONGEST = 60  # characters; longer values are sentences, not classes


def reason(query: Mapping[str, int], result: Mapping[str, int], statistics: TagStatistics) -> str:
    """Explains a result by its most informative tags.

    The weight of a tag in a tile with n of it is log(1 + n) · log(1 + elements / elements with the tag). Shared tags
    are ordered by the smaller of their weights in the query and in the result, others by their weight.

    Args:
        query: tags of main keys of all examples of the query, with counts. Names and addresses have no main key.
        result: tags of main keys of the result, with counts.
        statistics: numbers of elements with each tag in the searched regions.

    Returns:
        Text such as `both: aeroway=runway, landuse=meadow; only there: natural=wood; only in the query: power=line`.
        Empty if neither has such tags.
    """
    shared = {tag: min(query[tag], result[tag]) for tag in query.keys() & result.keys()}
    parts = [
        ("both", _most_informative(shared, statistics, MAX_SHARED, 1)),
        ("only there", _most_informative(_without(result, query), statistics, MAX_OTHER, _LEAST_COUNT)),
        ("only in the query", _most_informative(_without(query, result), statistics, MAX_OTHER, _LEAST_COUNT)),
    ]
    return "; ".join(f"{name}: {', '.join(tags)}" for name, tags in parts if tags)


def _most_informative(tags: Mapping[str, int], statistics: TagStatistics, most: int, least: int) -> list[str]:
    def weight(tag: str) -> float:
        return math.log1p(tags[tag]) * statistics.weight(tag)

    known = [tag for tag in tags if statistics.count(tag) >= least and len(tag) <= _LONGEST]
    return sorted(known, key=lambda tag: (-weight(tag), tag))[:most]


def _without(tags: Mapping[str, int], others: Mapping[str, int]) -> dict[str, int]:
    return {tag: count for tag, count in tags.items() if tag not in others}
