"""GAIR: places of queries, losses, vectors, and training in the common loop."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from painted_store import (
    PER_TILE,
    PX,
    VOCAB,
    Painted,
    gair_config,
    open_painted,
    read,
    rows_of,
    start_gair,
    write_painted,
)
from scipy.special import logsumexp
from training import fixed_batch

from geojepa_cli.errors import DataError
from geojepa_cli.models.base import TagList
from geojepa_cli.models.gair.losses import gair_losses
from geojepa_cli.models.gair.queries import Queries, draw_queries, hash_tags, split_rows, tag_sets
from geojepa_cli.nn.losses.contrastive import unit
from geojepa_cli.store.batch import TileBatch


@pytest.fixture(scope="module")
def painted(tmp_path_factory: pytest.TempPathFactory) -> Painted:
    return write_painted(tmp_path_factory.mktemp("painted"))


def drawn(batch: TileBatch, limit: int = 1000, noise_m: float = 0.0, seed: int = 0) -> Queries:
    hashes = hash_tags(TagList([key for key, _ in VOCAB], [value for _, value in VOCAB]))
    return draw_queries(batch, limit, noise_m, hashes, torch.Generator().manual_seed(seed))


def test_queries_lie_on_the_pixel_that_pyproj_gives(painted: Painted) -> None:
    batch = read(painted, np.arange(64))
    queries = drawn(batch)
    rows = rows_of(batch)[queries.entity.numpy()]
    assert len(rows) == 64 * PER_TILE
    # the file has steps of 1 cm, which are 0.004 px
    np.testing.assert_allclose(queries.uv.numpy() * PX, painted.pixel[rows], atol=0.01)
    np.testing.assert_allclose(queries.lonlat.numpy(), painted.lonlat[rows], atol=1.5e-7)
    tile = rows // PER_TILE
    assert queries.image.tolist() == tile.tolist()


def test_a_query_shows_the_colour_of_its_entity(painted: Painted) -> None:
    """Finds swapped axes, coordinates that are off, and images of other tiles."""
    batch = read(painted, np.arange(20, 50))
    queries = drawn(batch)
    x, y = (queries.uv * PX).long().t()
    assert batch.images is not None
    colours = batch.images[queries.image, :, y, x].float()
    kind = painted.kind[rows_of(batch)[queries.entity.numpy()]]
    brightest = colours.numpy() > 180
    expected = np.array([(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0)], bool)[kind]
    assert (brightest == expected).all(1).mean() > 0.98  # squares may overlap


def test_tiles_have_equal_shares_of_the_queries(painted: Painted) -> None:
    batch = read(painted, np.arange(10))
    counts = np.bincount(drawn(batch, limit=30).image.numpy(), minlength=10)
    assert counts.tolist() == [3] * 10
    first, other = drawn(batch, 30, seed=1), drawn(batch, 30, seed=2)
    assert first.entity.tolist() != other.entity.tolist()
    assert first.entity.tolist() == drawn(batch, 30, seed=1).entity.tolist()


def test_entities_of_tiles_without_an_image_are_no_queries(tmp_path: Path) -> None:
    painted = write_painted(tmp_path, images=30)
    batch = read(painted, [5, 40, 12])
    queries = drawn(batch)
    assert set(queries.image.tolist()) == {0, 1}
    tiles = rows_of(batch)[queries.entity.numpy()] // PER_TILE
    assert tiles.tolist() == [[5, 12][image] for image in queries.image.tolist()]
    data = open_painted(painted.folder, gair_config())
    assert data.view.counts["tiles without an image"] == 34
    with pytest.raises(DataError, match="no tile is left to train on"):
        open_painted(write_painted(tmp_path / "none", images=0).folder, gair_config())


def test_noise_moves_points_by_metres_and_leaves_out_those_outside(painted: Painted) -> None:
    import pyproj

    batch = read(painted, np.arange(64))
    queries = drawn(batch, noise_m=30.0)
    kept = rows_of(batch)[queries.entity.numpy()]
    lon, lat = painted.lonlat[kept].T
    _, _, metres = pyproj.Geod(ellps="WGS84").inv(lon, lat, *queries.lonlat.numpy().T)
    assert np.median(metres) == pytest.approx(30 * np.sqrt(2 * np.log(2)), rel=0.15)  # of a Rayleigh distribution
    assert 0.5 < len(kept) / (64 * PER_TILE) < 1.0
    assert float(queries.uv.min()) >= 0 and float(queries.uv.max()) <= 1


def test_groups_name_objects_and_sets_of_tags(painted: Painted) -> None:
    batch = read(painted, np.arange(12))
    queries = drawn(batch)
    kind = painted.kind[rows_of(batch)[queries.entity.numpy()]]
    objects, tags = queries.groups.t().numpy()
    assert len(set(objects.tolist())) == len(objects)
    assert ((tags[:, None] == tags) == (kind[:, None] == kind)).all()  # names do not count
    lonlat, groups = split_rows(queries.rows())
    assert torch.equal(lonlat, queries.lonlat) and torch.equal(groups, queries.groups)


def test_a_set_of_tags_has_the_same_id_in_every_dataset_and_order(painted: Painted) -> None:
    batch = read(painted, [3])
    keys, values = (list(x) for x in zip(*VOCAB, strict=True))
    keys[4] = "landuse"  # so that entities have two tags that count
    order = np.random.default_rng(0).permutation(len(keys))
    place = torch.from_numpy(np.argsort(order))
    first = tag_sets(batch, hash_tags(TagList(keys, values)))
    other = TagList([keys[i] for i in order], [values[i] for i in order])
    assert torch.equal(first, tag_sets(replace(batch, tag_ids=place[batch.tag_ids]), hash_tags(other)))
    assert not torch.equal(first, tag_sets(batch, hash_tags(TagList(keys, ["no", "no", "no", "no", *values[4:]]))))


def written_out_loss(vectors: list[np.ndarray], groups: np.ndarray, near: np.ndarray, config: Any) -> float:
    """The loss as in the specification, with loops. `near`: pairs of places of the batch and the queue."""
    a, r, own, queue = vectors
    count, tau = len(a), config.temperature
    of_pairs, of_queue = near[:, :count], near[:, count:]
    same = groups[:count, None, 1] == groups[None, :, 1]
    object_ = groups[:count, None, 0] == groups[None, :, 0]
    total = 0.0
    for x, y in ((a, r), (r, a)):
        for i in range(count):
            out = of_pairs[i] | object_[i, :count] | (same[i, :count] & config.equal_tags)
            kept = [k for k in range(count) if k == i or not out[k]]
            scores = x[i] @ y[kept].T / tau
            total += config.image_weight * (logsumexp(scores) - x[i] @ y[i] / tau) / count
    for x, tags in ((a, config.equal_tags), (r, False)):
        for i in range(count):
            out = of_queue[i] | object_[i, count:] | (same[i, count:] & tags)
            positive = x[i] @ own[i] / tau
            scores = np.concatenate([[positive], x[i] @ queue[~out].T / tau])
            total += config.location_weight * (logsumexp(scores) - positive) / count
    return total


@pytest.mark.parametrize("settings", [{}, {"false_negative_m": 0.0, "equal_tags": False}, {"false_negative_m": 200.0}])
def test_the_loss_equals_the_written_out_sums(painted: Painted, settings: dict[str, Any]) -> None:
    import pyproj

    model, data, _ = start_gair(painted.folder)
    config = gair_config("loss.false_negative_m=20").loss.model_copy(update=settings)
    earlier = drawn(read(painted, np.arange(40, 52)), limit=50)
    model.module.queue.push(earlier.lonlat, earlier.groups)  # 50 of 100 slots
    prepared = model.prepare_input(read(painted, np.arange(36, 46)), torch.Generator().manual_seed(0))
    queries = prepared.queries
    with torch.no_grad():
        output = model.module(prepared, data.inputs.tag_table)
        found = gair_losses(output, queries, model.module.queue, config)
    lonlat = torch.cat([queries.lonlat, earlier.lonlat]).numpy()
    sphere, count = pyproj.Geod(a=6_371_008.8, f=0), len(queries.lonlat)
    i, k = np.meshgrid(np.arange(count), np.arange(len(lonlat)), indexing="ij")
    metres = np.reshape(sphere.inv(*lonlat[i.ravel()].T, *lonlat[k.ravel()].T)[2], i.shape)
    vectors = [unit(x).double().numpy() for x in (output.ground, output.local, output.location, output.queue[:50])]
    groups = torch.cat([queries.groups, earlier.groups]).numpy()
    near = metres < config.false_negative_m
    assert float(found["loss"]) == pytest.approx(written_out_loss(vectors, groups, near, config), rel=1e-5)
    assert near[:, :count].sum() > count or config.false_negative_m < 100


def test_the_queue_of_a_first_step_has_no_loss(painted: Painted) -> None:
    model, data, _ = start_gair(painted.folder)
    step = model.prepare(fixed_batch(data, 12, 0), torch.Generator().manual_seed(0))()
    assert abs(float(step.parts["ground_to_location"])) < 1e-6 > abs(float(step.parts["image_to_location"]))
    assert step.rows is not None and len(step.rows) == 12 * PER_TILE
    model.collect(step.rows)
    after = model.prepare(fixed_batch(data, 12, 1), torch.Generator().manual_seed(0))()
    assert float(after.parts["ground_to_location"]) > 1


@pytest.mark.parametrize("decoder", ["mlp", "linear", "bilinear", "nearest", "centre", "mean"])
@pytest.mark.parametrize("encoding", ["fourier", "harmonics"])
def test_gradients_reach_every_parameter(painted: Painted, decoder: str, encoding: str) -> None:
    model, data, _ = start_gair(
        painted.folder, f"model.decoder={decoder}", f"model.location_encoding={encoding}", "model.harmonics_degree=5"
    )
    batch = fixed_batch(data, 12, 0)
    model.collect(drawn(batch).rows())
    loss = model.prepare(
        replace(batch, kind=torch.arange(len(batch.kind)) % 4), torch.Generator().manual_seed(0)
    )().loss
    loss.backward()
    # points have neither area nor length, so their sizes have no gradient here
    parameters = {
        key: p for key, p in model.module.named_parameters() if p.requires_grad and key != "ground.size.weight"
    }
    assert {key for key, p in parameters.items() if p.grad is None or not bool(p.grad.any())} == set()
    counted = sum(model.parameter_counts().values())
    assert counted == sum(p.numel() for p in model.module.parameters() if p.requires_grad)


def test_a_gradient_reaches_the_weights_of_the_size(painted: Painted) -> None:
    model, data, _ = start_gair(painted.folder)
    batch = fixed_batch(data, 12, 0)
    areas = replace(batch, area_m2=torch.rand(batch.n_tokens), length_m=torch.rand(batch.n_tokens))
    model.prepare(areas, torch.Generator().manual_seed(0))().loss.backward()
    weight = model.module.ground.size.weight
    assert weight.grad is not None and bool((weight.grad.abs().sum(0) > 0).all())


def test_anchors_hold_the_initial_weights_and_start_at_zero(painted: Painted) -> None:
    model, data, _ = start_gair(painted.folder, "loss.anchor_weight=0.2")
    batch = fixed_batch(data, 12, 0)
    first = model.prepare(batch, torch.Generator().manual_seed(0))()
    assert float(first.parts["anchor"]) == pytest.approx(0.0, abs=1e-5)
    with torch.no_grad():
        for parameter in model.module.overhead.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    second = model.prepare(batch, torch.Generator().manual_seed(0))()
    assert float(second.parts["anchor"]) > 0.01
    others = sum(float(second.parts[name]) for name in ("ground_to_image", "image_to_ground"))
    assert float(second.loss.detach()) == pytest.approx(0.5 * others + 0.2 * float(second.parts["anchor"]), rel=1e-5)
