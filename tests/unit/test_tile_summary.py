"""Weights of tags that name places, and the summary from which the tags of a tile are predicted."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from test_nn_jepa import SMALL, loud, rng
from test_train_losses import Reads
from tile_batches import Batch, random_batch, tag_table
from training import config_of, kill_at, same_weights, train_in, write_region

from geojepa_cli.config.loss import LossConfig
from geojepa_cli.config.schema import PretrainConfig, TrainConfig
from geojepa_cli.models.base import FrozenInputs, TagList
from geojepa_cli.models.jepa.build import bind_tags, build_encoder
from geojepa_cli.models.jepa.pretraining import JepaPretraining, build
from geojepa_cli.nn.counts import count_tile_tags
from geojepa_cli.nn.summary import tag_prediction_loss
from geojepa_cli.nn.tokens.tags import WeightedTags, mean_tags
from geojepa_cli.tags.frequent import frequent_tags
from geojepa_cli.tags.places import names_place, tag_weights

KNOWN = [text.split("=", 1) for text in frequent_tags() if not text.endswith("=*")][:30]
LISTED = TagList([*(key for key, _ in KNOWN), *["name"] * 20], [*(value for _, value in KNOWN), *map(str, range(20))])
CHANGES = {"pooling": "counts", "predict_tile": True, "place_weight": 0.05, "summary_dim": 12}
MODEL = SMALL.model_copy(update=CHANGES)


def pretraining(weight: float = 4.0, share: float = 0.0) -> JepaPretraining:
    loss = LossConfig(tag_prediction_weight=weight, whole_tag_share=share)
    config = PretrainConfig(model=MODEL, loss=loss, train=TrainConfig(epochs=1))
    return build(config, FrozenInputs(tag_table(), tags=LISTED), 0)


def slow_counts(batch: Batch) -> list[dict[str, int]]:
    """Entities with each listed tag and key, by tile, one by one."""
    found = []
    for first, last in zip(batch.cu_seqlens[:-1].tolist(), batch.cu_seqlens[1:].tolist(), strict=True):
        counts: dict[str, int] = {}
        for entity in range(first, last):
            for tag in batch.tag_ids[int(batch.tag_offsets[entity]) : int(batch.tag_offsets[entity + 1])].tolist():
                for text in (f"{LISTED.keys[tag]}={LISTED.values[tag]}", f"{LISTED.keys[tag]}=*"):
                    counts[text] = counts.get(text, 0) + 1
        found.append({text: count for text, count in counts.items() if text in frequent_tags()})
    return found


def gradients_of(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: part.grad for name, part in module.named_parameters() if part.grad is not None}


def named(counts: torch.Tensor) -> list[dict[str, int]]:
    """Counts above 0, by tag or key."""
    texts = frequent_tags()
    return [{texts[c]: int(n) for c, n in enumerate(row) if n} for row in counts.tolist()]


def test_keys_that_name_places_and_keys_that_name_kinds() -> None:
    names = ["name", "name:de", "old_name", "addr:street", "addr:housenumber", "ref", "int_ref", "wikidata", "website"]
    names += ["operator", "network:wikidata", "contact:phone", "is_in:country", "postal_code", "tiger:county", "note"]
    kinds = ["building", "highway", "maxspeed", "surface", "amenity", "building:levels", "lanes", "type", "route"]
    kinds += ["natural", "crossing:markings", "brand", "height", "access", "noaddress", "tower:type", "preferred"]
    assert [key for key in names if not names_place(key)] == []
    assert [key for key in kinds if names_place(key)] == []
    assert tag_weights(["name", "building", "name"], 0.05) == [0.05, 1.0, 0.05]


@pytest.mark.parametrize("learned", [False, True])
def test_the_weighted_mean_is_that_of_a_loop(learned: bool) -> None:
    batch, table = random_batch([4, 0, 7]), tag_table()
    weights = torch.rand(len(table), generator=rng(1))
    weights[:5] = 0.0
    pool = WeightedTags(table.shape[1])
    with torch.no_grad():
        pool.query.copy_(torch.randn(table.shape[1], generator=rng(2)))
    found = (pool if learned else mean_tags)(table, batch.tag_ids, batch.tag_offsets, weights)
    for entity in range(len(batch.box)):
        tags = batch.tag_ids[int(batch.tag_offsets[entity]) : int(batch.tag_offsets[entity + 1])]
        own = weights[tags] * (torch.exp(table[tags] @ pool.query.detach()) if learned else 1.0)
        expected = (own[:, None] * table[tags]).sum(0) / own.sum() if own.sum() > 0 else torch.zeros(table.shape[1])
        if own.sum() > 0 or not learned:
            torch.testing.assert_close(found[entity].detach(), expected, atol=1e-5, rtol=1e-4)


def test_equal_weights_give_the_plain_mean_and_a_name_moves_an_entity_less() -> None:
    batch, table = random_batch([3]), tag_table()
    plain = mean_tags(table, batch.tag_ids, batch.tag_offsets)
    torch.testing.assert_close(mean_tags(table, batch.tag_ids, batch.tag_offsets, torch.ones(len(table))), plain)
    encoder = build_encoder(MODEL)
    bind_tags(encoder, MODEL, FrozenInputs(table, tags=LISTED))
    tags, ends = torch.tensor([3, 3, 40]), torch.tensor([0, 1, 3])
    named = Batch(batch.cu_seqlens[:1].new_tensor([0, 2]), batch.box[:2], tags, ends)
    shifts = []
    for weights in (None, encoder.tokens.tokenizer.tag_weights):
        alone, with_name = mean_tags(table, named.tag_ids, named.tag_offsets, weights)
        shifts.append(float((with_name - alone).norm() / (table[40] - table[3]).norm()))
    assert shifts == pytest.approx([1 / 2, 0.05 / 1.05])


def test_counts_of_tags_and_keys_are_those_of_a_loop() -> None:
    batch = random_batch([5, 30, 0, 12])
    size = len(frequent_tags())
    found = count_tile_tags(LISTED.frequent_columns(), batch.tag_ids, batch.tag_offsets, batch.cu_seqlens, size)
    assert named(found) == slow_counts(batch) and named(found)[1]


def test_the_loss_is_that_of_the_formula() -> None:
    counts = torch.tensor([[0.0, 3.0], [1.0, 0.0], [0.0, 7.0]])
    predicted = torch.randn(3, 4, generator=rng(3))
    presence = 0.0
    for logit, count in zip(predicted[:, :2].flatten().tolist(), counts.flatten().tolist(), strict=True):
        share = 1 / (1 + math.exp(-logit))
        presence -= math.log(share) if count else math.log(1 - share)
    logs = [[math.log(1 + n) for n in column] for column in counts.T.tolist()]
    total = 0.0
    for column, values in enumerate(logs):
        mean = sum(values) / 3
        scale = math.sqrt(sum((v - mean) ** 2 for v in values) / 3) + 0.1
        for row, value in enumerate(values):
            miss = abs(float(predicted[row, 2 + column]) - value) / scale
            total += 0.5 * miss**2 if miss < 1 else miss - 0.5
    assert float(tag_prediction_loss(predicted, counts)) == pytest.approx(presence / 3 + total / 6, rel=1e-5)
    assert float(tag_prediction_loss(predicted, torch.zeros(3, 2))) > 0  # no tag at all: finite


def test_the_weighted_loss_is_added_and_gradients_reach_the_new_layers() -> None:
    batch = random_batch([12, 30, 8, 20])
    losses = {}
    for weight in (0.0, 4.0):
        model = pretraining(weight)
        step = model.prepare(batch, rng())()
        losses[weight] = {name: float(value) for name, value in step.parts.items()}
        step.loss.backward()
    parts = losses[4.0]
    assert parts["loss"] == pytest.approx(losses[0.0]["loss"] + 4 * parts["prediction_tags"], rel=1e-5)
    assert parts["loss_share_tags"] == pytest.approx(4 * parts["prediction_tags"] / parts["loss"], rel=1e-5)
    assert sum(value for name, value in parts.items() if name.startswith("loss_share_")) == pytest.approx(1.0)
    for name in ("tag_predictor.linear.weight", "context_encoder.summary.linear.weight"):
        gradient = dict(model.module.named_parameters())[name].grad
        assert gradient is not None and bool(gradient.any()), name
    before = model.module.target_encoder.summary.linear.weight.clone()  # type: ignore[union-attr]
    with torch.no_grad():
        model.module.context_encoder.summary.linear.weight.add_(1.0)  # type: ignore[union-attr]
    model.finish_step(0.0)
    assert not torch.equal(model.module.target_encoder.summary.linear.weight, before)  # type: ignore[union-attr]


def test_whole_tiles_have_their_share_of_the_loss_and_train_only_the_summary() -> None:
    batch, parts, encoders = random_batch([12, 30, 8, 20]), {}, {}
    for weight, share in ((4.0, 0.0), (4.0, 0.25), (4.0, 1.0), (0.0, 0.0)):
        training = pretraining(weight, share)
        step = training.prepare(batch, rng())()
        step.loss.backward()
        encoders[weight, share] = training.module.context_encoder
        if weight:
            parts[share] = {name: float(value) for name, value in step.parts.items()}
    assert "prediction_whole_tags" not in parts[0.0]
    found, other = parts[0.25], parts[0.25]["prediction_tags"] - parts[0.25]["prediction_whole_tags"]
    assert other and found["loss"] == pytest.approx(parts[0.0]["loss"] - 4 * 0.25 * other, rel=1e-5)
    whole, none = (gradients_of(encoders[key]) for key in ((4.0, 1.0), (0.0, 0.0)))
    assert whole.keys() == none.keys() and all(bool(whole[name].any()) for name in whole if "summary" in name)
    for name in whole:
        if "summary" not in name:
            torch.testing.assert_close(whole[name], none[name], msg=name)


def test_a_whole_tile_is_predicted_from_the_target_encoder() -> None:
    model = pretraining(4.0, 0.5)
    loud(model.module)
    batch = random_batch([12, 30, 8, 20])
    output = model.module(model.prepare_input(batch, rng()), tag_table())
    tiles = model.embed(batch).tiles
    summary, predictor = model.module.context_encoder.summary, model.module.tag_predictor
    assert summary is not None and predictor is not None
    expected = predictor(summary(tiles[:, : 3 * SMALL.embed_dim]))
    torch.testing.assert_close(output.whole_tags, expected, atol=1e-4, rtol=1e-4)


def test_the_summary_follows_the_pooled_vector_and_does_not_depend_on_other_tiles() -> None:
    model = pretraining()
    loud(model.module)
    batch, encoder = random_batch([5, 0, 12]), model.module.target_encoder
    together = model.embed(batch).tiles
    assert together.shape[1] == encoder.tile_dim == 3 * SMALL.embed_dim + 12
    assert encoder.summary is not None
    alone = encoder.summary(together[:, :-12])
    torch.testing.assert_close(alone[[0, 2]], together[[0, 2], -12:])
    assert bool(alone[1].any()) and not bool(together[1].any())
    for tile in (0, 2):
        alone = model.embed(batch.take([tile])).tiles[0]
        torch.testing.assert_close(alone, together[tile], atol=1e-5, rtol=1e-4)


def test_without_a_summary_the_model_has_the_weights_that_it_had() -> None:
    plain, same = build_encoder(SMALL), build_encoder(SMALL.model_copy(update={"place_weight": 0.05}))
    assert set(plain.state_dict()) == set(same.state_dict())
    assert not any("summary" in name or "tag_weights" in name for name in plain.state_dict())


def test_a_prepared_step_reads_no_values_of_tensors() -> None:
    step = pretraining(share=0.5).prepare(random_batch([12, 30]), rng())
    with Reads() as reads:
        step()
    assert reads.found == set()


def test_a_killed_run_resumes_to_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    region = write_region(tmp_path)
    settings = ["model.place_weight=0.05", "model.pooling=counts", "loss.whole_tag_share=0.5"]
    config = config_of("model.summary_dim=8", "train.max_steps=6", *settings)
    whole = train_in(tmp_path / "whole", region, config)
    kill_at(3, monkeypatch, tmp_path / "killed", region, config)
    again = train_in(tmp_path / "killed", region, config)
    assert same_weights(whole.model.module, again.model.module)
