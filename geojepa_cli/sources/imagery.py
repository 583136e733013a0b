"""Finds, checks and copies the imagery in a local folder: image tiles (one per map tile) or georeferenced images."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from geojepa_cli import console, hints
from geojepa_cli.errors import DataError, UsageError
from geojepa_cli.grid import Bounds, TileId, tile_bounds
from geojepa_cli.sources.extract import Extract, sha256_of
from geojepa_cli.sources.georeference import meets
from geojepa_cli.sources.scenes import (
    Scene,
    find_scenes,
    inspect_scene,
    newest_first,
    uncompressed_bytes,
    write_as_geotiff,
)
from geojepa_cli.store.image_files import find_images, is_transparent, parse_image_name, read_image

ATTRIBUTION_FILE = "ATTRIBUTION.txt"
_VRT = ".vrt"
_WITHOUT_IMAGERY = hints.again(imagery="none")


class Imagery(NamedTuple):
    """Imagery that `fetch` stores: either image tiles (one per map tile) or scenes (georeferenced images).

    Attributes:
        files: files to copy, as a dict from the path of the copy, such as `imagery/16_X_Y.webp`, to the path of the
            original file. Paths of copies are relative to the folder that `fetch` writes.
        sha256: SHA-256 of the names and contents of all files.
        attribution: lines of attribution text. They come from the `ATTRIBUTION.txt` in the user's imagery folder, or
            from the online collection.
        scenes: scenes, newest first. Empty if the imagery consists of image tiles.
        texts: text files that `fetch` creates, as a dict from the path of the file (relative to the folder that `fetch`
            writes) to the content.
    """

    files: dict[str, Path]
    sha256: str
    attribution: list[str]
    scenes: tuple[Scene, ...] = ()
    texts: Mapping[str, str] = {}


def list_imagery(folder: Path) -> tuple[list[tuple[TileId, Path]], list[Path]]:
    """Returns two lists: the image tiles of a folder, and the GeoTIFF and VRT files. One of the lists is empty.

    Raises:
        UsageError: the folder does not exist.
        DataError: the folder holds no imagery; the folder holds both image tiles and GeoTIFF or VRT files; two images
            show the same tile; or an image is named like a tile that does not exist, such as `16_70000_1.webp`.
    """
    if not folder.is_dir():
        raise UsageError(f"`{folder}` is not a directory", hints.again(imagery="DIR"))
    tiles, scenes = find_images(folder), find_scenes(folder)
    if scenes and tiles:
        found = f"both image tiles (`{tiles[0][1].name}`, …) and GeoTIFF files (`{scenes[0].name}`, …)"
        apart = f"{folder}-tiles"
        pattern = "[0-9]*_[0-9]*_[0-9]*.*"
        move = hints.Hint(None, (), f"mv {hints.paste(str(folder))}/{pattern} {hints.paste(apart)}")
        raise DataError(
            f"`{folder}` holds {found}; expected either image tiles or GeoTIFF files",
            hints.again().after(move.after(hints.shell("mkdir", apart))),
        )
    if not scenes and not tiles:
        message = f"`{folder}` holds no image tile, such as `16_X_Y.webp`, `.png` or `.jpg`, and no GeoTIFF or VRT file"
        raise DataError(message, _WITHOUT_IMAGERY)
    return tiles, scenes


def inspect_imagery(
    folder: Path, meter: Callable[[int, int], None] | None = None, bbox: Bounds | None = None
) -> Imagery:
    """Finds and checks the imagery of a folder: image tiles, such as `16_X_Y.webp`, or GeoTIFF and VRT files.

    Image tiles are decoded, so that damaged images are found before the command `tile` reads them. Other files in the
    folder are ignored.

    Args:
        folder: folder of the imagery.
        meter: function that is called with (number of images checked, number of all images).
        bbox: bounding box (west, south, east, north) in degrees. Images that do not intersect it are ignored.

    Raises:
        UsageError: the folder does not exist.
        DataError: the folder holds no imagery; the folder holds both image tiles and GeoTIFF or VRT files; two images
            show the same tile; an image is named like a tile that does not exist; an image cannot be used; or no image
            intersects the bounding box.
    """
    tiles, scenes = list_imagery(folder)
    if scenes:
        return _inspect_scenes(folder, scenes, bbox)
    files = {f"imagery/{file.name}": file for tile, file in tiles if bbox is None or meets(tile_bounds(*tile), bbox)}
    if not files:
        message = f"none of the {len(tiles):,} image tiles of `{folder}` intersects the bounding box"
        raise DataError(message, _WITHOUT_IMAGERY)
    digest, transparent = hashlib.sha256(), []
    for number, (name, file) in enumerate(sorted(files.items()), 1):
        read_image(file)
        transparent += [file.name] if is_transparent(file) else []
        digest.update(f"{name} {sha256_of(file)}\n".encode())
        if meter is not None:
            meter(number, len(files))
    if transparent:
        console.warn(
            f"`{folder}`: {len(transparent):,} of {len(files):,} image tiles have transparent pixels "
            f"(`{transparent[0]}`, …); transparency is ignored, so transparent pixels are often black"
        )
    return Imagery(files, digest.hexdigest(), read_attribution(folder / ATTRIBUTION_FILE))


def lies_outside(imagery: Imagery, box: Bounds) -> bool:
    """Returns True if all scenes (georeferenced images) or image tiles lie outside a bounding box."""
    names = [parse_image_name(path.name) for path in imagery.files.values()]
    boxes = [scene.bounds for scene in imagery.scenes] or [tile_bounds(*tile) for tile in names if tile]
    return bool(boxes) and not any(meets(one, box) for one in boxes)


def disk_bytes(imagery: Imagery) -> tuple[int, bool]:
    """Returns the size in bytes of a copy of the imagery, and True if this size is only an upper limit.

    A VRT is copied as one compressed GeoTIFF, so the size of its copy is not known in advance.
    """
    sizes = [path.stat().st_size for path in imagery.files.values() if not _is_vrt(path)]
    at_most = [uncompressed_bytes(path) for path in imagery.files.values() if _is_vrt(path)]
    return sum(sizes) + sum(at_most), bool(at_most)


def read_attribution(path: Path) -> list[str]:
    """Returns the non-empty lines of an `ATTRIBUTION.txt`; an empty list if the file does not exist.

    Raises:
        DataError: the file is not UTF-8 text.
    """
    if not path.is_file():
        return []
    content = path.read_bytes()
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        encoding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "latin1"
        old, new = hints.paste(str(path)), hints.paste(f"{path}.fixed")
        convert = hints.Hint(None, (), f"iconv -f {encoding} -t utf-8 {old} >{new} && mv {new} {old}")
        raise DataError(
            f"`{path}` is not UTF-8: {error.reason} at byte {error.start}", hints.again().after(convert)
        ) from error
    return [line.strip() for line in lines if line.strip()]


def copy_source(extract: Extract, imagery: Imagery | None, folder: Path, link: bool = False) -> None:
    """Copies an OSM extract and imagery into a folder: the extract to `map<suffix>`, the imagery to `imagery/`.

    Args:
        extract, imagery: files to copy, as returned by `inspect_extract` and `inspect_imagery`.
        folder: folder to copy to.
        link: True to make a hard link to the extract instead of a copy, if the file system supports hard links.

    Raises:
        DataError: the extract changed since it was inspected.
    """
    target = folder / f"map{extract.suffix}"
    try:
        if not link:
            raise OSError
        target.hardlink_to(extract.path)
    except OSError:
        shutil.copyfile(extract.path, target)
    if target.stat().st_size != extract.bytes or sha256_of(target) != extract.sha256:
        hint = hints.again().noting("when the file is complete")
        raise DataError(f"`{extract.path}` changed while it was read", hint)
    if imagery is None:
        return
    (folder / "imagery").mkdir(exist_ok=True)
    for name, file in imagery.files.items():
        if _is_vrt(file):
            write_as_geotiff(file, folder / name)
        else:
            shutil.copyfile(file, folder / name)
    for name, text in imagery.texts.items():
        (folder / name).write_text(text, encoding="utf-8")


def _inspect_scenes(folder: Path, paths: list[Path], bbox: Bounds | None) -> Imagery:
    """Checks scenes and lists the files to copy: GeoTIFF files with their sidecar files, and VRT files.

    Each VRT is later written as one GeoTIFF. So the GeoTIFF files to which a VRT refers are not listed.
    """
    parts = {part.absolute() for path in paths if _is_vrt(path) for part in inspect_scene(path).files[1:]}
    scenes = [inspect_scene(path) for path in paths if path.absolute() not in parts]
    scenes = newest_first([scene for scene in scenes if bbox is None or meets(scene.bounds, bbox)])
    if not scenes:
        message = f"none of the {len(paths):,} scenes of `{folder}` intersects the bounding box"
        raise DataError(message, _WITHOUT_IMAGERY)
    digest, files = hashlib.sha256(), {}
    for scene in sorted(scenes, key=lambda scene: scene.path.name):
        for file in (scene.path, *sorted(file for file in scene.files if file != scene.path)):
            digest.update(f"{file.name} {sha256_of(file)}\n".encode())
            if not _is_vrt(scene.path):
                files[f"imagery/{file.name}"] = file
        if _is_vrt(scene.path):
            files[f"imagery/{scene.path.name}.tif"] = scene.path
    return Imagery(files, digest.hexdigest(), read_attribution(folder / ATTRIBUTION_FILE), tuple(scenes))


def _is_vrt(path: Path) -> bool:
    return path.suffix.lower() == _VRT
