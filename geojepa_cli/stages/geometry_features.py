"""Geometry vectors in the stage `features/`: computes one vector for each piece of a region with a geometry encoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from geojepa_cli import console, hints
from geojepa_cli.errors import NotFoundError, UsageError, unknown
from geojepa_cli.hints import Hint
from geojepa_cli.stages.processed import FILE as PROCESSED_FILE
from geojepa_cli.stages.rebuild import input_refs, open_inputs, text
from geojepa_cli.stages.stage import Stage, rebuilding
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.build import Build
from geojepa_cli.workspace.kinds import Remains
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.config.schema import ModelConfig
    from geojepa_cli.store.geometry import GeometryKind

FILE = "geometry.h5"
FOURIER, POLYGON_GNN, NO_ENCODER = "fourier", "polygon_gnn", "none"
ENCODER = "geometry_encoder"  # parameter of the artifacts; artifacts with text embeddings of tags do not have it
WEIGHTS = "weights.safetensors"
VERSION_DIGITS = 12  # of the SHA-256 of the weights


def rebuild_geometry(remains: Remains) -> Hint:
    """Returns the command that computes the geometry vectors of a `features/` artifact again."""
    processed, models = open_inputs(remains, "processed"), input_refs(remains, "models")
    base = processed[0].rebuild_hint() if processed else hints.run("process", region=remains.name)
    encoder = text(remains.params.get(ENCODER)) or FOURIER
    return base.adding(text_encoder=NO_ENCODER, geometry_encoder=models[0] if models else encoder)


GEOMETRY = Stage("features", version=1, rebuild=rebuild_geometry, registers=False)


class GeometrySource(NamedTuple):
    """Geometry encoder that is available in a workspace.

    Attributes:
        kind: name and version of the encoder, and width of its vectors.
        model: `models/` artifact with the weights; None for an encoder without weights.
    """

    kind: GeometryKind
    model: Artifact | None = None

    @property
    def params(self) -> dict[str, Any]:
        """Parameters of the artifacts with vectors of this encoder."""
        return {ENCODER: self.kind.encoder, "geometry_version": self.kind.version, "geometry_dim": self.kind.dim}


def find_encoder(workspace: Workspace, encoder: str) -> GeometrySource:
    """Finds a geometry encoder.

    Args:
        workspace: workspace with the trained geometry encoders.
        encoder: `fourier`, `polygon_gnn` for the newest trained PolygonGNN, or `name` or `name@id` of a trained one.

    Raises:
        NotFoundError: there is no such encoder, or no PolygonGNN has been trained.
        UsageError: the model with this name is not a geometry encoder.
    """
    from geojepa_cli.models.geometry_encoders import FOURIER as FOURIER_KIND

    if encoder == FOURIER:
        return GeometrySource(FOURIER_KIND)
    if encoder == POLYGON_GNN:
        newest = workspace.newest("models", None, lambda inputs, params: is_encoder(params))
        if newest is None:
            train = hints.run("pretrain", config="geometry.yaml")
            raise NotFoundError(f"there is no trained geometry encoder in `{workspace.root}`", train)
        return _polygon_gnn(newest)
    names = {artifact.name for artifact in workspace.artifacts("models") if is_encoder(artifact.params)}
    if encoder.partition("@")[0] not in workspace.names("models"):
        raise unknown(
            "geometry encoder",
            encoder,
            [FOURIER, POLYGON_GNN, *sorted(names)],
            hints.again(geometry_encoder=FOURIER),
            "--geometry-encoder",
        )
    model = workspace.find("models", encoder)
    if not is_encoder(model.params):
        raise UsageError(f"the model `{model.ref}` is not a geometry encoder", hints.again(geometry_encoder=FOURIER))
    return _polygon_gnn(model)


def find_encoder_of(workspace: Workspace, processed: Artifact, config: ModelConfig) -> GeometrySource:
    """Finds the geometry encoder that a model configuration names, in the version that the configuration names.

    Args:
        workspace: workspace with the trained geometry encoders.
        processed: `processed/` artifact of the region. If it has vectors of this version, the weights are not needed.
        config: architecture of the model.

    Raises:
        NotFoundError: there is no such encoder, or its weights do not exist any more.
        DataError: the encoder has another width than the configuration.
    """
    from geojepa_cli.models.jepa.inputs import check_geometry

    name, version = config.geometry_encoder, config.geometry_version
    source = _of_version(workspace, processed, name, version) if version else None
    if source is None:
        source = find_encoder(workspace, name)
    if name == POLYGON_GNN and version not in (None, source.kind.version):
        raise _no_weights(workspace, version)
    check_geometry(config, source.kind)
    return source


def find_geometry(workspace: Workspace, processed: Artifact, source: GeometrySource) -> Artifact | None:
    """Returns the newest `features/` artifact with the geometry vectors of a region, or None."""

    def fits(inputs: list[str], params: Mapping[str, Any]) -> bool:
        return processed.full_ref in inputs and dict(params) == source.params

    return workspace.newest("features", processed.name, fits)


def geometry_features(workspace: Workspace, processed: Artifact, source: GeometrySource, threads: int = 1) -> Artifact:
    """Returns the geometry vectors of a region. Computes them if they do not exist yet.

    Raises:
        NotFoundError: the vectors do not exist, and neither do the weights of the encoder.
    """
    found = find_geometry(workspace, processed, source)
    if found is None and source.model is None and source.kind.encoder == POLYGON_GNN:
        raise _no_weights(workspace, source.kind.version)
    return found or make_geometry(workspace, processed, source, threads)


def make_geometry(workspace: Workspace, processed: Artifact, source: GeometrySource, threads: int = 1) -> Artifact:
    """Publishes the artifact `features/<region>` with the file `geometry.h5`: one vector for each piece.

    Args:
        workspace: workspace to publish to.
        processed: `processed/` artifact of the region.
        source: geometry encoder.
        threads: number of threads; does not affect the result.

    Raises:
        DataError: `processed.h5` or the weights are damaged.
    """

    def write(build: Build) -> Artifact:
        from geojepa_cli.models.geometry_encoders import fourier_encoder, polygon_encoder, write_geometry_vectors

        with rebuilding(processed, source.model):
            model = source.model
            encoder = polygon_encoder(model.path, source.kind.version) if model else fourier_encoder()
            assert encoder.kind == source.kind
            title = f"encode geometry of {processed.name} with {source.kind.encoder}"
            pieces = processed.counts.get("pieces", 0)
            with console.progress(title, pieces) as meter:
                path = build.partial / FILE
                counts = write_geometry_vectors(processed.file(PROCESSED_FILE), path, encoder, threads, meter)
        return build.publish(counts=counts)

    inputs = [processed, *([source.model] if source.model else [])]
    return GEOMETRY.make(workspace, processed.name, source.params, inputs, write)


def is_encoder(params: Mapping[str, Any]) -> bool:
    """Returns True if the parameters of a `models/` artifact are those of a trained geometry encoder."""
    config = params.get("config")
    return isinstance(config, Mapping) and config.get("family") == POLYGON_GNN


def _polygon_gnn(model: Artifact) -> GeometrySource:
    from geojepa_cli.store.geometry import GeometryKind

    try:
        digest, dim = model.manifest["files"][WEIGHTS]["sha256"], model.params["config"]["model"]["dim"]
    except (KeyError, TypeError):
        raise model.broken(f"the manifest of `{model.path}` does not describe a geometry encoder") from None
    return GeometrySource(GeometryKind(POLYGON_GNN, f"sha256-{digest[:VERSION_DIGITS]}", int(dim)), model)


def _no_weights(workspace: Workspace, version: str) -> NotFoundError:
    message = f"the model reads geometry vectors of `{POLYGON_GNN}` {version}, which is not in"
    return NotFoundError(f"{message} `{workspace.root}`", hints.run("pretrain", config="geometry.yaml"))


def _of_version(workspace: Workspace, processed: Artifact, encoder: str, version: str) -> GeometrySource | None:
    """Returns an encoder of a given version: one whose weights exist, or one whose vectors of the region exist."""
    from geojepa_cli.store.geometry import GeometryKind

    for model in workspace.artifacts("models"):
        if encoder == POLYGON_GNN and is_encoder(model.params):
            source = _polygon_gnn(model)
            if source.kind.version == version:
                return source
    for made in workspace.artifacts("features", processed.name):
        params = made.params
        if processed.full_ref in made.inputs and (params.get(ENCODER), params.get("geometry_version")) == (
            encoder,
            version,
        ):
            return GeometrySource(GeometryKind(encoder, version, params["geometry_dim"]))
    return None
