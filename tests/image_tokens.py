"""Image tokens as `process --image-encoder E --image-weights FILE` stores them, with random values."""

from __future__ import annotations

import numpy as np

from geojepa_cli import Workspace
from geojepa_cli.stages.image_features import FILE, IMAGE_TOKENS, ImageSource
from geojepa_cli.store.image_tokens import ImageTokenKind, write_image_tokens
from geojepa_cli.store.images import ImageStore
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.build import Build


def store_tokens(
    workspace: Workspace, region: str, encoder: str, version: str = "sha256-000000000000", seed: int = 0
) -> Artifact:
    """Publishes image tokens of the newest images of a region."""
    images = workspace.find("images", region)
    kind = ImageTokenKind(encoder, version)

    def write(build: Build) -> Artifact:
        count, form = len(ImageStore(images.file("images.h5"))), kind.form
        rng = np.random.default_rng(seed)
        batches = (rng.standard_normal((1, form.tokens, form.dim)).astype(np.float32) for _ in range(count))
        write_image_tokens(build.partial / FILE, count, kind, batches)
        return build.publish(counts={"images": count})

    return IMAGE_TOKENS.make(workspace, region, ImageSource(kind).params, [images], write)
