"""Supervised baselines: they learn planted labels, and see neither hidden tags nor labels of test tiles."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from planted_store import NEW, PLANTED, VOCAB, Planted, write_planted

from geojepa_cli.baselines import supervised, tag_count_mlp, tagformer
from geojepa_cli.baselines.registry import SUPERVISED, fit_supervised, supervised_config
from geojepa_cli.baselines.supervised import Fitted, LabelNet, TaskTiles
from geojepa_cli.config.supervised import TagCountConfig, TagformerConfig
from geojepa_cli.errors import GeojepaError
from geojepa_cli.evaluate.folds import Fold
from geojepa_cli.models.registry import resolve

CLAMP = (0.0, 12.0)
SMALL = {"embed_dim": 16, "depth": 1, "num_heads": 2, "mlp_ratio": 2.0, "null_weight": 8.0}
FIT = {"epochs": 20, "patience": 20, "batch_tokens": 150, "lr": 8e-3}


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return write_planted(tmp_path_factory.mktemp("planted"))


def tiles_of(planted: Planted, labels: np.ndarray, hidden: tuple[int, ...] = ()) -> TaskTiles:
    view = planted.view().drop(tags=hidden)
    return TaskTiles(planted.store(), view, np.arange(len(labels)), labels, planted.table())


def small(name: str, **train: Any) -> tuple[Any, Any]:
    """Configuration of a small model, and the module with its functions `build` and `fit`."""
    values = {**FIT, **train}
    if name == "tag-count-mlp":
        return TagCountConfig(model={"embed_dim": 16}, train=values), tag_count_mlp  # type: ignore[arg-type]
    letters = name.removeprefix("tagformer").removeprefix("-")
    model = {**SMALL, "inputs": letters, "columns": None if "s" in letters else 500}
    return TagformerConfig(model=model, train=values), tagformer  # type: ignore[arg-type]


def fitted(name: str, tiles: TaskTiles, fold: Fold, seed: int = 0, **train: Any) -> Fitted:
    config, module = small(name, **train)
    return module.fit(config, tiles, fold, CLAMP, seed)  # type: ignore[no-any-return]


def error(found: Fitted, labels: np.ndarray, fold: Fold) -> float:
    """Mean absolute error, divided by that of the median of the training labels."""
    dummy = np.abs(labels[fold.test] - np.median(labels[fold.train])).mean()
    return float(np.abs(found.prediction.labels - labels[fold.test]).mean() / dummy)


NAMES = ("tag-count-mlp", "tagformer", "tagformer-p", "tagformer-s", "tagformer-sp")


@pytest.mark.parametrize("name", ["tag-count-mlp", "tagformer", "tagformer-sp"])
def test_a_planted_count_is_learned(name: str, planted: Planted) -> None:
    tiles, fold = tiles_of(planted, planted.count), planted.fold()
    trained = error(fitted(name, tiles, fold), planted.count, fold)
    first = error(fitted(name, tiles, fold, epochs=1, lr=1e-12), planted.count, fold)
    assert trained < 0.5
    assert first > 0.9


def test_boxes_show_how_many_entities_are_in_the_west(planted: Planted) -> None:
    tiles, fold = tiles_of(planted, planted.west), planted.fold()
    errors = {name: error(fitted(name, tiles, fold), planted.west, fold) for name in ("tagformer-p", "tagformer")}
    assert errors["tagformer-p"] < 0.8 * errors["tagformer"]


def test_text_embeddings_recognise_a_tag_that_training_did_not_have(tmp_path: Path) -> None:
    planted = write_planted(tmp_path, new_after=192)
    fold = Fold(np.arange(128), np.arange(128, 192), np.arange(192, 256))
    tiles = tiles_of(planted, planted.count)
    assert error(fitted("tagformer-s", tiles, fold), planted.count, fold) < 0.5
    assert error(fitted("tagformer", tiles, fold), planted.count, fold) > 0.8


@pytest.mark.parametrize("name", NAMES)
def test_gradients_reach_every_parameter(name: str, planted: Planted) -> None:
    tiles, fold = tiles_of(planted, planted.count), planted.fold()
    config, module = small(name)
    net = module.build(config, tiles, fold, 0)
    net(tiles.read(tiles.rows[:40])[0]).square().sum().backward()
    assert net.count_parameters() == sum(p.numel() for p in net.parameters())
    assert {key for key, p in net.named_parameters() if p.grad is None or not bool(p.grad.any())} == set()


@pytest.mark.parametrize("name", ["tag-count-mlp", "tagformer-sp"])
def test_the_same_seed_gives_the_same_predictions_and_another_seed_others(name: str, planted: Planted) -> None:
    tiles, fold = tiles_of(planted, planted.count), planted.fold()
    first, again, other = (fitted(name, tiles, fold, seed, epochs=2).prediction.labels for seed in (0, 0, 1))
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()


@pytest.mark.parametrize("name", NAMES)
def test_labels_of_test_tiles_are_not_read(name: str, planted: Planted) -> None:
    fold = planted.fold()
    changed = planted.count.copy()
    changed[fold.test] = 1e6
    first, second = (
        fitted(name, tiles_of(planted, y), fold, epochs=2).prediction.labels for y in (planted.count, changed)
    )
    assert first.tobytes() == second.tobytes()


@pytest.mark.parametrize("name", NAMES)
def test_hidden_tags_have_no_influence(name: str, planted: Planted, tmp_path: Path) -> None:
    """The tag differs between two regions in half of the tiles, but the mask hides both tags."""
    other, fold = write_planted(tmp_path, new_after=100), planted.fold()
    given = [tiles_of(one, planted.count, (PLANTED, NEW)) for one in (planted, other)]
    first, second = (fitted(name, tiles, fold, epochs=2).prediction.labels for tiles in given)
    assert first.tobytes() == second.tobytes()
    assert not given[0].count_tags(fold.train).counts[[PLANTED, NEW]].any()  # type: ignore[index]


def test_columns_are_the_frequent_tags_of_the_training_tiles(planted: Planted) -> None:
    tiles, fold = tiles_of(planted, planted.count), planted.fold()
    config, module = small("tag-count-mlp")
    net = module.build(config, tiles, fold, 0)
    assert net.encoder.columns == len(VOCAB) - 1  # no training tile has `planted=new`
    narrow = config.model_copy(update={"model": config.model.model_copy(update={"columns": 3})})
    assert module.build(narrow, tiles, fold, 0).encoder.columns == 3


def test_labels_of_0_and_1_are_predicted_as_classes(planted: Planted) -> None:
    fold = planted.fold()
    binary = (planted.count > np.median(planted.count)).astype(np.float64)
    found = fitted("tag-count-mlp", tiles_of(planted, binary), fold, epochs=6)
    assert set(np.unique(found.prediction.labels)) == {0.0, 1.0}
    np.testing.assert_array_equal(found.prediction.labels, found.prediction.scores >= 0.5)
    assert (
        np.abs(found.prediction.labels - binary[fold.test]).mean()
        < np.abs(found.prediction.scores - binary[fold.test]).mean()
    )
    counts = fitted("tag-count-mlp", tiles_of(planted, planted.count), fold, epochs=2)
    assert counts.prediction.labels.tobytes() == counts.prediction.scores.tobytes()


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.parametrize("name", ["tag-count-mlp", "tagformer-p"])
def test_tiles_without_visible_entities_get_a_prediction(name: str, planted: Planted) -> None:
    tiles, fold = tiles_of(planted, planted.count, tuple(range(len(VOCAB)))), planted.fold()
    found = fitted(name, tiles, fold, epochs=2).prediction.labels
    assert np.isfinite(found).all() and np.unique(found).size == 1


def test_the_weights_of_the_epoch_with_the_lowest_validation_error_are_used(
    planted: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Validation labels are turned round, so training makes the validation error worse."""
    fold, labels = planted.fold(), planted.count.copy()
    labels[fold.val] = 8 - labels[fold.val]
    mean, scale = labels[fold.train].mean(), labels[fold.train].std()
    errors, tested = [], []
    original = supervised.predict

    def watched(net: LabelNet, tiles: TaskTiles, places: np.ndarray, budget: int) -> np.ndarray:
        found = original(net, tiles, places, budget)
        if places is fold.val:
            errors.append(np.abs((found * scale + mean).clip(*CLAMP) - labels[fold.val]).mean())
            tested.append((original(net, tiles, fold.test, budget) * scale + mean).clip(*CLAMP))
        return found

    monkeypatch.setattr(supervised, "predict", watched)
    found = fitted("tag-count-mlp", tiles_of(planted, labels), fold, epochs=8, patience=8)
    assert found.epochs == len(errors) == 8
    assert found.best_epoch == 1 + int(np.argmin(errors)) < 8
    np.testing.assert_array_equal(found.prediction.labels, tested[found.best_epoch - 1])
    assert np.abs(found.prediction.labels - tested[-1]).max() > 0.1


def test_training_stops_without_a_lower_error(planted: Planted) -> None:
    fold, labels = planted.fold(), planted.count.copy()
    labels[fold.val] = 8 - labels[fold.val]
    found = fitted("tag-count-mlp", tiles_of(planted, labels), fold, epochs=8, patience=2)
    assert found.epochs == found.best_epoch + 2 < 8


def test_a_run_whose_predictions_are_not_finite_is_an_error(planted: Planted) -> None:
    tiles = tiles_of(planted, planted.count)
    tiles = replace(tiles, tag_table=tiles.tag_table * float("inf"))
    with pytest.raises(GeojepaError, match="training of Tagformer diverged in its first epoch") as caught:
        fitted("tagformer-s", tiles, planted.fold(), seed=4, epochs=3)
    assert "--seed 5" in str(caught.value.hint)


def test_text_embeddings_need_no_count_of_tags(planted: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(TaskTiles, "count_tags", fail)
    assert fitted("tagformer-sp", tiles_of(planted, planted.count), planted.fold(), epochs=1).epochs == 1


def test_columns_and_text_embeddings_exclude_each_other() -> None:
    for inputs, columns in (("s", 5), ("p", None)):
        with pytest.raises(ValueError, match="either columns or text embeddings"):
            TagformerConfig.model_validate({"model": {"inputs": inputs, "columns": columns}})


@pytest.mark.parametrize("name", sorted(SUPERVISED))
def test_every_registered_model_has_a_configuration_and_code(name: str) -> None:
    config = supervised_config(name)
    assert type(config).model_validate(config.model_dump()) == config
    assert callable(resolve(SUPERVISED[name].fit))
    if "tagformer" in name:
        assert f"-{config.model.inputs}".rstrip("-") == name.partition("tagformer")[2]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("name", "millions"),  # as stated in the presets and in ADR 19
    [
        ("paper-tag-count-mlp", 3.5),
        ("paper-tagformer", 2.6),
        ("paper-tagformer-p", 2.7),
        ("paper-tagformer-s", 1.1),
        ("paper-tagformer-sp", 1.2),
    ],
)
def test_the_large_sizes_have_the_stated_parameters(name: str, millions: float) -> None:
    config: Any = supervised_config(name)
    with torch.device("meta"):
        column_of, table = torch.empty(0, dtype=torch.int64), torch.empty(0, 1024)
        net: LabelNet
        if "tagformer" in name:
            net = tagformer.Tagformer(config.model, column_of, 12_500, table)
        else:
            net = tag_count_mlp.TagCountMlp(config.model, column_of, 12_500)
    assert round(net.count_parameters() / 1e6, 1) == millions


def test_a_registered_model_is_fitted_by_name(planted: Planted) -> None:
    tiles, fold = tiles_of(planted, planted.count), planted.fold()
    one = replace(fold, test=fold.test[:5])
    found = fit_supervised("tag-count-mlp", tiles, one, CLAMP, 0)
    assert found.prediction.labels.shape == (5,) and found.parameters > 0
