"""The knob alpha: vectors of entities between their surroundings and the entity alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from synthetic_store import write_synthetic_features, write_synthetic_images, write_synthetic_processed

from geojepa_cli.baselines.tagpool import TagPool
from geojepa_cli.config.modality import TAGS_ONLY, Modality
from geojepa_cli.config.schema import ModelConfig
from geojepa_cli.errors import UsageError
from geojepa_cli.evaluate.entity_vectors import model_vectors
from geojepa_cli.models.alpha import AlphaEmbedder, each_alone, mix
from geojepa_cli.models.base import BatchVectors, FrozenInputs
from geojepa_cli.models.jepa.build import build_encoder
from geojepa_cli.models.jepa.embedder import JepaEmbedder
from geojepa_cli.stages.alpha import check_alpha, check_alphas
from geojepa_cli.store.features import open_features
from geojepa_cli.store.rearrange import rearrange
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View

BOTH = frozenset({Modality.TAGS, Modality.IMAGE})


def opened(folder: Path) -> tuple[TileStore, torch.Tensor]:
    """A store in which every second tile has an image, and its tag embeddings."""
    path = write_synthetic_processed(folder / "r@0" / "processed.h5", 3, n_tiles=6)
    zxy = TileStore.open([path]).tile_zxy.tolist()
    images = write_synthetic_images(folder / "images.h5", [tuple(tile) for tile in zxy[::2]])
    store = TileStore.open([path], images=[images])
    tags = write_synthetic_features(folder / "tags.h5", store.n_vocab, 7, width=16)
    return store, open_features([tags], store).table


def jepa(table: torch.Tensor) -> JepaEmbedder:
    """A model of tags and images with random weights and register tokens."""
    torch.manual_seed(0)
    config = ModelConfig(
        modalities=(Modality.TAGS, Modality.IMAGE),
        tag_dim=16,
        embed_dim=24,
        depth=2,
        num_heads=2,
        predictor_dim=16,
        predictor_depth=2,
        num_register_tokens=2,
    )
    encoder = build_encoder(config)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape))
    return JepaEmbedder(encoder.eval(), BOTH, FrozenInputs(table))


@torch.inference_mode()
def test_a_vector_with_alpha_is_the_written_out_mix_of_the_vectors_in_the_tile_and_alone(tmp_path: Path) -> None:
    store, table = opened(tmp_path)
    view, model = View.default(store, 1), jepa(table)
    batch = store.read(view, view.tiles, BOTH)
    in_tile = model.encode(batch)
    tile_of = np.repeat(np.arange(batch.n_tiles), batch.lengths.numpy())
    alone = []
    for row, tile in enumerate(tile_of.tolist()):  # one tile with one entity, of a batch that was read without images
        plain = store.read(view, view.tiles, TAGS_ONLY)
        single = rearrange(plain, np.array([row]), np.array([1]), np.array([tile]))
        alone.append(model.encode(single).entities[0])
    expected = torch.stack(alone)
    lonely = (batch.lengths.numpy()[tile_of] == 1) & ~np.isin(tile_of, batch.image_tiles.numpy())
    change = (expected - in_tile.entities).norm(dim=1).numpy()
    assert change[~lonely].min() > 0.05 and change[lonely].max(initial=0.0) < 1e-4
    for alpha in (0.25, 1.0):
        found = AlphaEmbedder(model, alpha).encode(batch)
        assert torch.allclose(found.entities, (1 - alpha) * in_tile.entities + alpha * expected, atol=1e-5)
        assert torch.equal(found.tiles, in_tile.tiles)
    pieces = np.sort(batch.piece_rows.numpy())[::3]
    some = model_vectors(store, view, pieces, model, torch.device("cpu"), lambda done: None, (0.0, 0.25, 1.0))
    rows = [batch.piece_rows.tolist().index(piece) for piece in pieces.tolist()]
    for alpha, vectors in some.items():
        mixed = (1 - alpha) * in_tile.entities[rows] + alpha * expected[rows]
        assert np.allclose(vectors, mixed.numpy(), atol=1e-5)


def test_alpha_0_and_1_are_exactly_the_two_vectors() -> None:
    a, b = torch.tensor([[1e30, 1.0]]), torch.tensor([[3.0, torch.inf]])
    assert torch.equal(mix(a, b, 0.0), a) and torch.equal(mix(a, b, 1.0), b)


def test_alone_an_entity_keeps_everything_but_its_tile(tmp_path: Path) -> None:
    store, _ = opened(tmp_path)
    view = View.default(store, 1)
    batch = store.read(view, view.tiles, BOTH | {Modality.NODES})
    alone = each_alone(batch)
    assert alone.n_tiles == alone.n_tokens == batch.n_tokens and alone.lengths.tolist() == [1] * batch.n_tokens
    for name in ("box", "kind", "tag_ids", "tag_offsets", "piece_rows", "node_xy", "node_offsets"):
        assert torch.equal(getattr(alone, name), getattr(batch, name)), name
    tile_of = np.repeat(np.arange(batch.n_tiles), batch.lengths.numpy())
    assert torch.equal(alone.tile_zxy, batch.tile_zxy[tile_of]) and torch.equal(
        alone.tile_rows, batch.tile_rows[tile_of]
    )
    assert alone.images is not None and len(alone.images) == 0 and batch.images is not None and len(batch.images) == 3


def test_vectors_that_ignore_the_surroundings_do_not_change_with_alpha(tmp_path: Path) -> None:
    store, table = opened(tmp_path)
    view, pool = View.default(store, 1), TagPool(FrozenInputs(table))
    batch = store.read(view, view.tiles)
    assert torch.equal(AlphaEmbedder(pool, 1.0).encode(batch).entities, pool.encode(batch).entities)


def test_a_batch_without_entities_has_no_vectors_to_shift(tmp_path: Path) -> None:
    store, table = opened(tmp_path)
    view = View.default(store, 1)
    hidden = view.drop(pieces=np.arange(store.n_pieces))
    found = AlphaEmbedder(jepa(table), 0.5).encode(store.read(hidden, view.tiles, BOTH))
    assert isinstance(found, BatchVectors) and found.entities.shape == (0, 24) and len(found.tiles) == len(view.tiles)


def test_weights_are_checked_and_a_curve_includes_0() -> None:
    assert check_alpha(np.float32(0.5)) == 0.5 and check_alpha(1) == 1.0 and str(check_alpha(-0.0)) == "0.0"
    assert (
        check_alphas(None) == () and check_alphas(1) == (0.0, 1.0) and check_alphas([0.5, 0.25, 0.5]) == (0, 0.25, 0.5)
    )
    for wrong in (-0.1, 1.5, float("nan"), "0.5", True, [0.5]):
        with pytest.raises(UsageError) as caught:
            check_alpha(wrong)
        assert caught.value.hint is not None
    for many in ([], [one / 100 for one in range(50)], [0.5, 2]):
        with pytest.raises(UsageError):
            check_alphas(many)
