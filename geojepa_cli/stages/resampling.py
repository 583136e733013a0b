"""Makes the images of a region's tiles from scenes (georeferenced images such as GeoTIFF), local or on a server."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from geojepa_cli import console, hints
from geojepa_cli.errors import DataError, GeojepaError
from geojepa_cli.hints import Hint
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.kinds import Remains, rebuild_hint

if TYPE_CHECKING:
    from geojepa_cli.grid import TileId
    from geojepa_cli.sources.mosaic import Mosaic
    from geojepa_cli.sources.ranges import RangeReader, Traffic
    from geojepa_cli.sources.scaling import Scaling
    from geojepa_cli.sources.scenes import Scene
    from geojepa_cli.store.image_form import ImageForm
    from geojepa_cli.store.image_log import ImageLog

CONNECTIONS = 8  # number of simultaneous connections to image servers
FAILED_LIST = "failed.txt"
_SHOWN = 5

Failures = dict["TileId", GeojepaError]


class SourceScenes(NamedTuple):
    """The scenes of a `source/` artifact, with the settings and functions to read them.

    Attributes:
        scenes: all scenes, newest first.
        scaling: conversion of scenes with more than 8 bits per band to 8 bits; None if all scenes have 8 bits.
        make_mosaic: function that returns a new `Mosaic`, which merges the scenes. Each thread needs its own mosaic.
        threads: number of threads for resampling.
        reader: reads parts of scenes on a server; None for local scenes.
    """

    scenes: list[Scene]
    scaling: Scaling | None
    make_mosaic: Callable[[], Mosaic]
    threads: int
    reader: RangeReader | None = None

    @property
    def traffic(self) -> Traffic | None:
        """Number of requests to servers, and number of bytes received; None for local scenes."""
        return self.reader.traffic if self.reader is not None else None


def open_scenes(source: Artifact, threads: int, form: ImageForm) -> SourceScenes:
    """Opens the scenes (georeferenced images) of a `source/` artifact.

    Args:
        source: `source/` artifact with scenes, or with a list of scenes on a server.
        threads: number of threads for resampling local scenes.
        form: size and bands of the images to make.
    """
    from geojepa_cli.sources import naip
    from geojepa_cli.sources.collections import COLLECTIONS
    from geojepa_cli.sources.mosaic import Mosaic
    from geojepa_cli.sources.ranges import RangeReader
    from geojepa_cli.sources.scaling import find_scaling
    from geojepa_cli.sources.scenes import find_scenes, inspect_scene, newest_first

    infrared, size = form.bands == "rgbn", form.size_px
    files = [source.path / "imagery" / one.items_file for one in COLLECTIONS.values()]
    if items_file := next((file for file in files if file.is_file()), None):
        items, reader = naip.read_items(items_file), RangeReader(naip.sign)
        remote, opener = newest_first(naip.scenes_of(items, infrared)), naip.scene_opener(items, reader)
        return SourceScenes(remote, None, lambda: Mosaic(remote, None, opener, size), CONNECTIONS, reader)
    scenes = newest_first([inspect_scene(path, infrared) for path in find_scenes(source.path / "imagery")])
    scaling = find_scaling(scenes)
    return SourceScenes(scenes, scaling, lambda: Mosaic(scenes, scaling, size_px=size), threads)


def fill_log(log: ImageLog, scenes: SourceScenes, wanted: Sequence[TileId]) -> Failures:
    """Makes the images that an earlier, interrupted run has not made.

    Args:
        log: files on disk that collect the finished images. Each new image is appended to them, so that an interrupted
            run can resume.
        scenes: scenes from which the images are made.
        wanted: all tiles that need an image.

    Returns:
        A dict of errors. The keys are the tiles whose imagery cannot be read.
    """
    from geojepa_cli.sources.resample import Failed, resample

    missing = [tile for tile in wanted if tile not in log.rows]
    if len(missing) < len(wanted):
        console.note(f"resuming: {len(wanted) - len(missing):,} of {console.counted(len(wanted), 'tile')} are done")
    failed: Failures = {}
    with console.progress("resample imagery", len(missing)) as meter:
        outcomes = resample(scenes.make_mosaic, missing, scenes.threads)
        for done, (tile, outcome) in enumerate(outcomes, 1):
            if outcome is None:
                log.add_empty(tile)
            elif isinstance(outcome, Failed):
                failed[tile] = outcome.error
            else:
                log.add(tile, outcome.pixels, float(outcome.valid.mean()), outcome.scene)
            meter.update(done)
    return failed


def write_images(
    log: ImageLog, scenes: SourceScenes, wanted: list[TileId], path: Path
) -> tuple[dict[str, int], dict[str, Any]]:
    """Copies the finished images, which `fill_log` collected in the log on disk, to the HDF5 file `path`.

    Returns:
        Two dicts for the manifest: the counts of tiles and images, and the other entries (`scaling` and `scenes`).
    """
    described = [{"name": scene.path.name, "date": scene.date, "crs": scene.crs} for scene in scenes.scenes]
    images = log.write(wanted, path, described, scenes.threads)
    rows = [log.rows[tile] for tile in wanted if tile in log.rows]
    counts = {
        "images": images,
        "partly covered": sum(row.position >= 0 and row.valid < 1 for row in rows),
        "tiles without imagery": sum(row.position < 0 for row in rows),
        "failed": len(wanted) - len(rows),
    }
    extra = {"scaling": list(scenes.scaling) if scenes.scaling else None, "scenes": described}
    return counts, extra


def print_traffic(traffic: Traffic | None) -> None:
    """Prints the number of bytes received from servers, and the number of requests."""
    if traffic is not None and traffic.requests:
        of = f", {traffic.bytes / traffic.file_bytes:.1%} of the scenes" if traffic.file_bytes else ""
        console.note(f"imagery: {traffic.bytes / 2**20:,.1f} MiB in {traffic.requests:,} requests{of}")


def failure(failed: Failures, of: int, listed: Path, source: Artifact, skip_failed: bool) -> DataError:
    """Writes a text file that lists the tiles with unreadable imagery, and returns the error to raise.

    Args:
        failed: dict of errors. The keys are the tiles with unreadable imagery.
        of: number of all tiles.
        listed: path of the text file.
        source: `source/` artifact that contains the imagery.
        skip_failed: True if the user gave `--skip-failed`, but no image could be made. The hint is then to fetch the
            imagery again; otherwise, the hint is to use `--skip-failed`.
    """
    listed.write_text("".join(f"{tile.name}\t{error.message}\n" for tile, error in failed.items()), encoding="utf-8")
    # with `skip_failed`, this error means that no image is left to publish
    fetch_again: Hint = rebuild_hint("source", Remains(source.name)).adding(imagery="DIR")
    hint = fetch_again if skip_failed else hints.again(skip_failed=True)
    kept = "finished images are kept, and the same command retries only the failed tiles"
    return DataError(
        f"{describe_failures(failed)}; all errors are listed in `{listed}`; images needed in total: {of:,}; {kept}",
        hint,
    )


def describe_failures(failed: Mapping[TileId, GeojepaError]) -> str:
    """Returns a message with the number of tiles whose imagery cannot be read, some tile names, and the first error."""
    names = ", ".join(f"`{tile.name}`" for tile in list(failed)[:_SHOWN])
    more = ", …" if len(failed) > _SHOWN else ""
    first = next(iter(failed.values())).message
    return f"the imagery of {console.counted(len(failed), 'tile')} cannot be read ({names}{more}): {first}"
