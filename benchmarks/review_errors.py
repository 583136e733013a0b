"""Draws plausible errors in the tags of a region: swapped values, and buildings that become lakes.

Four kinds of errors share 1 % of the elements with `building=*` or `highway=*`:

- `building`: another type of building,
- `highway`: another class of road,
- `maxspeed`: another speed limit,
- `lake`: `building=*` becomes `natural=water`.

A new value is one that at least `MIN_COUNT` elements of the extract have, and belongs to another class of the
definitions in `tasks/review`. Each class is equally likely (`uniform`), or classes are as likely as they are frequent
(`frequent`). In a class, values are as likely as they are frequent. Other tags of the element stay.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np

from geojepa_cli.tasks.review_rows import tag_classes
from geojepa_cli.tasks.review_spec import packed_reviews
from geojepa_cli.tasks.rules import RuleVocabulary

SHARE = 0.01  # of the elements with a building or road, all kinds together
MOST = 0.05  # of the elements that a kind can change
MIN_COUNT = 10
KINDS = ("building", "highway", "maxspeed", "lake")
Scheme = Literal["uniform", "frequent"]


class Change(NamedTuple):
    """An error: its kind, and the tag of the element before and after."""

    kind: str
    before: str
    after: str


class _Values(NamedTuple):
    """Values of a key: the class of each value, and its number of elements."""

    classes: Mapping[str, str]
    counts: Counter[str]


def draw(ways: Mapping[int, Mapping[str, str]], seed: int, scheme: Scheme) -> dict[int, Change]:
    """Draws the errors. Returns them by id of the way. A way has at most one.

    Args:
        ways: tags of all ways, by id.
        seed: seed of the errors.
        scheme: `uniform` or `frequent`.
    """
    rng = np.random.default_rng(seed)
    of_key = {key: _values_of(ways, key) for key in ("building", "highway", "maxspeed")}
    candidates = {kind: _candidates(ways, kind, of_key) for kind in KINDS}
    each = round(SHARE * sum("building" in tags or "highway" in tags for tags in ways.values()) / len(KINDS))
    changes: dict[int, Change] = {}
    for kind in ("maxspeed", "highway", "building", "lake"):  # rare ones first, because a way has at most one error
        free = [number for number in candidates[kind] if number not in changes]
        count = min(each, round(MOST * len(candidates[kind])), len(free))
        for number in rng.choice(np.array(free, np.int64), count, replace=False).tolist():
            tags = ways[number]
            if kind == "lake":
                changes[number] = Change(kind, f"building={tags['building']}", "natural=water")
                continue
            new = _other_value(tags[kind], of_key[kind], rng, scheme)
            changes[number] = Change(kind, f"{kind}={tags[kind]}", f"{kind}={new}")
    return changes


def _candidates(ways: Mapping[int, Mapping[str, str]], kind: str, of_key: Mapping[str, _Values]) -> list[int]:
    """Returns the ways that a kind of error can change, in ascending order."""
    if kind == "lake":
        return sorted(number for number, tags in ways.items() if tags.get("building", "no") != "no")
    known = of_key[kind].classes
    needs_road = kind == "maxspeed"
    return sorted(
        number
        for number, tags in ways.items()
        if tags.get(kind) in known and (not needs_road or "highway" in tags) and tags.get("area") != "yes"
    )


def _values_of(ways: Mapping[int, Mapping[str, str]], key: str) -> _Values:
    counts = Counter(tags[key] for tags in ways.values() if key in tags)
    values = sorted(counts)
    names, found = tag_classes(RuleVocabulary([key] * len(values), values), packed_reviews()[key])
    return _Values({value: names[one] for value, one in zip(values, found.tolist(), strict=False) if one >= 0}, counts)


def _other_value(present: str, values: _Values, rng: np.random.Generator, scheme: Scheme) -> str:
    by_class: dict[str, list[str]] = {}
    for value, name in values.classes.items():
        if name != values.classes[present] and values.counts[value] >= MIN_COUNT:
            by_class.setdefault(name, []).append(value)
    names = sorted(by_class)
    totals = np.array([sum(values.counts[one] for one in by_class[name]) for name in names], np.float64)
    weights = totals / totals.sum() if scheme == "frequent" else None
    chosen = by_class[names[int(rng.choice(len(names), p=weights))]]
    counts = np.array([values.counts[one] for one in chosen], np.float64)
    return chosen[int(rng.choice(len(chosen), p=counts / counts.sum()))]
