"""Zoom-14 tiles (groups) that a model saw in pretraining. `probe` compares them with the tested tiles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from geojepa_cli.config.modality import Modality
from geojepa_cli.errors import DataError, NotFoundError
from geojepa_cli.stages.embedding_model import Model
from geojepa_cli.stages.geometry_source import ENCODER
from geojepa_cli.stages.image_backbones import IMAGE_MODELS
from geojepa_cli.stages.model_family import GAIR
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace, inputs_of_kind

if TYPE_CHECKING:
    from geojepa_cli.tasks.splits import Groups


def trained_elsewhere(model: Model) -> bool:
    """Returns True for language models and pretrained image backbones: their training data are unknown."""
    backbone = model.is_baseline and model.name in IMAGE_MODELS
    return model.language is not None or (backbone and not model.has_random_images())


def groups_of(model: Model) -> Groups | None:
    """Returns the zoom-14 tiles (groups) that a model saw in pretraining, int64.

    Returns an empty array if the model saw no tile, and None if it does not record the tiles that it saw.

    Raises:
        DataError: the file with the record is damaged.
    """
    import numpy as np

    from geojepa_cli.tasks.trained_groups import FILE, read_groups

    if trained_elsewhere(model):
        return None
    if model.config is None or model.data_config() is None or (model.untrained and not reads_gair(model)):
        return np.empty(0, np.int64)
    if model.artifact is None:
        path = model.shipped.folder / FILE if model.shipped else None
        return read_groups(path) if path is not None and path.is_file() else None
    if FILE not in model.artifact.manifest["files"]:
        return None
    path = model.artifact.verified_file(FILE)
    try:
        return read_groups(path)
    except DataError as error:
        raise model.artifact.broken(error.message) from error


def reads_gair(model: Model) -> bool:
    """Returns True for a model that reads vectors of a GAIR model, which saw tiles in its own pretraining."""
    from geojepa_cli.config.schema import PretrainConfig

    config = model.config
    if not isinstance(config, PretrainConfig) or Modality.GEOMETRY not in config.needs:
        return False
    return config.model.geometry_encoder == GAIR


def groups_of_encoders(workspace: Workspace, vectors: Sequence[Artifact]) -> Groups | None:
    """Returns the zoom-14 tiles (groups) that the encoders of geometry vectors saw in pretraining, int64.

    Returns None if an encoder does not record them, or does not exist any more.

    Args:
        workspace: workspace with the encoders.
        vectors: `features/` artifacts with geometry vectors.

    Raises:
        DataError: the file with the record is damaged.
    """
    import numpy as np

    made = [one for one in vectors if one.params.get(ENCODER) == GAIR]
    found = [np.empty(0, np.int64)]
    for ref in sorted({ref for one in made for ref in inputs_of_kind(one, "models")}):
        try:
            encoder = workspace.at(ref)
        except NotFoundError:
            return None
        groups = groups_of(Model(encoder.name, encoder))
        if groups is None:
            return None
        found.append(groups)
    return np.unique(np.concatenate(found))


def learned_without_tiles(model: Model) -> bool:
    """Returns True for a model that was trained on other data than tiles, such as the geometry encoder."""
    config = model.config
    return config is not None and model.data_config() is None and not model.untrained
