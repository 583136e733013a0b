#!/usr/bin/env python3
"""Makes the list of frequent tags and keys that the baseline `tag-counts` counts: `geojepa_cli/tags/frequent.txt`.

    .venv/bin/python tools/frequent_tags.py WORKSPACE/processed/*/processed.h5

The list has the 600 tags (`key=value`) and keys (`key=*`) that are most frequent in the given regions. All regions have
the same weight. Tags of fewer than a third of the regions are left out, because they are names of streets and places.
The values of addresses are left out too. The header of the list names the regions. The list of the package is made from
regions that share no zoom-14 tile, and touch none, with the test regions of `benchmarks/transfer.py`.
"""

from __future__ import annotations

import argparse
import textwrap
from collections import Counter
from pathlib import Path

from geojepa_cli.store.reader import RegionStore
from geojepa_cli.tags.frequent import FILE, KEY

COLUMNS = 600
HEADER = (
    "Frequent tags and keys of OpenStreetMap, made by tools/frequent_tags.py.",
    "© OpenStreetMap contributors, ODbL 1.0, https://www.openstreetmap.org/copyright",
)


def shares(path: Path) -> dict[str, float]:
    """Returns the share of a region's OSM elements that have each tag and each key."""
    region = RegionStore(path)
    total = max(len(region["object/osm_id"]), 1)
    found: Counter[str] = Counter()
    for key, value, count in zip(region.keys, region.values, region["vocab/count"].tolist(), strict=True):
        if not key.startswith("addr:"):
            found[f"{key}={value}"] += count
        found[KEY.format(key)] += count
    return {text: count / total for text, count in found.items() if "\n" not in text}


def rank(paths: list[Path], columns: int = COLUMNS) -> list[str]:
    """Returns the most frequent tags and keys of all regions, most frequent first."""
    regions = [shares(path) for path in paths]
    known = Counter(text for region in regions for text in region)
    mean = {text: sum(region.get(text, 0.0) for region in regions) for text in known if 3 * known[text] >= len(regions)}
    return sorted(mean, key=lambda text: (-mean[text], text))[:columns]


def header(paths: list[Path]) -> str:
    """Returns the comment at the start of the list. It names the regions: `processed/NAME@ID/processed.h5`."""
    names = ", ".join(sorted(path.parent.name.partition("@")[0] for path in paths))
    return "".join(
        f"# {line}\n" for line in (*HEADER, *textwrap.wrap(f"Regions: {names}", 118, break_on_hyphens=False))
    )


def main() -> None:
    """Writes the list."""
    parser = argparse.ArgumentParser(description="Make the list of frequent tags.")
    parser.add_argument("processed", type=Path, nargs="+", help="`processed.h5` of each region")
    parser.add_argument("--into", type=Path, default=FILE, help="file to write")
    options = parser.parse_args()
    lines = "".join(f"{text}\n" for text in rank(options.processed))
    options.into.write_text(header(options.processed) + lines, encoding="utf-8")


if __name__ == "__main__":
    main()
