"""Masked variants of tasks: views without the tags and entities that give the label away. No data is copied."""

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
    """Returns True for tags that the masked variant hides on all entities, bool [V].

    These are the tags that match the label's `tags` or the mask's `tags`; the exceptions of these rules are ignored.
    """
    return tokens.vocabulary.matches((*spec.label.tags, *spec.mask.tags), whatever_value=True)


def masked_entities(tokens: RegionTokens, spec: TaskSpec) -> dict[str, Flags]:
    """Returns the objects that are hidden completely, by reason; bool [n_objects] each.

    An object is listed under the first reason that applies:

    - `WHOLE`: the object has a tag of `mask.entities`.
    - `SIGNS`: the object is a single point with a tag of the label, and each of its other tags is masked or matches
      `mask.signs`.
    - `BARE`: masking removes the last tag of the object.
    - `SPANS`: the object is a relation (not a multipolygon) with a hidden direct member. The relation's geometry
      consists of its members' geometries, so it would reveal the hidden member.
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
    """Returns the relations that consist of their members' geometries and have at least one of some members.

    Args:
        tokens: tokens of the region.
        members: True for the members, bool [n_objects].

    Returns:
        True for the relations, bool [n_objects].
    """
    region = tokens.region
    found: Flags = np.zeros(region.n_objects, np.bool_)
    found[region["member/relation"][members[region["member/object"]]]] = True
    found &= region["object/kind"] == schema.KIND["relation"]
    return found


def masked_view(tokens: RegionTokens, spec: TaskSpec, plain: View) -> View:
    """Returns the plain view of a region without masked tags and entities. Both views have the same tiles.

    Args:
        tokens: tokens of the region.
        spec: definition of the task.
        plain: plain view of this region only.
    """
    view = plain.drop(tags=np.flatnonzero(masked_tags(tokens, spec)))
    in_view = np.isin(tokens.tiles, plain.tiles)
    for reason, objects in masked_entities(tokens, spec).items():
        view = view.drop(pieces=tokens.pieces[objects[tokens.objects] & in_view], reason=reason)
    return view


def plain_view(store: TileStore, eligible: Flags, base: View) -> View:
    """Returns `base` with only the eligible tiles and the pieces (parts of objects) inside them."""
    return base.restrict(np.flatnonzero(eligible), "tiles without a label").trimmed(store)
