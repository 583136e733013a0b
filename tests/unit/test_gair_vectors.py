"""Vectors of a GAIR model: independent of tags, of other tiles, and of what is missing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from painted_store import (
    NEEDS,
    PER_TILE,
    VOCAB,
    Painted,
    read,
    start_gair,
    write_painted,
)

from geojepa_cli.models.gair.vectors import embed_batch, ground_vectors, tile_tokens
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View


@pytest.fixture(scope="module")
def painted(tmp_path_factory: pytest.TempPathFactory) -> Painted:
    return write_painted(tmp_path_factory.mktemp("painted"))


def test_tags_do_not_change_the_localised_vector_of_an_entity(painted: Painted) -> None:
    model, _, _ = start_gair(painted.folder)
    batch = read(painted, np.arange(6))
    changed = replace(batch, tag_ids=(batch.tag_ids + 1) % len(VOCAB))
    with torch.no_grad():
        before, after = embed_batch(model.module, batch), embed_batch(model.module, changed)
        table = model._inputs.tag_table
        ground = ground_vectors(model.module, batch, table), ground_vectors(model.module, changed, table)
    assert torch.equal(before.entities, after.entities) and torch.equal(before.tiles, after.tiles)
    assert not torch.allclose(*ground)


def test_position_does_not_change_the_ground_vector_of_an_entity(painted: Painted) -> None:
    model, _, _ = start_gair(painted.folder)
    batch = read(painted, np.arange(6))
    assert batch.node_xy is not None
    moved = replace(batch, node_xy=batch.node_xy.flip(0), box=batch.box.flip(0), tile_zxy=batch.tile_zxy.flip(0))
    with torch.no_grad():
        table = model._inputs.tag_table
        assert torch.equal(ground_vectors(model.module, batch, table), ground_vectors(model.module, moved, table))
        assert not torch.allclose(embed_batch(model.module, batch).entities, embed_batch(model.module, moved).entities)


def test_vectors_do_not_depend_on_the_other_tiles_of_a_batch(tmp_path: Path) -> None:
    painted = write_painted(tmp_path, images=30)
    model, _, _ = start_gair(painted.folder)
    with torch.no_grad():
        together = embed_batch(model.module, read(painted, [3, 40, 7]))
        alone = [embed_batch(model.module, read(painted, [tile])) for tile in (3, 40, 7)]
    for name in ("entities", "tiles", "places"):
        torch.testing.assert_close(getattr(together, name), torch.cat([getattr(one, name) for one in alone]))
    without = slice(PER_TILE, 2 * PER_TILE)  # the tile has no image
    assert not together.tiles[1].any() and not together.entities[without].any()
    lengths = together.entities.norm(dim=1)
    assert bool(((lengths[:PER_TILE] - 1).abs() < 1e-5).all()) and together.places is not None
    torch.testing.assert_close(together.places.norm(dim=1), torch.ones(3 * PER_TILE))


def test_a_batch_without_entities_or_images_has_vectors(painted: Painted) -> None:
    model, _, _ = start_gair(painted.folder)
    store = TileStore.open([painted.folder / "processed.h5"], [painted.folder / "images.h5"])
    view = View.default(store, 1, None)
    empty = store.read(view.drop(pieces=np.arange(PER_TILE)), [0], NEEDS)
    with torch.no_grad():
        found = embed_batch(model.module, empty)
        without = embed_batch(model.module, replace(read(painted, [1]), images=None, image_tiles=None))
    assert found.entities.shape == (0, 32) and found.tiles.any()
    assert without.entities.shape == (PER_TILE, 32) and not without.tiles.any() and not without.entities.any()


@pytest.mark.parametrize("pooling", ["mean", "max_mean"])
def test_tile_vectors_are_pooled_from_the_cells_of_the_image(pooling: str, painted: Painted) -> None:
    model, _, config = start_gair(painted.folder, f"model.pooling={pooling}")
    batch = read(painted, [0, 9])
    with torch.no_grad():
        found, tokens = embed_batch(model.module, batch), tile_tokens(model.module, batch)
    parts = {"mean": tokens.mean(1)} if pooling == "mean" else {"max": tokens.amax(1), "mean": tokens.mean(1)}
    torch.testing.assert_close(found.tiles, torch.cat(list(parts.values()), dim=1))
    assert found.tile_parts == tuple((name, 32) for name in parts)
    assert found.tiles.shape[1] == config.model.tile_width
