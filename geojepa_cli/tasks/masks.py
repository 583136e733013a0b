"""Masks of tasks: they hide the tags and entities that reveal the label. No data is copied."""

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
    """Returns for each of the V distinct tags of a region whether the mask hides the tag on all entities, bool [V].

    These are the tags that match a rule in `tags` of the label or of the mask. A value that a rule excludes (YAML key
    `except`), such as `bridge=no`, is hidden, too.
    """
    return tokens.vocabulary.matches((*spec.label.tags, *spec.mask.tags), whatever_value=True)


def masked_entities(tokens: RegionTokens, spec: TaskSpec) -> dict[str, Flags]:
    """Returns the OSM elements that the mask hides completely, grouped by the reason for hiding.

    Each element is listed only under the first reason that applies:

    - `WHOLE`: a tag of the element matches a rule in `mask.entities`.
    - `SIGNS`: the element is a point with a tag that matches a rule in `label.tags`. Each of its other tags is masked
      or matches a rule in `mask.signs`.
    - `BARE`: all tags of the element are masked.
    - `SPANS`: the element is a relation (but not a multipolygon), and one of its members is hidden. The relation has
      the geometries of its members, so it would reveal the hidden member.

    Returns:
        A dict. Each key is a reason. Each value is True for the elements hidden for this reason, bool [n_objects].
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
    """Returns the relations, except multipolygons, that have at least one of the given members.

    The geometry of such a relation consists of the geometries of its members.

    Args:
        tokens: tokens of the region.
        members: True for the given members, bool [n_objects].

    Returns:
        True for these relations, bool [n_objects].
    """
    region = tokens.region
    found: Flags = np.zeros(region.n_objects, np.bool_)
    found[region["member/relation"][members[region["member/object"]]]] = True
    found &= region["object/kind"] == schema.KIND["relation"]
    return found


def masked_view(tokens: RegionTokens, spec: TaskSpec, plain: View) -> View:
    """Selects the same tiles as `plain`, but also hides the tags and entities that reveal the label of a task.

    Args:
        tokens: tokens of the region.
        spec: definition of the task.
        plain: selection of tiles, tags and entities of this region, in which nothing is hidden by the mask.
    """
    view = plain.drop(tags=np.flatnonzero(masked_tags(tokens, spec)))
    in_view = np.isin(tokens.tiles, plain.tiles)
    for reason, objects in masked_entities(tokens, spec).items():
        view = view.drop(pieces=tokens.pieces[objects[tokens.objects] & in_view], reason=reason)
    return view


def plain_view(store: TileStore, eligible: Flags, base: View) -> View:
    """Selects the tiles of a task, with all tags and entities: those that reveal the label are not hidden.

    Args:
        store: dataset with one region.
        eligible: True for tiles that can be selected (see `TaskData.eligible`), bool [n].
        base: selection of tiles, tags and entities. The result hides the same tags and entities as `base`.
    """
    return base.restrict(np.flatnonzero(eligible), "tiles without a label").trimmed(store)
