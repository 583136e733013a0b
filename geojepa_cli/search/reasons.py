"""Says in words which tags a query and a result have in common, and which only one of them has."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from geojepa_cli.search.tag_counts import TagStatistics

MAX_SHARED, MAX_OTHER = 3, 2
# Values of classes are words in lower case, or speeds. Other values are names and sentences: they explain nothing.
_CLASS = re.compile(r"[a-z_:]+=(?:[a-z0-9_;:.-]{1,40}|\d+ mph)")


def reason(query: Mapping[str, int], result: Mapping[str, int], statistics: TagStatistics) -> str:
    """Explains a result by its most informative tags.

    The weight of a tag in a tile with n of it is (1 + log10 n) · log(1 + elements / elements with the tag). So a rare
    tag precedes a frequent one, unless the frequent one is much more frequent in the tile too. For shared tags, n is
    the smaller of the two counts.

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
        ("both", _most_informative(shared, statistics, MAX_SHARED)),
        ("only there", _most_informative(_without(result, query), statistics, MAX_OTHER)),
        ("only in the query", _most_informative(_without(query, result), statistics, MAX_OTHER)),
    ]
    return "; ".join(f"{name}: {', '.join(tags)}" for name, tags in parts if tags)


def _most_informative(tags: Mapping[str, int], statistics: TagStatistics, most: int) -> list[str]:
    def weight(tag: str) -> float:
        return (1 + math.log10(tags[tag])) * statistics.weight(tag)

    return sorted((tag for tag in tags if _CLASS.fullmatch(tag)), key=lambda tag: (-weight(tag), tag))[:most]


def _without(tags: Mapping[str, int], others: Mapping[str, int]) -> dict[str, int]:
    return {tag: count for tag, count in tags.items() if tag not in others}
