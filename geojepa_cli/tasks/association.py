"""Association of tags with a label, on the entities that count for the label and on the other entities of their tiles.

The label of a tile is computed from the entities that count for the label, such as bridges. Two questions are asked for
each tag. `within`: does an entity with this tag count for the label? `between`: does a tile have a high label if
one of its other entities has this tag? Each answer has a lift, a mutual information in bits, and the number of entities
on which the mask leaves the tag visible. The lift is the observed frequency of two events divided by the frequency
expected by chance: P(a, b) / (P(a) P(b)). All regions are analysed together.
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
    """The tokens (visible entities) of one region, and its labelled tiles that thinning did not remove (kept tiles).

    Attributes:
        tokens: the K tokens of the region.
        labels: labels of the kept tiles, float64 [t].
        tiles: rows of the kept tiles in the region, int64 [t], ascending.
        counted: True for tokens that count for the label, bool [K].
        left: True for tokens that the mask does not hide completely, bool [K].
        hidden: True for tags (rows of the region's vocabulary) that the mask hides, bool [V].
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
        counted: True for entities that count for the label, bool [n].
        entity, feature: indexes of the entity and of the feature of every pair, int64 [m].
        left: True for pairs that the mask leaves visible, bool [m].
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
        """True for tiles with a high label, bool [t]: a label above the median or, for labels 0 and 1, the label 1."""
        return self.labels > min(float(np.median(self.labels)), float(self.labels.max()) - 1e-9)

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
    """A tag and its association with the label, as computed by `within` or `between`.

    Attributes:
        tag: `key=value`, or `key=*` for a key with any value.
        seen: `within`: number of entities with the tag. `between`: number of tiles with such an entity.
        both: `within`: how many of these entities count for the label. `between`: how many of these tiles have a high
            label.
        lift: observed frequency of tag and label together, divided by the frequency expected by chance.
        bits: mutual information of tag and label in bits.
        entities: number of entities with the tag; `between` excludes the entities that count for the label.
        left: number of these entities on which the mask leaves the tag visible.
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
        """Effect of the mask: `hidden` (on all entities), `left` (visible on at least 99 % of them) or `partly`."""
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
    """Returns the tags that best show whether their entity counts for the label, highest mutual information first.

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
    """Returns the tags whose presence in a tile best shows the tile's label, highest mutual information first.

    Only tags of entities that do not count for the label are considered.

    Args:
        pooled: entities of all regions.
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
    """Returns the mutual information of each feature with the class, in bits, float64 [features].

    Args:
        table: number of entities or tiles by feature and class, [features, classes].
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
    """Returns the entropy of the classes in bits, which is the highest mutual information that a feature can have."""
    shares = np.unique(classes, return_counts=True)[1] / len(classes)
    return float(-(shares * np.log2(shares)).sum())


@dataclass(frozen=True)
class PairLifts:
    """Lifts of every pair of f tags [f, f] and of every tag with the label [f]; NaN where there are too few data.

    Attributes:
        same: lift of both tags being on the same entity.
        same_label: lift of a tag being on an entity that counts for the label.
        apart: lift of both tags being on different entities of the same tile.
        apart_label: lift of a tag being on an entity that does not count, in a tile with a high label.
    """

    same: Floats
    same_label: Floats
    apart: Floats
    apart_label: Floats


def pair_lifts(pooled: Pool, tags: list[str]) -> PairLifts:
    """Computes the lifts of tags. A lift is NaN if a pair never occurs and is expected less than once by chance."""
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
    """Returns tags by mutual information. Omits rare tags, and each `key=*` with the same counts as a `key=value`."""
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
