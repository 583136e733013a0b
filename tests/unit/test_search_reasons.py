"""Reasons in words: informative tags of both, and of one alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from synthetic_store import write_synthetic_processed

from geojepa_cli.search.reasons import reason
from geojepa_cli.search.results import top_percent
from geojepa_cli.search.tag_counts import MAIN_KEYS, TagStatistics, merged
from geojepa_cli.store.store import TileStore


class Counts(TagStatistics):
    """Statistics of 1,000 elements with given counts."""

    def __init__(self, counts: dict[str, int]) -> None:
        super().__init__([])
        self._elements = 1000
        self._counts.update(counts)


COUNTS = Counts(
    {"highway=service": 400, "aeroway=runway": 2, "landuse=meadow": 30, "building=yes": 500, "power=line": 9}
)


def test_rare_tags_come_first() -> None:
    query = {"highway=service": 20, "aeroway=runway": 1, "building=yes": 9, "power=line": 1}
    result = {"highway=service": 12, "aeroway=runway": 2, "building=yes": 50, "landuse=meadow": 3}
    assert reason(query, result, COUNTS) == (
        "both: aeroway=runway, highway=service, building=yes; only there: landuse=meadow; only in the query: power=line"
    )


def test_values_that_are_names_are_left_out() -> None:
    named = {"building=St Mary's": 1, "office=Müller": 1, "shop=<b>x</b>": 1, "maxspeed=25 mph": 1}
    assert reason(named, named, COUNTS) == "both: maxspeed=25 mph"
    assert reason({}, {}, COUNTS) == ""


def test_examples_are_merged_with_their_largest_counts() -> None:
    assert merged([{"a=b": 2, "c=d": 1}, {"a=b": 1, "e=f": 4}]) == {"a=b": 2, "c=d": 1, "e=f": 4}


def test_weights_are_inverse_document_frequencies_over_all_regions(tmp_path: Path) -> None:
    paths = [write_synthetic_processed(tmp_path / f"{seed}.h5", seed, 60) for seed in (0, 1)]
    stores = TileStore.open(paths, names=["a", "b"]).regions
    found = TagStatistics(stores)
    counts: dict[str, int] = {}
    for store in stores:
        offsets, vocab = store["object/tags"], store["tag/vocab"]
        for element in range(store.n_objects):
            for entry in vocab[int(offsets[element]) : int(offsets[element + 1])].tolist():
                if store.keys[entry] in MAIN_KEYS:
                    tag = f"{store.keys[entry]}={store.values[entry]}"
                    counts[tag] = counts.get(tag, 0) + 1
    ordered = sorted(counts, key=lambda tag: (-counts[tag], tag))
    assert len(counts) > 1 and found.weight(ordered[0]) < found.weight(ordered[-1]) < found.weight("aeroway=none")


@pytest.mark.parametrize(
    ("place", "searched", "expected"), [(1, 1000, 0.1), (1, 458, 0.22), (5, 458, 1.1), (7, 7, 100.0), (1, 3, 34.0)]
)
def test_places_in_percent_are_rounded_up(place: int, searched: int, expected: float) -> None:
    assert top_percent(place, searched) == expected
