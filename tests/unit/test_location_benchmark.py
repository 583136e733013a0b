"""`benchmarks/location.py`: folds without leaks, R² of scikit-learn, intervals of a loop, and GeoCLIP's weights."""

from __future__ import annotations

import argparse
import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from painted_workspace import painted_workspace
from pyproj import Proj
from sklearn.metrics import r2_score

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def script() -> Any:
    spec = importlib.util.spec_from_file_location("location_benchmark", ROOT / "benchmarks/location.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def places(n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.stack([rng.uniform(-180, 180, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))], 1)


def write_table(path: Path, lonlat: np.ndarray, label: np.ndarray) -> None:
    lines = [f"{lon},{lat},{value}" for (lon, lat), value in zip(lonlat.tolist(), label.tolist(), strict=True)]
    path.write_text("\n".join(["lon,lat,label", *lines]) + "\n")


def test_a_smooth_label_is_predicted_by_harmonics_and_intervals_surround_the_figure(
    script: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lonlat = places(400)
    lon, lat = np.radians(lonlat).T
    write_table(tmp_path / "smooth.csv", lonlat, np.cos(lat) ** 2 * np.cos(2 * lon) + np.sin(lat))
    script.main(["--data", str(tmp_path), "--frequencies", "8", "--degree", "4"])
    found = json.loads(capsys.readouterr().out)["tables"]["smooth"]
    assert found["rows"] == 400 and found["groups"] == len({tuple(np.floor(one / 10).tolist()) for one in lonlat})
    names = {"position", "fourier published", "fourier added", "harmonics", "untrained encoder"}
    for split in ("random rows", "blocks"):
        assert set(found[split]) - {"geoclip"} == names
        assert found[split]["harmonics"]["r2"] > 0.999 and found[split]["harmonics"]["width"] == 24
        assert found[split]["position"]["r2"] < 0.6
        for one in found[split].values():
            assert one["low"] <= one["r2"] <= one["high"]
        assert found[split][found["reference"]]["difference"]["r2"] == 0.0


def test_blocks_are_left_out_as_a_whole(script: Any) -> None:
    lonlat = places(1500)
    blocks = script.blocks_of(lonlat)
    label = np.random.default_rng(1).normal(size=blocks.max() - blocks.min() + 1)[blocks - blocks.min()]
    names, place = np.unique(blocks, return_inverse=True)
    x = np.eye(len(names), dtype=np.float32)[place]  # tells the block, and nothing about other blocks
    by_rows = script.left_out(x, label, np.arange(len(label)), 0)
    by_blocks = script.left_out(x, label, blocks, 0)
    assert r2_score(label, by_rows) > 0.3 and r2_score(label, by_blocks) < 0.02


def test_figures_are_those_of_scikit_learn_and_intervals_those_of_a_loop(script: Any) -> None:
    rng = np.random.default_rng(0)
    label, a, b = rng.normal(size=(3, 60))
    a, blocks = label + 0.5 * a, rng.integers(0, 9, 60)
    bootstrap = script.BlockBootstrap(label, blocks, 3)
    found = bootstrap.r2(a)
    drawn = np.random.default_rng(3).multinomial(9, np.full(9, 1 / 9), size=2000)[:, blocks]
    samples = [r2_score(label, a, sample_weight=weight) for weight in drawn]
    assert found["r2"] == pytest.approx(r2_score(label, a), abs=1e-4)
    assert [found["low"], found["high"]] == pytest.approx(list(np.percentile(samples, [2.5, 97.5])), abs=1e-3)
    assert bootstrap.r2(a, b)["r2"] == pytest.approx(r2_score(label, a) - r2_score(label, b), abs=1e-4)


def test_the_weights_of_geoclip_are_read_as_its_formula_says(script: Any) -> None:
    encoder = script.load_geoclip()
    if encoder is None:
        pytest.skip("needs `pip install --no-deps geoclip==1.3.0`")
    folder = Path(importlib.util.find_spec("geoclip").submodule_search_locations[0])
    weights = torch.load(folder / "model/weights/location_encoder_weights.pth", weights_only=True)
    w = {name: tensor.double().numpy() for name, tensor in weights.items()}
    lonlat = places(20)
    x = np.stack(Proj("+proj=eqearth +R=1")(*lonlat.T), 1) * 66.50336 / 180
    expected = np.zeros((20, 512))
    for scale in range(3):
        phase = 2 * np.pi * x @ w[f"LocEnc{scale}.capsule.0.b"].T
        found = np.concatenate([np.cos(phase), np.sin(phase)], 1)
        for layer in (1, 3, 5):
            name = f"LocEnc{scale}.capsule.{layer}"
            found = np.maximum(found @ w[f"{name}.weight"].T + w[f"{name}.bias"], 0)
        expected += found @ w[f"LocEnc{scale}.head.0.weight"].T + w[f"LocEnc{scale}.head.0.bias"]
    with torch.no_grad():
        np.testing.assert_allclose(encoder(torch.from_numpy(lonlat)).numpy(), expected, atol=1e-4)


def test_the_first_weights_are_those_from_which_the_model_was_trained(script: Any, tmp_path: Path) -> None:
    made = painted_workspace(tmp_path)
    options = argparse.Namespace(seed=5, model=["gair"], workspace=made.workspace.root)
    found = script.find_encoders(options)
    trained, first = (found[name].state_dict() for name in ("gair", "gair (first weights)"))
    frequencies = [name for name in trained if name.endswith("frequencies")]  # they are not trained
    assert frequencies and all(torch.equal(trained[name], first[name]) for name in frequencies)
    assert not all(torch.equal(trained[name], first[name]) for name in trained)


def test_a_folder_without_tables_is_refused(script: Any, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no CSV files"):
        script.main(["--data", str(tmp_path)])
