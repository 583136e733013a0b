"""Preparation of probes: finds regions, tasks and models, and checks whether models have seen test tiles.

A probe trains a small prediction head on frozen embeddings, to test how well they predict the label of a task.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from geojepa_cli import console, hints
from geojepa_cli.errors import DataError, GeojepaError, UsageError
from geojepa_cli.stages.arguments import wrong_type
from geojepa_cli.stages.built_tasks import Tasks, find_tasks
from geojepa_cli.stages.embedding_model import TAGPOOL, Model, find_model
from geojepa_cli.stages.stage import Regions, as_list, in_fixed_order
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geojepa_cli.tasks.dataset import TaskData

HEADS = {"linear": ("linear",), "mlp": ("mlp",), "both": ("linear", "mlp")}
Models = str | Artifact | Sequence[str | Artifact] | None


@dataclass(frozen=True)
class ProbePlan:
    """Regions, tasks, models and heads of a probe.

    Attributes:
        regions: `processed/` artifacts of the regions.
        tasks: `tasks/` artifacts of one task, one for each region, in the same order.
        models: models and baselines to test, always including the baseline TagPool.
        heads: prediction heads to train: `linear`, `mlp` or both.
    """

    regions: list[Artifact]
    tasks: list[Artifact]
    models: list[Model]
    heads: tuple[str, ...]


def plan_probe(workspace: Workspace, task: Tasks, model: Models, region: Regions, head: str) -> ProbePlan:
    """Finds the regions, tasks and models of a probe.

    Args:
        workspace: workspace to search.
        task: name of a task, or `tasks/` artifacts of one task.
        model: names of models or baselines, or `models/` artifacts. None selects the newest model or,
            if there is none, the model that comes with the package.
        region: names of regions, or artifacts. None selects the regions of the artifacts in `task` or, if there are
            none, the only region in the workspace.
        head: prediction heads to train: `linear`, `mlp` or `both`.

    Raises:
        UsageError: the head is unknown, or no model is given.
        NotFoundError: a region, task or model does not exist. The hint is the command that makes the missing artifact.
    """
    if head not in HEADS:
        raise UsageError(f"unknown head `{head}`: expected `linear`, `mlp` or `both`", hints.again(head="both"))
    found = dict(zip(*find_tasks(workspace, task, region), strict=True))
    regions = in_fixed_order(found)
    wanted = as_list(model)
    if not wanted:
        raise wrong_type("model", model, "at least one model", '"tagpool"')
    models = list(dict.fromkeys(find_model(workspace, one, regions, supervised=True) for one in wanted))
    models += [] if any(one.name == TAGPOOL for one in models) else [Model(TAGPOOL, None)]
    return ProbePlan(regions, [found[one] for one in regions], models, HEADS[head])


def check_folds(
    workspace: Workspace, data: TaskData, regions: Sequence[Artifact], tasks: Sequence[Artifact], seed: int
) -> None:
    """Checks that a task has enough tiles, in enough different zoom-14 tiles (groups), to train and test heads.

    Args:
        workspace: workspace that contains the artifacts.
        data: labels and splits of the task in all regions of the probe.
        regions: `processed/` artifacts of the regions.
        tasks: `tasks/` artifacts of the regions.
        seed: random seed of the cross-validation folds.

    Raises:
        DataError: there are too few tiles or groups, or the option `--buffer` removed all tiles to train on. The hint
            is the command that builds the task with more regions. If the workspace has no other region, it is the
            command that fetches a region.
    """
    from geojepa_cli.evaluate.folds import make_folds, probe_data

    try:
        make_folds(probe_data(data)[1], seed)
    except DataError as error:
        used = [region.name for region in regions]
        others = [name for name in workspace.names("processed") if name not in used]
        if not others:
            more = hints.run("fetch", pbf="FILE", name="NAME").noting("a larger extract; then `tile` and `process`")
            raise DataError(error.message, more) from None
        again = hints.again(region=[*used, *others]).after(tasks[0].rebuild_hint().adding(region=others))
        raise DataError(error.message, again) from None


def warn_of_other_splits(models: Sequence[Model], regions: Sequence[Artifact], tasks: Sequence[Artifact]) -> None:
    """Warns about models that may have seen test tiles of the probed regions in training.

    These models were trained on a probed region, either on all its tiles, or on a split that was made with another seed
    than the split of the task.

    Args:
        models: models and baselines to check. Baselines are not trained, so they are skipped.
        regions: `processed/` artifacts of the probed regions.
        tasks: `tasks/` artifacts of the probed task.
    """
    names = {region.name for region in regions}
    seed = tasks[0].params["seed"]
    for model in models:
        if not names & model.regions:
            continue
        data = model.data_config()
        if data is None:
            continue
        if not data.exclude_test_groups:
            how = "was trained on all tiles, including test groups (`data.exclude_test_groups` is false)"
        elif data.split_seed != seed:
            how = f"was trained with `data.split_seed={data.split_seed}`, but the task was split with `--seed {seed}`"
        else:
            continue
        console.warn(f"`{model.ref}` {how}: the model may have seen test tiles in training")


def seen_groups(workspace: Workspace, model: Model, regions: Sequence[Artifact], tested: NDArray[Any]) -> int:
    """Returns the number of test groups (zoom-14 tiles) that the model may have seen in pretraining.

    Pretraining normally leaves out the groups of the test split. But a probe with cross-validation tests all groups,
    including those that were used in pretraining.

    Args:
        workspace: workspace that contains the artifacts.
        model: model to check.
        regions: `processed/` artifacts of the probed regions.
        tested: for each test tile, the number that identifies the zoom-14 tile in which it lies, int64 [n].

    Returns:
        The number of groups: 0 for baselines, for models that were pretrained on other `source/` artifacts, and for
        models of the package that were pretrained on regions with other names.
    """
    import numpy as np

    from geojepa_cli.tasks.splits import SPLITS, split_groups

    if not _may_have_seen(workspace, model, regions):
        return 0
    config = model.data_config()
    if config is None:
        return 0
    groups = np.unique(tested)
    if config.exclude_test_groups:
        groups = groups[split_groups(groups, config.split_seed) != SPLITS.index("test")]
    return len(groups)


def _may_have_seen(workspace: Workspace, model: Model, regions: Sequence[Artifact]) -> bool:
    """Returns True if the model was pretrained on one of the regions. For a shipped model, compares their names."""
    if model.artifact is None:
        return any(region.name in model.regions for region in regions)
    own = {source for region in regions for source in _sources(workspace, region)}
    return bool(own & _sources(workspace, model.artifact))


def _sources(workspace: Workspace, artifact: Artifact) -> set[str]:
    """Returns a set with the ids of the `source/` artifacts from which an artifact was made.

    The inputs of the artifact, and their inputs, are searched for `source/` artifacts. For an input that was deleted or
    is damaged, the set contains the reference `kind/name@id` to this input instead.
    """
    found: set[str] = set()
    for ref in artifact.inputs:
        kind, _, name = ref.partition("/")
        if kind == "source":
            found.add(name.partition("@")[2])  # hash of the content, because one file may have two names
            continue
        try:
            found |= _sources(workspace, workspace.at(ref))
        except GeojepaError:
            found.add(ref)
    return found
