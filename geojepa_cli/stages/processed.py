"""`processed/`: tiles as model-ready columns, made by the native binary."""

from __future__ import annotations

from geojepa_cli import hints, native
from geojepa_cli.errors import DataError
from geojepa_cli.hints import Hint
from geojepa_cli.stages.stage import Stage
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.build import Build
from geojepa_cli.workspace.kinds import Remains
from geojepa_cli.workspace.workspace import Workspace

FILE = "processed.h5"


def _rebuild(remains: Remains) -> Hint:
    return hints.run("process", region=remains.name)


# version 2: rounding is within the tolerance of the simplification; version 3: with `object/version`
PROCESSED = Stage("processed", version=3, rebuild=_rebuild)


def make_processed(
    workspace: Workspace, tiles: Artifact, simplify_m: float = 0.5, visibility_k: int = 1, threads: int = 1
) -> Artifact:
    """Publishes `processed/<region>`: `processed.h5`, with the layout of docs/formats.md.

    Args:
        workspace: to publish in.
        tiles: of the region.
        simplify_m: largest distance of the simplified geometry from the original, in metres.
        visibility_k: visibility edges per node.
        threads: do not change the result.
    """
    params = {"simplify_m": simplify_m, "visibility_k": visibility_k}

    def write(build: Build) -> Artifact:
        arguments = ["process", "--input", str(tiles.file("tiles.h5")), "--output", str(build.partial / FILE)]
        arguments += ["--simplify-m", repr(simplify_m), "--visibility-k", str(visibility_k), "--threads", str(threads)]
        try:
            summary = native.run(arguments, f"process {tiles.name}", tiles.rebuild_hint())
        except DataError as error:
            if tiles.verify():  # damaged, with the size in the manifest: `tile` alone would skip it
                raise tiles.broken(error.message) from error
            raise
        extra = {"crs": "tile-local east, north", "units": {"box": "tile", "xy": "tile"}}
        return build.publish(counts=summary["counts"], extra=extra)

    return PROCESSED.make(workspace, tiles.name, params, [tiles], write)
