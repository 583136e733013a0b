"""Finds the networks of image backbones, which `probe` tests as they are (`resnet50`) or trains (`resnet50-tuned`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from geojepa_cli import hints
from geojepa_cli.config.images import IMAGE_BASELINES, RANDOM, RANDOM_SUFFIX, TUNED_BASELINES
from geojepa_cli.errors import NotFoundError, UsageError
from geojepa_cli.stages.image_features import (
    IMAGE_ENCODER,
    IMAGE_VERSION,
    ImageSource,
    find_image_encoder,
    find_image_tokens,
)
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace

IMAGE_MODELS = IMAGE_BASELINES | TUNED_BASELINES  # name of the baseline -> image encoder
RANDOM_MODELS = {name for name in IMAGE_MODELS if name.endswith(RANDOM_SUFFIX)}


def find_backbone(workspace: Workspace, images: Artifact, baseline: str) -> ImageSource:
    """Finds the frozen image encoder of a baseline such as `resnet50`.

    Its weights are those of the newest stored tokens of this encoder in the workspace, whatever their region: so all
    regions have vectors of the same weights. If there are no tokens, they are those in torchvision's cache, or of the
    package geoembed. Random weights are used only for a name with the suffix `-random`.

    Args:
        workspace: workspace with the tokens.
        images: `images/` artifact of the region.
        baseline: name of the baseline, a key of `IMAGE_BASELINES`.

    Raises:
        NotFoundError: the weights do not exist, or are of another version than the stored tokens.
        MissingExtraError: torchvision, or the package geoembed, is not installed.
    """
    from geojepa_cli.store.image_tokens import ImageTokenKind

    encoder = IMAGE_BASELINES[baseline]
    if baseline.endswith(RANDOM_SUFFIX):
        return ImageSource(ImageTokenKind(encoder, RANDOM))

    def fits(inputs: list[str], params: Mapping[str, Any]) -> bool:
        return params.get(IMAGE_ENCODER) == encoder and params.get(IMAGE_VERSION) != RANDOM

    newest = workspace.newest("features", None, fits)
    version = None if newest is None else str(newest.params[IMAGE_VERSION])
    if version is not None:
        stored = ImageSource(ImageTokenKind(encoder, version))
        if find_image_tokens(workspace, images, stored):
            return stored
    file = hints.run("process", region=images.name, image_encoder=encoder, image_weights="FILE")
    source = find_image_encoder(encoder, None, file)
    if version not in (None, source.kind.version):
        message = f"the newest image tokens of `{encoder}` are of the weights {version}, but the available weights are"
        raise NotFoundError(f"{message} {source.kind.version}", file.noting(f"FILE: the weights {version}"))
    return source


def find_tuned_backbone(name: str, weights: str | None) -> ImageSource:
    """Finds the network with which the training of a backbone begins.

    Args:
        name: name of the baseline, a key of `TUNED_BASELINES`. Random weights are used only for a name with the suffix
            `-random`.
        weights: path of a file with weights. None for those in torchvision's cache.

    Raises:
        NotFoundError: the weights do not exist.
        MissingExtraError: torchvision is not installed.
    """
    given = RANDOM if name.endswith(RANDOM_SUFFIX) else weights
    typed = name if weights is None else f"{name}={weights}"
    from_file = hints.instead(("--model", typed), ("--model", f"{name}=FILE"))
    return find_image_encoder(TUNED_BASELINES[name], given, from_file)


def split_weights(ref: str) -> tuple[str, str | None]:
    """Splits `NAME=FILE` into the name of a backbone to train and the path of its weights.

    Any other reference is returned unchanged, without a path.

    Raises:
        UsageError: the backbone has random weights by its name.
    """
    name, given, file = ref.partition("=")
    if not given or name not in TUNED_BASELINES:
        return ref, None
    if name.endswith(RANDOM_SUFFIX) or not file:
        message = f"`--model {ref}`: " + (f"`{name}` has random weights" if file else "expected the path of a file")
        right = f"{name.removesuffix(RANDOM_SUFFIX)}={file or 'FILE'}"
        raise UsageError(message, hints.instead(("--model", ref), ("--model", right)))
    return name, file


def with_weights(name: str, params: Mapping[str, Any]) -> str:
    """Returns the value of `--model` that repeats a probe, for a model in its parameters. Paths are not recorded."""
    versions = params.get("image_weights")
    version = versions.get(name) if isinstance(versions, Mapping) else None
    return name if version in (None, RANDOM) else f"{name}=FILE"
