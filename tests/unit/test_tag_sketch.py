"""The sketch of a tile's tags: equal to a slow loop, close to the counts, and a part of tile vectors only in use."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import pytest
import torch
from test_tile_summary import LISTED, slow_counts
from tile_batches import random_batch, tag_table
from training import config_of, fixed_batch, open_data, train_in, write_region

from geojepa_cli.baselines.tagpool import SKETCH_DIM, TagPool, TagPoolCounts
from geojepa_cli.config.load import load_config
from geojepa_cli.errors import UsageError
from geojepa_cli.models.base import FrozenInputs
from geojepa_cli.models.jepa.embedder import load
from geojepa_cli.models.published import save_model
from geojepa_cli.models.sketch import tag_signs, tag_sketch
from geojepa_cli.tags.frequent import frequent_tags

INPUTS = FrozenInputs(tag_table(), tags=LISTED)


def sign(kind: str, text: str, place: int, width: int) -> int:
    """One sign, from the definition."""
    digest = int.from_bytes(hashlib.shake_256(f"{kind}:{text}".encode()).digest(width // 8), "big")
    return 1 if digest >> (width - 1 - place) & 1 else -1


def test_the_sketch_is_that_of_a_loop() -> None:
    batch, width = random_batch([5, 30, 0, 12]), 24
    sketch = tag_sketch(INPUTS, width)
    assert sketch is not None
    for found, counts in zip(sketch(batch).tolist(), slow_counts(batch), strict=True):
        for place in range(width):
            total = 0.0
            for text, count in counts.items():
                total += sign("presence", text, place, width) + sign("count", text, place, width) * math.log(1 + count)
            assert found[place] == pytest.approx(total / math.sqrt(width), abs=1e-4)
    assert not any(sketch(batch)[2])  # a tile without entities


def test_signs_are_balanced_and_do_not_change() -> None:
    signs = tag_signs(frequent_tags(), 512)
    assert signs.shape == (2 * len(frequent_tags()), 512) and set(signs.unique().tolist()) == {-1.0, 1.0}
    assert abs(float(signs.mean())) < 0.01
    correlations = (signs @ signs.T / 512).fill_diagonal_(0)
    assert float(correlations.abs().max()) < 6 / math.sqrt(512)
    assert tag_signs(["highway=residential"], 8).tolist() == [
        [sign(kind, "highway=residential", place, 8) for place in range(8)] for kind in ("presence", "count")
    ]
    with pytest.raises(ValueError, match="multiple of 8"):
        tag_signs(["a=b"], 12)


def test_inner_products_are_close_to_those_of_the_counts() -> None:
    batch = random_batch([40, 9, 25, 60, 14, 33])
    texts = frequent_tags()
    exact = torch.zeros(6, 2 * len(texts))
    for tile, counts in enumerate(slow_counts(batch)):
        for text, count in counts.items():
            exact[tile, texts.index(text)] = 1.0
            exact[tile, len(texts) + texts.index(text)] = math.log(1 + count)
    sketch = tag_sketch(INPUTS, 2048)
    assert sketch is not None
    found = sketch(batch)
    lengths = exact.norm(dim=1)
    allowed = 4 / math.sqrt(2048) * lengths[:, None] * lengths  # four standard deviations
    assert bool(((found @ found.T - exact @ exact.T).abs() < allowed).all())


def test_tile_vectors_have_the_sketch_in_use_and_training_does_not_read_it(tmp_path: Path) -> None:
    region = write_region(tmp_path)
    plain, config = (config_of("train.max_steps=3", f"model.sketch_dim={width}") for width in (0, 16))
    runs = [train_in(tmp_path / name, region, one) for name, one in (("plain", plain), ("sketch", config))]
    for name, tensor in runs[0].module.state_dict().items():
        assert torch.equal(tensor, runs[1].module.state_dict()[name])
    save_model(tmp_path, runs[1].module, config)
    data = open_data(region, config)
    embedder, batch = load(tmp_path, data.inputs), fixed_batch(data, 10, 0)
    runs[1].module.eval()
    found, expected = embedder.encode(batch), runs[1].model.embed(batch)
    assert torch.equal(found.entities, expected.entities) and torch.equal(found.tiles[:, :-16], expected.tiles)
    sketch = tag_sketch(data.inputs, 16)
    assert sketch is not None and torch.equal(found.tiles[:, -16:], sketch(batch)) and bool(found.tiles[:, -16:].any())


def test_tagpool_counts_has_the_sketch_of_the_presets() -> None:
    batch = random_batch([5, 0, 12])
    found, plain = TagPoolCounts(INPUTS).encode(batch), TagPool(INPUTS).encode(batch)
    width = plain.tiles.shape[1]
    assert found.tiles.shape[1] == 3 * width // 2 + SKETCH_DIM and torch.equal(found.tiles[:, :width], plain.tiles)
    sketch = tag_sketch(INPUTS, SKETCH_DIM)
    assert sketch is not None and torch.equal(found.tiles[:, -SKETCH_DIM:], sketch(batch))
    for name in ("t", "gt", "ti", "gti", "tiny", "small"):
        assert load_config(name, []).model.sketch_dim == SKETCH_DIM
    assert load_config("paper-t", []).model.sketch_dim == 0


def test_the_width_of_a_sketch_is_a_multiple_of_8() -> None:
    with pytest.raises(UsageError, match="multiple of 8"):
        config_of("model.sketch_dim=12")
