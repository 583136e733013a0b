"""A small workspace of random artifacts for tests of what comes after `process`: no native binary, no text encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from synthetic_store import write_synthetic_features, write_synthetic_images, write_synthetic_processed

from geojepa_cli import Workspace
from geojepa_cli.store.reader import RegionStore
from geojepa_cli.workspace.artifact import Artifact

ATTRIBUTION = ["© OpenStreetMap contributors, ODbL 1.0"]


def add_region(
    workspace: Workspace,
    name: str,
    seed: int = 0,
    n_tiles: int = 120,
    corner: tuple[int, int] = (18048, 25956),
    with_images: bool = False,
    mean_entities: float = 12.0,
) -> Artifact:
    """Publishes a random region: an empty source, empty `tiles/`, `processed/`, `features/` and perhaps `images/`.

    Returns:
        The processed artifact.
    """
    with workspace.build("source", name, {"seed": seed}) as build:
        source = build.existing or build.publish(attribution=ATTRIBUTION)
    with workspace.build("tiles", name, {"zoom": 16, "seed": seed}, [source]) as build:
        tiles = build.existing or build.publish()
    with workspace.build("processed", name, {"seed": seed}, [tiles]) as build:
        path = build.partial / "processed.h5"
        write_synthetic_processed(path, seed, n_tiles, corner=corner, mean_entities=mean_entities)
        processed = build.publish()
    region = RegionStore(processed.file("processed.h5"), name)
    with workspace.build("features", name, {"seed": seed}, [processed]) as build:
        write_synthetic_features(build.partial / "tags.h5", region.n_vocab, seed, width=16)
        build.publish()
    if with_images:
        zxy = np.stack([region[f"tile/{axis}"] for axis in "zxy"], 1)[::2].tolist()
        with workspace.build("images", name, {"zoom": 16}, [source]) as build:
            write_synthetic_images(build.partial / "images.h5", [tuple(tile) for tile in zxy], seed)
            build.publish()
    return processed


def new_workspace(root: Path) -> Workspace:
    """Returns an empty workspace."""
    return Workspace(root)
