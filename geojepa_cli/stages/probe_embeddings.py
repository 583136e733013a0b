"""Makes the embeddings that a probe needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from geojepa_cli.config.labels import WITHOUT_SHARED
from geojepa_cli.config.limits import EntityLimits
from geojepa_cli.stages.embedding_model import Model
from geojepa_cli.stages.embeddings import make_embeddings
from geojepa_cli.stages.model_labels import label_models
from geojepa_cli.stages.probe_plan import ProbeSettings
from geojepa_cli.stages.probe_regions import BuiltTask
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace


class ModelEmbeddings(NamedTuple):
    """Embeddings of one model.

    Attributes:
        model: reference of the model.
        artifacts: `embeddings/` artifacts, one for each region.
    """

    model: str
    artifacts: list[Artifact]


def embed_models(
    workspace: Workspace, built: BuiltTask, models: Sequence[Model], settings: ProbeSettings
) -> dict[str, ModelEmbeddings]:
    """Returns the embeddings that a probe needs. Computes embeddings that do not exist yet.

    Models that are trained on labels, and language models, have no embeddings and are left out.

    If nothing is hidden from the models, all tiles within the entity limits of the task are embedded. These include
    tiles that the task does not use, for example because they lie outside its bounding box. So probes of other tasks
    with the same limits can use the same embeddings.

    Returns:
        A dict from the name of each model, as printed in the report, to its embeddings.
    """
    models = [model for model in models if not model.supervised and model.language is None]
    pairs = list(zip(built.regions, built.artifacts, strict=True))

    def embed(model: Model, hide_shared: bool) -> ModelEmbeddings:
        made = [
            make_embeddings(
                workspace,
                model,
                region,
                task if settings.masked or hide_shared else None,
                settings.masked,
                settings.device,
                settings.threads,
                task_limits(task),
                built.artifacts if hide_shared else (),
            )
            for region, task in pairs
        ]
        return ModelEmbeddings(model.ref, made)

    plain = [embed(model, False) for model in models]
    labels = label_models(models, [row.artifacts for row in plain])
    found = dict(zip(labels, plain, strict=True))
    if settings.without_shared:
        found |= {WITHOUT_SHARED.format(label): embed(model, True) for label, model in zip(labels, models, strict=True)}
    return found


def task_limits(task: Artifact) -> EntityLimits:
    """Returns the minimum and maximum number of entities in a tile that were set when the task was built."""
    low, high = task.params.get("min_entities"), task.params.get("max_entities")
    if not isinstance(low, int) or not isinstance(high, int):
        raise task.broken(f"`{task.path / 'manifest.json'}` has no valid `min_entities` and `max_entities`")
    return EntityLimits(low, high)
