"""Plan of a probe: its regions, tasks and models, and what is known of their training data."""

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
        regions, tasks: processed artifacts and their task, in the same order.
        models: to test, TagPool included.
        heads: of `linear` and `mlp`.
    """

    regions: list[Artifact]
    tasks: list[Artifact]
    models: list[Model]
    heads: tuple[str, ...]


def plan_probe(workspace: Workspace, task: Tasks, model: Models, region: Regions, head: str) -> ProbePlan:
    """Finds the regions, tasks and models of a probe; see `probe` for the arguments.

    Raises:
        UsageError: an unknown head.
        NotFoundError: no such region, task or model; the hint has the command that makes it.
    """
    if head not in HEADS:
        raise UsageError(f"unknown head `{head}`; there are `linear`, `mlp` and `both`", hints.again(head="both"))
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
    """Warns of models that were trained on these regions with another split or without one.

    Such a model may have seen test tiles.
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
            how = "was trained on all tiles, test groups too (`data.exclude_test_groups` is false)"
        elif data.split_seed != seed:
            how = f"was trained with data.split_seed={data.split_seed}, the task was split with --seed {seed}"
        else:
            continue
        console.warn(f"`{model.ref}` {how}: test tiles may have been trained on")


def seen_groups(workspace: Workspace, model: Model, regions: Sequence[Artifact], tested: NDArray[Any]) -> int:
    """Counts the tested zoom-14 groups whose tiles (never their labels) the model may have seen in pretraining.

    Pretraining leaves out the test groups of one split; cross-validation tests all groups.

    Args:
        workspace: for the lineage of artifacts.
        model: to check.
        regions: that were probed.
        tested: int64 groups of the tested tiles.

    Returns:
        0 for TagPool, and for a model that was pretrained on other sources than these regions'.
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
    """Ids of the sources of an artifact; for an input that was removed, its reference."""
    found: set[str] = set()
    for ref in artifact.inputs:
        kind, _, name = ref.partition("/")
        if kind == "source":
            found.add(name.partition("@")[2])  # of the content: the same file may have two names
            continue
        try:
            found |= _sources(workspace, workspace.at(ref))
        except GeojepaError:
            found.add(ref)
    return found
