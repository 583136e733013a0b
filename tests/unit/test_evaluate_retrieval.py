"""Means and intervals of retrieval compared with a slow bootstrap, and the files that show them."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from geojepa_cli.evaluate.retrieval import FIGURES, Feature, FeatureScores, RetrievalBootstrap, Row, search_features
from geojepa_cli.evaluate.retrieval_report import RANDOM, retrieval_report, write_queries, write_scores

A, B = Row("a", "raw"), Row("b", "raw")
CENTRED = Row("a", "centred")


def scores(name: str, seed: int, queries: int = 60, groups: int = 30) -> FeatureScores:
    rng = np.random.default_rng(seed)
    figures = {row: rng.random((queries, len(FIGURES))) for row in (A, B, CENTRED)}
    relevant = np.zeros(200, bool)
    relevant[:queries] = True
    where = np.concatenate([np.arange(groups), rng.integers(0, groups, queries - groups)])
    return FeatureScores(
        Feature(name, name, relevant), np.arange(queries), where, rng.random((queries, len(FIGURES))), figures
    )


def test_means_and_intervals_equal_a_slow_bootstrap_in_which_all_share_the_samples() -> None:
    features = [scores("one", 0), scores("two", 1, 90, 40), scores("few", 2, 30, 5)]
    assert [one.averaged for one in features] == [True, True, False]
    bootstrap = RetrievalBootstrap(features, seed=3, draws=200)
    names = np.unique(np.concatenate([one.groups for one in features]))
    drawn = np.random.default_rng(3).multinomial(len(names), np.full(len(names), 1 / len(names)), size=200)

    def slow(figure: int, row: Row, other: Row | None, chosen: list[FeatureScores]) -> tuple[float, float, float]:
        samples = []
        for sample in [np.ones(len(names), int), *drawn]:
            means = []
            for one in chosen:
                value = one.figures[row][:, figure] - (one.figures[other][:, figure] if other else 0)
                rows = [v for v, group in zip(value, one.groups, strict=True) for _ in range(sample[names == group][0])]
                means += [np.mean(rows)] if rows else []
            samples.append(np.mean(means))
        return samples[0], *np.percentile(samples[1:], [2.5, 97.5])

    for figure in (0, 3):
        for other in (None, B):
            found = bootstrap.mean(A, figure, other)
            assert found is not None and found.groups == 40
            assert (found.value, found.low, found.high) == pytest.approx(slow(figure, A, other, features[:2]))
        single = bootstrap.feature(2, A, figure)
        assert single.groups == 5 and single.value == pytest.approx(features[2].figures[A][:, figure].mean())
    same = bootstrap.mean(A, 0, A)
    assert same is not None and (same.value, same.low, same.high) == (0, 0, 0)


def test_without_a_feature_in_enough_groups_there_is_no_mean() -> None:
    report = retrieval_report([scores("few", 2, 30, 5)], [A, B], 0)
    assert report["groups"] == 0 and report["differences"] == []
    assert report["scores"][0]["average_precision"] is None and report["random"]["precision"] is None
    assert 0 < report["scores"][0]["features"]["few"]["average_precision"]["value"] < 1


def test_differences_are_of_models_in_one_space_and_of_spaces_of_one_model() -> None:
    report = retrieval_report([scores("one", 0)], [A, B, CENTRED], 0)
    pairs = [(Row(**one["a"]), Row(**one["b"])) for one in report["differences"]]
    assert pairs == [(A, B), (CENTRED, A)]
    value = {Row(one["model"], one["space"]): one["average_precision"]["value"] for one in report["scores"]}
    for (a, b), one in zip(pairs, report["differences"], strict=True):
        assert one["average_precision"]["value"] == pytest.approx(value[a] - value[b], abs=2e-6)


def test_searches_in_several_threads_equal_scikit_learn_and_the_files_show_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    vectors = {row: rng.standard_normal((120, 8)).astype(np.float32) for row in (A, B)}
    groups = rng.integers(0, 25, 120)
    features = [Feature("x", "an x", rng.random(120) < 0.4), Feature("none", "none", np.zeros(120, bool))]
    rows = [(row, lambda feature, one=one: one) for row, one in vectors.items()]
    found = search_features(features, rows, groups, 8, threads=2)
    assert [one.feature.name for one in found] == ["x"]  # no tile can be a query for the other one
    again = search_features(features, rows, groups, 8, threads=1)
    assert all(np.array_equal(found[0].figures[row], again[0].figures[row]) for row in (A, B))
    write_queries(tmp_path / "queries.csv", found, [A, B], {"tile": [f"t{row}" for row in range(120)]})
    lines = list(csv.DictReader((tmp_path / "queries.csv").open(newline="")))
    assert len(lines) == len(found[0].queries) == features[0].relevant.sum()
    for line in lines:
        row = int(line["tile"][1:])
        others = groups != groups[row]
        hit = features[0].relevant[others]
        for name in (A, B):
            similar = vectors[name][others] @ vectors[name][row]
            best = hit[np.argsort(-similar, kind="stable")[:100]]
            expected = [average_precision_score(hit, similar), best[:8].mean(), best[:8].sum() / hit.sum()]
            expected.append(best.sum() / hit.sum())
            values = [float(line[f"{name.model} ({name.space}) {figure}"]) for figure in FIGURES]
            assert values == pytest.approx(expected, rel=1e-4)
        assert float(line[f"{RANDOM} precision"]) == pytest.approx(hit.mean(), rel=1e-4)
    report = retrieval_report(found, [A, B], 0)
    write_scores(tmp_path / "scores.csv", report)
    table = list(csv.DictReader((tmp_path / "scores.csv").open(newline="")))
    assert len(table) == 2 * 3 * len(FIGURES)  # the mean and one feature; two models and a random order
    mean = np.mean([float(line["a (raw) average_precision"]) for line in lines])
    key = {"feature": "mean", "model": "a", "figure": "average_precision"}
    (row,) = [one for one in table if key.items() <= one.items()]
    assert float(row["value"]) == pytest.approx(mean, abs=1e-5)
    assert float(row["low"]) < mean < float(row["high"])
