"""Plans of probes: finds regions, tasks and models, and checks whether models were trained on test tiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from geojepa_cli import console, hints
from geojepa_cli.errors import GeojepaError, UsageError
from geojepa_cli.stages.embeddings import TAGPOOL, Model, find_model, find_task_artifact, model_config
from geojepa_cli.stages.stage import Regions, find_regions
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.kinds import name_of
from geojepa_cli.workspace.workspace import Workspace, inputs_of_kind

if TYPE_CHECKING:
    from numpy.typing import NDArray

HEADS = {"linear": ("linear",), "mlp": ("mlp",), "both": ("linear", "mlp")}
Models = str | Artifact | Sequence[str | Artifact] | None
Tasks = str | Artifact | Sequence[Artifact]


@dataclass(frozen=True)
class ProbePlan:
    """Inputs of a probe.

    Attributes:
        regions: `processed/` artifacts.
        tasks: `tasks/` artifact of each region, in the same order.
        models: models to test, including the baseline TagPool.
        heads: prediction heads to train: `linear`, `mlp` or both.
    """

    regions: list[Artifact]
    tasks: list[Artifact]
    models: list[Model]
    heads: tuple[str, ...]


def plan_probe(workspace: Workspace, task: Tasks, model: Models, region: Regions, head: str) -> ProbePlan:
    """Finds the regions, tasks and models of a probe. The arguments are described in `probe`.

    Raises:
        UsageError: the head is unknown.
        NotFoundError: there is no such region, task or model. The hint is the command that makes it.
    """
    if head not in HEADS:
        raise UsageError(f"unknown head `{head}`: expected `linear`, `mlp` or `both`", hints.again(head="both"))
    if isinstance(task, str):
        regions = find_regions(workspace, "processed", region)
        tasks = [find_task_artifact(workspace, processed, task) for processed in regions]
    else:
        tasks = [task] if isinstance(task, Artifact) else list(task)
        regions = [workspace.at(inputs_of_kind(one, "processed")[0]) for one in tasks]
    wanted = [model] if model is None or isinstance(model, str | Artifact) else model
    refs = [one.ref if isinstance(one, Artifact) else one for one in wanted]
    models = list(dict.fromkeys(find_model(workspace, ref) for ref in refs))
    models += [] if any(one.name == TAGPOOL for one in models) else [Model(TAGPOOL, None)]
    return ProbePlan(regions, tasks, models, HEADS[head])


def warn_of_other_splits(models: Sequence[Model], regions: Sequence[Artifact], tasks: Sequence[Artifact]) -> None:
    """Warns about models that were trained on these regions with another split, or with all tiles.

    Such models may have seen test tiles in training.
    """
    names = {region.name for region in regions}
    seed = tasks[0].params["seed"]
    for model in models:
        if model.artifact is None:
            continue
        if not names & {name_of(ref) for ref in inputs_of_kind(model.artifact, "processed")}:
            continue
        data = model_config(model.artifact).data
        if not data.exclude_test_groups:
            how = "was trained on all tiles, including test groups (`data.exclude_test_groups` is false)"
        elif data.split_seed != seed:
            how = f"was trained with `data.split_seed={data.split_seed}`, but the task was split with `--seed {seed}`"
        else:
            continue
        console.warn(f"`{model.ref}` {how}: the model may have seen test tiles in training")


def seen_groups(workspace: Workspace, model: Model, regions: Sequence[Artifact], tested: NDArray[Any]) -> int:
    """Returns the number of tested zoom-14 groups whose tiles the model may have seen in pretraining.

    Pretraining never uses labels. It leaves out the test groups of one split, but cross-validation tests all groups.

    Args:
        workspace: workspace of the artifacts.
        model: model to check.
        regions: `processed/` artifacts of the probed regions.
        tested: zoom-14 groups of the tested tiles, int64.

    Returns:
        The number of groups. It is 0 for baselines, and for models that were pretrained on other sources.
    """
    import numpy as np

    from geojepa_cli.tasks.splits import SPLITS, split_groups

    if model.artifact is None:
        return 0
    own = {source for region in regions for source in _sources(workspace, region)}
    if not own & _sources(workspace, model.artifact):
        return 0
    config = model_config(model.artifact).data
    groups = np.unique(tested)
    if config.exclude_test_groups:
        groups = groups[split_groups(groups, config.split_seed) != SPLITS.index("test")]
    return len(groups)


def _sources(workspace: Workspace, artifact: Artifact) -> set[str]:
    """Returns the ids of the sources of an artifact. Inputs that were removed are represented by their references."""
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
