"""Pictures of vectors: colours and coordinates compared with scikit-learn."""

from __future__ import annotations

from importlib import util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.decomposition import PCA
from training import config_of, train_in, write_region

from geojepa_cli.evaluate.plots.latents import plot_latents, principal_components, project, rgb


def test_principal_components_equal_those_of_sklearn_up_to_the_sign() -> None:
    x = np.random.default_rng(0).normal(size=(60, 8)) * np.arange(8, 0, -1) + 5
    found, expected = principal_components(x, 3), PCA(3).fit_transform(x)
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-9)
    np.testing.assert_allclose(principal_components(x * [[-1]] + 10, 3), -found, atol=1e-9)


def test_the_second_of_two_dimensions_is_the_last_component() -> None:
    x = np.random.default_rng(1).normal(size=(30, 2))
    assert np.array_equal(principal_components(x, 3)[:, 2], np.zeros(30))
    assert rgb(x).min() == 0 and rgb(x)[:, :2].max() == 1


def test_pacmap_is_used_if_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(2).normal(size=(40, 6))
    if util.find_spec("pacmap") is not None:
        places, method = project(x)
        assert method == "PaCMAP" and places.shape == (40, 2)
        assert np.array_equal(project(x)[0], places)
    monkeypatch.setattr(util, "find_spec", lambda name: None)
    places, method = project(x)
    assert "`plots`" in method and np.array_equal(places, principal_components(x, 2))


def test_a_box_is_drawn_at_its_place_in_the_colour_of_its_vector(tmp_path: Path) -> None:
    left, right = [0, 0, 0.5, 0, 0.5, 1, 0, 1], [0.5, 0, 1, 0, 1, 1, 0.5, 1]
    entities = np.array([[1.0, 0, 0], [-1.0, 0, 0]] * 2)
    boxes, cu = np.array([left, right] * 2), np.array([0, 2, 4])
    plot_latents(np.eye(2), entities, boxes, cu, "step 1", tmp_path / "a.png")
    pixels = np.asarray(Image.open(tmp_path / "a.png").convert("RGB")).reshape(-1, 3)
    for colour in (255 * rgb(entities)).round().astype(np.uint8)[:2]:
        assert (pixels == colour).all(1).sum() > 5000  # half of two tiles


def test_a_run_writes_a_picture_at_the_chosen_steps(tmp_path: Path) -> None:
    region = write_region(tmp_path / "oak@000000000000")
    train_in(tmp_path / "run", region, config_of("train.max_steps=5", "train.pictures_at=[0, 3]"))
    names = sorted(path.name for path in (tmp_path / "run" / "pictures").iterdir())
    assert names == ["step-000000000.png", "step-000000003.png"]
    first, second = ((tmp_path / "run" / "pictures" / name).read_bytes() for name in names)
    assert first != second
