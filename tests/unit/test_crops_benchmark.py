"""`benchmarks/crops.py`: both crops show the same ground point, and figures are those of a slow loop."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
SMALL = ("model.embed_dim=16", "model.depth=1", "model.num_heads=2", "model.patch_px=56", "model.decoder_dim=8")


@pytest.fixture(scope="module")
def script() -> Any:
    spec = importlib.util.spec_from_file_location("crops_benchmark", ROOT / "benchmarks/crops.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pairs(script: Any) -> Any:
    return importlib.import_module("benchmarks.crop_pairs")


def coded(pairs: Any) -> Any:
    """A mosaic whose pixels say where they are: column and row, each as 3 × 75 + a remainder in the third band."""
    column, row = np.meshgrid(np.arange(pairs.MOSAIC), np.arange(pairs.MOSAIC))
    image = np.stack([column // 4, row // 4, column % 4 * 4 + row % 4]).astype(np.uint8)
    return pairs.Mosaic("14_0_0", torch.from_numpy(image), 2.1)


def decoded(crop: torch.Tensor, uv: torch.Tensor) -> list[tuple[int, int]]:
    """Column and row in the mosaic of the pixel that contains each point of a crop."""
    x, y = (uv * 224).floor().long().clamp(0, 223).T
    red, green, blue = crop[:, y, x].long()
    return list(zip((red * 4 + blue // 4).tolist(), (green * 4 + blue % 4).tolist(), strict=True))


@pytest.mark.parametrize("turn", [False, True])
def test_a_point_is_the_same_ground_in_both_crops(pairs: Any, turn: bool) -> None:
    mosaic = coded(pairs)
    crops = pairs.draw_crops([mosaic], 12, 20, turn, torch.Generator().manual_seed(0))
    same = 0
    for pair in range(12):
        rows = crops.crop == pair
        first = decoded(crops.first[pair], crops.uv_first[rows])
        second = decoded(crops.second[pair], crops.uv_second[rows])
        places = [tuple(one) for one in crops.places[rows, 1:].floor().long().tolist()]
        assert first == places
        same += sum(max(abs(a - c), abs(b - d)) <= 1 for (a, b), (c, d) in zip(first, second, strict=True))
    assert same == 12 * 20  # a point at the edge of a pixel may fall into the next one when it is turned
    assert crops.uv_second.min() >= 0 and crops.uv_second.max() <= 1


@pytest.mark.parametrize("turn", [False, True])
def test_tested_points_are_read_from_the_crops_that_contain_them(pairs: Any, turn: bool) -> None:
    mosaic = coded(pairs)
    points = pairs.points_to_test(mosaic, 3, 1, turn)
    places = points.xy.floor().long().tolist()
    for crops, crop, uv in zip(points.crops, points.crop, points.uv, strict=True):
        assert ((uv >= 0) & (uv <= 1)).all()
        for number, (x, y) in enumerate(places):
            ((column, row),) = decoded(crops[crop[number]], uv[number : number + 1])
            assert max(abs(column - x), abs(row - y)) <= 1
    apart = torch.cdist(points.xy, points.xy).fill_diagonal_(torch.inf)
    assert len(points.xy) == pairs.POINTS and apart.min() >= 10  # half a cell of the grid of points


def test_figures_are_those_of_a_loop(script: Any) -> None:
    rng = np.random.default_rng(0)
    a, b = (torch.from_numpy(rng.normal(size=(50, 4))) for _ in range(2))
    b = a + 0.7 * b
    xy = torch.from_numpy(rng.uniform(0, 300, (50, 2)))
    found = script.figures_of(a, b, xy, 0.5)
    for query in range(50):
        order = sorted(range(50), key=lambda other, query=query: -float(a[query] @ b[other]))
        rank = order.index(query)
        distance = 0.5 * float((xy[query] - xy[order[0]]).norm())
        assert found[query].tolist() == [rank < 1, rank < 10, distance <= 34]
    equal = script.figures_of(torch.ones(20, 3), torch.ones(20, 3), xy[:20], 0.5)
    np.testing.assert_allclose(equal[:, :2], [[1 / 20, 10 / 20]] * 20)


def test_plain_crops_have_equal_pixels_and_turned_ones_have_not(script: Any, pairs: Any) -> None:
    image = torch.randint(0, 256, (3, pairs.MOSAIC, pairs.MOSAIC), dtype=torch.uint8)
    mosaic, shares = pairs.Mosaic("14_0_0", image, 2.1), []
    for turn in (False, True):
        points = pairs.points_to_test(mosaic, 0, 0, turn)
        figures = script.figures_of(*script.read(None, points, True), points.xy, mosaic.metres)
        shares.append(figures[:, 0].mean())
    assert shares[0] > 0.7 and shares[1] < 0.5  # patches at the border of a crop are cut off


def test_the_script_prints_figures_of_all_groups_and_their_differences(
    script: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    for group in range(2):
        for number in range(16):
            name = f"16_{40 + 4 * group + number % 4}_{80 + number // 4}"
            pixels = np.kron(rng.integers(0, 256, (28, 28, 3), np.uint8), np.ones((8, 8, 1), np.uint8))
            Image.fromarray(pixels).save(tmp_path / f"{name}.webp", lossless=True)
    Image.fromarray(pixels).save(tmp_path / "16_0_0.webp")  # of a group that is not whole
    sets = [word for setting in SMALL for word in ("--set", setting)]
    script.main(["--images", str(tmp_path), "--steps", "4", "--seeds", "2", "--folds", "2", *sets])
    found = json.loads(capsys.readouterr().out)["result"]
    assert found["groups"] == ["14_10_20", "14_11_20"] and found["queries"] == 2 * 2 * 1000
    for name in ("first weights", "pixels"):
        for figure in script.FIGURES:
            trained, other = (found["networks"][one][figure]["value"] for one in ("trained", name))
            assert found["differences"][name][figure]["value"] == pytest.approx(trained - other, abs=2e-4)
    assert found["networks"]["trained"] != found["networks"]["first weights"]


def test_too_few_groups_are_refused(script: Any, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="expected at least 3 whole zoom-14 groups, got 0"):
        script.main(["--images", str(tmp_path)])
