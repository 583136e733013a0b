"""Measures how strongly tags are associated with a label.

An entity counts for the label if the label of its tile is computed from it, such as a bridge for the number of bridges.
A label is high if it is above the median of all labels or equal to their maximum. Each tag is analysed in two ways.
`within` asks: do entities with this tag count for the label? `between` looks only at entities that do not count for the
label. It asks: if such an entity has this tag, is the label of its tile high? Both functions compute the mutual
information in bits and a lift. The lift of events a and b is P(a, b) / (P(a) P(b)), and is 1 if they are independent.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.tasks.cooccurrence import FEW_TILES, MIN_TILES
from geojepa_cli.tasks.rules import Flags
from geojepa_cli.tasks.tokens import Floats, Ints, RegionTokens

CLASSES = 4


class Occurrences(NamedTuple):
    """The K tokens (entities that are model inputs) of a region, and the labels of its t kept tiles.

    Attributes:
        tokens: the tokens of the region, and its vocabulary, which has V distinct tags.
        labels: labels of the t kept tiles, float64 [t]. `TaskData.kept` explains which tiles are kept.
        tiles: indexes of the kept tiles, in ascending order, int64 [t]. An index is the tile's position in the region.
        counted: True for tokens from which the label is computed, bool [K].
        left: True for tokens that stay visible, at least in part, when the task's mask is applied, bool [K].
        hidden: True for tags of the vocabulary that the task's mask hides on all entities, bool [V].
    """

    tokens: RegionTokens
    labels: Floats
    tiles: Ints
    counted: Flags
    left: Flags
    hidden: Flags


@dataclass(frozen=True)
class Pool:
    """All regions together: n entities in t tiles, and the m pairs of an entity and one of its features.

    A feature is a tag (`key=value`) or a key with any value (`key=*`).

    Attributes:
        names: names of the features.
        labels: label of every tile, float64 [t].
        tile: index of every entity's tile, int64 [n], ascending.
        counted: True for entities from which the label is computed, bool [n].
        entity, feature: indexes of the entity and of the feature of every pair, int64 [m].
        left: True for pairs that the task's mask leaves visible, bool [m].
    """

    names: list[str]
    labels: Floats
    tile: Ints
    counted: Flags
    entity: Ints
    feature: Ints
    left: Flags

    @cached_property
    def high(self) -> Flags:
        """True for tiles with a high label, bool [t]. High labels are above the median or equal to the maximum."""
        return self.labels > (min(np.median(self.labels), self.labels.max() - 1e-9) if len(self.labels) else 0.0)

    @cached_property
    def classes(self) -> Ints:
        """Class of every tile, int64 [t]: the quartile of its label. Tiles with equal labels are in the same class."""
        bounds = np.unique(np.quantile(self.labels, np.arange(1, CLASSES) / CLASSES))
        return np.unique(np.searchsorted(bounds, self.labels, side="left"), return_inverse=True)[1]

    @property
    def is_informative(self) -> bool:
        """True if there are enough tiles (at least `FEW_TILES`) and their labels are not all equal."""
        return len(self.labels) >= FEW_TILES and len(np.unique(self.labels)) > 1


@dataclass(frozen=True)
class Association:
    """A tag and its association with the label of a task.

    `within` asks if entities with the tag count towards a label, `between` if tiles with it have a high label.

    Attributes:
        tag: `key=value`, or `key=*` for a key with any value.
        seen: number of entities (`within`) or tiles (`between`) with the tag.
        both: number of those in `seen` that count towards a label (`within`) or have a high label (`between`).
        lift: `both`, divided by the number expected if tag and label were independent.
        bits: mutual information, in bits, of the tag and the class of an entity or tile (see `information_bits`).
        entities: number of entities with the tag. `between` ignores those that count towards a label.
        left: how many of the entities in `entities` still have the tag when the task's mask is applied.
    """

    tag: str
    seen: int
    both: int
    lift: float
    bits: float
    entities: int
    left: int

    @property
    def mask(self) -> str:
        """Effect of the task's mask on the tag: `hidden` (on all entities), `left` (99 % visible) or `partly`."""
        return "hidden" if self.left == 0 else "left" if self.left >= 0.99 * self.entities else "partly"

    def as_json(self) -> dict[str, Any]:
        """Returns the association as a dict for JSON."""
        values = {"tag": self.tag, "seen": self.seen, "both": self.both}
        figures = {"lift": round(self.lift, 4), "bits": round(self.bits, 6)}
        return {**values, **figures, "entities": self.entities, "left": self.left, "mask": self.mask}


def pool(regions: Iterable[Occurrences]) -> Pool:
    """Joins the tiles, entities and features of all regions."""
    ids: dict[str, int] = {}
    columns: dict[str, list[NDArray[Any]]] = {name: [] for name in ("labels", "tile", "counted")}
    pairs: dict[str, list[NDArray[Any]]] = {name: [] for name in ("entity", "feature", "left")}
    n_tiles = n_entities = 0
    for region in regions:
        tokens, vocabulary = region.tokens, region.tokens.vocabulary
        position = np.full(tokens.n_tiles, -1, np.int64)
        position[region.tiles] = np.arange(len(region.tiles)) + n_tiles
        kept = position[tokens.tiles] >= 0
        number = np.cumsum(kept) - 1 + n_entities
        of_token, rows = tokens.entries
        inside = kept[of_token]
        of_token, rows = of_token[inside], rows[inside]
        left = region.left[of_token] & ~region.hidden[rows]
        texts = [vocabulary.text(row) for row in range(len(vocabulary))]
        by_key = [f"{key}=*" for key in vocabulary.key_names]
        for names, features in ((texts, rows), (by_key, vocabulary.key_ids[rows])):
            known = np.array([ids.setdefault(name, len(ids)) for name in names], np.int64)
            pairs["entity"].append(number[of_token])
            pairs["feature"].append(known[features])
            pairs["left"].append(left)
        columns["labels"].append(region.labels)
        columns["tile"].append(position[tokens.tiles[kept]])
        columns["counted"].append(region.counted[kept])
        n_tiles += len(region.tiles)
        n_entities += int(kept.sum())
    joined = {name: np.concatenate(parts) for name, parts in {**columns, **pairs}.items()}
    return Pool(list(ids), **joined)


def within(pooled: Pool, top: int | None = None) -> list[Association]:
    """Returns the tags that best predict if the label is computed from an entity. Most informative tags come first.

    Args:
        pooled: entities of all regions.
        top: maximum number of tags; None for all.
    """
    size = len(pooled.names)
    seen = np.bincount(pooled.feature, minlength=size)
    both = np.bincount(pooled.feature[pooled.counted[pooled.entity]], minlength=size)
    left = np.bincount(pooled.feature[pooled.left], minlength=size)
    n, n_counted = len(pooled.counted), int(pooled.counted.sum())
    table = np.stack([both, seen - both], axis=1)
    bits = information_bits(table, np.array([n_counted, n - n_counted]))
    with np.errstate(divide="ignore", invalid="ignore"):
        lift = both * n / (seen * n_counted)
    return _ranked(pooled, seen, both, lift, bits, seen, left, top)


def between(pooled: Pool, top: int | None = None) -> list[Association]:
    """Returns the tags whose presence in a tile best predicts the tile's label. Most informative tags come first.

    Args:
        pooled: entities of all regions. Entities from which the label is computed (`counted`) are left out, because
            their tags would predict the label trivially.
        top: maximum number of tags; None for all.
    """
    size, n_classes = len(pooled.names), int(pooled.classes.max()) + 1
    other = ~pooled.counted[pooled.entity]
    feature, tile = pooled.feature[other], pooled.tile[pooled.entity[other]]
    entities = np.bincount(feature, minlength=size)
    left = np.bincount(feature[pooled.left[other]], minlength=size)
    cells = np.unique(feature * len(pooled.labels) + tile)
    feature, tile = cells // len(pooled.labels), cells % len(pooled.labels)
    table = np.bincount(feature * n_classes + pooled.classes[tile], minlength=size * n_classes)
    table = table.reshape(size, n_classes)
    seen = np.bincount(feature, minlength=size)
    both = np.bincount(feature[pooled.high[tile]], minlength=size)
    bits = information_bits(table, np.bincount(pooled.classes))
    with np.errstate(divide="ignore", invalid="ignore"):
        lift = both * len(pooled.labels) / (seen * int(pooled.high.sum()))
    return _ranked(pooled, seen, both, lift, bits, entities, left, top)


def information_bits(table: Ints, totals: Ints) -> Floats:
    """Returns the mutual information of each feature with the class of an entity or tile, in bits, float64 [features].

    Args:
        table: number of entities or tiles by feature and class, [features, classes]. An entity has one of two classes:
            the label is computed from it, or not. The class of a tile is the quartile of its label.
        totals: number of all entities or tiles in each class, [classes].
    """
    n = totals.sum()
    bits = np.zeros(len(table))
    for cells in (table, totals - table):
        share = cells.sum(axis=1, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = cells / n * np.log2(cells * n / (share * totals))
        bits += np.where(cells > 0, terms, 0.0).sum(axis=1)
    return np.maximum(bits, 0.0)


def entropy_bits(classes: NDArray[Any]) -> float:
    """Returns the entropy in bits of the classes of entities or tiles: the upper bound of the mutual information."""
    shares = np.unique(classes, return_counts=True)[1] / len(classes)
    return float(-(shares * np.log2(shares)).sum())


@dataclass(frozen=True)
class PairLifts:
    """Lifts (frequency / frequency expected by chance) of all pairs of f tags [f, f], and of tags with the label [f].

    Attributes:
        same: lift of "an entity has the first tag" and "the entity has the second tag".
        same_label: lift of "an entity has the tag" and "the label is computed from the entity".
        apart: lift of "an entity of a tile has the first tag" and "another entity of the tile has the second tag".
        apart_label: lift of "an entity that is irrelevant for the label has the tag" and "its tile has a high label".
    """

    same: Floats
    same_label: Floats
    apart: Floats
    apart_label: Floats


def pair_lifts(pooled: Pool, tags: list[str]) -> PairLifts:
    """Computes the lifts of tags. NaN for a pair that never occurs, and is expected less than once by chance."""
    position = np.full(len(pooled.names), -1, np.int64)
    ids = {name: number for number, name in enumerate(pooled.names)}
    position[[ids[tag] for tag in tags]] = np.arange(len(tags))
    column = position[pooled.feature]
    has = np.zeros((len(tags), len(pooled.counted)), np.bool_)
    has[column[column >= 0], pooled.entity[column >= 0]] = True
    n, t, f = len(pooled.counted), len(pooled.labels), len(tags)
    count = np.stack([np.bincount(pooled.tile[row], minlength=t) for row in has]) if f else np.zeros((0, t), np.int64)
    same, apart = np.zeros((f, f)), np.zeros((f, f))
    for a in range(f):
        for b in range(a, f):
            joint = pooled.tile[has[a] & has[b]]
            same[a, b] = same[b, a] = len(joint)
            one = (count[a] == 1) & (count[b] == 1) & (np.bincount(joint, minlength=t) == 1)
            apart[a, b] = apart[b, a] = int(((count[a] > 0) & (count[b] > 0) & ~one).sum())
    other = np.stack([np.bincount(pooled.tile[row & ~pooled.counted], minlength=t) > 0 for row in has]) if f else count
    return PairLifts(
        _lift(same, has.sum(1)[:, None], has.sum(1), n),
        _lift((has & pooled.counted).sum(1), has.sum(1), pooled.counted.sum(), n),
        _lift(apart, (count > 0).sum(1)[:, None], (count > 0).sum(1), t),
        _lift((other & pooled.high).sum(1), other.sum(1), pooled.high.sum(), t),
    )


def _lift(both: NDArray[Any], a: NDArray[Any], b: NDArray[Any], n: int) -> Floats:
    expected = a * b / n
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((expected >= 1) | (both > 0), both / expected, np.nan)


def _ranked(
    pooled: Pool, seen: Ints, both: Ints, lift: Floats, bits: Floats, entities: Ints, left: Ints, top: int | None
) -> list[Association]:
    """Sorts tags by mutual information. Omits rare tags, and omits `key=*` if a `key=value` has the same counts."""
    if not pooled.is_informative:
        return []
    rows = np.flatnonzero(seen >= MIN_TILES)
    order = rows[np.lexsort((np.array([pooled.names[row] for row in rows]), -bits[rows].round(12)))].tolist()
    values = {
        (pooled.names[row].partition("=")[0], int(seen[row]), int(both[row])) for row in order if _pair(pooled, row)
    }
    found = [
        Association(
            pooled.names[row],
            int(seen[row]),
            int(both[row]),
            float(lift[row]) if np.isfinite(lift[row]) else 0.0,
            float(bits[row]),
            int(entities[row]),
            int(left[row]),
        )
        for row in order
        if _pair(pooled, row) or (pooled.names[row].removesuffix("=*"), int(seen[row]), int(both[row])) not in values
    ]
    return found[:top]


def _pair(pooled: Pool, row: int) -> bool:
    return not pooled.names[row].endswith("=*")
