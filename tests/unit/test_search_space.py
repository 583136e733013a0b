"""Statistics of vectors and search spaces, compared with NumPy, scikit-learn and the formula."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from synthetic_embeddings import write_synthetic_embeddings
from synthetic_store import write_synthetic_processed

from geojepa_cli.config.spaces import FORMS
from geojepa_cli.search.space import SearchSpace
from geojepa_cli.store import vector_statistics
from geojepa_cli.store.embeddings import Embeddings
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.vector_statistics import (
    VectorStatistics,
    add_rows,
    combine,
    no_vectors,
    pack_scatter,
    unpack_scatter,
)
from geojepa_cli.store.view import View


def _vectors(count: int, width: int, seed: int = 0) -> np.ndarray:
    """Correlated columns with a large mean, as vectors of models have."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((count, width)) @ rng.standard_normal((width, width)) + 30 * rng.standard_normal(width)


def _statistics(vectors: np.ndarray) -> VectorStatistics:
    return add_rows(no_vectors(vectors.shape[1]), vectors)


@pytest.mark.parametrize("rows_at_once", [1, 7, 1000])
def test_statistics_equal_those_of_numpy(monkeypatch: pytest.MonkeyPatch, rows_at_once: int) -> None:
    monkeypatch.setattr(vector_statistics, "_ROWS_AT_ONCE", rows_at_once)
    vectors = _vectors(50, 6)
    found = _statistics(vectors)
    assert found.count == 50
    np.testing.assert_allclose(found.mean, vectors.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.scatter, 50 * np.cov(vectors.T, bias=True), rtol=1e-9, atol=1e-9)


def test_statistics_of_regions_combine_to_those_of_all_vectors() -> None:
    parts = [_vectors(count, 5, seed) for seed, count in enumerate((1, 40, 0, 3))]
    found, expected = combine([_statistics(part) for part in parts]), _statistics(np.concatenate(parts))
    assert found.count == expected.count
    np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-12)
    np.testing.assert_allclose(found.scatter, expected.scatter, rtol=1e-10, atol=1e-9)
    with pytest.raises(ValueError, match="5 and 4 values"):
        combine([_statistics(parts[0]), no_vectors(4)])


def test_vectors_of_zeros_are_not_counted() -> None:
    vectors = _vectors(20, 4)
    with_zeros = np.insert(vectors, [0, 7, 7, 20], 0.0, axis=0)
    np.testing.assert_allclose(_statistics(with_zeros).mean, vectors.mean(0))
    assert _statistics(with_zeros).count == 20 and _statistics(np.zeros((3, 4))).count == 0


def test_a_packed_scatter_matrix_is_restored() -> None:
    scatter = _statistics(_vectors(9, 5)).scatter
    packed = pack_scatter(scatter)
    assert len(packed) == 15 and packed[1] == scatter[0, 1] and packed[5] == scatter[1, 1]
    np.testing.assert_array_equal(unpack_scatter(packed, 5), scatter)


def test_embeddings_store_the_statistics_of_their_vectors(tmp_path: Path) -> None:
    store = TileStore.open([write_synthetic_processed(tmp_path / "r.h5", 3, 60)], names=["r"])
    view = View.default(store)
    tiles, entities = _vectors(len(view.tiles), 6), _vectors(int(store.lengths(view).sum()), 3)
    tiles[4] = 0
    made = Embeddings(write_synthetic_embeddings(tmp_path / "e.h5", store, view, tiles, entities))
    for column, vectors in (("tile/vector", np.delete(tiles, 4, 0)), ("entity/vector", entities)):
        stored = np.asarray(vectors).astype(made[column].dtype).astype(np.float64)
        found = made.statistics(column)
        assert found.count == len(stored)
        np.testing.assert_allclose(found.mean, stored.mean(0), rtol=1e-12)
        np.testing.assert_allclose(found.scatter, len(stored) * np.cov(stored.T, bias=True), rtol=1e-8)


def test_statistics_have_the_same_bytes_for_any_number_of_threads() -> None:
    code = (
        "import hashlib, numpy as np; from geojepa_cli.store.vector_statistics import add_rows, no_vectors\n"
        "rows = np.random.default_rng(0).standard_normal((9000, 200)).astype(np.float32)\n"
        "found = add_rows(no_vectors(200), rows)\n"
        "print(hashlib.sha256(found.mean.tobytes() + found.scatter.tobytes()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for threads in (1, 2, 4)
    }
    assert len(digests) == 1


def _slow_space(vectors: np.ndarray, form: str, shrinkage: float) -> np.ndarray:
    """The formula of `SearchSpace`, with a matrix square root by eigenvalues of NumPy's correlation matrix."""
    centred = vectors - (vectors.mean(0) if form != "raw" else 0)
    if form == "whitened":
        correlation = np.corrcoef(vectors.T) * (1 - shrinkage) + shrinkage * np.eye(vectors.shape[1])
        values, directions = np.linalg.eigh(correlation)
        centred = centred / vectors.std(0) @ (directions @ np.diag(values**-0.5) @ directions.T)
    return np.asarray(centred / np.linalg.norm(centred, axis=1, keepdims=True))


@pytest.mark.parametrize("form", FORMS)
def test_vectors_are_mapped_by_the_formula(form: str) -> None:
    vectors = _vectors(300, 8)
    space = SearchSpace.fit([_statistics(vectors[:100]), _statistics(vectors[100:])], form)
    expected = _slow_space(vectors, form, space.shrinkage)
    found = space.project(vectors.astype(np.float32))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=2e-5)
    as_tensor = space.project(torch.from_numpy(vectors))
    assert as_tensor.dtype == torch.float32
    np.testing.assert_allclose(as_tensor.numpy(), expected, atol=1e-6)


def test_whitened_columns_are_uncorrelated_when_vectors_are_many() -> None:
    vectors = _vectors(5000, 6) * np.array([1e-3, 1, 1, 1e4, 1, 1])
    space = SearchSpace.fit([_statistics(vectors)], "whitened")
    covariance = np.cov(space.transform(vectors).T)
    assert space.shrinkage == pytest.approx(0.01)
    # an eigenvalue e of the correlation matrix becomes e / (0.99 e + 0.01)
    values = np.linalg.eigvalsh(np.corrcoef(vectors.T))
    np.testing.assert_allclose(np.linalg.eigvalsh(covariance), np.sort(values / (0.99 * values + 0.01)), rtol=1e-3)


def test_the_scale_of_a_column_does_not_change_whitened_vectors() -> None:
    vectors, scales = _vectors(40, 6), np.array([1e-4, 1, 3, 1e5, 1, 7])
    plain, scaled = (
        SearchSpace.fit([_statistics(rows)], "whitened").project(rows) for rows in (vectors, vectors * scales)
    )
    np.testing.assert_allclose(plain, scaled, atol=1e-6)


@pytest.mark.parametrize("count", [5, 30, 400])
def test_the_shrinkage_is_that_of_oas_for_few_vectors(count: int) -> None:
    covariance = pytest.importorskip("sklearn.covariance")
    vectors = np.random.default_rng(1).standard_normal((count, 60))
    standardised = (vectors - vectors.mean(0)) / vectors.std(0)
    found = SearchSpace.fit([_statistics(vectors)], "whitened").shrinkage
    # scikit-learn leaves out the term 2/p of the paper's formula
    assert found == pytest.approx(covariance.oas(standardised, assume_centered=True)[1], abs=0.02)


def test_fewer_vectors_than_columns_do_not_amplify_noise() -> None:
    rng = np.random.default_rng(2)
    vectors = rng.standard_normal((12, 3)) @ rng.standard_normal((3, 200)) + 1e-4 * rng.standard_normal((12, 200))
    space = SearchSpace.fit([_statistics(vectors)], "whitened")
    found = space.project(vectors)
    noisy = space.project(vectors + 1e-4 * rng.standard_normal((12, 200)))
    assert np.isfinite(found).all() and (np.sum(found * noisy, axis=1) > 0.999).all()


def test_constant_columns_and_vectors_of_zeros_become_zero() -> None:
    vectors = _vectors(50, 5)
    vectors[:, 2] = 1e4 + 1e-4 * np.random.default_rng(0).standard_normal(50)  # constant in float32
    vectors[7] = 0
    for form in ("centred", "whitened"):
        space = SearchSpace.fit([_statistics(vectors)], form)
        found = space.project(vectors)
        assert not found[7].any() and np.isfinite(found).all()
        np.testing.assert_allclose(np.delete(np.linalg.norm(found, axis=1), 7), 1, atol=1e-6)
        assert form == "centred" or not found[:, 2].any()


def test_balanced_parts_have_the_variance_of_their_weights() -> None:
    vectors = _vectors(200, 9) * np.array([1.0] * 3 + [50.0] * 4 + [0.01] * 2)
    parts = (("max", 3), ("mean", 4), ("sketch", 2))
    statistics = replace(_statistics(vectors), parts=parts)
    space = SearchSpace.fit([statistics], "balanced")
    mapped, centred = space.transform(vectors), vectors - vectors.mean(0)
    columns = {"max": slice(0, 3), "mean": slice(3, 7), "sketch": slice(7, 9)}
    for name, part in columns.items():
        weight = 4 if name == "max" else 1
        np.testing.assert_allclose((mapped[:, part] ** 2).sum(1).mean(), weight**2, rtol=1e-9)
        factor = weight / np.sqrt((centred[:, part] ** 2).sum(1).mean())  # one factor for the whole part
        np.testing.assert_allclose(mapped[:, part], centred[:, part] * factor, rtol=1e-7)
    query = np.random.default_rng(1).standard_normal((1, 9))
    np.testing.assert_allclose(centred @ space.pull(query)[0], mapped @ query[0], rtol=1e-9)


def test_a_constant_part_tells_nothing() -> None:
    vectors = np.hstack([_vectors(50, 3), np.full((50, 2), 7.3)])
    space = SearchSpace.fit([replace(_statistics(vectors), parts=(("max", 3), ("sketch", 2)))], "balanced")
    assert not space.transform(vectors)[:, 3:].any() and space.transform(vectors)[:, :3].any()


def test_without_known_parts_balanced_is_centred() -> None:
    vectors, known = _vectors(30, 4), (("max", 2), ("mean", 2))
    other = replace(_statistics(vectors), parts=known)
    expected = SearchSpace.fit([_statistics(vectors)] * 2, "centred").project(vectors)
    for statistics in ([_statistics(vectors)] * 2, [_statistics(vectors), other]):
        np.testing.assert_array_equal(SearchSpace.fit(statistics, "balanced").project(vectors), expected)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("count", [0, 1])
def test_a_space_of_at_most_one_vector_is_finite(form: str, count: int) -> None:
    vectors = _vectors(count, 4)
    space = SearchSpace.fit([_statistics(vectors)], form)
    assert np.isfinite(space.project(_vectors(3, 4, seed=1))).all()
    assert SearchSpace.fit([no_vectors(0)], form).project(np.zeros((5, 0), np.float16)).shape == (5, 0)


def test_an_unknown_form_is_an_error() -> None:
    with pytest.raises(ValueError, match="unknown form `white`"):
        SearchSpace.fit([no_vectors(2)], "white")
