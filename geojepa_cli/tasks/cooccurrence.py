"""Finds the tags that give the most information about the label, among the tags that the task's mask does not hide.

Each tag (`key=value`, or `key=*` for any value) has two features in a tile: `presence` (1 if an entity has the tag,
otherwise 0) and `count` (number of entities with the tag). Each feature is compared with the label: by AUROC if labels
are 0 or 1, otherwise by Spearman's correlation. Most tags are absent from most tiles, so features are stored as sparse
columns, and ranks are computed only for the tiles that have the tag.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.store.view import View
from geojepa_cli.tasks.tokens import Floats, Ints, RegionTokens

FEW_TILES = 20  # with fewer tiles, some tag always matches the labels by chance
MIN_TILES = 5
Measure = Literal["auroc", "spearman"]


class Indicator(NamedTuple):
    """A tag and the score with which its best feature (presence or count) predicts the label.

    Attributes:
        tag: `key=value`, or `key=*` for a key with any value.
        feature: best feature: `presence` (a tile has an entity with the tag) or `count` (number of these entities).
        score: AUROC (0.5 means no information) or Spearman's correlation (0 means no information).
        tiles: number of tiles that have the tag.
    """

    tag: str
    feature: str
    score: float
    tiles: int

    def as_json(self) -> dict[str, Any]:
        """Returns the indicator as a dict for JSON."""
        return {"tag": self.tag, "feature": self.feature, "score": round(self.score, 4), "tiles": self.tiles}


class Column(NamedTuple):
    """Sparse matrix with one row for each tile and one column for each tag (`key=value`) or key (`key=*`).

    A value is the number of entities in the tile that have the tag or key. For the feature `presence`, the value is 1
    instead of this number. Only values above 0 are stored. The i-th stored value is `values[i]`. It belongs to the tile
    with index `rows[i]` and to the tag or key `names[columns[i]]`.
    """

    rows: Ints
    columns: Ints
    values: Floats
    names: list[str]


def strongest_tags(
    tokens: RegionTokens, view: View, tiles: Ints, labels: Floats, measure: Measure, top: int = 20
) -> list[Indicator]:
    """Returns the visible tags that give most information about the labels, strongest first.

    Args:
        tokens: tokens of the region.
        view: selection of entities and tags; hidden entities and tags are ignored.
        tiles: indexes of the tiles to use, in ascending order. An index is the position of the tile in the region.
        labels: labels of these tiles.
        measure: measure of how well a feature predicts the label: `auroc` for labels 0 and 1, otherwise `spearman`.
        top: maximum number of tags.

    Returns:
        Each tag with its best feature: `presence` or `count`. The list is empty if there are fewer than `FEW_TILES`
        tiles, or if all labels are equal.
    """
    if len(tiles) < FEW_TILES or len(np.unique(labels)) < 2:
        return []
    found: dict[str, Indicator] = {}
    for features in tag_features(tokens, view, tiles):
        for indicator in _score(features, labels, measure):
            known = found.get(indicator.tag)
            if known is None or _strength(indicator, measure) > _strength(known, measure):
                found[indicator.tag] = indicator
    return sorted(found.values(), key=lambda found: (-_strength(found, measure), found.tag))[:top]


def tag_features(tokens: RegionTokens, view: View, tiles: Ints) -> tuple[Column, Column]:
    """Counts, in each tile, the visible (not hidden) entities with each tag and with each key.

    Returns:
        Two matrices: for each tile, the number of entities with each tag (`key=value`); and for each tile, the number
        of entities with each key (`key=*`).
    """
    shown = np.ones(len(tokens.vocabulary), np.bool_)
    shown[view.dropped_tags] = False
    position = np.full(tokens.n_tiles, -1, np.int64)
    position[tiles] = np.arange(len(tiles))
    seen = np.zeros(tokens.region.n_pieces, np.bool_)
    seen[tokens.pieces] = position[tokens.tiles] >= 0
    seen[view.dropped_pieces] = False
    of_token, tags = tokens.entries
    wanted = shown[tags] & seen[tokens.pieces][of_token]
    rows, tags = position[tokens.tiles[of_token[wanted]]], tags[wanted]
    pairs = [tokens.vocabulary.text(row) for row in range(len(tokens.vocabulary))]
    keys = [f"{key}=*" for key in tokens.vocabulary.key_names]
    return _counted(rows, tags, pairs), _counted(rows, tokens.vocabulary.key_ids[tags], keys)


def auroc(features: Column, labels: Floats) -> Floats:
    """Returns the area under the ROC curve with which each feature predicts labels 0 and 1. Ties count half.

    It is the Mann-Whitney statistic U, divided by the number of pairs of a tile with label 1 and a tile with label 0.

    Args:
        features: matrix with one row for each tile and one column for each feature.
        labels: label of each tile, 0 or 1.
    """
    positive = labels > 0
    n, n_positive = len(labels), int(positive.sum())
    ranks, zero_rank, _ = _ranks(features, n)
    hits = _per_column(features, positive[features.rows].astype(float))
    rank_sum = _per_column(features, ranks * positive[features.rows]) + zero_rank * (n_positive - hits)
    return (rank_sum - n_positive * (n_positive + 1) / 2) / (n_positive * (n - n_positive))


def spearman(features: Column, labels: Floats) -> Floats:
    """Returns Spearman's correlation of each feature with the labels: Pearson's correlation of their average ranks."""
    n = len(labels)
    wanted = _average_ranks(np.zeros(n, np.int64), labels)
    ranks, zero_rank, size = _ranks(features, n)
    mean = (n + 1) / 2
    own = _per_column(features, wanted[features.rows])
    product = _per_column(features, ranks * wanted[features.rows]) + zero_rank * (wanted.sum() - own)
    square = _per_column(features, ranks**2) + zero_rank**2 * (n - size)
    spread = (square - n * mean**2) * ((wanted**2).sum() - n * mean**2)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(spread > 0, (product - n * mean**2) / np.sqrt(spread), 0.0)


def _score(features: Column, labels: Floats, measure: Measure) -> list[Indicator]:
    size = _per_column(features, np.ones(len(features.rows))).astype(np.int64)
    enough = np.flatnonzero(size >= MIN_TILES)
    indicators = []
    for feature in ("presence", "count"):
        values = np.ones(len(features.rows)) if feature == "presence" else features.values
        scores = (auroc if measure == "auroc" else spearman)(features._replace(values=values), labels)
        indicators += [Indicator(features.names[c], feature, float(scores[c]), int(size[c])) for c in enough]
    return indicators


def _strength(indicator: Indicator, measure: Measure) -> float:
    return abs(indicator.score - 0.5) if measure == "auroc" else abs(indicator.score)


def _counted(rows: Ints, columns: Ints, names: list[str]) -> Column:
    width = max(len(names), 1)
    cells, counts = np.unique(rows * width + columns, return_counts=True)
    return Column(cells // width, cells % width, counts.astype(np.float64), names)


def _per_column(features: Column, weights: NDArray[Any]) -> Floats:
    return np.bincount(features.columns, weights=weights, minlength=len(features.names)).astype(np.float64)


def _ranks(features: Column, n: int) -> tuple[Floats, Floats, Floats]:
    """Ranks the values of n tiles within each column of a sparse matrix. Equal values get the mean of their ranks.

    Returns:
        The rank of each stored value (values above 0); the rank of the value 0 in each column; and the number of stored
        values in each column.
    """
    size = _per_column(features, np.ones(len(features.rows)))
    zeros = n - size
    return _average_ranks(features.columns, features.values) + zeros[features.columns], (zeros + 1) / 2, size


def _average_ranks(columns: Ints, values: Floats) -> Floats:
    """Returns the rank of each value in its column, from 1 up. Equal values get the mean of their ranks."""
    if len(values) == 0:
        return np.empty(0)
    order = np.lexsort((values, columns))
    columns, values = columns[order], values[order]
    place = np.arange(len(order))
    new_column = np.append(True, columns[1:] != columns[:-1])
    new_run = new_column | np.append(True, values[1:] != values[:-1])
    run = np.cumsum(new_run) - 1
    first = np.flatnonzero(new_run)
    length = np.diff(np.append(first, len(order)))
    start = np.maximum.accumulate(np.where(new_column, place, 0))
    ranks = np.empty(len(order))
    ranks[order] = (first - start[first] + (length + 1) / 2)[run]
    return ranks
