"""Says in words which tags a query and a result have in common, and which only one of them has."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from geojepa_cli.search.tag_counts import TagStatistics

MAX_SHARED, MAX_OTHER = 3, 2
# Values of classes are words in lower case, or speeds. Other values are names and sentences: they explain nothing.
_CLASS = re.compile(r"[a-z_:]+=(?:[a-z0-9_;:.-]{1,40}|\d+ mph)")


@dataclass(frozen=True)
class Comparison:
    """Tags of a query and a result, the most informative first.

    Attributes:
        both: tags of both, each with its counts in the result and in the query.
        there, query: tags of the result alone and of the query alone, each with its count.
    """

    both: tuple[tuple[str, int, int], ...]
    there: tuple[tuple[str, int], ...]
    query: tuple[tuple[str, int], ...]


def reason(query: Mapping[str, int], result: Mapping[str, int], statistics: TagStatistics) -> str:
    """Explains a result by its most informative tags, see `compare`.

    Returns:
        Text such as `both: aeroway=runway, landuse=meadow; only there: natural=wood; only in the query: power=line`.
        Empty if neither has such tags.
    """
    found = compare(query, result, statistics, MAX_SHARED, MAX_OTHER)
    parts = [
        ("both", [tag for tag, _, _ in found.both]),
        ("only there", [tag for tag, _ in found.there]),
        ("only in the query", [tag for tag, _ in found.query]),
    ]
    return "; ".join(f"{name}: {', '.join(tags)}" for name, tags in parts if tags)


def compare(
    query: Mapping[str, int], result: Mapping[str, int], statistics: TagStatistics, most_shared: int, most_other: int
) -> Comparison:
    """Compares the tags of a query and a result.

    The weight of a tag in a tile with n of it is (1 + log10 n) · log(1 + elements / elements with the tag). So a rare
    tag precedes a frequent one, unless the frequent one is much more frequent in the tile too. For shared tags, n is
    the smaller of the two counts.

    Args:
        query: tags of main keys of all examples of the query, with counts. Names and addresses have no main key.
        result: tags of main keys of the result, with counts.
        statistics: numbers of elements with each tag in the searched regions.
        most_shared, most_other: maximum number of tags of both, and of one alone.
    """
    shared = {tag: min(query[tag], result[tag]) for tag in query.keys() & result.keys()}
    there, alone = (
        _most_informative(_without(*pair), statistics, most_other) for pair in ((result, query), (query, result))
    )
    return Comparison(
        tuple((tag, result[tag], query[tag]) for tag in _most_informative(shared, statistics, most_shared)),
        tuple((tag, result[tag]) for tag in there),
        tuple((tag, query[tag]) for tag in alone),
    )


def _most_informative(tags: Mapping[str, int], statistics: TagStatistics, most: int) -> list[str]:
    def weight(tag: str) -> float:
        return (1 + math.log10(tags[tag])) * statistics.weight(tag)

    return sorted((tag for tag in tags if _CLASS.fullmatch(tag)), key=lambda tag: (-weight(tag), tag))[:most]


def _without(tags: Mapping[str, int], others: Mapping[str, int]) -> dict[str, int]:
    return {tag: count for tag, count in tags.items() if tag not in others}
