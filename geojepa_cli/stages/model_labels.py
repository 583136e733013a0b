"""Names of models in scores and reports. A mark shows that a model has random weights, or reads drawn images."""

from __future__ import annotations

from collections.abc import Sequence

from geojepa_cli.config.images import DRAWN_ATTRIBUTION, DRAWN_LABEL
from geojepa_cli.config.labels import RESERVED
from geojepa_cli.stages.drawing import shows_drawn_images
from geojepa_cli.stages.embedding_model import Model
from geojepa_cli.workspace.artifact import Artifact


def label_models(models: Sequence[Model], made_from: Sequence[Sequence[Artifact | None]]) -> list[str]:
    """Returns the name of each model in scores and reports.

    The name contains the id of the model if two models, or a model and a simple baseline, have the same name. A mark
    follows the name of a model that has random weights, or that reads images drawn from the map.

    Args:
        models: models of a probe.
        made_from: for each model, the artifacts with its embeddings or images. They show if images are drawn.
    """
    names = [model.name for model in models]
    alike = len(set(names)) < len(names)
    labels = [model.ref if alike or model.name in RESERVED else model.name for model in models]
    labels = [model.label(label) for label, model in zip(labels, models, strict=True)]
    return [label + _drawn_mark(model, used) for label, model, used in zip(labels, models, made_from, strict=True)]


def _drawn_mark(model: Model, made_from: Sequence[Artifact | None]) -> str:
    drawn = shows_drawn_images(*made_from, model.artifact) or DRAWN_ATTRIBUTION in model.attribution
    return f" ({DRAWN_LABEL})" if drawn else ""
