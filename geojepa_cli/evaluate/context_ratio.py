"""Context ratio: how much the vector of an entity depends on its surroundings, compared with its own tags.

Each entity is embedded three times: as it is, with the tags of another entity, and in another tile. The two distances
from its vector are divided by the mean distance between the vectors of different entities. With a weight alpha, the
surroundings count less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from geojepa_cli.config.modality import Modality
from geojepa_cli.evaluate.scores import rounded
from geojepa_cli.models.alpha import alone_vectors, mix
from geojepa_cli.models.base import Embedder
from geojepa_cli.store.batch import TileBatch
from geojepa_cli.store.csr import Rows
from geojepa_cli.store.rearrange import rearrange
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View

SAMPLES = 16  # entities of a class, for each seed
_AT_A_TIME = 8  # entities per batch; each of them needs three tiles in the pool and three in the batch
ALL = "all"


@dataclass(frozen=True)
class Shift:
    """Mean shift of the vectors of a class.

    Attributes:
        name: name of the class; `all` for all classes together.
        entities: number of entities.
        tags: mean distance after the tags were exchanged, relative to the mean distance between entities.
        surroundings: mean distance after the surroundings were exchanged, relative to the same.
        share: `surroundings` / (`tags` + `surroundings`): 0 if the vector depends only on the entity, 1 if it depends
            only on the surroundings. None if both are 0.
    """

    name: str
    entities: int
    tags: float
    surroundings: float
    share: float | None

    def to_json(self) -> dict[str, Any]:
        """Returns the shift as a dict for JSON, with numbers rounded to six digits."""
        found: dict[str, Any] = rounded(asdict(self))
        return found


@dataclass(frozen=True)
class Exchanges:
    """The entities whose tags and surroundings are exchanged, as row numbers in the dataset.

    Attributes:
        pieces, tiles: piece and tile of each entity, int64 [n].
        donor_pieces, donor_tiles: piece and tile of the entity whose tags it gets, int64 [n].
        host_tiles: tile to which it is moved, int64 [n].
        labels: class of each entity, int64 [n].
    """

    pieces: Rows
    tiles: Rows
    donor_pieces: Rows
    donor_tiles: Rows
    host_tiles: Rows
    labels: Rows


def draw_exchanges(
    pieces: Rows, tiles: Rows, labels: Rows, kinds: NDArray[np.uint8], seed: int, per_class: int = SAMPLES
) -> Exchanges:
    """Draws entities, and for each of them another entity of the same kind of geometry, and another tile.

    Args:
        pieces, tiles: piece and tile of the n examples of a task, int64 [n].
        labels: class of each example, int64 [n].
        kinds: kind of geometry of each example, uint8 [n].
        seed: random seed.
        per_class: maximum number of entities of a class.

    Raises:
        ValueError: all examples are in one tile.
    """
    if len(np.unique(tiles)) < 2:
        raise ValueError("expected examples in at least two tiles")
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(pieces))
    chosen = np.sort(np.concatenate([order[labels[order] == one][:per_class] for one in np.unique(labels)]))
    donors, hosts = np.empty_like(chosen), np.empty_like(chosen)
    for place, row in enumerate(chosen.tolist()):
        same = np.flatnonzero((kinds == kinds[row]) & (np.arange(len(pieces)) != row))
        donors[place] = rng.choice(same) if len(same) else row
        hosts[place] = rng.choice(np.flatnonzero(tiles != tiles[row]))
    return Exchanges(pieces[chosen], tiles[chosen], pieces[donors], tiles[donors], tiles[hosts], labels[chosen])


@torch.inference_mode()
def context_ratio(
    store: TileStore,
    view: View,
    exchanges: Exchanges,
    classes: Sequence[str],
    embedder: Embedder,
    device: torch.device,
    alphas: Sequence[float] = (0.0,),
) -> dict[float, list[Shift]]:
    """Measures how far vectors move when tags or surroundings are exchanged.

    An entity that is moved keeps its tags, its geometry and its position in the tile. It is added to the entities of
    the other tile.

    Args:
        store: dataset with the entities.
        view: selection of tiles, entities and tags. It must contain all tiles of `exchanges`.
        exchanges: entities, donors and tiles.
        classes: names of the classes.
        embedder: model, already on `device`. It must not read nodes.
        device: device of the model.
        alphas: weights of the entity alone in the vectors (see `models.alpha`). 0 gives the vectors of the model.

    Returns:
        For each weight, one shift for each class that occurs, and one for all classes together as the last.

    Raises:
        ValueError: the model reads nodes.
    """
    if Modality.NODES in embedder.needs:
        raise ValueError("the context ratio of a model that reads nodes cannot be measured")
    in_tile, alone = [], []
    for first in range(0, len(exchanges.pieces), _AT_A_TIME):
        places = np.arange(first, min(first + _AT_A_TIME, len(exchanges.pieces)))
        batch, rows = _exchanged(store, view, exchanges, places, embedder)
        vectors = embedder.encode(batch.to(device)).entities.float().cpu()
        in_tile.append(vectors[torch.from_numpy(rows)].view(len(places), 3, -1))
        if any(alphas):
            each = rearrange(batch, rows, np.ones(len(rows), np.int64), np.arange(len(rows)))
            alone.append(alone_vectors(embedder, each.to(device)).float().cpu().view(len(places), 3, -1))
    whole = torch.cat(in_tile).double()
    without = torch.cat(alone).double() if alone else whole
    return {alpha: _shifts(mix(whole, without, alpha), exchanges.labels, classes) for alpha in alphas}


def mean_shifts(runs: Sequence[list[Shift]]) -> list[Shift]:
    """Returns the means of shifts that were measured with several draws of exchanges, in the same order of classes."""
    found = []
    for same in zip(*runs, strict=True):
        tags, surroundings = (float(np.mean([getattr(one, name) for one in same])) for name in ("tags", "surroundings"))
        found.append(_shift(same[0].name, same[0].entities, tags, surroundings))
    return found


def _shifts(vectors: torch.Tensor, labels: Rows, classes: Sequence[str]) -> list[Shift]:
    """Returns the shifts of vectors [n, 3, D]: of the entity itself, with other tags, and in another tile."""
    own, tags, moved = vectors.unbind(dim=1)
    distances = torch.cdist(own, own, compute_mode="donot_use_mm_for_euclid_dist")
    typical = float(distances.sum() / max(1, len(own) * (len(own) - 1))) or 1.0
    by_tags, by_context = ((other - own).norm(dim=1).numpy() / typical for other in (tags, moved))
    found = []
    for number in [*np.unique(labels).tolist(), None]:
        rows = np.flatnonzero(labels == number) if number is not None else np.arange(len(own))
        name = ALL if number is None else classes[number]
        found.append(_shift(name, len(rows), float(by_tags[rows].mean()), float(by_context[rows].mean())))
    return found


def _shift(name: str, entities: int, tags: float, surroundings: float) -> Shift:
    total = tags + surroundings
    return Shift(name, entities, tags, surroundings, surroundings / total if total > 0 else None)


def _exchanged(
    store: TileStore, view: View, exchanges: Exchanges, places: Rows, embedder: Embedder
) -> tuple[TileBatch, Rows]:
    """Returns a batch with three tiles for each entity, and the index of the entity in each of these tiles."""
    n = len(places)
    wanted = [exchanges.tiles[places], exchanges.host_tiles[places], exchanges.donor_tiles[places]]
    pool = store.read(view, np.concatenate(wanted), embedder.needs)
    ends, known = pool.cu_seqlens.long().numpy(), pool.piece_rows.numpy()

    def token(tile: int, piece: int) -> int:
        return int(ends[tile] + np.flatnonzero(known[ends[tile] : ends[tile + 1]] == piece)[0])

    tokens, tags, lengths, tiles, rows = [], [], [], [], []
    start = 0
    for place, row in enumerate(places.tolist()):
        own = token(place, int(exchanges.pieces[row]))
        donor = token(2 * n + place, int(exchanges.donor_pieces[row]))
        home = np.arange(ends[place], ends[place + 1])
        host = np.append(np.arange(ends[n + place], ends[n + place + 1]), own)
        for members, entity, source in ((home, own, own), (home, own, donor), (host, own, own)):
            at = int(np.flatnonzero(members == entity)[-1])
            given = members.copy()
            given[at] = source
            tokens.append(members)
            tags.append(given)
            lengths.append(len(members))
            rows.append(start + at)
            start += len(members)
        tiles += [place, place, n + place]
    arrays = (np.concatenate(tokens), np.array(lengths, np.int64), np.array(tiles, np.int64), np.concatenate(tags))
    return rearrange(pool, *arrays), np.array(rows, np.int64)
