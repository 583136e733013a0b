"""Image tokens in the stage `features/`: computes the tokens of a region's images with a frozen image encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from geojepa_cli import console, hints
from geojepa_cli.config.images import (
    DRAWN,
    FROZEN_ENCODERS,
    GEOEMBED,
    GEOEMBED_VERSION,
    RANDOM,
)
from geojepa_cli.config.modality import IMAGES, Needs, sees_only_images
from geojepa_cli.config.names import NO_ENCODER
from geojepa_cli.errors import NotFoundError, unknown
from geojepa_cli.hints import Hint
from geojepa_cli.stages.device import pick_device
from geojepa_cli.stages.images import FILE as IMAGES_FILE
from geojepa_cli.stages.joined_images import joined_images
from geojepa_cli.stages.rebuild import open_inputs, text
from geojepa_cli.stages.stage import Stage, rebuilding
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.build import Build
from geojepa_cli.workspace.kinds import Remains
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.config.schema import ModelConfig
    from geojepa_cli.models.image_encoders import FrozenImageEncoder, ImageEncoder
    from geojepa_cli.store.image_tokens import ImageTokenKind

FILE = "image_tokens.h5"
IMAGE_ENCODER, IMAGE_VERSION = "image_encoder", "image_version"  # parameters of the artifacts


def rebuild_image_tokens(remains: Remains) -> Hint:
    """Returns the command that computes the image tokens of a `features/` artifact again."""
    base, images = hints.run("process", region=remains.name), open_inputs(remains, "images")
    if images and remains.root is not None:
        workspace = Workspace(remains.root)
        for processed in workspace.artifacts("processed", remains.name):
            if joined_images(workspace, processed) == images[0]:
                base = processed.rebuild_hint()
                break
        else:
            base = base.after(images[0].rebuild_hint())
    encoder, version = (text(remains.params.get(name)) for name in (IMAGE_ENCODER, IMAGE_VERSION))
    packaged = (encoder, version) == (GEOEMBED, GEOEMBED_VERSION)
    weights = RANDOM if version == RANDOM else None if packaged else "FILE"
    again = base.adding(text_encoder=NO_ENCODER, image_encoder=encoder, image_weights=weights)
    return again if weights != "FILE" else again.noting(f"FILE: the weights {version}")


IMAGE_TOKENS = Stage("features", version=1, rebuild=rebuild_image_tokens, registers=False)


class ImageSource(NamedTuple):
    """Frozen image encoder that is available, or whose tokens are available.

    Attributes:
        kind: name of the encoder, and version of its weights.
        weights: path of the file with the weights. None for random weights, or if only the tokens are available.
    """

    kind: ImageTokenKind
    weights: Path | None = None

    @property
    def params(self) -> dict[str, Any]:
        """Parameters of the artifacts with tokens of this encoder."""
        return {IMAGE_ENCODER: self.kind.encoder, IMAGE_VERSION: self.kind.version}

    def load(self) -> FrozenImageEncoder:
        """Loads the encoder.

        Raises:
            DataError: the weights are damaged, or those of another network.
        """
        from geojepa_cli.models.image_encoders import load_image_encoder

        return load_image_encoder(self.kind, self.weights)

    def load_to_train(self, image_px: int) -> ImageEncoder:
        """Loads the encoder for images with a given side in pixels. Its weights can be trained. See `load`."""
        from geojepa_cli.models.image_encoders import ImageEncoder
        from geojepa_cli.models.image_networks import load_image_network

        return ImageEncoder(load_image_network(self.kind, self.weights, image_px), self.kind)


def find_image_encoder(encoder: str, weights: str | Path | None, from_file: Hint | None = None) -> ImageSource:
    """Finds a frozen image encoder.

    Args:
        encoder: name of the encoder, such as `vit_b_16`.
        weights: path of a file, or `random`. None for the file in torchvision's cache, or that of the
            package geoembed.
        from_file: command that uses weights from a file, for error messages. Default: `process`.

    Raises:
        NotFoundError: the encoder is unknown, or its weights do not exist.
        MissingExtraError: torchvision, or the package geoembed, is not installed.
    """
    from geojepa_cli.models.image_weights import find_weights, weights_version
    from geojepa_cli.store.image_tokens import ImageTokenKind

    if encoder not in FROZEN_ENCODERS:
        first = hints.again(image_encoder=next(iter(FROZEN_ENCODERS)))
        raise unknown("image encoder", encoder, FROZEN_ENCODERS, first, "--image-encoder")
    if weights == RANDOM:
        return ImageSource(ImageTokenKind(encoder, RANDOM))
    from_file = from_file or hints.run("process", image_encoder=encoder, image_weights="FILE")
    path = Path(weights) if weights is not None else find_weights(encoder, from_file)
    return ImageSource(ImageTokenKind(encoder, weights_version(encoder, path, from_file)), path)


def find_image_encoder_of(
    workspace: Workspace, images: Sequence[Artifact | None], config: ModelConfig, to_run: bool = False
) -> ImageSource:
    """Finds the frozen image encoder that a model configuration names, in the version that the configuration names.

    Args:
        workspace: workspace with the tokens.
        images: `images/` artifacts of the regions. If all have tokens of this version, the weights are not needed.
        config: architecture of the model.
        to_run: True if the weights are needed in any case, for training.

    Raises:
        NotFoundError: the weights do not exist, or are of another version.
        MissingExtraError: torchvision, or the package geoembed, is not installed.
    """
    from geojepa_cli.store.image_tokens import ImageTokenKind

    name, version, weights = config.image_encoder, config.image_version, config.image_weights
    if version is not None and weights is None and not to_run:
        source = ImageSource(ImageTokenKind(name, version))
        if all(one is None or find_image_tokens(workspace, one, source) for one in images):
            return source
    file = hints.again(set={"model.image_weights": "FILE"})  # for `pretrain`
    if version is not None and not to_run:
        regions = [one.name for one in images if one is not None]
        file = hints.run("process", region=regions, image_encoder=name, image_weights="FILE")
    source = find_image_encoder(name, RANDOM if version == RANDOM and weights is None else weights, file)
    if version not in (None, source.kind.version):
        message = f"the model reads image tokens of `{name}` {version}, but the available weights are"
        raise NotFoundError(f"{message} {source.kind.version}", file.noting(f"FILE: the weights {version}"))
    return source


def find_image_tokens(workspace: Workspace, images: Artifact, source: ImageSource) -> Artifact | None:
    """Returns the newest `features/` artifact with the tokens of an `images/` artifact, or None."""

    def fits(inputs: list[str], params: Mapping[str, Any]) -> bool:
        return images.full_ref in inputs and dict(params) == source.params

    return workspace.newest("features", images.name, fits)


def image_tokens(
    workspace: Workspace, images: Artifact, source: ImageSource, device: str = "cpu", threads: int = 1
) -> Artifact:
    """Returns the image tokens of an `images/` artifact. Computes them if they do not exist yet."""
    return find_image_tokens(workspace, images, source) or make_image_tokens(workspace, images, source, device, threads)


def make_image_tokens(
    workspace: Workspace, images: Artifact, source: ImageSource, device: str = "cpu", threads: int = 1
) -> Artifact:
    """Publishes the artifact `features/<region>` with the file `image_tokens.h5`: the tokens of each image.

    Args:
        workspace: workspace to publish to.
        images: `images/` artifact of the region.
        source: frozen image encoder.
        device: device that runs the encoder: `cpu`, `cuda` or `auto`. A GPU rounds differently.
        threads: number of CPU threads; does not affect the result.

    Raises:
        DataError: `images.h5` or the weights are damaged.
    """

    def write(build: Build) -> Artifact:
        from geojepa_cli.models.image_encoders import write_region_tokens

        encoder = source.load().to(pick_device(device))
        title = f"encode images of {images.name} with {source.kind.encoder}"
        with rebuilding(images), console.progress(title, images.counts.get("images", 0)) as meter:
            path = build.partial / FILE
            counts = write_region_tokens(images.file(IMAGES_FILE), path, encoder, threads, meter)
        return build.publish(counts=counts)

    return IMAGE_TOKENS.make(workspace, images.name, source.params, [images], write)


def images_of(
    workspace: Workspace, processed: Sequence[Artifact], reason: str = "", otherwise: Hint | None = None
) -> list[Artifact | None]:
    """Returns the `images/` artifact of each region, or None for regions without images.

    Args:
        workspace: workspace to search.
        processed: `processed/` artifacts of the regions.
        reason: text that comes first in the error message.
        otherwise: command that needs no images, for the error message.

    Raises:
        NotFoundError: no region has images.
    """
    found = [joined_images(workspace, region) for region in processed]
    if not any(found):
        names = ", ".join(f"`{region.name}`" for region in processed)
        hint = hints.run("fetch", pbf="FILE", name=processed[0].name, imagery="DIR").noting("then `tile`, `process`")
        message = f"{reason}there are no images for the tiles of {names}"
        drawn = hints.run("tile", region=[region.name for region in processed], imagery=DRAWN)
        raise NotFoundError(message, hint.or_else(otherwise or drawn))
    return found


def images_to_read(workspace: Workspace, processed: Artifact, needs: Needs) -> Artifact | None:
    """Returns the `images/` artifact of a region that a model reads. None if it reads none, or can do without.

    Args:
        workspace: workspace to search.
        processed: `processed/` artifact of the region.
        needs: modalities that the model reads.

    Raises:
        NotFoundError: the region has no images, and the model reads nothing else.
    """
    if not IMAGES & needs:
        return None
    if sees_only_images(needs):
        return images_of(workspace, [processed])[0]
    return joined_images(workspace, processed)
