"""Finds the tags that tell most about a map feature among those that stay visible when the feature is hidden."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from geojepa_cli.store.view import View
from geojepa_cli.tasks.association import information_bits
from geojepa_cli.tasks.cooccurrence import FEW_TILES, MIN_TILES
from geojepa_cli.tasks.rules import Flags
from geojepa_cli.tasks.tokens import Ints, RegionTokens

_TAG_BITS = 32  # of a cell: the tile in the upper bits, the tag in the lower ones


class _Region(NamedTuple):
    """Tags of one region.

    Attributes:
        tokens: tokens of the region.
        inside: True for pairs of a token and a tag in a selected tile, bool [entries].
        tile: index of the tile of every token among the selected tiles of all regions, int64 [K].
        of_tag, of_key: number of `key=value` and of `key=*` for each tag of the region's vocabulary, int64 [V].
        cells: distinct pairs of a tile and a tag, ascending, int64 [c].
        counts: number of entities of each pair, int64 [c].
    """

    tokens: RegionTokens
    inside: Flags
    tile: Ints
    of_tag: Ints
    of_key: Ints
    cells: Ints
    counts: Ints

    def pairs(self, chosen: Flags) -> tuple[Ints, Ints]:
        """Returns the distinct pairs of a tile and a tag, and their numbers, among some entries (bool [entries])."""
        token, tag = (one[chosen] for one in self.tokens.entries)
        base = self.tile[token] << _TAG_BITS
        return np.unique(np.concatenate([base | self.of_tag[tag], base | self.of_key[tag]]), return_counts=True)


class VisibleTags:
    """Tags of the tiles of one or several regions, each as `key=value` and as `key=*`.

    Args:
        regions: tokens of each region.
        plain: selection of tiles of each region, in which no feature is hidden.
    """

    def __init__(self, regions: Sequence[RegionTokens], plain: Sequence[View]) -> None:
        self._ids: dict[str, int] = {}
        self._regions = []
        first = 0
        for tokens, view in zip(regions, plain, strict=True):
            position = np.full(tokens.n_tiles, -1, np.int64)
            position[view.tiles] = first + np.arange(len(view.tiles))
            first += len(view.tiles)
            tile = position[tokens.tiles]
            words = tokens.vocabulary
            of_tag = self._numbers([words.text(row) for row in range(len(words))])
            of_key = self._numbers([f"{name}=*" for name in words.key_names])[words.key_ids]
            empty = np.empty(0, np.int64)
            region = _Region(tokens, (tile >= 0)[tokens.entries[0]], tile, of_tag, of_key, empty, empty)
            cells, counts = region.pairs(region.inside)
            self._regions.append(region._replace(cells=cells, counts=counts))

    def strongest(self, hidden: Sequence[View], has: Flags, top: int = 5) -> list[dict[str, Any]]:
        """Returns the visible tags with most information about which tiles have a feature, as dicts for JSON.

        Args:
            hidden: selection of each region in which the feature is hidden.
            has: True for tiles with the feature, of the selected tiles of all regions, bool [t].
            top: maximum number of tags.

        Returns:
            For each tag: `tag`, number of `tiles` with it, number `with_feature` of these, and mutual information
            `bits`. Empty if fewer than 20 tiles have the feature, or lack it.
        """
        if min(int(has.sum()), int((~has).sum())) < FEW_TILES:
            return []
        seen, both = np.zeros(len(self._ids), np.int64), np.zeros(len(self._ids), np.int64)
        for region, view in zip(self._regions, hidden, strict=True):
            left = region.counts.copy()
            gone, number = region.pairs(region.inside & self._hidden(region, view))
            left[np.searchsorted(region.cells, gone)] -= number
            cells = region.cells[left > 0]
            tags, tiles = cells & ((1 << _TAG_BITS) - 1), cells >> _TAG_BITS
            seen += np.bincount(tags, minlength=len(seen))
            both += np.bincount(tags[has[tiles]], minlength=len(seen))
        bits = information_bits(np.stack([both, seen - both], axis=1), np.array([has.sum(), (~has).sum()]))
        bits[seen < MIN_TILES] = 0
        names = list(self._ids)
        order = sorted(np.flatnonzero(bits > 0).tolist(), key=lambda row: (-round(float(bits[row]), 12), names[row]))
        return [
            {
                "tag": names[row],
                "tiles": int(seen[row]),
                "with_feature": int(both[row]),
                "bits": round(float(bits[row]), 6),
            }
            for row in order[:top]
        ]

    def _numbers(self, names: Sequence[str]) -> Ints:
        return np.array([self._ids.setdefault(name, len(self._ids)) for name in names], np.int64)

    @staticmethod
    def _hidden(region: _Region, view: View) -> Flags:
        """Returns True for pairs of a token and a tag that a selection hides, bool [entries]."""
        token, tag = region.tokens.entries
        pieces = np.zeros(region.tokens.region.n_pieces, np.bool_)
        pieces[view.dropped_pieces] = True
        tags = np.zeros(len(region.tokens.vocabulary), np.bool_)
        tags[view.dropped_tags] = True
        hidden: Flags = pieces[region.tokens.pieces][token] | tags[tag]
        return hidden
