"""Image tiles and scenes of a folder: found, checked, and copied with the extract."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from geojepa_cli import console
from geojepa_cli.errors import DataError, UsageError
from geojepa_cli.grid import Bounds, TileId, tile_bounds
from geojepa_cli.hints import paste
from geojepa_cli.sources.extract import Extract, sha256_of
from geojepa_cli.sources.scenes import Scene, find_scenes, inspect_scene, materialise, meets, newest_first, raw_bytes
from geojepa_cli.store.images import find_images, is_transparent, parse_image_name, read_image

ATTRIBUTION_FILE = "ATTRIBUTION.txt"


class Imagery(NamedTuple):
    """Image tiles, or georeferenced scenes, of a folder.

    Attributes:
        files: name in the artifact (`imagery/16_X_Y.webp`) -> path.
        sha256: of names and contents.
        attribution: the lines of the folder's `ATTRIBUTION.txt`.
        scenes: newest first; none where the folder holds image tiles.
        texts: name in the artifact -> content, of what `fetch` writes itself.
    """

    files: dict[str, Path]
    sha256: str
    attribution: list[str]
    scenes: tuple[Scene, ...] = ()
    texts: Mapping[str, str] = {}


def lies_beside(imagery: Imagery, box: Bounds) -> bool:
    """Whether no scene and no image tile meets a box."""
    names = [parse_image_name(path.name) for path in imagery.files.values()]
    boxes = [scene.bounds for scene in imagery.scenes] or [tile_bounds(*tile) for tile in names if tile]
    return bool(boxes) and not any(meets(one, box) for one in boxes)


def list_imagery(folder: Path) -> tuple[list[tuple[TileId, Path]], list[Path]]:
    """The image tiles, or the GeoTIFF and VRT files, of a folder: one of both, told by their names.

    Raises:
        UsageError: there is no such folder.
        DataError: it holds neither or both, two images of one tile, or one outside the grid.
    """
    if not folder.is_dir():
        raise UsageError(f"`{folder}` is not a directory", hint="--imagery DIR")
    found, scenes = find_images(folder), find_scenes(folder)
    if scenes and found:
        what = f"`{folder}` holds both image tiles (`{found[0][1].name}`, …) and GeoTIFF files (`{scenes[0].name}`, …)"
        apart = f"{folder}-tiles"
        hint = f"{paste('mkdir', apart)} && mv {paste(str(folder))}/[0-9]*_[0-9]*_[0-9]*.* {paste(apart)}"
        raise DataError(f"{what}, of which only one kind can be read", hint)
    if not scenes and not found:
        message = f"`{folder}` holds no image tile, such as `16_X_Y.webp`, `.png` or `.jpg`, and no GeoTIFF or VRT file"
        raise DataError(message, hint="--imagery none")
    return found, scenes


def inspect_imagery(
    folder: Path, meter: Callable[[int, int], None] | None = None, bbox: Bounds | None = None
) -> Imagery:
    """Finds a folder's image tiles, `16_X_Y.webp` (or png, jpg), and decodes each, so that `tile` can rely on them;
    or its GeoTIFF and VRT files.

    Args:
        folder: other files in it are passed over.
        meter: called with (images done, images in all).
        bbox: west, south, east, north; tiles that do not meet it are passed over.

    Raises:
        UsageError: there is no such folder.
        DataError: it holds no image tile, two of one tile, one outside the grid, or one that is no whole image of
            224 × 224 px; names the file.
    """
    found, scenes = list_imagery(folder)
    if scenes:
        return _inspect_scenes(folder, scenes, bbox)
    files = {f"imagery/{file.name}": file for tile, file in found if bbox is None or meets(tile_bounds(*tile), bbox)}
    if not files:
        raise DataError(f"none of the {len(found):,} image tiles of `{folder}` meets the box", hint="--imagery none")
    digest, transparent = hashlib.sha256(), []
    for number, (name, file) in enumerate(sorted(files.items()), 1):
        read_image(file)
        transparent += [file.name] if is_transparent(file) else []
        digest.update(f"{name} {sha256_of(file)}\n".encode())
        if meter is not None:
            meter(number, len(files))
    if transparent:
        what = f"{len(transparent):,} of {len(files):,} image tiles have transparent pixels (`{transparent[0]}`, …)"
        console.warn(f"`{folder}`: {what}, which are read as the colour that they hide, mostly black")
    return Imagery(files, digest.hexdigest(), read_attribution(folder / ATTRIBUTION_FILE))


def _inspect_scenes(folder: Path, paths: list[Path], bbox: Bounds | None) -> Imagery:
    """GeoTIFF files are copied with what belongs to them; a VRT, which only points to others, as a GeoTIFF."""
    parts = {path for path in paths if path.suffix.lower() == ".vrt" for path in inspect_scene(path).files[1:]}
    scenes = [inspect_scene(path) for path in paths if path.absolute() not in {part.absolute() for part in parts}]
    scenes = newest_first([scene for scene in scenes if bbox is None or meets(scene.bounds, bbox)])
    if not scenes:
        raise DataError(f"none of the {len(paths):,} scenes of `{folder}` meets the box", hint="--imagery none")
    digest, files = hashlib.sha256(), {}
    for scene in sorted(scenes, key=lambda scene: scene.path.name):
        for file in (scene.path, *sorted(file for file in scene.files if file != scene.path)):
            digest.update(f"{file.name} {sha256_of(file)}\n".encode())
            if scene.path.suffix.lower() != ".vrt":
                files[f"imagery/{file.name}"] = file
        if scene.path.suffix.lower() == ".vrt":
            files[f"imagery/{scene.path.name}.tif"] = scene.path
    return Imagery(files, digest.hexdigest(), read_attribution(folder / ATTRIBUTION_FILE), tuple(scenes))


def bytes_of(imagery: Imagery) -> tuple[int, bool]:
    """What imagery takes on the disk, and whether that is the most it can be: a VRT is written as what it shows."""
    sizes = [path.stat().st_size for path in imagery.files.values() if path.suffix.lower() != ".vrt"]
    shown = [raw_bytes(path) for path in imagery.files.values() if path.suffix.lower() == ".vrt"]
    return sum(sizes) + sum(shown), bool(shown)


def read_attribution(path: Path) -> list[str]:
    """The lines of an `ATTRIBUTION.txt`, none where there is no such file.

    Raises:
        DataError: it is not text in UTF-8.
    """
    if not path.is_file():
        return []
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        quoted = paste(str(path))
        hint = f"iconv -f latin1 -t utf-8 {quoted} >fixed.txt && mv fixed.txt {quoted}"
        raise DataError(f"`{path}` is not UTF-8: {error.reason} at byte {error.start}", hint=hint) from error
    return [line.strip() for line in lines if line.strip()]


def copy_source(extract: Extract, imagery: Imagery | None, folder: Path, link: bool = False) -> None:
    """Copies an extract as `map<suffix>`, and image tiles to `imagery/`.

    Args:
        extract, imagery: as inspected.
        folder: to copy into.
        link: the extract is linked where the file system can, which costs neither time nor disk.

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
        raise DataError(f"`{extract.path}` changed while it was read", hint="run this again when it is complete")
    if imagery is not None:
        (folder / "imagery").mkdir(exist_ok=True)
        for name, file in imagery.files.items():
            if file.suffix.lower() == ".vrt":
                materialise(file, folder / name)
            else:
                shutil.copyfile(file, folder / name)
        for name, text in imagery.texts.items():
            (folder / name).write_text(text, encoding="utf-8")
