"""Preparation of a review: finds the region and model, and the families of tags to review."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from geojepa_cli import console, hints
from geojepa_cli.config.limits import MIN_GROUPS, EntityLimits
from geojepa_cli.console import counted
from geojepa_cli.errors import DataError, NotFoundError, UsageError, nearest
from geojepa_cli.stages.embedding_model import Model
from geojepa_cli.stages.probe_regions import more_data
from geojepa_cli.stages.stage import as_list
from geojepa_cli.workspace.artifact import Artifact

if TYPE_CHECKING:
    from geojepa_cli.store.store import TileStore
    from geojepa_cli.tasks.review_rows import ReviewRows
    from geojepa_cli.tasks.review_spec import ReviewSpec
    from geojepa_cli.tasks.tokens import RegionTokens

ALL = "all"


@dataclass(frozen=True)
class ReviewPlan:
    """Region, model and options of a review.

    Attributes:
        region: `processed/` artifact.
        model: model whose vectors are used.
        specs: definitions of the families to review, by name.
        keys: only entities whose present tag has one of these keys are reported. None: all entities.
        k: maximum number of findings.
        html: also make an HTML page.
        limits: minimum and maximum number of entities in a tile.
        seed: seed of the folds.
    """

    region: Artifact
    model: Model
    specs: tuple[ReviewSpec, ...]
    keys: frozenset[str] | None
    k: int
    html: bool
    limits: EntityLimits
    seed: int


def choose_specs(tag: str | Sequence[str] | None) -> tuple[tuple[ReviewSpec, ...], frozenset[str] | None]:
    """Returns the families for the option `--tag`, sorted by name, and the keys to report.

    A key selects every family that reviews it. A key that no family reviews is a family of its own, in which each value
    is a class.

    Raises:
        UsageError: a key is empty, contains `*` or `=`, is combined with `all`, or has free texts as values.
    """
    from geojepa_cli.tags.descriptions import is_free_key
    from geojepa_cli.tasks.review_spec import generic_review, packed_reviews

    wanted = list(dict.fromkeys(as_list(tag))) if tag is not None else [ALL]
    packed = packed_reviews()
    if wanted == [ALL]:
        return tuple(packed.values()), None
    specs: dict[str, ReviewSpec] = {}
    for key in wanted:
        if not isinstance(key, str) or key == ALL or not key.strip() or "=" in key or "*" in key or len(key) > 255:
            message = f"`--tag {key}`: expected one key of OpenStreetMap, such as `highway`, or only `{ALL}`"
            raise UsageError(message, hints.instead(("--tag", str(key)), ("--tag", "highway")))
        if is_free_key(key):
            message = f"`--tag {key}`: its values are names, addresses, identifiers or free text, which no model can "
            message += "predict; expected a key whose values are classes, such as `highway` or `surface`"
            raise UsageError(message, hints.instead(("--tag", key), ("--tag", "highway")))
        found = {name: spec for name, spec in packed.items() if key in spec.keys}
        specs |= found or {key: generic_review(key)}
    if not specs:
        raise UsageError("`--tag`: expected at least one key", hints.again(tag=ALL))
    return tuple(specs[name] for name in sorted(specs)), frozenset(wanted)


def find_families(plan: ReviewPlan, store: TileStore, tokens: RegionTokens) -> tuple[list[ReviewRows], dict[str, str]]:
    """Finds the entities of all families that can be reviewed.

    Returns:
        The entities by family, and for each family that cannot be reviewed the reason.

    Raises:
        NotFoundError: no entity has one of the keys.
        DataError: no family has enough entities, classes and zoom-14 tiles.
    """
    from geojepa_cli.store.view import View
    from geojepa_cli.tasks.review_rows import find_rows

    view = View.default(store, *plan.limits)
    families, skipped = [], {}
    for spec in plan.specs:
        rows = find_rows(store, tokens, view, spec)
        reason = _obstacle(rows)
        if reason is None:
            families.append(rows)
        else:
            skipped[spec.name] = reason
    if plan.keys is not None:
        _check_keys(plan, tokens)
    if not families:
        why = "; ".join(f"`{name}`: {reason}" for name, reason in skipped.items())
        message = f"nothing to review in `{plan.region.name}`: {why}"
        raise DataError(message, _more(plan))
    for name, reason in skipped.items():
        console.note(f"`{name}` is not reviewed: {reason}")
    return families, skipped


def _obstacle(rows: ReviewRows) -> str | None:
    """Returns the reason why a family cannot be reviewed, or None."""
    import numpy as np

    from geojepa_cli.evaluate.review_heads import MIN_CLASS, pool_rare

    if not len(rows):
        return "no entity has a tag that names a class"
    groups = len(np.unique(rows.groups))
    if groups < MIN_GROUPS:
        return f"its entities are in {counted(groups, 'zoom-14 group')}, expected at least {MIN_GROUPS}"
    classes = pool_rare(rows.labels)
    if len(classes.frequent) < 2:
        have = counted(len(classes.frequent), "class", "classes")
        return f"{have} of at least {MIN_CLASS} entities, expected at least 2"
    return None


def _check_keys(plan: ReviewPlan, tokens: RegionTokens) -> None:
    known = set(tokens.vocabulary.key_names)
    for key in sorted(plan.keys or ()):
        if key in known:
            continue
        close = nearest(key, known)
        meant = f"; did you mean `{close}`?" if close else ""
        hint = hints.instead(("--tag", key), ("--tag", close or ALL))
        raise NotFoundError(f"no entity in `{plan.region.name}` has the tag `{key}=*`{meant}", hint)


def _more(plan: ReviewPlan) -> hints.Hint:
    return more_data() if plan.keys is None else hints.again(tag=ALL)
