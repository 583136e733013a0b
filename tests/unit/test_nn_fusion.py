"""Fusion of tags and geometry, modality dropout, and learned weights of tags."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from tile_batches import Batch, offsets, random_batch, rates, tag_table

from geojepa_cli.config.modality import Modality
from geojepa_cli.config.schema import ModelConfig
from geojepa_cli.models.jepa.build import build_encoder, build_jepa
from geojepa_cli.models.jepa.jepa import Jepa, JepaInput, JepaOutput
from geojepa_cli.nn.masks.draw import KIND, draw_masks
from geojepa_cli.nn.masks.indices import MaskIndices
from geojepa_cli.nn.pooling import softmax_in_segments
from geojepa_cli.nn.tokens.fusion import GEOMETRY, NOTHING, TAGS, EntityFusion, draw_dropout
from geojepa_cli.nn.tokens.tags import WeightedTags, mean_tags
from geojepa_cli.nn.tokens.tokenizer import Tokenizer

G = 6
SMALL = ModelConfig(
    tag_dim=16, embed_dim=24, depth=2, num_heads=2, predictor_dim=16, predictor_depth=2, predictor_heads=2
)
GT = SMALL.model_copy(update={"modalities": (Modality.TAGS, Modality.GEOMETRY), "geometry_dim": G})
PAPER = GT.model_copy(update={"fusion": "mlp"})
GTI = GT.model_copy(update={"modalities": (*GT.modalities, Modality.IMAGE), "patch_px": 112})
LEARNED = GT.model_copy(update={"tag_weighting": "learned"})


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch_of(lengths: list[int], seed: int = 0, image_tiles: list[int] | None = None) -> Batch:
    """Random tiles with geometry."""
    batch = random_batch(lengths, seed, image_tiles=image_tiles)
    return replace(batch, geometry=torch.rand(sum(lengths), G, generator=rng(seed + 50)).half())


def loud(model: Jepa) -> Jepa:
    """Larger weights than at the start, so that every input shows."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=rng(9)))
    return model


def tokenizer_of(config: ModelConfig = GT) -> Tokenizer:
    return loud(build_jepa(config, 0)).context_encoder.tokens.tokenizer


def run(model: Jepa, batch: Batch, table: torch.Tensor, seed: int) -> JepaOutput:
    """The model's output with masks and dropout drawn from a seed."""
    return model(model.prepare(batch, table, rates(), rng(seed)), table)


def content(tokenizer: Tokenizer, batch: Batch, table: torch.Tensor) -> torch.Tensor:
    """The vectors of all tokens, nothing dropped."""
    return tokenizer(batch, table, tokenizer.place(batch))


def linear_norm(x: torch.Tensor, layer: torch.nn.Linear, norm: torch.nn.LayerNorm) -> torch.Tensor:
    """Projection and layer normalisation, written out."""
    y = x @ layer.weight.T + layer.bias
    return (y - y.mean()) / (y.var(correction=0) + 1e-5).sqrt() * norm.weight + norm.bias


def fused(fusion: EntityFusion, tags: torch.Tensor, shape: torch.Tensor) -> torch.Tensor:
    """MLP on the concatenation, written out: linear, GELU, linear. A residual fusion scales it and adds the tags."""
    hidden = torch.cat([tags, shape]) @ fusion.mlp.fc1.weight.T + fusion.mlp.fc1.bias
    hidden = 0.5 * hidden * (1 + torch.erf(hidden / math.sqrt(2)))
    out = hidden @ fusion.mlp.fc2.weight.T + fusion.mlp.fc2.bias
    return out if fusion.scale is None else out * fusion.scale + tags


@pytest.mark.parametrize("config", [GT, PAPER], ids=["residual", "mlp"])
def test_a_token_is_the_mlp_of_projected_tags_and_projected_geometry(config: ModelConfig) -> None:
    tokenizer, table, batch = tokenizer_of(config), tag_table(), batch_of([5, 9])
    found = content(tokenizer, batch, table)
    fusion = tokenizer.fusion
    assert fusion is not None and batch.geometry is not None
    for token in range(14):
        ids = batch.tag_ids[int(batch.tag_offsets[token]) : int(batch.tag_offsets[token + 1])]
        tags = linear_norm(table[ids].sum(0) / len(ids), tokenizer.tags, tokenizer.tags_norm)
        shape = linear_norm(batch.geometry[token].float(), fusion.geometry, fusion.geometry_norm)
        torch.testing.assert_close(found[token], fused(fusion, tags, shape), atol=1e-5, rtol=1e-4)


def test_first_weights_with_a_residual_fusion_compute_almost_the_tokens_of_a_model_without_geometry() -> None:
    table, batch = tag_table(), batch_of([40])
    tokens = {}
    for name, config in (("t", SMALL), ("residual", GT), ("mlp", PAPER)):
        tokenizer = build_jepa(config, 0).context_encoder.tokens.tokenizer
        read = replace(batch, geometry=None) if name == "t" else batch
        tokens[name] = content(tokenizer, read, table) - tokenizer.tags_norm(
            tokenizer.tags(mean_tags(table, batch.tag_ids, batch.tag_offsets))
        )
    largest = {name: float(offset.detach().abs().max()) for name, offset in tokens.items()}
    assert largest["t"] == 0 < 10 * largest["residual"] < largest["mlp"]


def test_learned_vectors_replace_missing_tags_and_missing_geometry() -> None:
    tokenizer, table, batch = tokenizer_of(), tag_table(), batch_of([4])
    fusion = tokenizer.fusion
    assert fusion is not None and batch.geometry is not None
    tagged = [int(n) for n in batch.tag_offsets.diff()]
    bare = replace(batch, tag_ids=batch.tag_ids[tagged[0] :], tag_offsets=offsets([0, *tagged[1:]]))
    shape = linear_norm(batch.geometry[0].float(), fusion.geometry, fusion.geometry_norm)
    expected = fused(fusion, fusion.no_tags, shape)
    untagged = content(tokenizer, bare, table)
    torch.testing.assert_close(untagged[0], expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(untagged[1:], content(tokenizer, batch, table)[1:])
    tags = linear_norm(table[batch.tag_ids[: tagged[0]]].mean(0), tokenizer.tags, tokenizer.tags_norm)
    alone = content(tokenizer, replace(batch, geometry=None), table)
    torch.testing.assert_close(alone[0], fused(fusion, tags, fusion.no_geometry), atol=1e-5, rtol=1e-4)
    neither = content(tokenizer, replace(bare, geometry=None), table)[0]
    torch.testing.assert_close(neither, fused(fusion, fusion.no_tags, fusion.no_geometry), atol=1e-5, rtol=1e-4)


def test_a_dropped_input_is_replaced_unless_the_other_is_missing() -> None:
    fusion = EntityFusion(G, 8)
    loud(fusion)  # type: ignore[arg-type]
    tags, geometry = torch.randn(6, 8, generator=rng()), torch.rand(6, G, generator=rng(1))
    tagged = torch.tensor([True, True, True, False, False, False])
    dropped = torch.tensor([NOTHING, TAGS, GEOMETRY] * 2)
    found = fusion(tags, tagged, geometry, dropped)
    plain = fusion(tags, tagged, geometry)
    none = torch.zeros(6, dtype=torch.bool)
    assert torch.equal(found[0], plain[0])
    assert torch.equal(found[1], fusion(tags, none, geometry)[1]) and not torch.equal(found[1], plain[1])
    torch.testing.assert_close(found[2], fusion(tags, tagged, None)[2])
    assert torch.equal(found[3:], plain[3:])
    assert torch.equal(fusion(tags, tagged, None, dropped), fusion(tags, tagged, None))


def test_dropout_takes_the_stated_share_one_input_of_an_entity_at_a_time() -> None:
    count, rate = 200_000, 0.3
    drawn = draw_dropout(count, rate, rng(3))
    shares = torch.bincount(drawn.long(), minlength=3) / count
    assert drawn.dtype == torch.uint8 and int(drawn.max()) == GEOMETRY
    assert shares.tolist() == pytest.approx([0.7, 0.15, 0.15], abs=5 * math.sqrt(0.25 / count))
    assert torch.equal(drawn, draw_dropout(count, rate, rng(3)))
    assert not torch.equal(drawn, draw_dropout(count, rate, rng(4)))
    assert not draw_dropout(1000, 0.0, rng()).any() and draw_dropout(1000, 1.0, rng()).all()


def test_the_context_encoder_drops_inputs_and_the_target_encoder_sees_all() -> None:
    batch, table = batch_of([60, 50]), tag_table()
    model = loud(build_jepa(GT, 0))
    seen: dict[str, torch.Tensor] = {}
    for name in ("context", "target"):
        tokenizer = getattr(model, f"{name}_encoder").tokens.tokenizer
        tokenizer.register_forward_hook(lambda _, given, found, name=name: seen.__setitem__(name, found))
    prepared = model.prepare(batch, table, rates(), rng(5))
    model(prepared, table)
    dropped, visible = draw_dropout(110, 0.3, rng(5)), prepared.masks.context_index
    context, target = seen["context"], seen["target"]
    complete = torch.isclose(context, content(model.context_encoder.tokens.tokenizer, batch, table)[visible], atol=1e-6)
    assert prepared.dropped is not None and torch.equal(prepared.dropped, dropped)
    assert torch.equal(complete.all(1), dropped[visible] == NOTHING)
    assert set(dropped[visible].tolist()) == {NOTHING, TAGS, GEOMETRY}
    assert 0.5 < float((dropped == NOTHING).float().mean()) < 0.9
    assert len(target) == 110
    torch.testing.assert_close(target, content(model.target_encoder.tokens.tokenizer, batch, table))


def test_the_visible_tokens_are_computed_alone_as_with_all_others() -> None:
    batch, table = batch_of([30, 20], image_tiles=[1]), tag_table()
    for config in (SMALL, GT, GTI, LEARNED):
        tokens = loud(build_jepa(config, 0)).context_encoder.tokens
        places = tokens.tokenizer.place(batch)
        dropped = draw_dropout(50, 0.5, rng(3))
        whole = tokens(batch, table, places, None, dropped)
        for rows in (torch.arange(1, len(whole), 3), torch.zeros(0, dtype=torch.int64)):
            torch.testing.assert_close(tokens(batch, table, places, rows, dropped), whole[rows])


def test_a_step_is_decided_by_its_generator_alone() -> None:
    batch, table, model = batch_of([30, 20]), tag_table(), loud(build_jepa(GT, 0))

    def step(seed: int) -> JepaOutput:
        torch.manual_seed(int(torch.randint(1 << 30, ())))  # the global generator must not matter
        return run(model, batch, table, seed)

    assert torch.equal(step(1).predicted, step(1).predicted)
    assert not torch.equal(step(1).context[:5], step(2).context[:5])


def test_without_dropout_the_masks_are_those_of_a_model_without_geometry() -> None:
    batch, table = batch_of([30, 20]), tag_table()
    without = build_jepa(GT.model_copy(update={"modality_dropout": 0.0}), 0)
    found, plain = (model.prepare(batch, table, rates(), rng(4)) for model in (without, build_jepa(SMALL, 0)))
    assert found.dropped is None and plain.dropped is None
    assert same_masks(found.masks, plain.masks)


def same_masks(first: MaskIndices, second: MaskIndices) -> bool:
    names = ("context_index", "context_cu", "target_index", "target_cu")
    return all(torch.equal(getattr(first, name), getattr(second, name)) for name in names)


def test_kind_masks_compare_tags_without_geometry_and_dropout() -> None:
    table, batch = tag_table(), batch_of([40, 25], image_tiles=[1])
    only_kind = rates(random=0, area=0, modality=0, kind=1)

    def prepared(config: ModelConfig, seen: Batch, weights: int = 0) -> JepaInput:
        return loud(build_jepa(config, weights)).prepare(seen, table, only_kind, rng(1))

    tags = [batch.tag_ids[int(start) : int(end)] for start, end in batch.tag_offsets.unfold(0, 2, 1)]
    means = torch.stack([table[ids].mean(0) for ids in tags])
    for config in (GT, GTI, LEARNED):
        found = prepared(config, batch)
        generator, places = rng(1), found.places
        draw_dropout(65, 0.3, generator)
        vectors = torch.zeros(len(places.modality), 16)
        vectors[places.modality == Modality.TAGS.number] = means
        expected = draw_masks(places.box, places.modality, places.cu_seqlens, only_kind, generator, vectors)
        assert expected.strategy.tolist() == [KIND, KIND]
        assert same_masks(found.masks, MaskIndices.of(expected, places.cu_seqlens))
        others = batch_of([40, 25], 7).geometry
        assert same_masks(found.masks, prepared(config, replace(batch, geometry=others), weights=1).masks)
        other_tags = replace(batch, tag_ids=(batch.tag_ids + 7) % 50)
        assert not same_masks(found.masks, prepared(config, other_tags).masks)


def test_gradients_reach_every_parameter_and_every_dimension_of_the_missing_vectors() -> None:
    for config in (GT, GTI, LEARNED):
        model = loud(build_jepa(config, 0))
        batch = batch_of([40, 29, 34], image_tiles=[0, 2])
        for seed in range(4):  # of images, a single mask may hide all
            output = run(model, batch, tag_table(), seed)
            (output.predicted - output.target).square().mean().backward()
        assert all(p.grad is None for p in model.target_encoder.parameters())
        for module in (model.context_encoder, model.predictor):
            silent = [
                name for name, p in module.named_parameters() if p.numel() and (p.grad is None or not p.grad.any())
            ]
            assert silent == []
        fusion = model.context_encoder.tokens.tokenizer.fusion
        assert fusion is not None
        for missing in (fusion.no_tags, fusion.no_geometry):
            assert missing.grad is not None and bool((missing.grad != 0).all())


def test_a_model_with_geometry_reads_a_batch_without() -> None:
    encoder = build_encoder(GT).eval()
    found = encoder(random_batch([3, 6]), tag_table())
    assert found.tiles.shape == (2, 48) and bool(found.tiles.isfinite().all())


def test_a_tiles_vectors_do_not_depend_on_the_other_tiles() -> None:
    model, batch, table = loud(build_jepa(LEARNED, 0)).eval(), batch_of([5, 30, 1]), tag_table()
    together = model.target_encoder(batch, table)
    assert batch.geometry is not None
    for tile, (start, end) in enumerate([(0, 5), (5, 35), (35, 36)]):
        alone = model.target_encoder(replace(batch.take([tile]), geometry=batch.geometry[start:end]), table)
        torch.testing.assert_close(alone.entities, together.entities[start:end], atol=1e-5, rtol=1e-4)


def test_a_model_without_geometry_has_no_new_parameters_and_ignores_the_vectors() -> None:
    names = {name for name, _ in build_encoder(SMALL).named_parameters()}
    assert not any("fusion" in name or "weights" in name for name in names)
    batch, table, model = batch_of([20]), tag_table(), build_jepa(SMALL, 0)
    first, second = (run(model, b, table, 2) for b in (batch, replace(batch, geometry=None)))
    assert torch.equal(first.predicted, second.predicted)
    positions = build_jepa(GT, 0).predictor.position.num_modalities
    assert positions == build_jepa(SMALL, 0).predictor.position.num_modalities == 2


def test_learned_weights_are_the_softmax_of_scores_of_an_entitys_tags() -> None:
    table, batch = tag_table(), random_batch([50], vocab=50)
    pool = WeightedTags(16)
    with torch.no_grad():
        pool.query.copy_(3 * torch.randn(16, generator=rng(8)))
    tag_offsets = torch.cat([batch.tag_offsets, batch.tag_offsets[-1:]])  # the last entity has no tags
    found = pool(table, batch.tag_ids, tag_offsets)
    assert not found[-1].any()
    for token in range(50):
        tags = table[batch.tag_ids[int(tag_offsets[token]) : int(tag_offsets[token + 1])]]
        raised = [math.exp(float(score)) for score in (tags @ pool.query).detach()]
        expected = sum(tag * (value / sum(raised)) for tag, value in zip(tags, raised, strict=True))
        torch.testing.assert_close(found[token], expected)


def test_learned_weights_start_as_the_mean_and_their_gradient_is_exact() -> None:
    table, batch = tag_table().double(), random_batch([12])
    pool = WeightedTags(16)
    torch.testing.assert_close(
        pool(table, batch.tag_ids, batch.tag_offsets), mean_tags(table, batch.tag_ids, batch.tag_offsets)
    )
    scores = torch.randn(7, dtype=torch.float64, generator=rng(), requires_grad=True)
    ends = torch.tensor([0, 3, 3, 4, 7])
    assert torch.autograd.gradcheck(lambda s: softmax_in_segments(s[:, None], ends), (scores,))
    weights = softmax_in_segments(scores.detach()[:, None] + 1000.0, ends).squeeze(1)
    torch.testing.assert_close(weights[:3], F.softmax(scores.detach()[:3], 0))
    assert weights[3].item() == 1.0
