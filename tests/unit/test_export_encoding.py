"""Encodings of exported vectors against NumPy, scikit-learn and slow loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.decomposition import TruncatedSVD
from sklearn.neighbors import NearestNeighbors

from geojepa_cli.config.spaces import DEFAULT_FORM
from geojepa_cli.errors import DataError
from geojepa_cli.export import components, vector_rows
from geojepa_cli.export.components import fit_colours, fit_moments, fit_projection
from geojepa_cli.export.encoding import DecodedVectors, fit_encoding
from geojepa_cli.export.neighbours_kept import MappedVectors, measure_kept, search
from geojepa_cli.export.vector_rows import PooledVectors, StackedVectors
from geojepa_cli.search.space import SearchSpace, unit_rows
from geojepa_cli.stages.export_space import fit_space
from geojepa_cli.store.vector_statistics import add_rows, no_vectors


def vectors(n: int = 400, width: int = 24, seed: int = 0) -> np.ndarray:
    """Random vectors around a mean that dominates their cosines, with unequal variances."""
    rng = np.random.default_rng(seed)
    return (3.0 + rng.normal(size=(n, width)) * np.geomspace(1.0, 0.02, width)).astype(np.float32)


@pytest.fixture(autouse=True)
def several_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 256 vectors, so that every pass has more than one."""
    monkeypatch.setattr(vector_rows, "_VALUES_AT_ONCE", 1)


def kept_by_loop(original: np.ndarray, decoded: np.ndarray, k: int = 8) -> float:
    """Share of common neighbours in the default space of `knn`, by scikit-learn."""
    found = []
    for table in (original, decoded):
        space = SearchSpace.fit([add_rows(no_vectors(table.shape[1]), table)], DEFAULT_FORM)
        units = space.transform(table)
        search = NearestNeighbors(n_neighbors=k + 1, metric="cosine", algorithm="brute").fit(units)
        found.append(search.kneighbors(return_distance=False, n_neighbors=k))
    return float(np.mean([len(set(a) & set(b)) / k for a, b in zip(*found, strict=True)]))


def test_int8_errs_by_at_most_half_a_step_of_its_dimension() -> None:
    table = vectors()
    table[:, 5] = 1.25  # a constant dimension is exact
    encoding = fit_encoding(StackedVectors([table]), "int8")
    stored = encoding.encode(table)
    assert stored.dtype == np.int8 and stored.min() == -127 and stored.max() == 127
    step = (table.max(0).astype(np.float64) - table.min(0)) / 254
    assert (np.abs(encoding.decode(stored) - table) <= step / 2 + 1e-6).all()
    assert (encoding.decode(stored)[:, 5] == 1.25).all()


def test_float16_that_overflows_is_an_error() -> None:
    table = vectors()
    table[3, 4] = 70_000
    with pytest.raises(DataError, match="float16 ends at 65,504") as caught:
        fit_encoding(StackedVectors([table]), "float16").encode(table)
    assert "--dtype int8" in str(caught.value.hint or "") or caught.value.hint is not None


def test_the_projection_is_the_truncated_svd_of_vectors_of_length_1() -> None:
    table = vectors()
    projection = fit_projection(fit_moments(StackedVectors([table[:150], table[150:]])), 6)
    unit = table / np.linalg.norm(table.astype(np.float64), axis=1, keepdims=True)
    svd = TruncatedSVD(6, algorithm="arpack").fit(unit)
    overlap = np.abs(projection.components.astype(np.float64) @ svd.components_.T)
    np.testing.assert_allclose(overlap, np.eye(6), atol=2e-4)
    assert projection.explained == pytest.approx(float((svd.transform(unit) ** 2).sum() / (unit**2).sum()), abs=1e-6)
    np.testing.assert_allclose(projection.apply(table), table @ projection.components.T, rtol=1e-4)


def test_components_of_many_vectors_are_those_of_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(components, "FITTED_ROWS", 300)
    table = vectors()
    moments = fit_moments(StackedVectors([table]), seed=4)
    rows = np.sort(np.random.default_rng(4).choice(len(table), 300, replace=False))
    expected = fit_moments(StackedVectors([table[rows]]))
    assert moments.rows == 300 and np.allclose(moments.second, expected.second)


def test_colours_follow_the_first_components_around_the_mean() -> None:
    table = vectors(3000)
    colours = fit_colours(fit_moments(StackedVectors([table])))
    rgb = colours.apply(table)
    unit = table / np.linalg.norm(table.astype(np.float64), axis=1, keepdims=True)
    centred = unit - unit.mean(0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    for channel in range(3):
        correlation = np.corrcoef(rgb[:, channel], centred @ axes[channel])[0, 1]
        assert abs(correlation) > 0.98
    assert (np.abs(rgb.mean(0) - 128) < 3).all() and rgb.std() > 40
    assert (fit_colours(fit_moments(StackedVectors([table[:, :2]]))).apply(table[:, :2])[:, 2] == 128).all()


@pytest.mark.parametrize(("dtype", "dimensions"), [("float16", None), ("int8", None), ("float32", 5), ("int8", 5)])
def test_kept_neighbours_equal_those_of_scikit_learn(dtype: str, dimensions: int | None) -> None:
    table = vectors()
    rows = StackedVectors([table])
    projection = fit_projection(fit_moments(rows), dimensions) if dimensions else None
    encoding = fit_encoding(rows, dtype, projection)
    kept = _measured(rows, DecodedVectors(rows, encoding), np.arange(len(table)) // 10)
    assert kept is not None and kept.space == DEFAULT_FORM
    assert kept.queries == 400 and kept.groups == 40 and kept.k == 8 and kept.searched == 400
    expected = kept_by_loop(table, encoding.decode(encoding.encode(table)))
    assert kept.share == pytest.approx(expected, abs=1e-9)
    assert kept.low <= kept.share <= kept.high and (dimensions is None) == (kept.share > 0.9)


def test_equal_vectors_are_interchangeable_neighbours() -> None:
    table = np.repeat(vectors(30), 20, axis=0)
    rows = StackedVectors([table])
    reversed_rows = StackedVectors([table[::-1]])

    class Backwards:
        """The same vectors; equal ones are found in the opposite order."""

        count, width = rows.count, rows.width

        def read(self, at: np.ndarray) -> np.ndarray:
            return reversed_rows.read(len(table) - 1 - at)

    kept = _measured(rows, Backwards(), np.zeros(len(table), np.int64))
    assert kept is not None and kept.share == 1.0


def test_parts_of_tile_vectors_are_compared_as_knn_does() -> None:
    table, parts = vectors(), (("max", 8), ("mean", 16))
    rows = StackedVectors([table])
    decoded = DecodedVectors(rows, fit_encoding(rows, "int8"))
    spaces = fit_space(rows, parts), fit_space(decoded, parts)
    kept = measure_kept(rows, decoded, np.arange(len(table)), spaces)
    found = []
    for one, read in zip(spaces, (rows, decoded), strict=True):
        units = unit_rows(one.transform(read.read(np.arange(len(table)))))
        scores = units @ units.T
        np.fill_diagonal(scores, -2)
        found.append(np.argsort(-scores, axis=1, kind="stable")[:, :8])
    expected = np.mean([len(set(a) & set(b)) / 8 for a, b in zip(*found, strict=True)])
    assert kept is not None and kept.space == "balanced" and spaces[0].scale is not None
    assert kept.share == pytest.approx(expected, abs=1e-9)


def _measured(original: Any, decoded: Any, groups: np.ndarray, seed: int = 0) -> Any:
    return measure_kept(original, decoded, groups, (fit_space(original, ()), fit_space(decoded, ())), seed)


def test_a_vector_is_not_its_own_neighbour_and_few_vectors_have_few_neighbours() -> None:
    rows = StackedVectors([vectors(5)])
    _, found = search(MappedVectors(rows, fit_space(rows, ())), np.arange(5), 4)
    assert [sorted(row) for row in found.tolist()] == [[j for j in range(5) if j != i] for i in range(5)]
    kept = _measured(rows, rows, np.arange(5))
    assert kept is not None and kept.k == 4 and kept.share == 1.0
    assert _measured(StackedVectors([vectors(1)]), rows, np.arange(1)) is None


def test_many_vectors_are_measured_on_queries_drawn_by_seed() -> None:
    table = vectors(1100)
    rows = StackedVectors([table])
    decoded = DecodedVectors(rows, fit_encoding(rows, "float32", fit_projection(fit_moments(rows), 5)))
    first, again, other = (_measured(rows, decoded, np.arange(1100), seed) for seed in (1, 1, 2))
    assert first is not None and first.queries == 1000 and first == again != other
    assert first.share == pytest.approx(kept_by_loop(table, decoded.read(np.arange(1100))), abs=0.03)


def test_pooled_vectors_are_weighted_means() -> None:
    table = vectors(300)
    members, offsets = np.array([0, 5, 299, 7]), np.array([0, 3, 4])
    weights = np.array([1.0, 2.5, 0.5, 9.0])
    pooled = PooledVectors(StackedVectors([table[:100], table[100:]]), offsets, members, weights)
    expected = (table[[0, 5, 299]].astype(np.float64) * weights[:3, None]).sum(0) / 4.0
    np.testing.assert_allclose(pooled.read(np.array([1, 0])), [table[7], expected], rtol=1e-6)
    table[[5, 7]] = 0.0  # tiles without an image have no vector
    expected = (table[0].astype(np.float64) + 0.5 * table[299]) / 1.5
    without = PooledVectors(StackedVectors([table]), offsets, members, weights)
    np.testing.assert_allclose(without.read(np.array([1, 0])), [np.zeros(24), expected], rtol=1e-6)
