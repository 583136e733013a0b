"""`benchmarks/native.py`: it makes one file of many, and takes no time of a peer that did not finish."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import osmium
import pytest

from geojepa_cli.demo.city import make_city
from geojepa_cli.demo.write import write_pbf

ROOT = Path(__file__).resolve().parents[2]
MULTIPLY = ROOT / "build/native/geojepa-multiply"


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("city") / "city.osm.pbf"
    write_pbf(make_city("small"), path)
    return path


def benchmark(*arguments: str | Path, path: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **({"PATH": path} if path else {})}
    command = [sys.executable, ROOT / "benchmarks/native.py", "--runs", "1", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def count(path: Path) -> Counter[str]:
    return Counter(item.type_str() for item in osmium.FileProcessor(path))


def test_copies_have_ids_of_their_own_and_are_sorted(tmp_path: Path, city: Path) -> None:
    subprocess.run([MULTIPLY, "3", tmp_path / "many.osm.pbf", city, city], check=True)
    keys = [("nwr".index(item.type_str()), item.id) for item in osmium.FileProcessor(tmp_path / "many.osm.pbf")]
    assert keys == sorted(set(keys))
    assert count(tmp_path / "many.osm.pbf") == Counter({kind: 6 * number for kind, number in count(city).items()})


@pytest.mark.skipif(shutil.which("osmium") is None, reason="needs Debian's osmium-tool, the peer")
def test_the_peer_runs_next_to_the_binary_and_is_shown_to_finish(tmp_path: Path, city: Path) -> None:
    done = benchmark(city, city, "--merge", "--copies", "2", "--scratch", tmp_path)
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(done.stdout)["files"]
    total = result["tile"]["seconds"] + result["process"]["seconds"]
    assert result["ratio_tile_and_process"] == pytest.approx(total / result["export"]["seconds"], rel=0.01)
    assert result["export"]["features"] > 1000
    assert not any(tmp_path.iterdir())


def test_a_peer_that_fails_is_no_peer(tmp_path: Path, city: Path) -> None:
    peer = tmp_path / "osmium"
    peer.write_text('#!/bin/sh\n[ "$1" = fileinfo ] && echo yes && exit 0\necho "Out of order" >&2\nexit 1\n')
    peer.chmod(0o755)
    done = benchmark(city, path=f"{tmp_path}:{os.environ['PATH']}")
    assert (done.returncode, done.stdout) == (1, "")
    assert "Out of order" in done.stderr


def test_a_missing_peer_is_printed_with_the_way_to_install_it(tmp_path: Path, city: Path) -> None:
    done = benchmark(city, path=str(tmp_path))
    assert done.returncode == 1
    assert "tools/setup.sh --check-tools" in done.stderr
