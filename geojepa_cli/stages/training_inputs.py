"""Artifacts that a model is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from geojepa_cli import hints
from geojepa_cli.config.families import TileConfig
from geojepa_cli.config.gair import GairConfig
from geojepa_cli.errors import NotFoundError
from geojepa_cli.stages.image_features import ImageSource
from geojepa_cli.stages.rebuild import open_inputs
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.kinds import Remains, name_of
from geojepa_cli.workspace.workspace import Workspace, inputs_of_kind

if TYPE_CHECKING:
    from geojepa_cli.tasks.splits import Groups


class TrainingInputs(NamedTuple):
    """Artifacts to train on. Each list contains one entry per region.

    Attributes:
        processed: `processed/` artifacts.
        features: `features/` artifacts with text embeddings of tags.
        geometry: `features/` artifacts with geometry vectors; None if the model does not read geometry.
        images: `images/` artifacts. An entry is None if the region has no images or the model does not read images.
        image_tokens: `features/` artifacts with image tokens. An entry is None if the region has no images. None if the
            model reads no image tokens.
        image_source: encoder of the image tokens; None if training uses only tokens that were computed before.
        photos: `photos/` artifacts of each region; empty lists if the model reads no photos.
        encoder_groups: zoom-14 groups that the encoders of the geometry vectors saw in pretraining; None: unknown.
    """

    processed: list[Artifact]
    features: list[Artifact]
    geometry: list[Artifact] | None
    images: list[Artifact | None]
    image_tokens: list[Artifact | None] | None = None
    image_source: ImageSource | None = None
    photos: Sequence[Sequence[Artifact]] = ()
    encoder_groups: Groups | None = None

    @property
    def artifacts(self) -> list[Artifact]:
        """All artifacts in `processed`, `features`, `geometry`, `images`, `image_tokens` and `photos`, without None."""
        return [
            *self.processed,
            *self.features,
            *(self.geometry or []),
            *(artifact for artifact in (*self.images, *(self.image_tokens or [])) if artifact),
            *dict.fromkeys(artifact for some in self.photos for artifact in some),
        ]


def photos_of(workspace: Workspace, region: Artifact) -> list[Artifact]:
    """Returns the newest `photos/` artifacts of a region: of the sources of its tiles, or with the region's name.

    Args:
        workspace: workspace to search.
        region: `processed/` artifact.

    Raises:
        DataError: a `photos/` artifact is damaged.
    """
    known = Remains(region.name, region.params, region.inputs, workspace=workspace.root)
    names = {name_of(ref) for tiles in open_inputs(known, "tiles") for ref in inputs_of_kind(tiles, "source")}
    found = (workspace.newest("photos", name) for name in sorted({region.name, *names}))
    return [one for one in found if one is not None]


def photos_to_train(workspace: Workspace, regions: Sequence[Artifact], config: TileConfig) -> list[list[Artifact]]:
    """Returns the `photos/` artifacts of each region that a model is trained on. Empty lists if it reads no photos.

    Raises:
        NotFoundError: the model reads photos, but no region has any.
    """
    if not isinstance(config, GairConfig) or not config.ground.photos:
        return [[] for _ in regions]
    found = [photos_of(workspace, region) for region in regions]
    if not any(found):
        names = ", ".join(f"`{region.name}`" for region in regions)
        fetch = hints.run("fetch", photos="DIR", region=regions[0].name)
        message = f"`ground.photos` is true, but there are no photos of {names}"
        raise NotFoundError(message, fetch.or_else(hints.again(set={"ground.photos": "false"})))
    return found
