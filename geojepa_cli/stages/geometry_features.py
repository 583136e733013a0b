"""Geometry vectors in the stage `features/`: an encoder computes one vector for each OSM element in each tile."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from geojepa_cli import console, hints
from geojepa_cli.config.names import NO_ENCODER
from geojepa_cli.errors import DataError, NotFoundError
from geojepa_cli.hints import Hint
from geojepa_cli.stages.geometry_source import (
    ENCODER,
    FOURIER,
    POLYGON_GNN,
    TRAIN,
    GeometrySource,
    find_encoder,
    load_encoder,
    shipped_encoder,
    trained_encoder,
)
from geojepa_cli.stages.images import FILE as IMAGES_FILE
from geojepa_cli.stages.joined_images import joined_images, with_same_images
from geojepa_cli.stages.model_family import GAIR, has_family
from geojepa_cli.stages.processed import FILE as PROCESSED_FILE
from geojepa_cli.stages.rebuild import input_refs, open_inputs, text
from geojepa_cli.stages.shipped import SHIPPED_GEOMETRY, noting_version, ref_in, shipped_names
from geojepa_cli.stages.stage import Stage, rebuilding
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.build import Build
from geojepa_cli.workspace.kinds import Remains, name_of
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.config.schema import ModelConfig

FILE = "geometry.h5"


def rebuild_geometry(remains: Remains) -> Hint:
    """Returns the command that computes the geometry vectors of a `features/` artifact again."""
    processed, models = open_inputs(remains, "processed"), input_refs(remains, "models")
    base = processed[0].rebuild_hint() if processed else hints.run("process", region=remains.name)
    encoder = text(remains.params.get(ENCODER)) or FOURIER
    shipped = ref_in(remains.params)
    if shipped is not None:
        encoder = name_of(shipped)
    again = base.adding(text_encoder=NO_ENCODER, geometry_encoder=models[0] if models else encoder)
    return with_same_images(remains, noting_version(again, [shipped]))


GEOMETRY = Stage("features", version=1, rebuild=rebuild_geometry, registers=False)


def find_encoder_of(workspace: Workspace, processed: Artifact, config: ModelConfig) -> GeometrySource:
    """Finds the geometry encoder that a model reads. Its name and version are in the configuration of the model.

    Args:
        workspace: workspace with the trained geometry encoders.
        processed: `processed/` artifact of the region. If it has vectors of this encoder, the weights are not needed.
        config: architecture of the model.

    Raises:
        NotFoundError: there is no such encoder, or its weights do not exist any more.
        DataError: the vectors of the encoder have another length than the model expects.
    """
    from geojepa_cli.models.jepa.inputs import check_geometry

    name, version = config.geometry_encoder, config.geometry_version
    source = _of_version(workspace, processed, name, version) if version else None
    if source is None:
        source = find_encoder(workspace, name)
    if name in TRAIN and version not in (None, source.kind.version):
        raise _no_weights(workspace, name, version)
    check_geometry(config, source.kind)
    return source


def find_geometry(workspace: Workspace, processed: Artifact, source: GeometrySource) -> Artifact | None:
    """Returns the newest `features/` artifact with the geometry vectors of a region. None if there is none."""
    images = _images(workspace, processed, source)
    read = {processed.full_ref, *([] if images is None else [images.full_ref])}

    def fits(inputs: list[str], params: Mapping[str, Any]) -> bool:
        return read.issubset(inputs) and source.kind_params.items() <= dict(params).items()

    return workspace.newest("features", processed.name, fits)


def geometry_features(workspace: Workspace, processed: Artifact, source: GeometrySource, threads: int = 1) -> Artifact:
    """Returns the geometry vectors of a region. Computes them if they do not exist yet.

    Raises:
        NotFoundError: the vectors do not exist, and neither do the weights of the encoder.
    """
    found = find_geometry(workspace, processed, source)
    if found is None and source.model is None and source.kind.encoder in TRAIN:
        raise _no_weights(workspace, source.kind.encoder, source.kind.version)
    return found or make_geometry(workspace, processed, source, threads)


def make_geometry(workspace: Workspace, processed: Artifact, source: GeometrySource, threads: int = 1) -> Artifact:
    """Publishes the artifact `features/<region>` with the file `geometry.h5`.

    The file contains one geometry vector for each OSM element in each tile.

    Args:
        workspace: workspace to publish to.
        processed: `processed/` artifact of the region.
        source: geometry encoder.
        threads: number of threads; does not affect the result.

    Raises:
        DataError: `processed.h5` or the weights are damaged.
    """

    images = _images(workspace, processed, source)

    def write(build: Build) -> Artifact:
        from geojepa_cli.models.geometry_encoders import write_geometry_vectors

        with rebuilding(processed, source.artifact, images):
            encoder = load_encoder(source)
            assert encoder.kind == source.kind
            title = f"encode geometry of {processed.name} with {source.kind.encoder}"
            pieces = processed.counts.get("pieces", 0)
            with console.progress(title, pieces) as meter:
                files = processed.file(PROCESSED_FILE), build.partial / FILE
                pictures = None if images is None else images.file(IMAGES_FILE)
                counts = write_geometry_vectors(*files, encoder, threads, meter, pictures)
        return build.publish(counts=counts)

    inputs = [processed, *filter(None, (source.artifact, images))]
    return GEOMETRY.make(workspace, processed.name, source.params, inputs, write)


def _images(workspace: Workspace, processed: Artifact, source: GeometrySource) -> Artifact | None:
    """Returns the `images/` artifact that an encoder reads. None if it reads no images, or the region has none."""
    return joined_images(workspace, processed) if source.kind.encoder == GAIR else None


def _no_weights(workspace: Workspace, encoder: str, version: str) -> NotFoundError:
    message = f"the model reads geometry vectors of `{encoder}` {version}, which is not in `{workspace.root}`"
    return NotFoundError(message, TRAIN[encoder])


def _of_version(workspace: Workspace, processed: Artifact, encoder: str, version: str) -> GeometrySource | None:
    """Returns the encoder of a given version if its weights or its vectors of the region exist, otherwise None."""
    from geojepa_cli.store.geometry import GeometryKind

    for model in workspace.artifacts("models"):
        if encoder in TRAIN and has_family(model.params, encoder):
            source = trained_encoder(model)
            if source.kind.version == version:
                return source
    if encoder == POLYGON_GNN and SHIPPED_GEOMETRY in shipped_names():
        with contextlib.suppress(DataError):  # the vectors of the region may exist
            source = shipped_encoder()
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
