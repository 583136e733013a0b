"""Finds the examples of an entity task: entities that have the tag from which their class is read.

Also hides this tag, and other tags that reveal the class, from the models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.config.limits import DEFAULT_LIMITS, EntityLimits
from geojepa_cli.store import schema
from geojepa_cli.store.batch import OSM_TYPES
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View
from geojepa_cli.tasks.entity_spec import EntitySpec
from geojepa_cli.tasks.splits import hash_fractions
from geojepa_cli.tasks.tokens import Floats, Ints, RegionTokens

PROBED_SHARE = 0.2  # share of the entities that are examples if the others show their tags


@dataclass(frozen=True)
class EntityExamples:
    """The n examples of an entity task. Every OSM element is at most one example.

    Attributes:
        spec: definition of the task.
        classes: names of all classes that occur. They have the order of the definition or, if it does not list classes,
            the most frequent class comes first.
        pieces: row of every example in the dataset's table of pieces, int64 [n], ascending.
        labels: class of every example, as index in `classes`, int64 [n].
        tiles: row of every example's tile in the dataset, int64 [n].
        groups: number of the zoom-14 tile that contains the example, int64 [n].
        regions: index of every example's region in the dataset, int64 [n].
        sizes: for each class, the number of entities that could be examples, including those above the maximum number
            of examples, int64 [classes].
        counts: dict from reason to the number of entities that have the tag but cannot be examples.
    """

    spec: EntitySpec
    classes: tuple[str, ...]
    pieces: Ints
    labels: Ints
    tiles: Ints
    groups: Ints
    regions: Ints
    sizes: Ints
    counts: dict[str, int]

    def of_classes(self, kept: Sequence[int]) -> EntityExamples:
        """Returns only the examples of some classes.

        Args:
            kept: indexes of the classes to keep. The first of them becomes class 0, and so on.
        """
        number = np.full(len(self.classes), -1, np.int64)
        number[list(kept)] = np.arange(len(kept))
        chosen = number[self.labels] >= 0
        rows = {name: getattr(self, name)[chosen] for name in ("pieces", "tiles", "groups", "regions")}
        classes, labels = tuple(self.classes[one] for one in kept), number[self.labels[chosen]]
        return replace(self, classes=classes, labels=labels, sizes=self.sizes[list(kept)], **rows)


class _Found(NamedTuple):
    """Entities of one region that may become examples: one piece per OSM element, with its class.

    A class of None means that the value of the tag names no class.
    """

    pieces: Ints
    names: list[str | None]
    ids: list[str]


def find_examples(
    store: TileStore,
    spec: EntitySpec,
    per_class: int,
    seed: int = 0,
    share: float = 1.0,
    limits: EntityLimits = DEFAULT_LIMITS,
) -> EntityExamples:
    """Finds the examples of an entity task.

    An OSM element that lies in several tiles is one example: its piece with the largest area or length. An element that
    lies in several regions belongs to the first one. So no element can be in both the training and the test part.

    Args:
        store: dataset to search.
        spec: definition of the task.
        per_class: maximum number of examples of a class. Hashes of the elements' ids decide which ones are used.
        seed: seed of the hashes.
        share: share of the OSM elements that can be examples, from 0 to 1. Hashes decide which ones can be.
        limits: minimum and maximum number of entities in a tile. Other tiles are ignored.
    """
    counts = {"values that name no class": 0, "elements in an earlier region": 0}
    pieces, names, ids, regions = [np.empty(0, np.int64)], [], [], [np.empty(0, np.int64)]
    known: set[str] = set()
    view = View.default(store, *limits)
    for index in range(len(store.regions)):
        found = _of_region(RegionTokens(store.regions[index]), spec, view.region(index).tiles)
        named = [place for place, name in enumerate(found.names) if name is not None]
        kept = [place for place in named if found.ids[place] not in known]
        counts["values that name no class"] += len(found.names) - len(named)
        counts["elements in an earlier region"] += len(named) - len(kept)
        known.update(found.ids[place] for place in kept)
        pieces.append(found.pieces[kept] + store.piece_offsets[index])
        names += [str(found.names[place]) for place in kept]
        ids += [found.ids[place] for place in kept]
        regions.append(np.full(len(kept), index, np.int64))
    classes = _class_names(spec, names)
    number = {name: place for place, name in enumerate(classes)}
    labels = np.array([number[name] for name in names], np.int64)
    chance = hash_fractions(ids, f"examples:{spec.name}:{seed}") if ids else np.empty(0)
    rows = _draw(labels, chance, per_class, share)
    chosen, home = np.concatenate(pieces)[rows], np.concatenate(regions)[rows]
    tiles = store.piece_tiles(chosen)
    sizes = np.bincount(labels, minlength=len(classes))
    return EntityExamples(spec, classes, chosen, labels[rows], tiles, store.groups[tiles], home, sizes, counts)


def hiding_view(store: TileStore, examples: EntityExamples, everywhere: bool, limits: EntityLimits) -> View:
    """Selects the tiles that contain examples, and hides the tags that reveal the classes.

    Entities that lose all their tags stay. Models read them as entities without tags.

    Args:
        store: dataset of the examples.
        examples: examples of a task.
        everywhere: True to hide the tags on all entities, False to hide them only on the examples.
        limits: minimum and maximum number of entities in a tile. Other tiles are ignored.
    """
    view = View.default(store, *limits).restrict(np.unique(examples.tiles)).trimmed(store)
    dropped = [np.empty(0, np.int64)]
    for index, region in enumerate(store.regions):
        rows = np.flatnonzero(RegionTokens(region).vocabulary.matches(examples.spec.hidden, whatever_value=True))
        dropped.append(rows + store.vocab_offsets[index])
    only = None if everywhere else examples.pieces
    return replace(view.drop(tags=np.concatenate(dropped)), tags_dropped_of=only, keep_untagged=True)


def _of_region(tokens: RegionTokens, spec: EntitySpec, tiles: Ints) -> _Found:
    region, vocabulary = tokens.region, tokens.vocabulary
    tagged = np.array([key == spec.key for key in vocabulary.keys], np.bool_)
    wanted = np.isin(region["object/kind"], [schema.KIND[kind] for kind in spec.kinds])
    if spec.where:
        wanted &= tokens.objects_with(vocabulary.matches(spec.where))
    inside = np.zeros(tokens.n_tiles, np.bool_)
    inside[tiles] = True
    row_of_object = np.full(tokens.n_objects, -1, np.int64)
    entries = np.flatnonzero(tagged[tokens.tag_rows]) if len(tagged) else np.empty(0, np.int64)
    owners = np.repeat(np.arange(tokens.n_objects), np.diff(tokens.tag_offsets))
    row_of_object[owners[entries]] = tokens.tag_rows[entries]
    probed = (wanted & (row_of_object >= 0))[tokens.objects] & inside[tokens.tiles]
    pieces, objects = tokens.pieces[probed], tokens.objects[probed]
    rows = _largest(objects, _sizes(tokens, pieces))
    pieces, objects = pieces[rows], objects[rows]
    named = {row: spec.class_of(vocabulary.values[row]) for row in np.unique(row_of_object[objects]).tolist()}
    kinds, numbers = region["object/osm_type"][objects].tolist(), region["object/osm_id"][objects].tolist()
    ids = [f"{OSM_TYPES[kind]}/{number}" for kind, number in zip(kinds, numbers, strict=True)]
    return _Found(pieces, [named[row] for row in row_of_object[objects].tolist()], ids)


def _sizes(tokens: RegionTokens, pieces: Ints) -> Floats:
    """Returns the area of each piece or, for pieces without an area, the length, float64."""
    area, length = (tokens.region[f"piece/{name}"][pieces].astype(np.float64) for name in ("area_m2", "length_m"))
    return np.where(area > 0, area, length)


def _largest(objects: Ints, sizes: Floats) -> Ints:
    """Returns the index of the largest piece of each OSM element, in ascending order.

    If several pieces of an element are equally large, the first is used.
    """
    order = np.lexsort((np.arange(len(objects)), -sizes, objects))
    first = np.ones(len(order), np.bool_)
    first[1:] = objects[order][1:] != objects[order][:-1]
    return np.sort(order[first])


def _class_names(spec: EntitySpec, names: list[str]) -> tuple[str, ...]:
    found, counts = np.unique(np.array(names, np.str_), return_counts=True)
    by_count = [str(found[place]) for place in np.argsort(-counts, kind="stable")]
    order = [name for name in spec.class_order if name in by_count]
    return (*order, *(name for name in by_count if name not in order))


def _draw(labels: Ints, chance: NDArray[np.float64], per_class: int, share: float) -> Ints:
    """Selects the examples to use: in each class, those with the lowest hashes.

    Returns:
        Indexes of the selected examples, in ascending order.
    """
    order = np.lexsort((chance, labels))
    starts = np.searchsorted(labels[order], np.arange(int(labels.max(initial=-1)) + 1))
    rank = np.arange(len(order)) - starts[labels[order]] if len(order) else np.empty(0, np.int64)
    return np.sort(order[(rank < per_class) & (chance[order] < share)])
