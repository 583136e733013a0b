"""A workspace with a painted region and a tiny GAIR model, for tests of commands that read images at points."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import NamedTuple

from painted_store import Painted, write_painted
from synthetic_workspace import ATTRIBUTION

from geojepa_cli import Workspace, stages
from geojepa_cli.workspace.artifact import Artifact

IMAGES = 40  # of the 64 tiles; the others have no image
SETTINGS: dict[str, object] = {
    **{"model.tag_dim": 16, "model.embed_dim": 16, "model.depth": 1, "model.num_heads": 2, "model.patch_px": 32},
    **{"model.decoder_dim": 16, "model.location_features": 8, "model.location_dim": 16, "model.location_layers": 1},
    **{"ground.queries": 64, "loss.queue": 50, "train.batch_tokens": 900, "train.max_steps": 3},
}


class PaintedWorkspace(NamedTuple):
    """The workspace, the painted region `town`, and the model `gair`."""

    workspace: Workspace
    painted: Painted
    model: Artifact


def painted_workspace(folder: Path, images: int = IMAGES) -> PaintedWorkspace:
    """Publishes the region `town` with images of its first tiles, and trains the model `gair` for a few steps."""
    workspace = Workspace(folder / "workspace")
    with tempfile.TemporaryDirectory(dir=folder) as made:
        painted = write_painted(Path(made), images=images)
        with workspace.build("source", "town", {"seed": 0}) as build:
            source = build.publish(attribution=ATTRIBUTION)
        with workspace.build("tiles", "town", {"zoom": 16, "seed": 0}, [source]) as build:
            tiles = build.publish()
        last = tiles
        for kind, file in (("processed", "processed.h5"), ("features", "tags.h5")):
            with workspace.build(kind, "town", {"seed": 0}, [last]) as build:
                (Path(made) / file).rename(build.partial / file)
                last = build.publish()
        with workspace.build("images", "town", {"zoom": 16}, [source]) as build:
            (Path(made) / "images.h5").rename(build.partial / "images.h5")
            build.publish()
    return PaintedWorkspace(workspace, painted, stages.pretrain(workspace, "gair.yaml", "town", SETTINGS))
