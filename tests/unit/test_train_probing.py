"""The online probe: its labels, what it hides, and its scores compared with scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.neighbors import KNeighborsRegressor
from sklearn.preprocessing import StandardScaler
from training import config_of, open_data, write_region

from geojepa_cli.metrics.ridge import fit_ridge
from geojepa_cli.models.base import BatchVectors
from geojepa_cli.store.batch import TileBatch
from geojepa_cli.tasks.splits import SPLITS, split_groups
from geojepa_cli.train.data import TrainingData
from geojepa_cli.train.probing import NEIGHBOURS, OnlineProbe, r2

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    return open_data(write_region(tmp_path_factory.mktemp("regions") / "oak@000000000000"), config_of("train.epochs=1"))


@pytest.fixture(scope="module")
def probe(data: TrainingData) -> OnlineProbe:
    made = OnlineProbe.open(data.store, data.view, data.view.tiles[:70], data.view.tiles[70:100], data.needs, CPU)
    assert made is not None
    return made


def tags_of(data: TrainingData, batch: TileBatch, tile: int) -> list[set[tuple[str, str]]]:
    """Tags of the entities of a tile, by a slow loop."""
    first, last = batch.cu_seqlens[tile].item(), batch.cu_seqlens[tile + 1].item()
    offsets = batch.tag_offsets.tolist()
    return [{data.store.tag(int(i)) for i in batch.tag_ids[offsets[n] : offsets[n + 1]]} for n in range(first, last)]


def test_labels_count_the_whole_tile_and_nothing_that_shows_them_is_left(
    data: TrainingData, probe: OnlineProbe
) -> None:
    whole = data.store.read(data.view, data.view.tiles[:100])
    tags = [tuple(name.removeprefix("tags ").split("=", 1)) for name in probe.labels if name.startswith("tags ")]
    assert len(tags) == 4
    for tile in range(100):
        before, after = tags_of(data, whole, tile), tags_of(data, probe.hidden, tile)
        buildings = sum(any(key == "building" for key, _ in entity) for entity in before)
        assert probe.labels["buildings"][tile] == pytest.approx(np.log1p(buildings))
        for tag in tags:
            assert probe.labels[f"tags {tag[0]}={tag[1]}"][tile] == any(tag in entity for entity in before)
        shown = [any(key == "building" for key, _ in entity) or bool(entity & set(tags)) for entity in before]
        assert after == [entity for entity, hidden in zip(before, shown, strict=True) if not hidden]


def test_scores_equal_those_of_sklearn(probe: OnlineProbe) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 12)) + 4
    x[:, 0] += 3 * probe.labels["buildings"]

    class Fixed:
        def embed(self, batch: TileBatch) -> BatchVectors:
            return BatchVectors(torch.zeros(batch.n_tokens, 12), torch.from_numpy(x).float())

    found = probe(Fixed())  # type: ignore[arg-type]
    x = x.astype(np.float32).astype(np.float64)
    y, scaler = probe.labels["buildings"], StandardScaler().fit(x[:70])
    alpha = fit_ridge(x[:70], y[:70], probe.groups[:70]).alpha
    ridge = Ridge(alpha).fit(scaler.transform(x[:70]), y[:70]).predict(scaler.transform(x[70:]))
    centred = x - x[:70].mean(0)
    near = KNeighborsRegressor(NEIGHBOURS, metric="cosine").fit(centred[:70], y[:70]).predict(centred[70:])
    for name, predicted in (("probe_buildings", ridge), ("knn_buildings", near)):
        assert found[name] == pytest.approx(r2(y[70:], predicted, y[:70].mean()), abs=1e-6)
    assert found["probe_buildings"] > 0.5 > abs(found["probe_tags"])
    assert found["probe"] == pytest.approx((found["probe_buildings"] + 4 * found["probe_tags"]) / 5)


def test_r2_equals_sklearn_if_the_means_are_equal_and_has_a_floor() -> None:
    true, predicted = np.array([1.0, 2.0, 4.0]), np.array([1.5, 2.0, 3.0])
    assert r2(true, predicted, float(true.mean())) == pytest.approx(r2_score(true, predicted))
    assert r2(true, predicted + 100, 2.0) == -1.0


def test_the_probe_fits_on_train_tiles_and_tests_on_validation_tiles_only(data: TrainingData) -> None:
    for seed in range(20):
        split = split_groups(data.store.groups, seed)
        made = data.__class__.monitor(
            TrainingData(data.store, data.view, data.inputs, data.sampler, data.needs, split_seed=seed), seed
        ).probe
        enough = min(np.bincount(split[data.view.tiles], minlength=3)[:2]) >= 16
        assert (made is not None) == enough
        if made is not None:
            rows = made.hidden.tile_rows.numpy()
            assert set(split[rows[: made.fitted]]) == {SPLITS.index("train")}
            assert set(split[rows[made.fitted :]]) == {SPLITS.index("val")}


def test_labels_that_do_not_differ_and_tiles_that_are_too_few_give_no_probe(data: TrainingData) -> None:
    few = OnlineProbe.open(data.store, data.view, data.view.tiles[:70], data.view.tiles[70:80], data.needs, CPU)
    assert few is None
