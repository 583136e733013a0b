"""Parts of tile vectors: as text, and from models to `embeddings.h5`."""

from __future__ import annotations

import math

import pytest
import torch
from tile_batches import random_batch, tag_table
from training import config_of

from geojepa_cli.baselines.tagpool import TagPoolCounts
from geojepa_cli.models.base import FrozenInputs, TagList
from geojepa_cli.models.jepa.build import build_encoder
from geojepa_cli.nn.pooling import build_pooling
from geojepa_cli.store.tile_parts import read_parts, write_parts


def test_parts_are_restored_from_their_text() -> None:
    parts = (("max", 128), ("mean_log_n", 4))
    assert write_parts(parts) == "max:128,mean_log_n:4"
    assert read_parts(write_parts(parts), 132) == parts
    assert read_parts(write_parts(()), 132) == ()


@pytest.mark.parametrize(
    "text", ["max:131", "max:128,max:4", "max:128,", "max", "MAX:132", "max:0,mean:132", "max:1e2,mean:32", "max: 132"]
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="of 132 values in all"):
        read_parts(text, 132)


@pytest.mark.parametrize("kind", ["max_mean", "counts", "sum", "attention"])
def test_columns_of_a_part_are_what_its_name_says(kind: str) -> None:
    pool = build_pooling(kind, 8, 2)
    tokens = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
    pooled = pool(tokens, torch.tensor([0, 5], dtype=torch.int32))[0]
    values = dict(zip((name for name, _ in pool.parts), pooled.split([width for _, width in pool.parts]), strict=True))
    mean = tokens.mean(0)
    known = {"max": tokens.amax(0), "mean": mean, "mean_log_n": mean * math.log(5), "sum": tokens.sum(0)}
    assert set(values) == {"max_mean": {"max", "mean"}, "attention": {"attention"}}.get(kind, set(values))
    for name, value in values.items():
        if name != "attention":
            assert torch.allclose(value, known[name], atol=1e-6)


@pytest.mark.parametrize("summary", [0, 12])
def test_the_encoder_names_all_parts_of_its_tile_vectors(summary: int) -> None:
    settings = [f"model.summary_dim={summary}", "model.pooling=counts", "model.predict_tile=true"]
    encoder = build_encoder(config_of(*settings).model)
    found = encoder(random_batch([3, 2]), tag_table())
    assert [width for _, width in found.tile_parts] == [32] * 3 + [summary] * bool(summary)
    assert sum(width for _, width in found.tile_parts) == found.tiles.shape[1] == encoder.tile_dim


def test_a_sketch_is_a_part() -> None:
    table = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    inputs = FrozenInputs(table, tags=TagList(("highway", "building", "highway"), ("path", "yes", "primary")))
    batch = random_batch([3, 2], vocab=3)
    assert TagPoolCounts(inputs).encode(batch).tile_parts == (  # type: ignore[arg-type]
        *(("max", 8), ("mean", 8), ("mean_log_n", 8)),
        ("sketch", 512),
    )
