"""TagAE and TagformerLMAE: training in the common loop, published weights, and embeddings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from planted_store import PLANTED, VOCAB, Planted, write_planted
from training import fixed_batch

from geojepa_cli.baselines.lmae import LmaeInput, LmaePretraining, draw_hidden
from geojepa_cli.baselines.tag_ae import TagAEPretraining
from geojepa_cli.config.families import RunConfig
from geojepa_cli.config.load import load_run_config
from geojepa_cli.errors import DataError
from geojepa_cli.export.shipped_card import ShippingFacts
from geojepa_cli.export.shipped_model import ship_model
from geojepa_cli.metrics.ridge import fit_ridge
from geojepa_cli.models.base import FrozenInputs, TagList
from geojepa_cli.models.published import save_model
from geojepa_cli.models.registry import build_pretrainable, open_published
from geojepa_cli.nn.tokens.tags import mean_tags
from geojepa_cli.store.batch import TileBatch
from geojepa_cli.train import loop
from geojepa_cli.train.data import TrainingData
from geojepa_cli.train.loop import train

SMALL = {
    "tag-ae": ["model.embed_dim=16", "model.hidden_dim=16", "train.epochs=60", "train.lr=1e-2"],
    "tagformer-lmae": [
        *("model.tag_dim=16", "model.embed_dim=16", "model.depth=1", "model.num_heads=2", "model.mlp_ratio=2"),
        *("train.max_steps=150", "train.lr=1e-2"),
    ],
}
NAMES = sorted(SMALL)
COMMON = [
    "data.split_seed=2",
    "train.batch_tokens=300",
    "train.log_every=50",
    "train.monitor_every=1000",
    "train.checkpoint_every=3",
]


class Run(NamedTuple):
    """A finished or untrained run."""

    model: Any
    data: TrainingData
    config: RunConfig


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return write_planted(tmp_path_factory.mktemp("planted"))


def start(name: str, planted: Planted, *overrides: str, seed: int = 0) -> Run:
    config: Any = load_run_config(name, [*SMALL[name], *COMMON, *overrides])
    files = [planted.folder / "processed.h5"], [planted.folder / "tags.h5"], [None]
    data = TrainingData.open(config, *files, seed)
    return Run(build_pretrainable(config, data.inputs, seed), data, config)


def finish(run: Run, folder: Path, seed: int = 0) -> Run:
    folder.mkdir(exist_ok=True)
    train(run.model, run.data, run.config.train, folder, seed)
    return run


@pytest.fixture(scope="module")
def trained(planted: Planted, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Run]:
    """Returns the trained model of a name. Trains it once."""
    made: dict[str, Run] = {}

    def get(name: str) -> Run:
        if name not in made:
            made[name] = finish(start(name, planted), tmp_path_factory.mktemp(name))
        return made[name]

    return get


def held_out(run: Run, planted: Planted) -> TileBatch:
    """The tiles of the test split, which training did not use."""
    rows = np.setdiff1d(np.arange(len(planted.kind)), run.data.view.tiles)
    assert len(rows) > 20
    return run.data.store.read(planted.view(), rows)


def explained(run: Run, planted: Planted) -> float:
    """Share of the variance of tag counts between unused tiles that TagAE restores."""
    with torch.no_grad():
        return float(run.model.prepare(held_out(run, planted), torch.Generator())().parts["explained"])


def restored(run: Run, planted: Planted) -> float:
    """Squared distance of the restored tags of hidden entities in unused tiles, relative to the best constant."""
    batch = held_out(run, planted)
    with torch.no_grad():
        parts = run.model.prepare(batch, torch.Generator().manual_seed(0))().parts
    target = mean_tags(run.data.inputs.tag_table, batch.tag_ids, batch.tag_offsets)
    return float(parts["hidden"] / (target - target.mean(0)).square().sum(1).mean())


def test_tag_ae_restores_the_counts_of_unused_tiles(trained: Callable[[str], Run], planted: Planted) -> None:
    assert explained(trained("tag-ae"), planted) > 0.7
    assert explained(start("tag-ae", planted), planted) < 0.05


def test_lmae_restores_hidden_entities_of_unused_tiles(trained: Callable[[str], Run], planted: Planted) -> None:
    assert restored(trained("tagformer-lmae"), planted) < 0.6
    assert restored(start("tagformer-lmae", planted), planted) > 1.0


@pytest.mark.parametrize("name", NAMES)
def test_a_linear_head_on_the_vectors_finds_the_planted_kind(
    name: str, trained: Callable[[str], Run], planted: Planted
) -> None:
    run = trained(name)
    rows = np.arange(len(planted.kind))
    with torch.no_grad():
        x = run.model.embed(run.data.store.read(planted.view(), rows)).tiles.double().numpy()
    fold, y = planted.fold(), (planted.kind == 1).astype(float)
    ridge = fit_ridge(x[fold.train], y[fold.train], run.data.store.groups[fold.train])
    dummy = np.abs(y[fold.test] - np.median(y[fold.train])).mean()
    assert np.abs(ridge.predict(x[fold.test]) - y[fold.test]).mean() < 0.7 * dummy


@pytest.mark.parametrize("name", NAMES)
def test_gradients_reach_every_parameter(name: str, planted: Planted) -> None:
    run = start(name, planted)
    batch = fixed_batch(run.data, 40, 0)
    run.model.prepare(batch, torch.Generator().manual_seed(0))().loss.backward()
    parameters = dict(run.model.module.named_parameters())
    assert {key for key, p in parameters.items() if p.grad is None or not bool(p.grad.any())} == set()
    counts = run.model.parameter_counts()
    total = counts["parameters"] + counts["decoder_parameters"]
    assert total == sum(p.numel() for p in parameters.values())


@pytest.mark.parametrize("name", NAMES)
def test_a_killed_run_resumes_to_the_same_weights(
    name: str, planted: Planted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = ("train.max_steps=7", "train.epochs=100")
    whole = finish(start(name, planted, *short), tmp_path / "whole")
    original = loop._Run._step

    def step(run: Any, steps: Any) -> None:
        if run.progress.step == 5:
            raise KeyboardInterrupt
        original(run, steps)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop._Run, "_step", step)
        finish(start(name, planted, *short), tmp_path / "killed")
    resumed = finish(start(name, planted, *short), tmp_path / "killed")
    for key, tensor in whole.model.module.state_dict().items():
        assert torch.equal(tensor, resumed.model.module.state_dict()[key]), key
    other = start(name, planted, seed=1).model.module.state_dict()
    assert any(
        not torch.equal(tensor, other[key]) for key, tensor in start(name, planted).model.module.state_dict().items()
    )


@pytest.mark.parametrize("name", NAMES)
def test_published_weights_give_the_same_vectors(
    name: str, trained: Callable[[str], Run], planted: Planted, tmp_path: Path
) -> None:
    run = trained(name)
    save_model(tmp_path, run.model.module, run.config)
    batch = held_out(run, planted)
    store = run.data.store
    inputs = FrozenInputs(run.data.inputs.tag_table, tags=TagList(store.keys, store.values))
    embedder = open_published(tmp_path, run.config.family, inputs)
    with torch.no_grad():
        found, expected = embedder.encode(batch), run.model.embed(batch)
    assert torch.equal(found.tiles, expected.tiles) and torch.equal(found.entities, expected.entities)
    assert found.tiles.shape == (batch.n_tiles, 16) and found.entities.shape == (batch.n_tokens, 16)


@pytest.mark.parametrize("name", NAMES)
def test_weights_of_another_size_are_refused_in_words(name: str, planted: Planted, tmp_path: Path) -> None:
    run = start(name, planted)
    wider: Any = load_run_config(name, [*SMALL[name], *COMMON, "model.embed_dim=32"])
    save_model(tmp_path, run.model.module, wider)
    with pytest.raises(DataError, match=r"does not match the model in `config\.yaml`"):
        open_published(tmp_path, run.config.family, FrozenInputs(planted.table(), tags=TagList([], [])))


@pytest.mark.parametrize("name", NAMES)
def test_the_vector_of_a_tile_does_not_depend_on_its_batch_and_not_on_hidden_tags(
    name: str, planted: Planted, tmp_path: Path
) -> None:
    run, other = start(name, planted), write_planted(tmp_path / "other", new_after=0)
    tiles = np.array([3, 50, 51])
    with torch.no_grad():
        together = run.model.embed(run.data.store.read(planted.view(), tiles)).tiles
        alone = run.model.embed(run.data.store.read(planted.view(), tiles[1:2])).tiles
        hidden = planted.view().drop(tags=[PLANTED])
        masked = run.model.embed(run.data.store.read(hidden, tiles)).tiles
        without = run.model.embed(other.store().read(other.view().drop(tags=[PLANTED - 1]), tiles)).tiles
    torch.testing.assert_close(together[1:2], alone)
    assert not torch.allclose(together, masked)
    assert torch.equal(masked, without)


def test_an_entity_is_encoded_as_a_tile_with_this_entity_alone(planted: Planted) -> None:
    model: TagAEPretraining = start("tag-ae", planted).model
    store = planted.store()
    first = store.read(planted.view(), [0])
    others = first.piece_rows[1:].numpy()
    with torch.no_grad():
        whole = model.embed(first)
        alone = model.embed(store.read(planted.view().drop(pieces=others), [0]))
    torch.testing.assert_close(whole.entities[:1], alone.tiles)


def test_tag_ae_counts_as_a_plain_loop_does(planted: Planted) -> None:
    model: TagAEPretraining = start("tag-ae", planted, "model.columns=7").model
    batch = planted.store().read(planted.view(), [2, 9, 4])
    counts = model.module.counts(batch, model._column_of)
    expected = np.zeros((3, 7))
    texts = ["=".join(tag) for tag in VOCAB]
    cu, offsets = batch.cu_seqlens.tolist(), batch.tag_offsets.tolist()
    for tile in range(3):
        for tag in batch.tag_ids[offsets[cu[tile]] : offsets[cu[tile + 1]]].tolist():
            if texts[tag] in model.module.vocabulary.texts:
                expected[tile, model.module.vocabulary.texts.index(texts[tag])] += 1
    np.testing.assert_array_equal(counts.numpy(), expected)


def test_the_share_of_hidden_entities_is_exact_in_every_tile() -> None:
    cu = torch.tensor([0, 8, 8, 9, 14])
    hidden = draw_hidden(cu, 14, 0.75, torch.Generator().manual_seed(0))
    assert [int(part.sum()) for part in hidden.tensor_split(cu[1:-1])] == [6, 0, 1, 3]
    assert not torch.equal(hidden, draw_hidden(cu, 14, 0.75, torch.Generator().manual_seed(1)))


def test_only_mask_tokens_contain_positions(planted: Planted) -> None:
    run = start("tagformer-lmae", planted)
    module, batch = run.model.module, fixed_batch(run.data, 20, 0)
    sequences = module.encoder.sequences(batch.cu_seqlens)
    hidden = draw_hidden(batch.cu_seqlens, batch.n_tokens, 0.5, torch.Generator().manual_seed(0))
    given: list[torch.Tensor] = []
    module.decoder.register_forward_pre_hook(lambda _, values: given.append(values[0]))
    table = run.data.inputs.tag_table
    with torch.no_grad():
        module(LmaeInput(batch, sequences, hidden), table)
        encoded = module.encode(batch, table, sequences)
        places = module.tokens.tokenizer.place(batch)
        masks = module.mask_token + module.mask_position(places.box, places.modality)
    of_entities, of_classes = given[0][sequences.kept], np.setdiff1d(np.arange(len(encoded)), sequences.kept)
    torch.testing.assert_close(of_entities[hidden], masks[hidden])
    assert torch.equal(of_entities[~hidden], encoded[sequences.kept][~hidden])
    assert torch.equal(given[0][of_classes], encoded[of_classes]) and len(of_classes) == batch.n_tiles


def test_lmae_can_pool_as_the_other_models(planted: Planted) -> None:
    model: LmaePretraining = start("tagformer-lmae", planted, "model.pooling=max_mean").model
    with torch.no_grad():
        found = model.embed(planted.store().read(planted.view(), [0, 1]))
    first = found.entities[:12]
    torch.testing.assert_close(found.tiles[0], torch.cat([first.amax(0), first.mean(0)]))


@pytest.mark.parametrize("name", NAMES)
def test_baselines_cannot_come_with_the_package(name: str, planted: Planted, tmp_path: Path) -> None:
    run = start(name, planted)
    (tmp_path / "model").mkdir()
    save_model(tmp_path / "model", run.model.module, run.config)
    facts = ShippingFacts(name, [], "geojepa pretrain", [], "minilm", {})
    with pytest.raises(DataError, match="cannot come with the package"):
        ship_model(tmp_path / "model", tmp_path / "shipped", facts)
    assert not (tmp_path / "shipped").exists()
