"""`geojepa tile`: objects clipped to tiles by the native binary, and image tiles beside them."""

from __future__ import annotations

import collections
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from geojepa_cli import console, native
from geojepa_cli.commands import options
from geojepa_cli.errors import DataError, UsageError
from geojepa_cli.grid import TileId
from geojepa_cli.workspace import Artifact, Workspace, remake_hint

if TYPE_CHECKING:
    from geojepa_cli.sources.scenes import Mosaic
    from geojepa_cli.store.images import Row

Bbox = tuple[float, float, float, float]  # west, south, east, north in degrees
STAGE_VERSION = 1
IMAGES_STAGE_VERSION = 1


def tile(
    ctx: typer.Context,
    region: options.Regions = None,
    zoom: Annotated[int, typer.Option(min=14, max=18, help="Zoom of the tiles.")] = 16,
    bbox: Annotated[
        str | None, typer.Option(help="Keep tiles that meet `west,south,east,north`. Default: the box of `fetch`.")
    ] = None,
    keep_tags: Annotated[
        list[str] | None,
        typer.Option(help="Keep a key that the default filter drops, such as `source:*`."),
    ] = None,
    drop_tags: Annotated[
        list[str] | None,
        typer.Option(help="Drop a key (a leading or trailing `*` matches any rest)."),
    ] = None,
    threads: options.Threads = options.default_threads(),
    memory: Annotated[str, typer.Option(help="Memory to aim at, such as `512M`; does not change the result.")] = "1G",
    json: options.Json = False,
) -> None:
    """Clip a region's objects to tiles.

    Example: geojepa tile --region state-college
    """
    native.check_threads(threads)
    native.parse_memory(memory)
    for option, keys in (("--keep-tags", keep_tags), ("--drop-tags", drop_tags)):
        check_keys(option, keys or [])
    box = parse_bbox(bbox)
    workspace = options.workspace(ctx)
    for source in workspace.regions("source", region):
        tiles = build_tiles(workspace, source, zoom, box, keep_tags or [], drop_tags or [], threads, memory)
        images = build_images(workspace, source, zoom, tiles)
        if json:
            result = {"counts": tiles.manifest["counts"], "images": images.ref if images else None}
            console.emit_json("tile", tiles.ref, result)
        else:
            say(tiles, images)


def build_tiles(
    workspace: Workspace,
    source: Artifact,
    zoom: int = 16,
    bbox: Bbox | None = None,
    keep_tags: list[str] | None = None,
    drop_tags: list[str] | None = None,
    threads: int = 1,
    memory: str = "1G",
) -> Artifact:
    """Publishes `tiles/<region>`: `tiles.h5`, the layout of docs/formats.md.

    Without a box of its own it takes the source's, where `fetch` was given one.
    """
    fetched = source.params.get("bbox")
    bbox = bbox or (tuple(fetched) if fetched else None)
    params: dict[str, Any] = {
        "zoom": zoom,
        "bbox": list(bbox) if bbox else None,
        "keep_tags": sorted(keep_tags or []),
        "drop_tags": sorted(drop_tags or []),
    }
    with workspace.build("tiles", source.name, params, [source], STAGE_VERSION) as build:
        if build.existing:
            console.note(f"tiles/{build.existing.ref} is up to date, skipping")
            return build.existing
        arguments = ["tile", "--input", str(map_file(source)), "--output", str(build.partial / "tiles.h5")]
        arguments += ["--zoom", str(zoom), "--threads", str(threads), "--memory", str(native.parse_memory(memory))]
        if bbox:
            arguments.append("--bbox=" + ",".join(repr(value) for value in bbox))
        for key in params["keep_tags"]:
            arguments += ["--keep-tags", key]
        for key in params["drop_tags"]:
            arguments += ["--drop-tags", key]
        summary = native.run(arguments, f"tile {source.name}", remake_hint("source", source.name))
        extra = {"crs": "EPSG:4326, 1e-7 degrees", "units": {"area_m2": "m²", "length_m": "m"}}
        return build.publish(counts=summary["counts"], extra=extra)


def build_images(workspace: Workspace, source: Artifact, zoom: int, tiles: Artifact | None = None) -> Artifact | None:
    """Publishes `images/<region>` where the source has imagery: `images.h5`.

    Image tiles of other zooms are left out, with a warning that counts them; georeferenced scenes are resampled to
    `tiles`, or raise no image where none are given.
    """
    names = [Path(name) for name in source.manifest["files"] if name.startswith("imagery/")]
    if any(path.suffix.lower() in (".tif", ".tiff") for path in names):
        return _resample(workspace, source, tiles) if tiles is not None else None
    from geojepa_cli.store.images import parse_image_name, write_images

    found = [parse_image_name(path.name) for path in names]
    zooms = collections.Counter(tile.z for tile in found if tile is not None)
    others = [f"{count:,} of zoom {other}" for other, count in sorted(zooms.items()) if other != zoom]
    if others:
        what = "none is left, so no images are published" if zooms[zoom] == 0 else f"{zooms[zoom]:,} are taken"
        console.warn(f"source/{source.ref}: image tiles left out, {', '.join(others)}; --zoom is {zoom}: {what}")
    if zooms[zoom] == 0:
        return None
    with workspace.build("images", source.name, {"zoom": zoom}, [source], IMAGES_STAGE_VERSION) as build:
        if build.existing:
            console.note(f"images/{build.existing.ref} is up to date, skipping")
            return build.existing
        try:
            count = write_images(source.path / "imagery", build.partial / "images.h5", zoom=zoom)
        except DataError as error:  # the file is the workspace's own: it is not for people to mend it there
            raise DataError(error.message, hint=f"{remake_hint('source', source.name)} --imagery DIR") from error
        return build.publish(counts={"images": count})


class _NoImageryError(Exception):
    """No tile lies in a scene: the unfinished artifact goes, and the map goes on without images."""


def _resample(workspace: Workspace, source: Artifact, tiles: Artifact) -> Artifact | None:
    """`images.h5` of the tiles that the source's scenes cover, wholly or in part."""
    from geojepa_cli.sources.scenes import Mosaic, find_scaling, find_scenes, inspect_scene, newest_first
    from geojepa_cli.store.images import write_rows

    try:
        with workspace.build("images", source.name, {}, [source, tiles], IMAGES_STAGE_VERSION) as build:
            if build.existing:
                console.note(f"images/{build.existing.ref} is up to date, skipping")
                return build.existing
            scenes = newest_first([inspect_scene(path) for path in find_scenes(source.path / "imagery")])
            scaling, wanted = find_scaling(scenes), _tiles_of(tiles)
            counts = collections.Counter({"images": 0, "partly covered": 0, "tiles without imagery": 0})
            told = [{"name": scene.path.name, "date": scene.date, "crs": scene.crs} for scene in scenes]
            write_rows(_rows(Mosaic(scenes, scaling), wanted, counts), build.partial / "images.h5", told)
            if counts["images"] == 0:
                raise _NoImageryError(f"none of its {len(wanted):,} tiles lies in one of its {len(scenes):,} scenes")
            extra = {"scaling": list(scaling) if scaling else None, "scenes": told}
            return build.publish(counts=counts, extra=extra)
    except _NoImageryError as error:
        console.warn(f"source/{source.ref}: {error}, so no images are published")
        return None


def _rows(mosaic: Mosaic, wanted: list[TileId], counts: collections.Counter[str]) -> Iterator[Row]:
    """The images of the tiles that have one, and counts them."""
    from geojepa_cli.store.images import Row

    with console.progress("resample imagery", len(wanted)) as meter, contextlib.closing(mosaic):
        for done, tile in enumerate(wanted, 1):
            picture = mosaic.picture(tile)
            if picture is None:
                counts["tiles without imagery"] += 1
            else:
                share = float(picture.valid.mean())
                counts["images"] += 1
                counts["partly covered"] += share < 1
                yield Row(tile, picture.pixels, share, picture.scene)
            meter.update(done)


def _tiles_of(tiles: Artifact) -> list[TileId]:
    """The tiles of a `tiles.h5`, in its order."""
    import h5py

    with h5py.File(tiles.file("tiles.h5")) as file:
        columns = [file[f"tile/{name}"][:].tolist() for name in "zxy"]
    return [TileId(*zxy) for zxy in zip(*columns, strict=True)]


def map_file(source: Artifact) -> Path:
    """The extract of a source artifact."""
    names = [name for name in source.manifest["files"] if name.startswith("map.")]
    return source.file(names[0])


def check_keys(option: str, keys: list[str]) -> None:
    """UsageError where a key of the tag filter is empty or all blanks: it would match nothing in silence."""
    if any(not key.strip() for key in keys):
        raise UsageError(f"`{option}` is given an empty key", hint=f"{option} 'source:*'")


def parse_bbox(text: str | None) -> Bbox | None:
    """`west,south,east,north` in degrees.

    Raises:
        UsageError: not four numbers in range and order.
    """
    if text is None:
        return None
    hint = "--bbox=-77.91,40.77,-77.81,40.82"
    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"`{text}` is not a bounding box `west,south,east,north`", hint=hint) from None
    if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
        raise UsageError(f"`{text}` is not a bounding box: west < east and south < north, in degrees", hint=hint)
    return west, south, east, north


def say(tiles: Artifact, images: Artifact | None) -> None:
    """What was made, and what was left out and why."""
    counts = tiles.manifest["counts"]
    dropped = counts.get("dropped", {})
    rows = [(name.replace("_", " "), f"{value:,}") for name, value in counts.items() if isinstance(value, int)]
    rows += [(f"dropped: {reason.replace('_', ' ')}", f"{value:,}") for reason, value in dropped.items() if value]
    console.table(f"tiles/{tiles.ref}", ["", "count"], rows)
    if images:
        told = images.manifest["counts"]
        more = [f"{value:,} {name}" for name, value in told.items() if name != "images" and value]
        console.say(f"images/{images.ref}: " + ", ".join([f"{told['images']:,} image tiles", *more]))
