"""Finds the examples of an entity probe and their parts, and explains why there are too few."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from geojepa_cli import hints
from geojepa_cli.errors import DataError, UsageError, nearest
from geojepa_cli.hints import Hint
from geojepa_cli.stages.entity_probe_plan import EntityPlan, enough, open_store
from geojepa_cli.stages.entity_probe_regions import GROUPS, REGIONS
from geojepa_cli.stages.probe_regions import more_data
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.evaluate.entity_parts import Part
    from geojepa_cli.store.store import TileStore
    from geojepa_cli.tasks.entity_examples import EntityExamples


class Found(NamedTuple):
    """Examples of an entity probe.

    Attributes:
        examples: examples of the classes that are frequent enough.
        parts: for each seed, the folds.
        rare: for each class that is left out, its numbers of examples, and of entities before the limits.
    """

    examples: EntityExamples
    parts: list[list[Part]]
    rare: dict[str, dict[str, int]]


def find_parts(workspace: Workspace, plan: EntityPlan) -> Found:
    """Finds the examples of the classes that are frequent enough, and their parts.

    Raises:
        UsageError: `per_class` limits the examples so much that fewer than two classes remain.
        DataError: there are too few examples, groups or classes.
    """
    import numpy as np

    from geojepa_cli.evaluate.entity_parts import frequent_classes, make_parts
    from geojepa_cli.tasks.entity_examples import PROBED_SHARE, find_examples

    spec, settings = plan.spec, plan.settings
    store = open_store(plan.regions)
    found = find_examples(
        store, spec, settings.per_class, settings.seed, 1.0 if settings.hide == "all" else PROBED_SHARE
    )
    if not len(found.pieces):
        raise _no_example(workspace, plan, store, found)
    tested = [plan.regions.index(one) for one in plan.test_regions]

    def parts_of(examples: EntityExamples) -> list[list[Part]]:
        test = np.isin(examples.regions, tested) if tested else None
        regions = examples.regions if plan.leave_out == REGIONS else None
        try:
            return [make_parts(examples.groups, test, seed, regions) for seed in settings.all_seeds]
        except DataError as error:
            raise DataError(error.message, _more_examples(workspace, plan)) from None

    every = [part for folds in parts_of(found) for part in folds]
    kept = frequent_classes(found.labels, len(found.classes), every, spec.min_examples)
    counts = np.bincount(found.labels, minlength=len(found.classes)).tolist()
    if len(kept) < 2:
        verb = "has" if len(kept) == 1 else "have"
        few = f"{len(kept)} of {len(found.classes)} classes of `{spec.name}` {verb}"
        message = f"{few} {spec.min_examples} examples in every training part, expected at least 2 classes"
        if any(count >= settings.per_class for place, count in enumerate(counts) if place not in kept):
            raise UsageError(f"`--per-class {settings.per_class}`: {message}", hints.again(per_class=enough(spec)))
        raise DataError(message, _more_examples(workspace, plan))
    examples = found.of_classes(kept)
    rare = {
        name: {"examples": counts[place], "entities_with_tag": int(found.sizes[place])}
        for place, name in enumerate(found.classes)
        if place not in kept
    }
    return Found(examples, parts_of(examples), rare)


def _no_example(workspace: Workspace, plan: EntityPlan, store: TileStore, found: EntityExamples) -> DataError:
    """Returns the error for regions without any example: the key occurs nowhere, or no value names a class."""
    spec = plan.spec
    where = ", ".join(f"`{region.name}`" for region in plan.regions)
    kinds = " or ".join(spec.kinds)
    values = found.counts["values that name no class"]
    if values:
        message = f"none of {values:,} entities with `{spec.key}=*` in {where} has a value that names a class"
        return DataError(f"{message} of `{spec.name}`", _more_examples(workspace, plan))
    keys = set(store.keys)
    if spec.key in keys:
        message = f"no entity ({kinds}) in {where} has the tag `{spec.key}=*`" + (
            " and matches `where`" * bool(spec.where)
        )
        return DataError(f"{message} of the task `{spec.name}`", _more_examples(workspace, plan))
    close = nearest(spec.key, keys)
    meant = f"; did you mean `{close}`?" if close else ""
    message = f"the tag `{spec.key}=*` of the task `{spec.name}` occurs nowhere in {where}{meant}"
    return DataError(message, _more_examples(workspace, plan))


def _more_examples(workspace: Workspace, plan: EntityPlan) -> Hint:
    """Returns the command with the other regions of the workspace or, if there are none, other folds."""
    tested = [region.name for region in plan.test_regions]
    used = [region.name for region in plan.regions]
    others = [name for name in workspace.names("processed") if name not in used]
    if others:
        return hints.again(region=[*(name for name in used if name not in tested), *others])
    return hints.again(leave_out=GROUPS) if plan.leave_out == REGIONS else more_data()
