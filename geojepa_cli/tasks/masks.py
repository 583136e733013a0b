"""Masked variants: views without tags and entities that give the label away. Nothing is copied."""

from __future__ import annotations

import numpy as np

from geojepa_cli.store import schema
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View
from geojepa_cli.tasks.rules import Flags
from geojepa_cli.tasks.spec import TaskSpec
from geojepa_cli.tasks.tokens import RegionTokens

WHOLE, SIGNS, BARE = "entities masked whole", "points masked as signs", "entities masked to their last tag"
SPANS = "relations masked for their members"


def masked_tags(tokens: RegionTokens, spec: TaskSpec) -> Flags:
    """Returns True for tags that no entity shows: the counted ones and those of the mask, with any value; bool [V]."""
    return tokens.vocabulary.matches((*spec.label.tags, *spec.mask.tags), whatever_value=True)


def masked_entities(tokens: RegionTokens, spec: TaskSpec) -> dict[str, Flags]:
    """Returns the objects that are hidden whole, by reason; bool [n_objects] each.

    An object counts under the first reason that applies:

    - `WHOLE`: it has a tag of `mask.entities`.
    - `SIGNS`: a single point with a counted tag, all of whose other tags are masked or match `mask.signs`.
    - `BARE`: masking removed its last tag.
    - `SPANS`: a relation (not a multipolygon) with a direct member that is hidden: its geometry and box are those of
      its members.
    """
    vocabulary = tokens.vocabulary
    whole = tokens.objects_with(vocabulary.matches(spec.mask.entities, whatever_value=True))
    dropped = masked_tags(tokens, spec)
    tags = np.diff(tokens.tag_offsets)
    touched = tokens.objects_with(dropped)
    counted = tokens.objects_with(vocabulary.matches(spec.label.tags))
    says_nothing_else = tokens.tag_count(dropped | vocabulary.matches(spec.mask.signs, whatever_value=True)) == tags
    is_point = tokens.region["object/kind"] == schema.KIND["point"]
    signs = is_point & counted & says_nothing_else if spec.mask.signs else np.zeros_like(whole)
    bare = touched & (tokens.tag_count(dropped) == tags)
    gone = whole | signs | bare
    spans = relations_over(tokens, gone) & ~gone
    return {WHOLE: whole, SIGNS: signs & ~whole, BARE: bare & ~whole & ~signs, SPANS: spans}


def relations_over(tokens: RegionTokens, members: Flags) -> Flags:
    """Returns the relations with the geometry of their members and at least one of `members`; both bool [n_objects]."""
    region = tokens.region
    found: Flags = np.zeros(region.n_objects, np.bool_)
    found[region["member/relation"][members[region["member/object"]]]] = True
    found &= region["object/kind"] == schema.KIND["relation"]
    return found


def masked_view(tokens: RegionTokens, spec: TaskSpec, plain: View) -> View:
    """Returns the plain view of a region without masked tags and entities. Both views have the same tiles.

    Args:
        tokens: of the region.
        spec: of the task.
        plain: a view of this region only.
    """
    view = plain.drop(tags=np.flatnonzero(masked_tags(tokens, spec)))
    in_view = np.isin(tokens.tiles, plain.tiles)
    for reason, objects in masked_entities(tokens, spec).items():
        view = view.drop(pieces=tokens.pieces[objects[tokens.objects] & in_view], reason=reason)
    return view


def plain_view(store: TileStore, eligible: Flags, base: View) -> View:
    """Returns `base` restricted to the eligible tiles, without pieces of other tiles."""
    return base.restrict(np.flatnonzero(eligible), "tiles without a label").trimmed(store)
