"""Image backbones that are trained on labels: gradients, learning rates, images and tiles without an image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from synthetic_store import write_synthetic_images, write_synthetic_processed
from tiny_networks import TinyResNet
from torch import nn

from geojepa_cli.baselines import tuned_backbone
from geojepa_cli.baselines.registry import fit_supervised, supervised_config
from geojepa_cli.baselines.supervised import TaskTiles
from geojepa_cli.baselines.tuned_backbone import TunedBackbone
from geojepa_cli.config.images import TORCHVISION, TUNED_BASELINES
from geojepa_cli.config.modality import Modality
from geojepa_cli.config.supervised import TuneConfig
from geojepa_cli.evaluate.folds import Fold
from geojepa_cli.models.image_encoders import ImageEncoder
from geojepa_cli.models.image_networks import load_image_network
from geojepa_cli.store.image_tokens import ImageTokenKind
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View
from geojepa_cli.train.optimizer import build_optimizer, set_learning_rate

KIND = ImageTokenKind("resnet50", "random")


def tiny(image_px: int = 32) -> ImageEncoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return ImageEncoder(TinyResNet(), KIND)


def config_of(**train: Any) -> TuneConfig:
    values = {"epochs": 3, "patience": 3, "batch_images": 8, "lr": 1e-2, "backbone_lr": 1e-3, **train}
    return TuneConfig(model={"encoder": "resnet50", "image_px": 32}, train=values)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> TaskTiles:
    """32 tiles, of which 24 have images. The label is the brightness of the image."""
    folder = tmp_path_factory.mktemp("tuned")
    write_synthetic_processed(folder / "processed.h5", 1, 32)
    first = TileStore.open([folder / "processed.h5"])
    write_synthetic_images(folder / "images.h5", [tuple(one) for one in first.tile_zxy[:24].tolist()], 2)
    labels = np.random.default_rng(0).uniform(-1, 1, 32)
    with h5py.File(folder / "images.h5", "r+") as file:
        grey = (128 + 100 * labels[:24, None, None, None]).astype(np.uint8)
        file["image"][...] = np.broadcast_to(grey, file["image"].shape).copy()
    store = TileStore.open([folder / "processed.h5"], [folder / "images.h5"])
    view = View.default(store, 1, None)
    needs = frozenset({Modality.IMAGE})
    return TaskTiles(store, view, view.tiles, labels[view.tiles], torch.empty(0), needs, tiny)


def fold_of(tiles: TaskTiles) -> Fold:
    places = np.arange(len(tiles.rows))
    return Fold(places[::2], places[1::4], places[3::4])


def shown_rows(tiles: TaskTiles, shown: bool = True) -> np.ndarray:
    """Rows of the tiles with an image, or of those without."""
    return tiles.rows[(tiles.store.image_rows[tiles.rows] >= 0) == shown]


def test_gradients_reach_every_weight_of_backbone_and_head(tiles: TaskTiles) -> None:
    net = tuned_backbone.build(config_of(), tiles, 0)
    batch, _ = tiles.read(tiles.rows[:8])
    net(batch).square().sum().backward()
    assert net.count_parameters() == sum(p.numel() for p in net.parameters())
    assert {name for name, p in net.named_parameters() if p.grad is None or not bool(p.grad.any())} == set()
    assert {name.partition(".")[0] for name, _ in net.named_parameters()} == {"backbone", "head"}


def test_one_step_moves_backbone_and_head_by_their_own_rates(tiles: TaskTiles) -> None:
    """The first step of AdamW (Loshchilov and Hutter 2019) is lr · (sign of the gradient + weight decay · weight)."""
    config = config_of(lr=1e-2, backbone_lr=2e-4, weight_decay=0.1)
    net = tuned_backbone.build(config, tiles, 0)
    schedule = config.train.schedule()
    optimizer = build_optimizer(net, schedule, config.train.lr_shares)
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    net(tiles.read(tiles.rows[:8])[0]).square().sum().backward()
    set_learning_rate(optimizer, 0.5 * schedule.lr)  # half way through the warm-up
    optimizer.step()
    for name, p in net.named_parameters():
        rate = 0.5 * (2e-4 if name.startswith("backbone.") else 1e-2)
        decay = 0.1 if p.ndim > 1 else 0.0
        assert p.grad is not None
        expected = before[name] - rate * (decay * before[name] + p.grad / (p.grad.abs() + 1e-8))
        torch.testing.assert_close(p.detach(), expected, rtol=1e-5, atol=1e-7)


def test_the_schedule_scales_both_rates_in_training(tiles: TaskTiles, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[tuple[float, ...]] = set()
    original = torch.optim.AdamW.step

    def step(self: Any, *args: Any) -> Any:
        rates = [group["lr"] for group in self.param_groups for _ in group["params"][:1]]
        seen.add(tuple(sorted({round(rate, 12) for rate in rates})))
        return original(self, *args)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    tuned_backbone.fit(config_of(), tiles, fold_of(tiles), (-1.0, 1.0), 0)
    assert len(seen) > 3
    assert all(len(rates) == 2 and rates[0] == pytest.approx(0.1 * rates[1]) for rates in seen)


def test_training_learns_from_images_and_repeats_exactly(tiles: TaskTiles) -> None:
    fold = fold_of(tiles)
    first, again = (tuned_backbone.fit(config_of(epochs=12), tiles, fold, (-1.0, 1.0), 3) for _ in range(2))
    other = tuned_backbone.fit(config_of(epochs=12), tiles, fold, (-1.0, 1.0), 4)
    assert first.prediction.labels.tobytes() == again.prediction.labels.tobytes() != other.prediction.labels.tobytes()
    shown = tiles.store.image_rows[tiles.rows[fold.test]] >= 0
    error = np.abs(first.prediction.labels - tiles.labels[fold.test])[shown].mean()
    dummy = np.abs(tiles.labels[fold.test] - np.median(tiles.labels[fold.train]))[shown].mean()
    assert error < 0.5 * dummy


def test_the_prediction_of_a_tile_does_not_depend_on_its_batch(tiles: TaskTiles) -> None:
    net = tuned_backbone.build(config_of(), tiles, 0).train()
    rows = np.sort(np.concatenate([shown_rows(tiles)[[0, 5, 12]], shown_rows(tiles, False)[:2]]))
    together = net(tiles.read(rows)[0])
    alone = torch.cat([net(tiles.read(rows[i : i + 1])[0]) for i in range(len(rows))])
    torch.testing.assert_close(together, alone)
    statistics = {name: x.clone() for name, x in net.state_dict().items() if "running" in name}
    net(tiles.read(rows)[0])
    assert statistics and all(torch.equal(net.state_dict()[name], x) for name, x in statistics.items())


def test_a_tile_without_an_image_has_the_prediction_of_zeros(tiles: TaskTiles) -> None:
    net = tuned_backbone.build(config_of(), tiles, 0)
    with torch.no_grad():
        net.head.bias.fill_(0.25)
        without, shown = (net(tiles.read(shown_rows(tiles, has)[:2])[0]).tolist() for has in (False, True))
    assert without == [0.25, 0.25] and 0.25 not in shown


def test_a_batch_has_a_number_of_tiles_whatever_their_entities(tiles: TaskTiles) -> None:
    plan = tiles.sampler(np.arange(20), 8, 0).plan(0)
    assert sorted(len(rows) for rows in plan) == [4, 8, 8]
    assert len(replace(tiles, needs=frozenset({Modality.TAGS})).sampler(np.arange(20), 8, 0).plan(0)) > 3


@pytest.mark.parametrize("name", TUNED_BASELINES)
def test_every_name_has_a_configuration_with_a_lower_rate_for_the_backbone(name: str) -> None:
    config: Any = supervised_config(name)
    assert config.model.encoder == name.partition("-tuned")[0] and config.model.encoder in TORCHVISION
    assert 0 < config.train.backbone_lr < config.train.lr
    with pytest.raises(ValueError, match=r"backbone_lr 0\.1 is above lr 0\.001"):
        TuneConfig.model_validate({"train": {"backbone_lr": 0.1}})


def test_a_vision_transformer_reads_smaller_images_with_resized_positions(tmp_path: Path) -> None:
    from geojepa_cli.models import image_networks

    def build(encoder: str, side_px: int = 224) -> nn.Module:
        made = image_networks.torchvision_models().VisionTransformer(side_px, 16, 1, 2, 8, 8)
        made.heads = nn.Identity()
        return made  # type: ignore[no-any-return]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image_networks, "empty_network", build)
        kind, path = ImageTokenKind("vit_b_16", "sha256-0"), tmp_path / "w.pth"
        whole = build("vit_b_16")
        nn.init.normal_(whole.encoder.pos_embedding)  # type: ignore[union-attr, arg-type]
        torch.save(whole.state_dict(), path)
        network: Any = load_image_network(kind, path, 112)
    positions, found = whole.encoder.pos_embedding.detach(), network.encoder.pos_embedding  # type: ignore[union-attr]
    assert found.shape == (1, 50, 8) and torch.equal(found[:, 0], positions[:, 0])
    grid = positions[0, 1:].T.reshape(1, 8, 14, 14)  # type: ignore[index]
    expected = nn.functional.interpolate(grid, 7, mode="bicubic", align_corners=True)
    torch.testing.assert_close(found[0, 1:].T.reshape(1, 8, 7, 7), expected)
    assert ImageEncoder(network, kind).tokens(torch.zeros(2, 3, 112, 112)).shape == (2, 50, 8)


def test_a_registered_backbone_is_fitted_by_name(tiles: TaskTiles) -> None:
    fold = fold_of(tiles)
    one = Fold(fold.train[:4], fold.val[:2], fold.test[:3])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("geojepa_cli.baselines.registry.supervised_config", lambda name: config_of(epochs=1))
        found = fit_supervised("resnet50-tuned", tiles, one, (-1.0, 1.0), 0)
    assert found.prediction.labels.shape == (3,) and found.epochs == 1
    assert isinstance(tuned_backbone.build(config_of(), tiles, 0), TunedBackbone)
