"""Stage `processed/`: the program `geojepa-tiler` converts the tiles of a region to model inputs."""

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
UNNAMED = "the input is damaged"  # the binary does not name its only input


def _rebuild(remains: Remains) -> Hint:
    return hints.run("process", region=remains.name)


# version 2: rounding errors stay within the tolerance of the simplification; version 3 added `object/version`
PROCESSED = Stage("processed", version=4, rebuild=_rebuild)


def make_processed(
    workspace: Workspace, tiles: Artifact, simplify_m: float = 0.5, visibility_k: int = 1, threads: int = 1
) -> Artifact:
    """Publishes the artifact `processed/<region>` with the file `processed.h5`, described in docs/formats.md.

    Args:
        workspace: workspace to publish to.
        tiles: `tiles/` artifact of the region.
        simplify_m: maximum distance between simplified and original geometry, in metres.
        visibility_k: number of visibility edges per vertex. A visibility edge joins a vertex to a near vertex of
            another line or ring of the same OSM element, if no segment lies between the two vertices.
        threads: number of threads; does not affect the result.

    Raises:
        DataError: the tiles cannot be read.
    """
    params = {"simplify_m": simplify_m, "visibility_k": visibility_k}

    def write(build: Build) -> Artifact:
        path = tiles.file("tiles.h5")
        arguments = ["process", "--input", str(path), "--output", str(build.partial / FILE)]
        arguments += ["--simplify-m", repr(simplify_m), "--visibility-k", str(visibility_k), "--threads", str(threads)]
        try:
            summary = native.run(arguments, f"process {tiles.name}", tiles.rebuild_hint())
        except DataError as error:
            message = error.message.replace(UNNAMED, f"`{path}` is damaged", 1)
            if tiles.verify():  # damaged files of unchanged size, which `geojepa tile` alone would not rebuild
                raise tiles.broken(message) from error
            raise DataError(message, error.hint) from error
        extra = {"crs": "tile-local east, north", "units": {"box": "tile", "xy": "tile"}}
        return build.publish(counts=summary["counts"], extra=extra)

    return PROCESSED.make(workspace, tiles.name, params, [tiles], write)
