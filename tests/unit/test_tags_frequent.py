"""The list of frequent tags, and the tool that makes it."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

from synthetic_store import write_synthetic_processed

from geojepa_cli.store.reader import RegionStore
from geojepa_cli.tags.frequent import frequent_tags

TOOL = Path(__file__).resolve().parents[2] / "tools/frequent_tags.py"


def test_the_list_has_600_different_tags_and_keys_and_no_street() -> None:
    listed = frequent_tags()
    assert len(listed) == len(set(listed)) == 600
    assert {"highway=*", "building=yes", "maxspeed=*"} <= set(listed)
    assert all("=" in text for text in listed)
    assert not [text for text in listed if text.startswith("addr:") and not text.endswith("=*")]


def test_the_tool_ranks_tags_and_keys_by_their_mean_share(tmp_path: Path) -> None:
    paths = [write_synthetic_processed(tmp_path / name / "processed.h5", seed) for seed, name in enumerate("ab")]
    done = subprocess.run(
        [sys.executable, TOOL, *paths, "--into", tmp_path / "list.txt"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    shares: Counter[str] = Counter()
    for path in paths:
        region = RegionStore(path)
        ends = region["object/tags"].tolist()
        for first, last in pairwise(ends):
            for tag in region["tag/vocab"][first:last].tolist():
                shares[f"{region.keys[tag]}={region.values[tag]}"] += 1 / (len(ends) - 1)
                shares[f"{region.keys[tag]}=*"] += 1 / (len(ends) - 1)
    lines = [line for line in (tmp_path / "list.txt").read_text().splitlines() if not line.startswith("#")]
    assert sorted(lines) == sorted(text for text, share in shares.items() if share)
    values = [shares[line] for line in lines]
    assert all(first >= second - 1e-9 for first, second in pairwise(values))
