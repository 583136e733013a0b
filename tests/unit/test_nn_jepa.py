"""The model as a whole: what sees what, and what does not depend on what."""

from __future__ import annotations

import torch
from tile_batches import IMAGE, TAGS, Batch, random_batch, rates, tag_table

from geojepa_cli.baselines.tagpool import TagPool
from geojepa_cli.config.modality import Modality
from geojepa_cli.config.schema import ModelConfig
from geojepa_cli.models.base import FrozenInputs
from geojepa_cli.models.jepa.build import build_encoder, build_jepa
from geojepa_cli.models.jepa.encoder import Sequences, TileEncoder
from geojepa_cli.models.jepa.jepa import Jepa, JepaOutput
from geojepa_cli.nn.layouts import PackedLayout
from geojepa_cli.nn.masks.draw import draw_masks
from geojepa_cli.nn.masks.indices import MaskIndices, PredictorInput

SMALL = ModelConfig(
    tag_dim=16, embed_dim=24, depth=2, num_heads=2, predictor_dim=16, predictor_depth=2, predictor_heads=2
)
WITH_IMAGES = SMALL.model_copy(update={"modalities": (Modality.TAGS, Modality.IMAGE), "patch_px": 112})
WITH_REGISTERS = SMALL.model_copy(update={"num_register_tokens": 3})
SHARED = SMALL.model_copy(update={"shared_context": True})
PREDICTS_TILES = SMALL.model_copy(update={"predict_tile": True})
RATES = rates()


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def run(model: Jepa, batch: Batch, table: torch.Tensor) -> JepaOutput:
    """The model's output with masks drawn from seed 0."""
    return model(model.prepare(batch, table, RATES, rng()), table)


def loud(model: Jepa) -> Jepa:
    """Larger weights than at the start, so that what is seen shows."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=rng(9)))
    return model.eval()


def test_a_tiles_vectors_do_not_depend_on_the_other_tiles_of_the_batch() -> None:
    for config in (SMALL, WITH_REGISTERS):
        model = loud(build_jepa(config, 0))
        lengths = [5, 30, 1, 12]
        batch, table = random_batch(lengths), tag_table()
        together = model.target_encoder(batch, table)
        order = [2, 0, 3, 1]
        shuffled = model.target_encoder(batch.take(order), table)
        torch.testing.assert_close(shuffled.tiles, together.tiles[order], atol=1e-5, rtol=1e-4)
        for tile in range(4):
            alone = model.target_encoder(batch.take([tile]), table)
            first = int(batch.cu_seqlens[tile])
            torch.testing.assert_close(alone.tiles[0], together.tiles[tile], atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(
                alone.entities, together.entities[first : first + lengths[tile]], atol=1e-5, rtol=1e-4
            )


def test_an_entitys_vector_does_not_depend_on_the_order_of_the_entities() -> None:
    model, table = loud(build_jepa(SMALL, 0)), tag_table()
    batch = random_batch([8])
    flipped = random_batch([8])
    order = list(reversed(range(8)))
    tags = [batch.tag_ids[int(batch.tag_offsets[t]) : int(batch.tag_offsets[t + 1])] for t in order]
    flipped.box, flipped.tag_ids = batch.box[order], torch.cat(tags)
    flipped.tag_offsets = torch.tensor([0, *torch.tensor([len(t) for t in tags]).cumsum(0).tolist()])
    found, expected = model.target_encoder(flipped, table), model.target_encoder(batch, table)
    torch.testing.assert_close(found.entities, expected.entities[order], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.tiles, expected.tiles, atol=1e-5, rtol=1e-4)


def test_what_a_target_says_reaches_the_prediction_by_its_position_alone() -> None:
    model, table, batch = loud(build_jepa(PREDICTS_TILES, 0)), tag_table(), random_batch([30, 20])
    masks = draw_masks(batch.box, torch.zeros(50, dtype=torch.int64), batch.cu_seqlens, RATES, rng())
    hidden = [t for t in range(50) if masks.targets[:, t].any()]
    changed = batch
    for token in hidden:
        old = changed.tag_ids[int(changed.tag_offsets[token]) : int(changed.tag_offsets[token + 1])]
        changed = changed.with_tags(token, [(int(tag) + 7) % 50 for tag in old])
    before, after = run(model, batch, table), run(model, changed, table)
    assert torch.equal(before.predicted, after.predicted)
    assert torch.equal(before.context, after.context)
    assert before.predicted_tiles is not None
    assert torch.equal(before.predicted_tiles, after.predicted_tiles)
    assert not torch.allclose(before.target_tiles, after.target_tiles)
    assert not torch.allclose(before.target, after.target)


def test_what_the_context_says_reaches_the_prediction() -> None:
    model, table, batch = loud(build_jepa(SMALL, 0)), tag_table(), random_batch([30])
    masks = draw_masks(batch.box, torch.zeros(30, dtype=torch.int64), batch.cu_seqlens, RATES, rng())
    seen = int(masks.context.nonzero()[0])
    old = batch.tag_ids[int(batch.tag_offsets[seen]) : int(batch.tag_offsets[seen + 1])]
    changed = batch.with_tags(seen, [(int(tag) + 7) % 50 for tag in old])
    before, after = run(model, batch, table), run(model, changed, table)
    assert not torch.allclose(before.predicted, after.predicted)


def test_each_target_is_predicted_on_its_own() -> None:
    model, table, batch = loud(build_jepa(SMALL, 0)), tag_table(), random_batch([40])
    output = run(model, batch, table)
    masks = draw_masks(batch.box, torch.zeros(40, dtype=torch.int64), batch.cu_seqlens, RATES, rng())
    alone = masks.targets.clone()
    alone[1:] = False
    one = type(masks)(masks.context, alone, masks.strategy)
    indices = MaskIndices.of(one, batch.cu_seqlens)
    modality = torch.zeros(40, dtype=torch.int64)
    arranged = PredictorInput.separate(indices)
    predicted = model.predictor(output.context, batch.box, modality, indices, arranged)
    torch.testing.assert_close(predicted, output.predicted[: len(predicted)], atol=1e-5, rtol=1e-4)


def test_predicting_all_targets_in_one_pass_equals_predicting_one_target_after_the_other() -> None:
    model, table, batch = loud(build_jepa(SHARED, 0)), tag_table(), random_batch([40, 3, 17])
    prepared = model.prepare(batch, table, RATES, rng())
    output, masks = model(prepared, table), prepared.masks
    ends = masks.target_cu.tolist()
    places, predictor = prepared.places, model.predictor
    position = predictor.position(places.box, places.modality)
    context_ends = masks.context_cu.tolist()
    for number in range(len(ends) - 1):
        tile = number % 3
        visible = slice(context_ends[tile], context_ends[tile + 1])
        hidden = masks.target_index[ends[number] : ends[number + 1]]
        known = predictor.proj_in(output.context[visible]) + position[masks.context_index[visible]]
        x = torch.cat([known, predictor.mask_token + position[hidden]])
        for block in predictor.transformer.blocks:  # context tokens attend to the context, the others to all
            qkv = block.attn.qkv(block.norm1(x))
            query, key, value = qkv.view(len(x), 3, 2, 8).permute(1, 2, 0, 3)
            scores = query @ key.transpose(1, 2) / 8**0.5
            scores[:, : len(known), len(known) :] = -torch.inf
            x = x + block.attn.proj((scores.softmax(2) @ value).transpose(0, 1).reshape(len(x), 16))
            x = x + block.mlp(block.norm2(x))
        expected = predictor.proj_out(predictor.transformer.norm(x))[len(known) :]
        torch.testing.assert_close(output.predicted[ends[number] : ends[number + 1]], expected, atol=1e-5, rtol=1e-4)


def test_gradients_reach_context_encoder_and_predictor_but_not_the_target() -> None:
    model = build_jepa(WITH_IMAGES, 0)
    output = run(model, random_batch([20, 9, 14], image_tiles=[0, 2]), tag_table())
    (output.predicted - output.target).square().mean().backward()
    assert all(p.grad is None for p in model.target_encoder.parameters())
    for module in (model.context_encoder, model.predictor):
        silent = [name for name, p in module.named_parameters() if p.numel() and p.grad is None]
        assert silent == []


def test_targets_are_layer_normalised() -> None:
    output = run(build_jepa(SMALL, 0), random_batch([20]), tag_table())
    torch.testing.assert_close(output.target.mean(1), torch.zeros(len(output.target)), atol=1e-5, rtol=0)
    torch.testing.assert_close(output.target.var(1, correction=0), torch.ones(len(output.target)), atol=1e-3, rtol=0)


def test_both_encoders_start_alike_and_the_seed_decides_the_weights() -> None:
    model, again, other = build_jepa(SMALL, 3), build_jepa(SMALL, 3), build_jepa(SMALL, 4)
    pairs = zip(model.context_encoder.parameters(), model.target_encoder.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


def test_building_a_model_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    build_jepa(SMALL, 7)
    assert torch.equal(torch.rand(1), expected)


def test_image_tokens_stand_in_their_tiles_behind_the_entities() -> None:
    encoder = build_encoder(WITH_IMAGES)
    batch = random_batch([3, 2, 4], image_tiles=[0, 2])
    tokens = encoder.tokens.tokenizer.place(batch)
    assert tokens.cu_seqlens.tolist() == [0, 7, 9, 17]
    expected = [TAGS] * 3 + [IMAGE] * 4 + [TAGS] * 2 + [TAGS] * 4 + [IMAGE] * 4
    assert tokens.modality.tolist() == expected
    assert tokens.entity_index.tolist() == [0, 1, 2, 7, 8, 9, 10, 11, 12]
    torch.testing.assert_close(tokens.box[tokens.entity_index], batch.box)


def test_a_model_with_images_reads_a_batch_without() -> None:
    encoder = build_encoder(WITH_IMAGES).eval()
    found = encoder(random_batch([3, 6]), tag_table())
    assert found.tiles.shape == (2, 48)
    assert found.entities.shape == (9, 24)
    assert bool(found.tiles.isfinite().all())


def test_an_image_changes_its_own_tile_only() -> None:
    encoder, table = build_encoder(WITH_IMAGES).eval(), tag_table()
    with_image, without = random_batch([5, 5], image_tiles=[1]), random_batch([5, 5])
    found, plain = encoder(with_image, table), encoder(without, table)
    torch.testing.assert_close(found.tiles[0], plain.tiles[0], atol=1e-5, rtol=1e-4)
    assert not torch.allclose(found.tiles[1], plain.tiles[1])


def test_tagpool_is_the_mean_of_tags_and_max_next_to_mean_of_entities() -> None:
    batch, table = random_batch([4, 2]), tag_table()
    found = TagPool(FrozenInputs(table)).encode(batch)
    for tile, (start, end) in enumerate([(0, 4), (4, 6)]):
        entities = [
            table[batch.tag_ids[int(batch.tag_offsets[t]) : int(batch.tag_offsets[t + 1])]].mean(0)
            for t in range(start, end)
        ]
        stacked = torch.stack(entities)
        torch.testing.assert_close(found.entities[start:end], stacked)
        torch.testing.assert_close(found.tiles[tile], torch.cat([stacked.max(0).values, stacked.mean(0)]))


def test_the_input_weight_sets_how_much_a_token_speaks_of_itself() -> None:
    batch, table = random_batch([20, 20]), tag_table()
    shares = []
    for weight in (None, 1.0, 100.0):
        encoder = loud(build_jepa(SMALL.model_copy(update={"input_weight": weight}), 0)).target_encoder
        whole = encoder(batch, table).entities[0]
        alone = encoder.encoder(*_first_token_only(encoder, batch, table))[0]
        shares.append(float(torch.nn.functional.cosine_similarity(whole, alone, dim=0)))
    assert shares[0] < shares[1] < shares[2]
    assert shares[2] > 0.999


def _first_token_only(encoder: TileEncoder, batch: Batch, table: torch.Tensor) -> tuple[torch.Tensor, Sequences]:
    x = encoder.tokens(batch, table, encoder.tokens.tokenizer.place(batch))
    return x[:1], encoder.encoder.sequences(torch.tensor([0, 1]))


def test_all_layers_and_the_input_are_summed() -> None:
    transformer = build_encoder(SMALL.model_copy(update={"input_weight": 0.5})).encoder.transformer
    layout = PackedLayout.of(torch.tensor([0, 7]))
    x = torch.randn(7, 24)
    states = [x]
    for block in transformer.blocks:
        states.append(block(states[-1], layout))
    normalised = [torch.nn.functional.layer_norm(state, (24,)) for state in states]
    expected = transformer.norm(0.5 * normalised[0] + sum(normalised[1:]))
    torch.testing.assert_close(transformer(x, layout), expected)
