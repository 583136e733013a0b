"""Counts of the tags that classify OSM elements, in a tile and in all searched regions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.search.neighbours import SearchRegion
from geojepa_cli.store.reader import RegionStore

# keys that classify an element; other keys (names, addresses, surfaces) are less useful to describe a place
# fmt: off
MAIN_KEYS = (
    "highway", "building", "landuse", "leisure", "amenity", "natural", "shop", "tourism", "waterway", "railway",
    "aeroway", "man_made", "power", "office", "historic", "craft", "healthcare", "public_transport", "barrier",
    "bridge", "maxspeed", "sport", "cuisine", "crossing", "military", "place", "water",
)
# fmt: on
ORDER_OF_KEYS = {key: number for number, key in enumerate(MAIN_KEYS)}


class TagStatistics:
    """Numbers of OSM elements with a tag, in all searched regions.

    An element that lies in two of the regions counts twice.
    """

    def __init__(self, stores: Sequence[RegionStore]) -> None:
        self._elements = max(1, sum(store.n_objects for store in stores))
        self._counts: Counter[str] = Counter()
        for store in stores:
            counts = store["vocab/count"]
            for entry, key in enumerate(store.keys):
                if key in ORDER_OF_KEYS:
                    self._counts[f"{key}={store.values[entry]}"] += int(counts[entry])

    def weight(self, tag: str) -> float:
        """Returns how informative a tag is: its inverse document frequency, log(1 + elements / elements with it)."""
        return math.log(1 + self._elements / max(1, self._counts[tag]))


def tags_of_tile(region: SearchRegion, row: int) -> Counter[str]:
    """Counts the tags of main keys of the entities of a tile, given by its row in the embeddings."""
    first, last = (int(end) for end in region.vectors["entity/cu_seqlens"][row : row + 2])
    return tags_of_pieces(region.store, region.vectors["entity/piece"][first:last].astype(np.int64))


def tags_of_pieces(store: RegionStore, pieces: NDArray[np.int64]) -> Counter[str]:
    """Counts the tags of main keys of OSM elements, given by rows in the table `piece/`. An element counts once."""
    offsets, vocab = store["object/tags"], store["tag/vocab"]
    found: Counter[int] = Counter()
    for element in np.unique(store["piece/object"][pieces]).tolist():
        found.update(vocab[int(offsets[element]) : int(offsets[element + 1])].tolist())
    return Counter({tag: count for entry, count in found.items() if (tag := _main_tag(store, entry)) is not None})


def tags_of_entity(region: SearchRegion, row: int) -> Counter[str]:
    """Returns the tags of main keys of an OSM element, given by a row in the embeddings, each with the count 1."""
    store = region.store
    element = int(store["piece/object"][int(region.vectors["entity/piece"][row])])
    first, last = (int(end) for end in store["object/tags"][element : element + 2])
    tags = (_main_tag(store, entry) for entry in store["tag/vocab"][first:last].tolist())
    return Counter(tag for tag in tags if tag is not None)


def merged(examples: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """Returns the tags of several examples, each with its largest count."""
    found: dict[str, int] = {}
    for tags in examples:
        found |= {tag: max(count, found.get(tag, 0)) for tag, count in tags.items()}
    return found


def _main_tag(store: RegionStore, entry: int) -> str | None:
    key = store.keys[entry]
    return f"{key}={store.values[entry]}" if key in ORDER_OF_KEYS else None
