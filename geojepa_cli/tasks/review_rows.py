"""Finds the entities that `review` checks: one row per OSM element, with its present tag and the class of this tag."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geojepa_cli.store import schema
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View
from geojepa_cli.tasks.review_spec import ReviewSpec
from geojepa_cli.tasks.rules import RuleVocabulary
from geojepa_cli.tasks.tokens import Floats, Ints, RegionTokens

NO_CLASS = -1


@dataclass(frozen=True)
class ReviewRows:
    """The n reviewed entities of one family in one region. Every OSM element is at most one row.

    Attributes:
        spec: definition of the family.
        classes: names of the classes that occur, the most frequent first.
        labels: class of each row, as index in `classes`, int64 [n].
        tags: present tag of each row, as index in the region's vocabulary, int64 [n].
        pieces: row of each element's largest piece in the table `piece/`, int64 [n], ascending.
        objects: row of each element in the table `object/`, int64 [n].
        tiles: row of the piece's tile, int64 [n].
        groups: number of the zoom-14 tile that contains the piece, int64 [n].
        several_tiles: True for an element that lies in several tiles, bool [n].
        counts: dict from reason to the number of elements that have the tag but are not reviewed.
    """

    spec: ReviewSpec
    classes: tuple[str, ...]
    labels: Ints
    tags: Ints
    pieces: Ints
    objects: Ints
    tiles: Ints
    groups: Ints
    several_tiles: np.ndarray[tuple[int], np.dtype[np.bool_]]
    counts: dict[str, int]

    def __len__(self) -> int:
        return len(self.pieces)


def find_rows(store: TileStore, tokens: RegionTokens, view: View, spec: ReviewSpec) -> ReviewRows:
    """Finds the reviewed entities of one family.

    An element that lies in several tiles is one row, with its largest piece.

    Args:
        store: dataset of one region.
        tokens: entities of this region.
        view: tiles to review.
        spec: definition of the family.
    """
    names, class_of_tag = tag_classes(tokens.vocabulary, spec)
    tag_of_object = present_tags(tokens, spec)
    wanted = np.isin(tokens.region["object/kind"], [schema.KIND[kind] for kind in spec.kinds]) & (tag_of_object >= 0)
    if spec.where:
        wanted &= tokens.objects_with(tokens.vocabulary.matches(spec.where))
    class_of_object = np.where(wanted, class_of_tag[tag_of_object], NO_CLASS)
    in_view = np.zeros(tokens.n_tiles, np.bool_)
    in_view[view.tiles] = True
    judged = (class_of_object[tokens.objects] >= 0) & in_view[tokens.tiles]
    pieces, objects, several = largest_pieces(tokens, judged)
    found = np.bincount(class_of_object[objects], minlength=len(names))
    order = np.argsort(-found, kind="stable")
    order = order[found[order] > 0]
    number = np.full(len(names) + 1, NO_CLASS, np.int64)
    number[order] = np.arange(len(order))
    have = np.zeros(tokens.n_objects, np.bool_)
    have[tokens.objects] = True
    have &= wanted
    counts = {
        "elements whose value names no class": int((have & (class_of_object < 0)).sum()),
        "elements in tiles with too few or too many entities": int((have & (class_of_object >= 0)).sum())
        - len(objects),
    }
    tiles = store.piece_tiles(pieces)
    return ReviewRows(
        spec,
        tuple(names[one] for one in order.tolist()),
        number[class_of_object[objects]],
        tag_of_object[objects],
        pieces,
        objects,
        tiles,
        store.groups[tiles],
        several,
        counts,
    )


def tag_classes(vocabulary: RuleVocabulary, spec: ReviewSpec) -> tuple[list[str], Ints]:
    """Returns the names of all classes, and the class of each tag of the vocabulary.

    Args:
        vocabulary: the V distinct tags of a region.
        spec: definition of the family.

    Returns:
        Names of classes, and for each tag the index of its class, or `NO_CLASS`. int64 [V + 1]; the last value, for
        elements without a tag, is `NO_CLASS`.
    """
    keys = set(spec.keys)
    ignored = vocabulary.matches(spec.ignore) if spec.ignore else np.zeros(len(vocabulary), np.bool_)
    named = {name: vocabulary.matches(rules) for name, rules in spec.classes.items()}
    numbers: dict[str, int] = {}
    found = np.full(len(vocabulary) + 1, NO_CLASS, np.int64)
    for row in range(len(vocabulary)):
        if vocabulary.keys[row] not in keys:
            continue
        text: str | None
        if spec.read is not None:
            text = spec.speed_class(vocabulary.values[row])
        else:
            text = next((name for name, matched in named.items() if matched[row]), None)
            if text is None and not ignored[row]:
                text = vocabulary.values[row] if len(keys) == 1 else vocabulary.text(row)
        if text is not None:
            found[row] = numbers.setdefault(text, len(numbers))
    return list(numbers), found


def present_tags(tokens: RegionTokens, spec: ReviewSpec) -> Ints:
    """Returns the reviewed tag of each OSM element, as index in the vocabulary, or -1. int64 [n_objects]

    If an element has several of the keys, the first in `spec.keys` counts.
    """
    place = {key: number for number, key in enumerate(spec.keys)}
    rank = np.array([place.get(key, len(place)) for key in tokens.vocabulary.keys], np.int64)
    owners = np.repeat(np.arange(tokens.n_objects), np.diff(tokens.tag_offsets))
    entries = np.flatnonzero(rank[tokens.tag_rows] < len(place)) if len(rank) else np.empty(0, np.int64)
    # of several, the last that is written stays: that with the first key
    entries = entries[np.argsort(-rank[tokens.tag_rows[entries]], kind="stable")]
    found = np.full(tokens.n_objects, -1, np.int64)
    found[owners[entries]] = tokens.tag_rows[entries]
    return found


def largest_pieces(
    tokens: RegionTokens, chosen: np.ndarray[tuple[int], np.dtype[np.bool_]]
) -> tuple[Ints, Ints, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """Returns the largest piece of each OSM element, by area or length.

    Args:
        tokens: entities of a region.
        chosen: True for the tokens to choose from, bool [K].

    Returns:
        Pieces (ascending) and their elements, int64 [n], and True for elements in several tiles, bool [n]. If pieces
        are equally large, the first is used.
    """
    pieces, objects = tokens.pieces[chosen], tokens.objects[chosen]
    area, length = (tokens.region[f"piece/{name}"][pieces].astype(np.float64) for name in ("area_m2", "length_m"))
    sizes: Floats = np.where(area > 0, area, length)
    order = np.lexsort((np.arange(len(objects)), -sizes, objects))
    first = np.ones(len(order), np.bool_)
    first[1:] = objects[order][1:] != objects[order][:-1]
    kept = np.sort(order[first])
    several = np.bincount(tokens.objects, minlength=tokens.n_objects) > 1
    return pieces[kept], objects[kept], several[objects[kept]]
