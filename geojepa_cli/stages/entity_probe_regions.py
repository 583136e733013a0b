"""Chooses the regions of an entity probe, and how they are tested."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from geojepa_cli import hints
from geojepa_cli.errors import GeojepaError, UsageError, unknown
from geojepa_cli.stages.embedding_model import TAGPOOL, Model, find_model
from geojepa_cli.stages.embeddings import check_region
from geojepa_cli.stages.probe_regions import choose_regions
from geojepa_cli.stages.stage import Models, Regions, as_list, find_regions, in_fixed_order
from geojepa_cli.stages.trained_groups import groups_of, trained_elsewhere
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.kinds import legal_name
from geojepa_cli.workspace.workspace import Workspace

REGIONS, GROUPS = "regions", "groups"  # what a fold leaves out


class ChosenRegions(NamedTuple):
    """Regions of an entity probe.

    Attributes:
        regions: `processed/` artifacts of all regions, in a fixed order.
        tested: those of them that are tested, and not trained on. Empty: all are tested, by cross-validation.
        leave_out: what a fold of the cross-validation leaves out: whole `regions`, or `groups` (zoom-14 tiles).
        models: models to test.
    """

    regions: list[Artifact]
    tested: list[Artifact]
    leave_out: str
    models: list[Model]


def find_regions_to_probe(
    workspace: Workspace, model: Models, region: Regions, test_region: Regions, leave_out: str | None
) -> ChosenRegions:
    """Finds the regions and models of an entity probe.

    Several regions are left out in turn, unless `leave_out` is `groups`. If the workspace has several regions and none
    is named, those are tested of which no model saw a tile in pretraining (ADR 18).

    Raises:
        UsageError: `leave_out` is unknown or cannot be used, a region is in both parts, or a region must be named.
        NotFoundError: a region or model does not exist. The hint is the command that makes it.
        DataError: a region cannot be embedded.
    """
    if leave_out not in (None, REGIONS, GROUPS):
        raise UsageError(
            f"`--leave-out {leave_out}`: expected `{REGIONS}` or `{GROUPS}`", hints.again(leave_out=GROUPS)
        )
    if test_region is not None:
        if leave_out is not None:
            message = "`--leave-out` cannot be combined with `--test-region`, which is left out as a whole"
            raise UsageError(message, hints.instead(("--leave-out", leave_out)))
        tested = _find_test_regions(workspace, test_region)
        trained = _regions_to_train_on(workspace, region, tested)
        used = in_fixed_order([*trained, *tested])
        return ChosenRegions(used, in_fixed_order(tested), GROUPS, _models(workspace, model, used))
    if region is None and len(workspace.names("processed")) > 1:
        return _choose(workspace, model, leave_out)
    used = in_fixed_order(find_regions(workspace, "processed", region))
    if leave_out == REGIONS and len(used) < 2:
        message = f"`--leave-out {REGIONS}` needs at least two regions, but `{used[0].name}` is the only one"
        raise UsageError(message, hints.again(leave_out=GROUPS))
    return ChosenRegions(used, [], leave_out or _default(used), _models(workspace, model, used))


def _choose(workspace: Workspace, model: Models, leave_out: str | None) -> ChosenRegions:
    """Chooses regions of the workspace of which no model saw a tile. Without pretrained models, all regions."""
    ready = workspace.names("features")
    names = [name for name in workspace.names("processed") if name in ready] or workspace.names("processed")
    every = in_fixed_order(workspace.find("processed", name) for name in names)
    models = _models(workspace, model, every)
    unseen = choose_regions(every, models, lambda one, at: check_region(workspace, one, at))
    if not unseen and all(_learned_nothing(one) for one in models):
        unseen = [one for one in every if _can_embed(workspace, models, one)] or every
    if not unseen:  # a figure on regions that a model saw is never chosen silently
        return ChosenRegions(find_regions(workspace, "processed", None), [], GROUPS, models)
    if len(unseen) == 1 and leave_out is None:
        trained = [one for one in every if one not in unseen and _can_embed(workspace, models, one)]
        if trained:
            return ChosenRegions(in_fixed_order([*trained, *unseen]), unseen, GROUPS, models)
    return ChosenRegions(unseen, [], leave_out or _default(unseen), models)


def _default(regions: Sequence[Artifact]) -> str:
    return REGIONS if len(regions) > 1 else GROUPS


def _models(workspace: Workspace, model: Models, regions: Sequence[Artifact]) -> list[Model]:
    found = list(dict.fromkeys(find_model(workspace, one, regions) for one in as_list(model)))
    return found + ([] if any(one.name == TAGPOOL for one in found) else [Model(TAGPOOL, None)])


def _learned_nothing(model: Model) -> bool:
    seen = groups_of(model)
    return trained_elsewhere(model) or (seen is not None and not len(seen))


def _can_embed(workspace: Workspace, models: Sequence[Model], region: Artifact) -> bool:
    try:
        for model in models:
            check_region(workspace, model, region)
    except GeojepaError:
        return False
    return True


def _find_test_regions(workspace: Workspace, wanted: Regions) -> list[Artifact]:
    known = workspace.names("processed")
    for one in as_list(wanted):
        if isinstance(one, str) and one.partition("@")[0] not in known:
            hint = hints.run("process", region=legal_name(one))
            raise unknown("region", one, known, hint, "--test-region")
    return find_regions(workspace, "processed", wanted, "test_region")


def _regions_to_train_on(workspace: Workspace, region: Regions, tested: Sequence[Artifact]) -> list[Artifact]:
    """Returns the regions to train on. Default: all others with tag embeddings.

    Raises:
        UsageError: a region is also tested, or there is no other region.
    """
    if region is None:
        names, ready = [one.name for one in tested], workspace.names("features")
        others = [one for one in workspace.names("processed") if one not in names and one in ready]
        region = others or None
    trained = find_regions(workspace, "processed", region)
    if both := [one.name for one in tested if one in trained]:
        raise UsageError(
            f"`{both[0]}` is a region to train on and a test region: expected different regions",
            hints.again(region="OTHER"),
        )
    return trained
