"""Finds the tiles of a region that have a map feature, and hides from a model what gives the feature away."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from geojepa_cli.store import csr, schema
from geojepa_cli.store.view import View
from geojepa_cli.tasks.masks import masked_entities, masked_tags, masked_view
from geojepa_cli.tasks.retrieval_spec import FeaturePart, RetrievalSpec
from geojepa_cli.tasks.rules import Flags
from geojepa_cli.tasks.tokens import Ints, RegionTokens


class HiddenFeature(NamedTuple):
    """A selection that hides a feature.

    Attributes:
        view: the tiles, entities and tags that stay visible.
        changed: row numbers of the tiles of the selection in which something is hidden, ascending, int64. A model has
            the same vectors as without hiding in all other tiles.
    """

    view: View
    changed: Ints


def tiles_with(tokens: RegionTokens, spec: RetrievalSpec) -> Flags:
    """Returns the tiles that have a feature, bool [n_tiles].

    Entities that cover their tile completely count, although models do not read them. Boundaries do not count.
    """
    found: Flags = np.ones(tokens.n_tiles, np.bool_)
    for part in spec.has:
        found &= _has_part(tokens, part)
    return found


def hidden_view(tokens: RegionTokens, spec: RetrievalSpec, plain: View) -> HiddenFeature:
    """Hides a feature in all tiles of a selection: the entities of the feature, and whatever the definition lists.

    Args:
        tokens: tokens of the region.
        spec: definition of the feature.
        plain: selection of tiles, entities and tags of this region.
    """
    task = spec.as_task()
    touched = tokens.objects_with(masked_tags(tokens, task))
    for objects in masked_entities(tokens, task).values():
        touched |= objects
    changed = np.unique(tokens.tiles[touched[tokens.objects]])
    return HiddenFeature(masked_view(tokens, task, plain), np.intersect1d(changed, plain.tiles))


def _has_part(tokens: RegionTokens, part: FeaturePart) -> Flags:
    region = tokens.region
    objects = tokens.objects_with(tokens.vocabulary.matches(part.tags))
    objects &= region["object/token"] == schema.TOKEN["entity"]
    chosen = objects[region["piece/object"]]
    tiles = csr.parents(region["tile/pieces"])[chosen]
    if part.share is None:
        return np.bincount(tiles, minlength=tokens.n_tiles) > 0
    covered = np.bincount(tiles, region["piece/area_m2"][chosen].astype(np.float64), tokens.n_tiles)
    area = region["tile/east_m"].astype(np.float64) * region["tile/north_m"].astype(np.float64)
    return np.asarray(covered >= part.share * area)
