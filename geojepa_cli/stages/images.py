"""The image tiles of `geojepa tile`: decoded where the source has tiles, resampled where it has scenes, here or on a
server. What a run has resampled is kept until all of it is."""

from __future__ import annotations

import collections
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from geojepa_cli import console, hints
from geojepa_cli.errors import DataError, GeojepaError, UsageError
from geojepa_cli.hints import Hint
from geojepa_cli.stages.stage import Stage
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.build import Build
from geojepa_cli.workspace.kinds import Remains, rebuild_hint
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.grid import TileId
    from geojepa_cli.sources.mosaic import Mosaic
    from geojepa_cli.sources.ranges import RangeReader, Traffic
    from geojepa_cli.sources.scenes import Scaling, Scene
    from geojepa_cli.store.image_form import ImageForm
    from geojepa_cli.store.image_log import ImageLog


def _rebuild(remains: Remains) -> Hint:
    return hints.run("tile", region=remains.name)


IMAGES = Stage("images", version=2, rebuild=_rebuild, keep=("images.pixels", "images.jsonl"))
CONNECTIONS = 8  # at once to the servers of images
FAILED_LIST = "failed.txt"
_SHOWN = 5


class Imagery(NamedTuple):
    """The scenes of a source.

    Attributes:
        scenes: newest first.
        scaling: of those of more than 8 bits.
        mosaic: gives each thread one of them.
        threads: that resample.
        reader: of those on a server, else None.
    """

    scenes: list[Scene]
    scaling: Scaling | None
    mosaic: Callable[[], Mosaic]
    threads: int
    reader: RangeReader | None = None

    def traffic(self) -> Traffic | None:
        """What was read from servers, None where the scenes lie here."""
        return self.reader.traffic if self.reader is not None else None


def make_images(
    workspace: Workspace,
    source: Artifact,
    zoom: int,
    tiles: Artifact | None = None,
    threads: int = 1,
    skip_failed: bool = False,
    form: ImageForm | None = None,
) -> Artifact | None:
    """Publishes `images/<region>` where the source has imagery: `images.h5`.

    Image tiles of other zooms are left out, with a warning that counts them; georeferenced scenes are resampled to
    `tiles`, or raise no image where none are given.

    Args:
        workspace: where.
        source: a region's.
        zoom: of the tiles.
        tiles: the tiles made of the source.
        threads: that resample scenes at once.
        skip_failed: publish without the tiles whose imagery cannot be read.
        form: side, bands and packing of the images; by default 224 px, RGB, unpacked.

    Raises:
        UsageError: another side or other bands than those of given image tiles.
        DataError: an image, or the imagery of a tile, cannot be read; what could be is kept for the next run.
    """
    from geojepa_cli.sources.naip import ITEMS_FILE
    from geojepa_cli.sources.scenes import SUFFIXES
    from geojepa_cli.store.image_form import ImageForm
    from geojepa_cli.store.images import parse_image_name

    form = form or ImageForm()
    names = [Path(name) for name in source.manifest["files"] if name.startswith("imagery/")]
    if any(path.suffix.lower() in SUFFIXES or path.name == ITEMS_FILE for path in names):
        return (
            _Resampling(workspace, source, zoom, tiles, threads, skip_failed, form).run() if tiles is not None else None
        )
    if names and form.shape != ImageForm().shape:
        message = f"source/{source.ref} holds image tiles of 224 × 224 px RGB: --image-size and --bands are of scenes"
        raise UsageError(message, hint=f"geojepa tile --region {source.name}")
    found = [parse_image_name(path.name) for path in names]
    zooms = collections.Counter(tile.z for tile in found if tile is not None)
    others = [f"{count:,} of zoom {other}" for other, count in sorted(zooms.items()) if other != zoom]
    if others:
        what = "none is left, so no images are published" if zooms[zoom] == 0 else f"{zooms[zoom]:,} are taken"
        console.warn(f"source/{source.ref}: image tiles left out, {', '.join(others)}; --zoom is {zoom}: {what}")
    return _decode(workspace, source, zoom, form, threads) if zooms[zoom] else None


def _decode(workspace: Workspace, source: Artifact, zoom: int, form: ImageForm, threads: int) -> Artifact:
    from geojepa_cli.store.images import write_images

    params = {"zoom": zoom, **form.params}
    with IMAGES.build(workspace, source.name, params, [source]) as build:
        if build.existing:
            console.note(f"images/{build.existing.ref} is up to date, skipping")
            return build.existing
        try:
            path = build.partial / "images.h5"
            count = write_images(source.path / "imagery", path, zoom, codec=form.codec, threads=threads)
        except DataError as error:  # the file is the workspace's own: it is not for people to mend it there
            raise DataError(
                error.message, rebuild_hint("source", Remains(source.name)).adding(imagery="DIR")
            ) from error
        return build.publish(counts={"images": count})


class _NoImageryError(Exception):
    """No tile lies in a scene: the unfinished artifact goes, and the map goes on without images."""


class _Resampling:
    """Scenes to the images of the tiles that they cover, wholly or in part."""

    def __init__(
        self,
        workspace: Workspace,
        source: Artifact,
        zoom: int,
        tiles: Artifact,
        threads: int,
        skip_failed: bool,
        form: ImageForm,
    ) -> None:
        self._workspace, self._source, self._tiles = workspace, source, tiles
        self._threads, self._skip_failed, self._form = threads, skip_failed, form
        self._params = {"zoom": zoom, **form.params}

    def run(self) -> Artifact | None:
        try:
            with self._build(self._params) as build:
                if build.existing:
                    return _up_to_date(build.existing)
                return self._resample(build)
        except _NoImageryError as error:
            console.warn(f"source/{self._source.ref}: {error}, so no images are published")
            return None

    def _build(self, params: Mapping[str, Any]) -> Any:
        inputs = [self._source, self._tiles]
        return IMAGES.build(self._workspace, self._source.name, params, inputs)

    def _resample(self, build: Build) -> Artifact:
        from geojepa_cli.store.image_log import ImageLog

        imagery, wanted = _open_imagery(self._source, self._threads, self._form), _tiles_of(self._tiles)
        (build.partial / FAILED_LIST).unlink(missing_ok=True)
        with ImageLog(build.partial, self._form) as log:
            failed = _fill(log, imagery, wanted)
            _say_traffic(imagery.traffic())
            if failed and self._skip_failed and any(row.place >= 0 for row in log.rows.values()):
                names = sorted(tile.name for tile in failed)
                with self._build({**self._params, "without": names}) as other:
                    _warn_failed(failed)
                    return _up_to_date(other.existing) if other.existing else _publish(other, log, imagery, wanted)
            if failed:
                listed = build.partial / FAILED_LIST
                listed.write_text("".join(f"{tile.name}\t{error.message}\n" for tile, error in failed.items()))
                # nothing is left to go on with, once the tiles that failed are left out
                again = (
                    rebuild_hint("source", Remains(self._source.name)).adding(imagery="DIR")
                    if self._skip_failed
                    else None
                )
                raise _failed_error(failed, len(wanted), listed, again or hints.again(skip_failed=True))
            if all(row.place < 0 for row in log.rows.values()):
                log.remove()
                raise _NoImageryError(
                    f"none of its {len(wanted):,} tiles lies in one of its {len(imagery.scenes):,} scenes"
                )
            return _publish(build, log, imagery, wanted, remove=True)


def _open_imagery(source: Artifact, threads: int, form: ImageForm) -> Imagery:
    from geojepa_cli.sources import naip
    from geojepa_cli.sources.mosaic import Mosaic
    from geojepa_cli.sources.ranges import RangeReader
    from geojepa_cli.sources.scenes import find_scaling, find_scenes, inspect_scene, newest_first

    infrared, size = form.bands == "rgbn", form.size_px
    items = source.path / "imagery" / naip.ITEMS_FILE
    if items.is_file():
        found, reader = naip.read_items(items), RangeReader(naip.sign)
        remote, opener = newest_first(naip.scenes_of(found, infrared)), naip.open_scenes(found, reader)
        return Imagery(remote, None, lambda: Mosaic(remote, None, opener, size), CONNECTIONS, reader)
    scenes = newest_first([inspect_scene(path, infrared) for path in find_scenes(source.path / "imagery")])
    scaling = find_scaling(scenes)
    return Imagery(scenes, scaling, lambda: Mosaic(scenes, scaling, size_px=size), threads)


def _fill(log: ImageLog, imagery: Imagery, wanted: Sequence[TileId]) -> dict[TileId, GeojepaError]:
    """Resamples what the log lacks, and returns the tiles that failed, with the reason."""
    from geojepa_cli.sources.mosaic import Failed, resample

    missing = [tile for tile in wanted if tile not in log.rows]
    if len(missing) < len(wanted):
        console.note(f"going on after {len(wanted) - len(missing):,} of {len(wanted):,} image tiles")
    failed: dict[TileId, GeojepaError] = {}
    with console.progress("resample imagery", len(missing)) as meter:
        made = resample(imagery.mosaic, missing, imagery.threads)
        for done, (tile, outcome) in enumerate(made, 1):
            if outcome is None:
                log.add_empty(tile)
            elif isinstance(outcome, Failed):
                failed[tile] = outcome.error
            else:
                log.add(tile, outcome.pixels, float(outcome.valid.mean()), outcome.scene)
            meter.update(done)
    return failed


def _publish(build: Build, log: ImageLog, imagery: Imagery, wanted: list[TileId], remove: bool = False) -> Artifact:
    told = [{"name": scene.path.name, "date": scene.date, "crs": scene.crs} for scene in imagery.scenes]
    images = log.write(wanted, build.partial / "images.h5", told, imagery.threads)
    if remove:
        log.remove()
    rows = [log.rows[tile] for tile in wanted if tile in log.rows]
    counts = {
        "images": images,
        "partly covered": sum(row.place >= 0 and row.valid < 1 for row in rows),
        "tiles without imagery": sum(row.place < 0 for row in rows),
        "failed": len(wanted) - len(rows),
    }
    extra = {"scaling": list(imagery.scaling) if imagery.scaling else None, "scenes": told}
    traffic = imagery.traffic()
    return build.publish(counts=counts, extra=extra, timing={"traffic": traffic._asdict()} if traffic else None)


def _up_to_date(images: Artifact) -> Artifact:
    console.note(f"images/{images.ref} is up to date, skipping")
    return images


def _say_traffic(traffic: Traffic | None) -> None:
    if traffic is not None and traffic.requests:
        of = f", {traffic.bytes / traffic.file_bytes:.1%} of the scenes read from" if traffic.file_bytes else ""
        console.note(f"imagery: {traffic.bytes / 2**20:,.1f} MiB in {traffic.requests:,} requests{of}")


def _warn_failed(failed: Mapping[TileId, GeojepaError]) -> None:
    console.warn(f"{_told(failed)}; the images are published without")


def _failed_error(failed: Mapping[TileId, GeojepaError], of: int, listed: Path, hint: str) -> GeojepaError:
    return DataError(
        f"{_told(failed)} (of {of:,}; all are listed in `{listed}`); the others are kept, and the same command reads "
        "only these again",
        hint=hint,
    )


def _told(failed: Mapping[TileId, GeojepaError]) -> str:
    names = ", ".join(f"`{tile.name}`" for tile in list(failed)[:_SHOWN])
    more = ", …" if len(failed) > _SHOWN else ""
    first = next(iter(failed.values())).message
    return f"the imagery of {len(failed):,} tiles cannot be read ({names}{more}): {first}"


def _tiles_of(tiles: Artifact) -> list[TileId]:
    """The tiles of a `tiles.h5` that hold an entity, in its order; those that only boundaries or large areas cover
    are no tiles of a model."""
    import numpy as np

    from geojepa_cli.grid import TileId
    from geojepa_cli.store import csr
    from geojepa_cli.store.reader import RegionStore

    region = RegionStore(tiles.file("tiles.h5"), tiles.name)
    columns = [region[f"tile/{name}"].tolist() for name in "zxy"]
    pieces = region["tile/pieces"].astype(np.int64)
    entity = (region["object/token"][region["piece/object"]] == 0) & (region["piece/covers_tile"] == 0)
    before = csr.offsets(entity)
    held = before[pieces[1:]] > before[pieces[:-1]]
    return [TileId(*zxy) for zxy, kept in zip(zip(*columns, strict=True), held.tolist(), strict=True) if kept]
