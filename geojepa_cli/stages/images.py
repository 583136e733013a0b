"""Stage `images/`: makes one image for each tile of a region.

The imagery of a region consists either of image tiles (one image file per tile), which are decoded, or of scenes
(georeferenced images such as GeoTIFF), which are resampled to the tiles.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geojepa_cli import console, hints
from geojepa_cli.errors import DataError, UsageError
from geojepa_cli.hints import Hint
from geojepa_cli.stages import resampling
from geojepa_cli.stages.drawing import drawing_options
from geojepa_cli.stages.rebuild import input_refs, number, open_inputs, text
from geojepa_cli.stages.stage import Stage
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.build import Build
from geojepa_cli.workspace.kinds import Remains, rebuild_hint
from geojepa_cli.workspace.workspace import Workspace, inputs_of_kind

if TYPE_CHECKING:
    from geojepa_cli.grid import TileId
    from geojepa_cli.store.image_form import ImageForm
    from geojepa_cli.store.image_log import ImageLog

FILE = "images.h5"


def _rebuild(remains: Remains) -> Hint:
    """Returns the `tile` command that makes the images again.

    The command that rebuilds the `tiles/` artifact also makes the images. The options for images are added to it.
    """
    params = remains.params
    zoom = number(params.get("zoom"))
    tiles = open_inputs(remains, "tiles") or _tiles_of(remains)
    if tiles:
        base = tiles[-1].rebuild_hint()
    else:
        sources = input_refs(remains, "source")
        base = hints.run("tile", region=sources or remains.name, zoom=zoom)
    drawn = drawing_options(params)
    if drawn and not tiles and len(input_refs(remains, "source")) > 1:
        base = base.adding(merge=remains.name)
    return base.adding(
        **drawn,
        image_size=number(params.get("image_size")),
        bands=text(params.get("bands")),
        image_codec=text(params.get("image_codec")),
        skip_failed="without" in params,
    )


def _tiles_of(remains: Remains) -> list[Artifact]:
    """Returns the `tiles/` artifacts that have the same region, source and zoom level as an `images/` artifact.

    Used for images that were decoded from image tiles, because these images have no `tiles/` artifact as input.
    """
    sources = inputs_of_kind(remains, "source")
    if remains.root is None or not sources:
        return []
    found = Workspace(remains.root).artifacts("tiles", remains.name)
    return [one for one in found if one.inputs == sources and one.params.get("zoom") == remains.params.get("zoom")]


# version 3: no-data values and masks are used even if a band looks like an alpha band, and infrared does not affect the
# weights of colours; a killed run keeps its resampled images (see `store/image_log.py`)
IMAGES = Stage(
    "images",
    version=4,
    rebuild=_rebuild,
    keep=("images.pixels", "images.jsonl"),
    made_from="source",
    of_region=True,
    variant=("zoom", "imagery"),
    files=(FILE,),
)


def make_images(
    workspace: Workspace,
    source: Artifact,
    zoom: int,
    tiles: Artifact | None = None,
    threads: int = 1,
    skip_failed: bool = False,
    form: ImageForm | None = None,
) -> Artifact | None:
    """Publishes the artifact `images/<region>` with the file `images.h5`.

    Image tiles (one image file per tile) are decoded. Image tiles of other zoom levels are left out, with a warning.
    Scenes (georeferenced images such as GeoTIFF) are resampled to the tiles.

    Args:
        workspace: workspace to publish to.
        source: `source/` artifact of the region.
        zoom: zoom level of the tiles.
        tiles: `tiles/` artifact that was made from the source. If None, scenes are not resampled.
        threads: number of threads.
        skip_failed: leave out tiles whose imagery cannot be read, instead of raising an error.
        form: size, bands and codec of the images. Default: 224 × 224 pixels, RGB, not compressed.

    Returns:
        The `images/` artifact, or None if the source has no imagery for the tiles.

    Raises:
        UsageError: the source has image tiles, but `form` is not 224 × 224 pixels and RGB.
        DataError: an image tile or a scene cannot be read. The next run keeps the images that are already resampled.
    """
    from geojepa_cli.store.image_files import parse_image_name
    from geojepa_cli.store.image_form import ImageForm

    form = form or ImageForm()
    check_image_form(source, form)
    names = _imagery(source)
    if _has_scenes(names):
        return _resample(workspace, source, zoom, tiles, threads, skip_failed, form) if tiles else None
    found = [parse_image_name(path.name) for path in names]
    zooms = collections.Counter(tile.z for tile in found if tile is not None)
    others = [f"{count:,} of zoom {other}" for other, count in sorted(zooms.items()) if other != zoom]
    if others:
        what = (
            f"{console.counted(zooms[zoom], 'image tile is', 'image tiles are')} used"
            if zooms[zoom]
            else "no image tile is left, so no images are published"
        )
        hint = None if zooms[zoom] else hints.again(zoom=max(zooms))
        console.warn(
            f"{source.full_ref}: image tiles whose zoom level is not `--zoom {zoom}` are left out "
            f"({', '.join(others)}); {what}",
            hint,
        )
    return _decode(workspace, source, zoom, form, threads) if zooms[zoom] else None


def check_image_form(source: Artifact, form: ImageForm) -> None:
    """Checks that images with the size and bands in `form` can be made from a source.

    Scenes can be resampled to any size and bands. Image tiles always become images of 224 × 224 pixels, RGB.

    Raises:
        UsageError: the source has image tiles, but `form` is not 224 × 224 pixels and RGB.
    """
    from geojepa_cli.store.image_form import ImageForm

    names = _imagery(source)
    if names and not _has_scenes(names) and form.shape != ImageForm().shape:
        message = (
            f"`{source.full_ref}` has image tiles (224 px, RGB): `--image-size` and `--bands` apply only to scenes"
        )
        raise UsageError(message, hints.run("tile", region=source.name))


def _imagery(source: Artifact) -> list[Path]:
    return [Path(name) for name in source.manifest["files"] if name.startswith("imagery/")]


def _has_scenes(names: Sequence[Path]) -> bool:
    """Returns True if imagery files are scenes or a list of scenes on a server, and False if they are image tiles."""
    from geojepa_cli.sources.collections import COLLECTIONS
    from geojepa_cli.sources.scenes import SUFFIXES

    lists = {collection.items_file for collection in COLLECTIONS.values()}
    return any(path.suffix.lower() in SUFFIXES or path.name in lists for path in names)


class _NoImageryError(Exception):
    """Raised if no tile of a region intersects a scene (georeferenced image)."""


def _resample(
    workspace: Workspace,
    source: Artifact,
    zoom: int,
    tiles: Artifact,
    threads: int,
    skip_failed: bool,
    form: ImageForm,
) -> Artifact | None:
    """Resamples scenes to the tiles, and publishes the images. Returns None if no tile intersects a scene."""
    params = {"zoom": zoom, **form.params}

    def make(params: dict[str, Any], write: Callable[[Build], Artifact]) -> Artifact:
        return IMAGES.make(workspace, source.name, params, [source, tiles], write)

    def write(build: Build) -> Artifact:
        from geojepa_cli.store.entity_tiles import tiles_with_entities
        from geojepa_cli.store.image_log import ImageLog

        scenes = resampling.open_scenes(source, threads, form)
        wanted = tiles_with_entities(tiles.file("tiles.h5"), tiles.name)
        listed = build.partial / resampling.FAILED_LIST
        with ImageLog(build.partial, form, build.id) as log:
            failed = resampling.fill_log(log, scenes, wanted)
            resampling.print_traffic(scenes.traffic)
            if failed and skip_failed and any(row.position >= 0 for row in log.rows.values()):
                console.warn(f"{resampling.describe_failures(failed)}; the images are published without these tiles")
                names = sorted(tile.name for tile in failed)  # the log is kept for a run without `skip_failed`
                return make({**params, "without": names}, lambda other: _publish_log(other, log, scenes, wanted))
            if failed:
                raise resampling.failure(failed, len(wanted), listed, source, skip_failed)
            if all(row.position < 0 for row in log.rows.values()):
                log.remove()
                have = f"{console.counted(len(wanted), 'tile')}, {console.counted(len(scenes.scenes), 'scene')}"
                raise _NoImageryError(f"no tile intersects a scene ({have})")
            return _publish_log(build, log, scenes, wanted)

    try:
        return make(params, write)
    except _NoImageryError as error:
        console.warn(f"{source.full_ref}: {error}, so no images are published")
        return None


def _publish_log(build: Build, log: ImageLog, scenes: resampling.SourceScenes, wanted: list[TileId]) -> Artifact:
    counts, extra = resampling.write_images(log, scenes, wanted, build.partial / FILE)
    return _publish(build, counts, extra, {"traffic": scenes.traffic._asdict()} if scenes.traffic else None)


def _publish(
    build: Build,
    counts: Mapping[str, Any],
    extra: Mapping[str, Any] | None = None,
    timing: Mapping[str, Any] | None = None,
) -> Artifact:
    """Publishes `images.h5` as an artifact, and deletes all temporary files of the build.

    `counts` and `extra` become entries of `manifest.json`. `timing` becomes entries of `timing.json`.
    """
    build.clear(keep=(FILE,))
    return build.publish(counts=counts, extra=extra, timing=timing)


def _decode(workspace: Workspace, source: Artifact, zoom: int, form: ImageForm, threads: int) -> Artifact:
    from geojepa_cli.store.images import write_images

    def write(build: Build) -> Artifact:
        try:
            images = source.path / "imagery"
            count = write_images(images, build.partial / FILE, zoom, codec=form.codec, threads=threads)
        except DataError as error:  # users cannot repair files in the workspace
            hint = rebuild_hint("source", Remains(source.name)).adding(imagery="DIR")
            raise DataError(error.message, hint) from error
        return _publish(build, counts={"images": count})

    return IMAGES.make(workspace, source.name, {"zoom": zoom, **form.params}, [source], write)
