"""The list of frequent tags, and the tool that makes it."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from synthetic_store import write_synthetic_processed

from geojepa_cli.baselines.tag_counts import TagCounts
from geojepa_cli.stages.embedding_model import Model
from geojepa_cli.stages.embeddings import EMBEDDINGS
from geojepa_cli.stages.training import MODELS
from geojepa_cli.store.reader import RegionStore
from geojepa_cli.tags import frequent
from geojepa_cli.tags.frequent import frequent_tags, list_version

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools/frequent_tags.py"


def regions_of(path: Path) -> list[str]:
    """The regions that the header of a list names."""
    words = " ".join(line[2:] for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("# "))
    return words.partition("Regions: ")[2].split(", ")


def test_no_test_region_of_the_benchmark_has_a_part_in_the_list() -> None:
    tree = ast.parse((ROOT / "benchmarks/transfer.py").read_text(encoding="utf-8"))
    (splits,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "SPLITS"
    )
    tested = {name for names in splits.values() for name in names}
    named = regions_of(frequent.FILE)
    assert len(tested) == 8 and len(named) == len(set(named)) == 39
    assert not tested & set(named)
    # they share zoom-14 tiles with test regions
    assert not {"berlin-mitte-north", "wildau", "baltimore-harbor"} & set(named)


def test_embeddings_of_another_list_have_another_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = Model(TagCounts.name).params
    assert before == Model(TagCounts.name).params and Model("tagpool").params == {"model": "tagpool"}
    (tmp_path / "list.txt").write_text("\n".join(["# a header", *frequent_tags()]))
    monkeypatch.setattr(frequent, "FILE", tmp_path / "list.txt")
    assert Model(TagCounts.name).params == before
    (tmp_path / "list.txt").write_text("\n".join(frequent_tags()[::-1]))
    assert Model(TagCounts.name).params != before


def test_another_list_needs_new_versions_of_the_stages_that_do_not_record_it() -> None:
    # the ids of models and of their embeddings do not depend on the list, which summaries and sketches read (ADR 23)
    assert (list_version(), MODELS.version, EMBEDDINGS.version) == ("sha256-0b79233e10e1", 1, 1)


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
    assert regions_of(tmp_path / "list.txt") == ["a", "b"]
    lines = [line for line in (tmp_path / "list.txt").read_text().splitlines() if not line.startswith("#")]
    assert sorted(lines) == sorted(text for text, share in shares.items() if share)
    values = [shares[line] for line in lines]
    assert all(first >= second - 1e-9 for first, second in pairwise(values))
