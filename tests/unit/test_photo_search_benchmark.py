"""`benchmarks/photo_search.py`: the order of photos against their distances, by loops, and the whole chain."""

from __future__ import annotations

import importlib
import json
from itertools import combinations
from pathlib import Path
from typing import Any

import exif_bytes as eb
import numpy as np
import pytest
from painted_store import to_lonlat
from painted_workspace import SETTINGS, painted_workspace
from pyproj import Geod
from scipy.stats import spearmanr

from geojepa_cli import stages
from geojepa_cli.store.photos import PhotoRow, write_photos

ROOT = Path(__file__).resolve().parents[2]
PHOTOS = {"ground.photos": True, "ground.photo_patch_px": 56, "ground.photo_depth": 1}


@pytest.fixture(scope="module")
def script() -> Any:
    spec = importlib.util.spec_from_file_location("photo_search_benchmark", ROOT / "benchmarks/photo_search.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def street(n: int, seed: int = 0) -> np.ndarray:
    """Distances of places along a straight street, in random order. [n, n]"""
    place = np.random.default_rng(seed).permutation(n) * 7.0
    return np.asarray(np.abs(place[:, None] - place))


def test_correlations_are_those_of_scipy_and_a_perfect_order_is_significant(script: Any) -> None:
    distance = street(12)
    scores = np.random.default_rng(1).normal(size=(12, 12)) - 0.02 * distance
    found = script.compare(scores, distance, 0)
    rows = [[other for other in range(12) if other != query] for query in range(12)]
    expected = np.mean([spearmanr(-scores[q, rows[q]], distance[q, rows[q]])[0] for q in range(12)])
    assert found["spearman"]["value"] == pytest.approx(expected, abs=1e-4)
    assert found["spearman"]["low"] <= found["spearman"]["value"] <= found["spearman"]["high"]
    perfect = script.compare(-distance, distance, 0)
    assert perfect["spearman"]["value"] == pytest.approx(1.0) and perfect["p"] == pytest.approx(1e-4, abs=1e-5)
    assert perfect["first_m"] == 7.0
    assert script.compare(distance, distance, 0)["p"] == 1.0


def test_the_share_of_random_places_is_even_if_scores_say_nothing(script: Any) -> None:
    rng = np.random.default_rng(2)
    shares = [script.mantel(rng.normal(size=(8, 8)), street(8), rng) for _ in range(12)]
    assert min(shares) < 0.5 < max(shares)


def test_samples_of_photos_have_the_correlations_of_a_loop(script: Any) -> None:
    distance = street(6)
    scores = np.random.default_rng(3).normal(size=(6, 6)) - 0.05 * distance
    samples = np.array([[0, 0, 0, 3, 4, 5], [5, 4, 3, 2, 1, 0], [1, 1, 2, 2, 3, 3], [2, 2, 2, 2, 2, 2]])
    found = script.mean_spearman(scores, distance, samples)
    for sample, mean in zip(samples[:3], found, strict=False):
        rows = [(query, sample[sample != query]) for query in sample]  # copies are no candidates for each other
        expected = np.mean([spearmanr(-scores[query, others], distance[query, others])[0] for query, others in rows])
        assert mean == pytest.approx(expected)
    assert np.isnan(found[3])
    assert script.mean_spearman(np.ones((6, 6)), distance, samples[:1]) == [0.0]  # equal scores are no order


def test_distances_are_those_of_the_ellipsoid(script: Any) -> None:
    lonlat = np.array([[13.19, 55.70], [13.191, 55.70], [13.19, 55.7005]])
    found = script.distances(lonlat)
    for a, b in combinations(range(3), 2):
        expected = Geod(ellps="WGS84").inv(*lonlat[a], *lonlat[b])[2]
        assert found[a, b] == pytest.approx(expected, abs=1e-6) and found[b, a] == pytest.approx(expected, abs=1e-6)


@pytest.mark.slow
def test_photos_of_a_folder_are_imported_and_searched(
    script: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = painted_workspace(tmp_path)
    workspace = made.workspace
    pixels = np.zeros((3, 224, 224), np.uint8)
    places = [to_lonlat(tile, np.array([0.5, 0.5])) for tile in made.painted.tiles[:24]]
    rows = [PhotoRow(f"{n}.jpg", float(lon), float(lat), 10.0, np.nan, pixels) for n, (lon, lat) in enumerate(places)]
    with workspace.build("photos", "town", {"seed": 0}, [workspace.find("source", "town")]) as build:
        write_photos(build.partial / "photos.h5", rows)
        (build.partial / "dropped.json").write_text("[]\n")
        build.publish(attribution=["Photos: Ada"])
    model = stages.pretrain(workspace, "gair.yaml", "town", {**SETTINGS, **PHOTOS}, "photos")
    for number in range(8):
        seconds = 40 + 0.5 * number
        eb.write_photo(
            tmp_path / f"street/{number}.jpg", eb.exif(places=eb.gps((13, 11, seconds), (55, 41, 53))), number
        )
    given = ["--workspace", str(workspace.root), "--photos", str(tmp_path / "street")]
    script.main([*given, "--model", "photos", "--attribution", "Ada", "--out", str(tmp_path / "out.json")])
    found = json.loads(capsys.readouterr().out)["result"]
    assert found == json.loads((tmp_path / "out.json").read_text())
    assert found["read"] == 8 and found["length_m"] == pytest.approx(3.5 / 3600 * 62_900, rel=0.01)
    assert found["vectors"]["photos"]["trained_on"] == model.inputs
    assert {"photos", "photos (first weights)", "pixels"} <= set(found["vectors"])
    (file,) = [one for one in workspace.artifacts("photos") if one.name == "street"]
    assert file.attribution[-1] == "Ada"
