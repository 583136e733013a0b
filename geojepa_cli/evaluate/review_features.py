"""Simple features of reviewed entities: their other tags, size and shape, and what is near them or touches them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.store import csr
from geojepa_cli.store.reader import XY_SCALE, XY_SHIFT
from geojepa_cli.tasks.review_rows import ReviewRows
from geojepa_cli.tasks.tokens import Ints, RegionTokens

Vectors = NDArray[np.float32]

NEAR = 10  # nearest entities of the same family that the reasons describe
RANGES = (5, 20)  # numbers of nearest entities of the same family whose classes are counted
AROUND = 20  # nearest entities of any kind whose main tags are counted
MIN_TAGGED = 10  # elements that a tag needs to be a feature
MAX_OWN, MAX_MAIN = 200, 60  # most frequent tags that are features
# keys that classify an element
MAIN = (
    *("highway", "building", "landuse", "leisure", "amenity", "natural", "shop", "tourism", "waterway", "railway"),
    *("aeroway", "man_made", "power", "office", "barrier", "public_transport", "place"),
)


@dataclass(frozen=True)
class Near:
    """Entities of the same family near each row.

    Attributes:
        rows: the nearest other rows, nearest first, int64 [n, k]. -1 if there are fewer.
        metres: their distances between centres, float64 [n, k].
        touching: number of vertices that each row shares with rows of each class, int64 [n, classes].
    """

    rows: Ints
    metres: NDArray[np.float64]
    touching: Ints


class Surroundings:
    """Positions, vertices and main tags of all entities of a region, from which features of each family are computed.

    Args:
        tokens: entities of the region.
    """

    def __init__(self, tokens: RegionTokens) -> None:
        self.tokens = tokens
        region = tokens.region
        x, y = (region[f"tile/{axis}"].astype(np.float64)[tokens.tiles] for axis in "xy")
        east, north = (region[f"tile/{side}_m"].astype(np.float64)[tokens.tiles] for side in ("east", "north"))
        centre = region["piece/box_centre"][tokens.pieces].astype(np.float64)
        if region["piece/box_centre"].dtype.kind == "u":
            centre = (centre - XY_SHIFT) / XY_SCALE
        side = float(east.mean()) if len(east) else 1.0
        # a tile is one unit wide and high on this plane; its scale is that of the middle of the region
        self.centres = np.stack([x + centre[:, 0], -(y + 1) + centre[:, 1] * east / north], 1) * side
        self.token_of_piece = np.full(region.n_pieces, -1, np.int64)
        self.token_of_piece[tokens.pieces] = np.arange(len(tokens.pieces))

    @cached_property
    def main_tags(self) -> tuple[list[str], Ints]:
        """Names of the most frequent main tags, and the main tag of each object as index, or -1. int64 [n_objects]"""
        tokens, vocabulary = self.tokens, self.tokens.vocabulary
        rank = {key: number for number, key in enumerate(MAIN)}
        order = np.array([rank.get(key, len(rank)) for key in vocabulary.keys], np.int64)
        owners = csr.parents(tokens.tag_offsets)
        entries = np.flatnonzero(order[tokens.tag_rows] < len(rank)) if len(order) else np.empty(0, np.int64)
        entries = entries[np.argsort(-order[tokens.tag_rows[entries]], kind="stable")]
        tag = np.full(tokens.n_objects, -1, np.int64)
        tag[owners[entries]] = tokens.tag_rows[entries]
        counts = np.bincount(tag[tag >= 0], minlength=len(vocabulary))
        kept = np.argsort(-counts, kind="stable")[:MAX_MAIN]
        kept = kept[counts[kept] >= MIN_TAGGED]
        number = np.full(len(vocabulary) + 1, -1, np.int64)
        number[kept] = np.arange(len(kept))
        return [vocabulary.text(row) for row in kept.tolist()], number[tag]

    @cached_property
    def vertices(self) -> tuple[Ints, Ints]:
        """All pairs of an object and a vertex of one of its pieces: objects and numbers of vertices, int64 [m].

        Two objects share a vertex if it has the same stored position in the same tile.
        """
        tokens, region = self.tokens, self.tokens.region
        parts_of, nodes_of = (region[column].astype(np.int64) for column in ("piece/parts", "part/nodes"))
        parts = csr.children(parts_of, tokens.pieces)
        part_counts: Ints = parts_of[tokens.pieces + 1] - parts_of[tokens.pieces]
        node_counts: Ints = nodes_of[parts + 1] - nodes_of[parts]
        token = np.repeat(np.repeat(np.arange(len(tokens.pieces)), part_counts), node_counts)
        xy = region["node/xy"][csr.children(nodes_of, parts)]
        place = np.stack([tokens.tiles[token].astype(np.float64), xy[:, 0], xy[:, 1]], 1)
        number = np.unique(place, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)
        pairs = np.unique(np.stack([tokens.objects[token], number], 1), axis=0)
        return pairs[:, 0], pairs[:, 1]

    def shared_vertices(self, objects: Ints, labels_of_object: Ints, classes: int) -> Ints:
        """Counts the vertices that objects share with other objects of each class. int64 [n, classes]

        Args:
            objects: the n objects.
            labels_of_object: class of every object, or -1. int64 [n_objects]
            classes: number of classes.
        """
        owner, vertex = self.vertices
        n_vertices = int(vertex.max(initial=-1)) + 1
        known = labels_of_object[owner] >= 0
        cell = vertex[known] * classes + labels_of_object[owner[known]]
        at_vertex = np.bincount(cell, minlength=n_vertices * classes).reshape(n_vertices, classes)
        row = np.full(self.tokens.n_objects, -1, np.int64)
        row[objects] = np.arange(len(objects))
        mine = row[owner] >= 0
        found = np.zeros((len(objects), classes), np.int64)
        np.add.at(found, row[owner[mine]], at_vertex[vertex[mine]])
        own = known & mine
        np.subtract.at(found, (row[owner[own]], labels_of_object[owner[own]]), 1)
        return found


def near_rows(around: Surroundings, rows: ReviewRows, k: int = max(RANGES)) -> Near:
    """Finds the entities of the same family near each row, and those that touch it."""
    from sklearn.neighbors import KDTree

    centres = around.centres[around.token_of_piece[rows.pieces]]
    count = min(k + 1, len(rows))
    found = np.full((len(rows), k), -1, np.int64)
    metres = np.full((len(rows), k), np.inf)
    if count > 1:
        distances, places = KDTree(centres).query(centres, count)
        found[:, : count - 1], metres[:, : count - 1] = _without_self(places, distances)
    labels = np.full(around.tokens.n_objects, -1, np.int64)
    labels[rows.objects] = rows.labels
    return Near(found, metres, around.shared_vertices(rows.objects, labels, len(rows.classes)))


def simple_features(around: Surroundings, rows: ReviewRows, near: Near, shape: Vectors) -> Vectors:
    """Returns the simple features of each row, float32 [n, d].

    These are the other tags of the entity, its size and shape, the classes of the nearest entities of the same family
    and of those that touch it, and the main tags of the nearest and touching entities of any kind.

    Args:
        around: surroundings of the region.
        rows: the n reviewed entities.
        near: entities of the same family near them.
        shape: size and shape of each entity, see `entity_vectors.shape_features`.
    """
    names, main = around.main_tags
    classes = len(rows.classes)
    blocks = [
        shape,
        own_tags(around.tokens, rows),
        *(_shares(near.rows[:, :k], rows.labels, classes) for k in RANGES),
        np.log1p(np.minimum(near.metres[:, [0, RANGES[0] - 1, RANGES[-1] - 1]], 1e5)),
        np.log1p(near.touching),
        _main_tags_near(around, rows, main, len(names)),
        np.log1p(around.shared_vertices(rows.objects, main, len(names))),
    ]
    return np.concatenate([block.astype(np.float32) for block in blocks], axis=1)


def own_tags(tokens: RegionTokens, rows: ReviewRows) -> Vectors:
    """Returns 1 for each frequent tag and key that an entity has in addition to the hidden ones. float32 [n, d]"""
    vocabulary = tokens.vocabulary
    shown = ~vocabulary.matches(rows.spec.hidden, whatever_value=True)
    entries = csr.children(tokens.tag_offsets, rows.objects)
    owner = np.repeat(np.arange(len(rows)), np.diff(tokens.tag_offsets)[rows.objects])
    tags = tokens.tag_rows[entries]
    owner, tags = owner[shown[tags]], tags[shown[tags]]
    return np.concatenate([_one_hot(owner, tags, len(rows)), _one_hot(owner, vocabulary.key_ids[tags], len(rows))], 1)


def _one_hot(owner: Ints, column: Ints, n: int) -> Vectors:
    counts = np.bincount(column)
    kept = np.argsort(-counts, kind="stable")[:MAX_OWN]
    kept = kept[counts[kept] >= MIN_TAGGED]
    number = np.full(len(counts) + 1, -1, np.int64)
    number[kept] = np.arange(len(kept))
    found = np.zeros((n, len(kept)), np.float32)
    used = number[column] >= 0
    found[owner[used], number[column[used]]] = 1
    return found


def _shares(near: Ints, labels: Ints, classes: int) -> Vectors:
    """Returns the share of each class among the near rows, float32 [n, classes]."""
    return np.asarray(class_counts(near, labels, classes) / max(1, near.shape[1]), np.float32)


def class_counts(near: Ints, labels: Ints, classes: int) -> Ints:
    """Returns the number of near rows of each class, int64 [n, classes]. `near` is -1 where there is none."""
    known = near >= 0
    cell = np.repeat(np.arange(len(near)), known.sum(axis=1)) * classes + labels[near[known]]
    return np.bincount(cell, minlength=len(near) * classes).reshape(len(near), classes)


def _main_tags_near(around: Surroundings, rows: ReviewRows, main: Ints, count: int) -> Vectors:
    """Returns the number of the nearest entities of any kind that have each main tag, float32 [n, count]."""
    from sklearn.neighbors import KDTree

    tokens = around.tokens
    tagged = np.flatnonzero(main[tokens.objects] >= 0)
    found = np.zeros((len(rows), count), np.float32)
    if not len(tagged) or not len(rows):
        return found
    own = around.token_of_piece[rows.pieces]
    _, places = KDTree(around.centres[tagged]).query(around.centres[own], min(AROUND + 1, len(tagged)))
    for column in places.T:  # the entity itself is among them, and is not counted
        others = tokens.objects[tagged[column]]
        use = np.flatnonzero(others != rows.objects)
        np.add.at(found, (use, main[others[use]]), 1)
    return found


def _without_self(places: Ints, distances: NDArray[np.float64]) -> tuple[Ints, NDArray[np.float64]]:
    """Removes each row from its own list of nearest rows. If it is not in the list, the last entry is removed."""
    n, k = places.shape
    drop = places == np.arange(n)[:, None]
    drop[~drop.any(axis=1), k - 1] = True
    return places[~drop].reshape(n, k - 1), distances[~drop].reshape(n, k - 1)


def describe_tags(tokens: RegionTokens, objects: Sequence[int]) -> list[dict[str, str]]:
    """Returns all tags of some objects."""
    vocabulary, offsets = tokens.vocabulary, tokens.tag_offsets
    rows = (tokens.tag_rows[offsets[one] : offsets[one + 1]].tolist() for one in objects)
    return [{vocabulary.keys[row]: vocabulary.values[row] for row in found} for found in rows]
