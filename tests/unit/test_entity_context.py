"""Context ratio, rearranged batches, and views that hide tags on some entities only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from planted_entities import write_planted
from synthetic_store import write_synthetic_features, write_synthetic_images, write_synthetic_processed

from geojepa_cli.baselines.tagpool import TagPool
from geojepa_cli.config.modality import TAGS_ONLY, Modality
from geojepa_cli.evaluate.context_ratio import ALL, context_ratio, draw_exchanges, mean_shifts
from geojepa_cli.models.base import BatchVectors, FrozenInputs
from geojepa_cli.nn.tokens.tags import mean_tags
from geojepa_cli.store.batch import TileBatch
from geojepa_cli.store.features import open_features
from geojepa_cli.store.rearrange import rearrange
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View

CPU = torch.device("cpu")


class Neighbours:
    """The vector of an entity is the mean tag embedding of the other entities of its tile."""

    name, needs = "neighbours", TAGS_ONLY

    def __init__(self, table: torch.Tensor) -> None:
        self.table = table

    def encode(self, batch: TileBatch) -> BatchVectors:
        tags = mean_tags(self.table, batch.tag_ids, batch.tag_offsets)
        parts = []
        for first, last in zip(batch.cu_seqlens[:-1].tolist(), batch.cu_seqlens[1:].tolist(), strict=True):
            own = tags[first:last]
            others = ~torch.eye(last - first, dtype=torch.bool)
            parts.append(torch.stack([own[chosen].mean(0).nan_to_num() for chosen in others]))  # zeros if alone
        return BatchVectors(torch.cat(parts), tags.new_zeros(batch.n_tiles, 1))


class Both:
    """The mean of the vectors of TagPool and of `Neighbours`."""

    name, needs = "both", TAGS_ONLY

    def __init__(self, table: torch.Tensor) -> None:
        self.parts = (TagPool(FrozenInputs(table)), Neighbours(table))

    def encode(self, batch: TileBatch) -> BatchVectors:
        a, b = (part.encode(batch).entities for part in self.parts)
        return BatchVectors((a + b) / 2, a.new_zeros(batch.n_tiles, 1))


def test_the_context_ratio_is_that_of_models_whose_inputs_are_known(tmp_path: Path) -> None:
    store = TileStore.open([write_planted(tmp_path / "a@0" / "processed.h5", "neighbours")])
    table = open_features([write_synthetic_features(tmp_path / "tags.h5", store.n_vocab, 7, width=16)], store).table
    view = View.default(store)
    pieces = np.flatnonzero(store.read(view, view.tiles).kind.numpy() == 2)
    tiles = store.piece_tiles(pieces)
    labels = np.arange(len(pieces)) % 2
    exchanges = draw_exchanges(pieces, tiles, labels, np.full(len(pieces), 2, np.uint8), seed=0, per_class=20)
    assert len(exchanges.pieces) == 40 and (exchanges.pieces != exchanges.donor_pieces).all()
    assert (exchanges.tiles != exchanges.host_tiles).all()
    assert np.array_equal(store.piece_tiles(exchanges.donor_pieces), exchanges.donor_tiles)

    def shifts(model: TagPool | Neighbours | Both) -> dict[str, tuple[float, float, float | None]]:
        found = context_ratio(store, view, exchanges, ("x", "y"), model, CPU)[0.0]
        return {one.name: (one.tags, one.surroundings, one.share) for one in found}

    own, around, both = (shifts(m) for m in (TagPool(FrozenInputs(table)), Neighbours(table), Both(table)))
    assert set(own) == {"x", "y", ALL}
    for name in own:
        assert own[name][0] > 0.1 and own[name][1:] == (0.0, 0.0)
        assert around[name][0] == pytest.approx(0.0, abs=1e-6) and around[name][2] == pytest.approx(1.0, abs=1e-5)
        share = both[name][2]
        assert share is not None and 0.1 < share < 0.9


def test_the_context_ratio_with_alpha_is_that_of_a_slow_loop_over_entities(tmp_path: Path) -> None:
    store = TileStore.open([write_planted(tmp_path / "a@0" / "processed.h5", "neighbours")])
    table = open_features([write_synthetic_features(tmp_path / "tags.h5", store.n_vocab, 7, width=16)], store).table
    view = View.default(store)
    pieces = np.flatnonzero(store.read(view, view.tiles).kind.numpy() == 2)
    labels = np.arange(len(pieces)) % 2
    kinds = np.full(len(pieces), 2, np.uint8)
    exchanges = draw_exchanges(pieces, store.piece_tiles(pieces), labels, kinds, seed=1, per_class=5)
    mean_of = lambda rows: torch.stack(rows).mean(0).double()  # noqa: E731
    triples = []
    for row in range(len(exchanges.pieces)):
        own, donor = (
            tags_of(store, view, table, exchanges.tiles[row]),
            tags_of(store, view, table, exchanges.donor_tiles[row]),
        )
        host = tags_of(store, view, table, exchanges.host_tiles[row])
        tag, other = own.pop(int(exchanges.pieces[row])), donor[int(exchanges.donor_pieces[row])]
        around, moved = mean_of(list(own.values())), mean_of(list(host.values()))
        triples.append(((tag, around), (other, around), (tag, moved)))
    alphas = (0.0, 0.3, 1.0)
    found = context_ratio(store, view, exchanges, ("x", "y"), Both(table), CPU, alphas)
    shares = []
    for alpha in alphas:  # in its tile, the vector is (tag + around) / 2; alone, it is tag / 2
        vectors = [
            [(1 - alpha) * (tag.double() + around) / 2 + alpha * tag.double() / 2 for tag, around in triple]
            for triple in triples
        ]
        own = [one[0] for one in vectors]
        pairs = [float((a - b).norm()) for i, a in enumerate(own) for j, b in enumerate(own) if i != j]
        for place, name in enumerate(("x", "y", ALL)):
            chosen = [
                one for one, label in zip(vectors, exchanges.labels, strict=True) if name == ALL or label == place
            ]
            tags, moved = (
                np.mean([float((one[which] - one[0]).norm()) for one in chosen]) / np.mean(pairs) for which in (1, 2)
            )
            shift = found[alpha][place]
            assert shift.name == name and shift.entities == len(chosen)
            assert (shift.tags, shift.surroundings) == pytest.approx((tags, moved), abs=1e-5)
            assert shift.share == pytest.approx(moved / (tags + moved), abs=1e-5)
        shares.append(found[alpha][-1].share)
    assert shares[0] > shares[1] > shares[2] == 0
    twice = mean_shifts([found[0.0], found[1.0]])[-1]
    assert twice.tags == pytest.approx((found[0.0][-1].tags + found[1.0][-1].tags) / 2)


def tags_of(store: TileStore, view: View, table: torch.Tensor, tile: int) -> dict[int, torch.Tensor]:
    """Mean tag embedding of every entity of a tile, by piece."""
    batch = store.read(view, [int(tile)])
    return dict(zip(batch.piece_rows.tolist(), mean_tags(table, batch.tag_ids, batch.tag_offsets), strict=True))


def test_exchanged_tags_give_the_vector_that_the_entity_has_with_these_tags(tmp_path: Path) -> None:
    store = TileStore.open([write_planted(tmp_path / "a@0" / "processed.h5", "nothing", groups=4)])
    batch = store.read(View.default(store), [0, 3])
    n = batch.n_tokens
    given = np.arange(n)
    given[2] = n - 1
    changed = rearrange(batch, np.arange(n), np.diff(batch.cu_seqlens.numpy()).astype(np.int64), np.arange(2), given)
    table = torch.rand(store.n_vocab, 5)
    before, after = (mean_tags(table, one.tag_ids, one.tag_offsets) for one in (batch, changed))
    assert torch.equal(after[2], before[n - 1])
    rows = [row for row in range(n) if row != 2]
    assert torch.equal(after[rows], before[rows]) and torch.equal(changed.box, batch.box)
    with pytest.raises(ValueError, match="add up to 3"):
        rearrange(batch, np.arange(n), np.array([3]), np.arange(1))
    with pytest.raises(ValueError, match="nodes"):
        rearrange(store.read(View.default(store), [0], {Modality.NODES}), np.arange(1), np.array([1]), np.arange(1))


def test_a_rearranged_batch_of_the_same_tiles_is_that_batch_and_images_follow_their_tiles(tmp_path: Path) -> None:
    path = write_synthetic_processed(tmp_path / "r@0" / "processed.h5", 3, n_tiles=20)
    zxy = TileStore.open([path]).tile_zxy.tolist()
    images = write_synthetic_images(tmp_path / "images.h5", [tuple(tile) for tile in zxy[::2]])
    store = TileStore.open([path], images=[images])
    view = View.default(store, 1)
    needs = frozenset({Modality.TAGS, Modality.IMAGE})
    batch = store.read(view, view.tiles, needs)
    order = np.random.default_rng(0).permutation(batch.n_tiles)
    ends = batch.cu_seqlens.long().numpy()
    tokens = np.concatenate([np.arange(ends[tile], ends[tile + 1]) for tile in order])
    found = rearrange(batch, tokens, np.diff(ends)[order], order)
    expected = store.read(view, view.tiles[order], needs)
    for name, value in vars(expected).items():
        other = getattr(found, name)
        assert (value is None and other is None) or torch.equal(value, other), name


@pytest.mark.parametrize("seed", range(3))
def test_a_view_hides_tags_on_some_elements_only_and_keeps_bare_pieces(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    paths = [write_synthetic_processed(tmp_path / f"r{i}@0" / "processed.h5", seed + i, n_tiles=20) for i in range(2)]
    store = TileStore.open(paths)
    base = View.default(store, 1)
    dropped = np.flatnonzero(rng.random(store.n_vocab) < 0.6)
    chosen = np.flatnonzero(rng.random(store.n_pieces) < 0.4)
    view = View(store.shape, base.tiles, dropped, base.dropped_pieces, {}, chosen, True)
    again = View.concat([view.region(0), view.region(1)])
    batch, twice, plain = (store.read(one, base.tiles) for one in (view, again, base))
    assert torch.equal(batch.tag_ids, twice.tag_ids) and torch.equal(batch.piece_rows, twice.piece_rows)
    assert torch.equal(batch.piece_rows, plain.piece_rows)  # nothing is lost
    bare = 0
    masked = {element(store, piece) for piece in chosen.tolist()}
    for row, piece in enumerate(plain.piece_rows.tolist()):
        tags = plain.tag_ids[plain.tag_offsets[row] : plain.tag_offsets[row + 1]].tolist()
        left = batch.tag_ids[batch.tag_offsets[row] : batch.tag_offsets[row + 1]].tolist()
        hidden = element(store, piece) in masked
        assert left == [tag for tag in tags if not (hidden and tag in set(dropped.tolist()))]
        bare += not left
    assert bare > 0
    lost = store.read(View(store.shape, base.tiles, dropped, base.dropped_pieces, {}, chosen), base.tiles)
    assert lost.n_tokens == batch.n_tokens - bare
    with pytest.raises(ValueError, match="different ways"):
        View.concat([view.region(0), base.region(1)])


def element(store: TileStore, piece: int) -> tuple[int, int]:
    """Region and OSM element of a piece."""
    index = int(np.searchsorted(store.piece_offsets, piece, side="right")) - 1
    return index, int(store.regions[index]["piece/object"][piece - int(store.piece_offsets[index])])
