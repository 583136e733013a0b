"""Names of models in scores and reports, with marks for random weights and drawn images."""

from __future__ import annotations

from collections.abc import Sequence

from geojepa_cli.config.images import DRAWN_ATTRIBUTION, DRAWN_LABEL
from geojepa_cli.config.labels import RESERVED
from geojepa_cli.stages.drawing import shows_drawn_images
from geojepa_cli.stages.embedding_model import Model
from geojepa_cli.workspace.artifact import Artifact


def label_models(models: Sequence[Model], made_from: Sequence[Sequence[Artifact | None]]) -> list[str]:
    """Returns the name of each model in scores and reports.

    It has the id of the model if two models have the same name, or if a simple baseline has this name. Marks name
    random weights and drawn images.

    Args:
        models: models of a probe.
        made_from: for each model, the embeddings or images of the probe, which show if images are drawn.
    """
    names = [model.name for model in models]
    alike = len(set(names)) < len(names)
    labels = [model.ref if alike or model.name in RESERVED else model.name for model in models]
    labels = [model.label(label) for label, model in zip(labels, models, strict=True)]
    return [label + _drawn_mark(model, used) for label, model, used in zip(labels, models, made_from, strict=True)]


def _drawn_mark(model: Model, made_from: Sequence[Artifact | None]) -> str:
    drawn = shows_drawn_images(*made_from, model.artifact) or DRAWN_ATTRIBUTION in model.attribution
    return f" ({DRAWN_LABEL})" if drawn else ""
