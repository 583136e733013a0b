"""Geometry encoders that are available in a workspace: trained ones, and those that come with the package."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from geojepa_cli import hints
from geojepa_cli.config.names import WEIGHTS, checksum_version
from geojepa_cli.errors import DataError, GeojepaError, NotFoundError, UsageError, unknown
from geojepa_cli.stages.model_family import GAIR, has_family, newest_gair
from geojepa_cli.stages.shipped import REINSTALL, SHIPPED_GEOMETRY, ShippedModel, open_shipped, shipped_names
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.models.geometry_encoders import GeometryEncoder
    from geojepa_cli.store.geometry import GeometryKind

FOURIER, POLYGON_GNN = "fourier", "polygon_gnn"
TRAIN = {POLYGON_GNN: hints.run("pretrain", config="geometry.yaml"), GAIR: hints.run("pretrain", config="gair.yaml")}
ENCODER = "geometry_encoder"  # parameter of the artifacts; artifacts with text embeddings of tags do not have it


class GeometrySource(NamedTuple):
    """Geometry encoder that is available in a workspace.

    Attributes:
        kind: name and version of the encoder, and width of its vectors.
        model: trained encoder: a `models/` artifact, or a model that comes with the package. None for an encoder
            without weights.
    """

    kind: GeometryKind
    model: Artifact | ShippedModel | None = None

    @property
    def kind_params(self) -> dict[str, Any]:
        """Parameters that identify the vectors of this encoder in artifacts: name, version, and length of a vector."""
        return {ENCODER: self.kind.encoder, "geometry_version": self.kind.version, "geometry_dim": self.kind.dim}

    @property
    def params(self) -> dict[str, Any]:
        """Parameters of an artifact with vectors of this encoder: `kind_params`, and checksums of a shipped encoder."""
        model = self.model
        shipped = {"model": model.name, **model.params} if isinstance(model, ShippedModel) else {}
        return self.kind_params | shipped

    @property
    def artifact(self) -> Artifact | None:
        """The `models/` artifact with the weights. None if the encoder comes with the package or has no weights."""
        return self.model if isinstance(self.model, Artifact) else None


def find_encoder(workspace: Workspace, encoder: str) -> GeometrySource:
    """Finds a geometry encoder.

    Args:
        workspace: workspace with the trained geometry encoders.
        encoder: `fourier`, `polygon_gnn`, `gair`, or the `name` or `name@id` of a trained PolygonGNN or GAIR model.
            `polygon_gnn` is the newest PolygonGNN in the workspace or, if there is none, the one that comes with the
            package. `gair` is the newest GAIR model in the workspace.

    Raises:
        NotFoundError: there is no such encoder.
        UsageError: the model with this name is not a geometry encoder.
        DataError: the PolygonGNN that comes with the package is damaged.
    """
    from geojepa_cli.models.geometry_encoders import FOURIER as FOURIER_KIND

    if encoder == FOURIER:
        return GeometrySource(FOURIER_KIND)
    if encoder == POLYGON_GNN:
        newest = workspace.newest("models", None, lambda inputs, params: is_encoder(params))
        if newest is not None:
            return trained_encoder(newest)
        if SHIPPED_GEOMETRY not in shipped_names():
            raise NotFoundError(f"there is no trained geometry encoder in `{workspace.root}`", TRAIN[POLYGON_GNN])
        return shipped_encoder()
    if encoder == GAIR:
        return trained_encoder(newest_gair(workspace, TRAIN[GAIR]))
    if encoder.partition("@")[0] == SHIPPED_GEOMETRY and SHIPPED_GEOMETRY in shipped_names():
        return shipped_encoder(encoder)
    names = {artifact.name for artifact in workspace.artifacts("models") if _family(artifact.params)}
    if encoder.partition("@")[0] not in workspace.names("models"):
        raise unknown(
            "geometry encoder",
            encoder,
            [FOURIER, POLYGON_GNN, GAIR, *sorted(names), *({SHIPPED_GEOMETRY} & {*shipped_names()})],
            hints.again(geometry_encoder=FOURIER),
            "--geometry-encoder",
        )
    model = workspace.find("models", encoder)
    if _family(model.params) is None:
        raise UsageError(f"the model `{model.ref}` is not a geometry encoder", hints.again(geometry_encoder=FOURIER))
    return trained_encoder(model)


def is_encoder(params: Mapping[str, Any]) -> bool:
    """Returns True if the parameters of a `models/` artifact are those of a trained geometry encoder."""
    return has_family(params, POLYGON_GNN)


def _family(params: Mapping[str, Any]) -> str | None:
    """Returns the encoder of which a `models/` artifact with these parameters has the weights. None if it has none."""
    return next((family for family in TRAIN if has_family(params, family)), None)


def load_encoder(source: GeometrySource) -> GeometryEncoder:
    """Loads a geometry encoder.

    Raises:
        DataError: the weights are missing or damaged.
    """
    from geojepa_cli.models.geometry_encoders import fourier_encoder, gair_encoder, polygon_encoder

    model = source.model
    if model is None:
        return fourier_encoder()
    if isinstance(model, Artifact):
        load = gair_encoder if source.kind.encoder == GAIR else polygon_encoder
        return load(model.verified_file(WEIGHTS).parent, source.kind.version)
    try:
        return polygon_encoder(model.folder, source.kind.version)
    except GeojepaError as error:
        raise DataError(error.message, REINSTALL) from error


def shipped_encoder(ref: str = SHIPPED_GEOMETRY) -> GeometrySource:
    """Returns the PolygonGNN that comes with the package.

    Args:
        ref: `name` or `name@id` of this PolygonGNN.

    Raises:
        NotFoundError: the installed encoder has another id.
        DataError: a file of the encoder is missing or damaged.
    """
    from geojepa_cli.config.geometry import GeometryConfig

    model = open_shipped(ref, "geometry_encoder")
    config = model.config
    if not isinstance(config, GeometryConfig):
        raise DataError(f"`{model.folder}` does not contain a geometry encoder", REINSTALL)
    return GeometrySource(_kind(POLYGON_GNN, model.weights_sha256, config.model.dim), model)


def trained_encoder(model: Artifact) -> GeometrySource:
    """Returns the geometry encoder in a `models/` artifact, a PolygonGNN or a GAIR model.

    Raises:
        DataError: the manifest of the artifact does not describe a geometry encoder.
    """
    from geojepa_cli.models.geometry_encoders import FOURIER as FOURIER_KIND

    family = _family(model.params) or POLYGON_GNN
    try:
        digest, sizes = model.manifest["files"][WEIGHTS]["sha256"], model.params["config"]["model"]
        dim = FOURIER_KIND.dim + int(sizes["embed_dim"]) if family == GAIR else int(sizes["dim"])
    except (KeyError, TypeError):
        raise model.broken(f"the manifest of `{model.path}` does not describe a geometry encoder") from None
    return GeometrySource(_kind(family, digest, dim), model)


def _kind(encoder: str, weights_sha256: str, dim: int) -> GeometryKind:
    from geojepa_cli.store.geometry import GeometryKind

    return GeometryKind(encoder, checksum_version(weights_sha256), dim)
