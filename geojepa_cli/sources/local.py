"""An extract and image tiles at hand: told by their content what they are, checked, and copied."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import shutil
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

from geojepa_cli import console
from geojepa_cli.errors import DataError, UsageError
from geojepa_cli.grid import Bounds, TileId, tile_bounds
from geojepa_cli.hints import paste
from geojepa_cli.sources.pbf import FrameError, count_data_blobs, parse_blob_header
from geojepa_cli.sources.scenes import Scene, find_scenes, inspect_scene, materialise, meets, newest_first, raw_bytes
from geojepa_cli.store.images import find_images, is_transparent, parse_image_name, read_image
from geojepa_cli.workspace.kinds import legal_name

CHUNK = 1 << 20
HEAD = 4096
OSM_ATTRIBUTION = "© OpenStreetMap contributors, ODbL 1.0, https://www.openstreetmap.org/copyright"
ATTRIBUTION_FILE = "ATTRIBUTION.txt"
_ANOTHER = "geojepa fetch --pbf FILE --name NAME"
_OSMIUM_READS = ("an o5m file",)  # and so can make an extract of it

# beginnings of what people have in the place of an extract -> what it is
_STRANGERS: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs", "a pointer of git-lfs, not the file itself"),
    (b"PK\x03\x04", "a zip archive"),
    (b"SQLite format 3", "a SQLite or GeoPackage file"),
    (b"\xff\xe0", "an o5m file"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"{", "JSON"),
    (b"Mapsforge", "a Mapsforge map"),
)


class Extract(NamedTuple):
    """A checked extract.

    Attributes:
        path: where it lies.
        suffix: `.osm.pbf`, `.osm`, `.osm.gz` or `.osm.bz2`, by its content.
        sha256: of its bytes.
        bytes: its size.
    """

    path: Path
    suffix: str
    sha256: str
    bytes: int


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


def inspect_extract(path: Path, meter: Callable[[int, int], None] | None = None) -> Extract:
    """Finds out what an extract is, and that it is whole.

    Args:
        path: a PBF or OSM XML file, the latter also packed by gzip or bzip2; its name does not matter.
        meter: called with (bytes done, bytes in all).

    Raises:
        UsageError: there is no such file.
        DataError: it is empty, truncated, or something else.
    """
    if not path.is_file():
        what = "is a directory" if path.is_dir() else "does not exist"
        raise UsageError(f"`{path}` {what}", hint=_ANOTHER)
    with path.open("rb") as file:
        head = file.read(HEAD)
    suffix = sniff(path, head)
    if suffix == ".osm.pbf":
        count_data_blobs(path)
    else:
        check_xml(path, suffix)
    return Extract(path, suffix, _sha256(path, meter), path.stat().st_size)


def sniff(path: Path, head: bytes) -> str:
    """The kind of extract that a file with this beginning is.

    Raises:
        DataError: none; says what it looks like.
    """
    if not head:
        raise DataError(f"`{path}` is empty", hint="download it again")
    if _begins_pbf(head):
        return ".osm.pbf"
    for magic, suffix in ((b"\x1f\x8b", ".osm.gz"), (b"BZh", ".osm.bz2")):
        if head.startswith(magic):
            with _open(path, suffix) as packed:
                _check_root(path, _first_bytes(packed, path))
            return suffix
    _check_root(path, head)
    return ".osm"


def check_xml(path: Path, suffix: str) -> None:
    """Reads an XML extract to its end: it must unpack, hold a node, declare no entity, and end with its closing tag.

    Raises:
        DataError: it does not.
    """
    tail, found = b"", False
    with _open(path, suffix) as file:
        try:
            while chunk := file.read(CHUNK):
                window = tail + chunk
                found = found or b"<node" in window
                if b"<!ENTITY" in window or b"<!DOCTYPE" in window:
                    raise DataError(
                        f"`{path}` declares XML entities, which no OSM file needs: it is not read", _ANOTHER
                    )
                tail = window[-256:]
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"`{path}` does not unpack: {error}", hint="download it again") from error
    if not tail.rstrip().endswith((b"</osm>", b"/>")):
        raise DataError(f"`{path}` is truncated: it does not end with `</osm>`", hint="download it again")
    if not found:
        raise DataError(f"`{path}` holds no data: there is no node in it", hint=_ANOTHER)


def check_box(extract: Extract, bbox: Bounds | None) -> None:
    """Refuses a box that does not meet the one in the extract's header, where it has one.

    Raises:
        DataError: they do not meet; the hint has the extract's.
    """
    if bbox is None:
        return
    box = header_bounds(extract)
    if box is None or meets(box, bbox):
        return
    own = ",".join(f"{value:.4f}" for value in box)
    raise DataError(f"the box lies outside of `{extract.path}`, which holds {own}", hint=f"--bbox={own}")


def header_bounds(extract: Extract) -> Bounds | None:
    """The box in the header of an extract, (west, south, east, north); None where it has none."""
    box = _header_box(extract)
    return _bounds_of(box) if box.valid() else None


def extract_bounds(extract: Extract) -> Bounds:
    """The box of an extract, (west, south, east, north): as its header says, else that of its nodes.

    Raises:
        DataError: it has neither.
    """
    import osmium

    box = _header_box(extract)
    if not box.valid():
        nodes: Iterable[Any] = osmium.FileProcessor(_osm_file(extract), osmium.osm.osm_entity_bits.NODE)
        for node in nodes:
            if node.location.valid():
                box.extend(node.location)
    if not box.valid():
        raise DataError(f"`{extract.path}` has no place", hint="--bbox=WEST,SOUTH,EAST,NORTH")
    return _bounds_of(box)


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
        digest.update(f"{name} {_sha256(file)}\n".encode())
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
            digest.update(f"{file.name} {_sha256(file)}\n".encode())
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
    if target.stat().st_size != extract.bytes or _sha256(target) != extract.sha256:
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


def _osm_file(extract: Extract) -> Any:
    import osmium

    return osmium.io.File(str(extract.path), extract.suffix.removeprefix("."))


def _header_box(extract: Extract) -> Any:
    import osmium

    with osmium.io.Reader(_osm_file(extract), osmium.osm.osm_entity_bits.NOTHING) as reader:
        return reader.header().box()


def _bounds_of(box: Any) -> Bounds:
    return box.bottom_left.lon, box.bottom_left.lat, box.top_right.lon, box.top_right.lat


def _begins_pbf(head: bytes) -> bool:
    length = int.from_bytes(head[:4], "big")
    if not 0 < length <= HEAD:
        return False
    try:
        return parse_blob_header(head[4 : 4 + length])[0] in ("OSMHeader", "OSMData")
    except FrameError:
        return b"\x0a\x09OSM" in head[:12]  # it is one, broken off: the walk over its blobs says where


def _check_root(path: Path, head: bytes) -> None:
    """DataError unless the text is an XML document with `<osm` as its root."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    lower = text[:1024].lower()
    if lower.startswith((b"<!doctype html", b"<html")) or b"<html" in lower:
        hint = "the server answered with a page instead of the file; check its address and download it again"
        raise DataError(f"`{path}` is an HTML page", hint=hint)
    if b"<osmchange" in lower:
        raise DataError(f"`{path}` is a file of changes, not an extract", hint="osmium apply-changes")
    if text.startswith(b"<") and b"<osm" in lower:
        return
    for magic, what in _STRANGERS:
        if text.startswith(magic):
            raise DataError(f"`{path}` is {what}, not an OSM extract", hint=_convert(path, what))
    raise DataError(f"`{path}` is neither OSM PBF nor OSM XML", hint=_ANOTHER)


def _convert(path: Path, what: str) -> str:
    """The commands that make an extract of a file that osmium reads, or the one for another file."""
    if not any(word in what for word in _OSMIUM_READS):
        return _ANOTHER
    name = legal_name(path.name.partition(".")[0])
    made = f"{name}-converted.osm.pbf"
    again = paste("geojepa", "fetch", "--pbf", made, "--name", name)
    return f"{paste('osmium', 'cat', str(path), '-o', made)} && {again}"


def _open(path: Path, suffix: str) -> Any:
    if suffix == ".osm.gz":
        return gzip.open(path, "rb")
    return bz2.open(path, "rb") if suffix == ".osm.bz2" else path.open("rb")


def _first_bytes(packed: IO[bytes], path: Path) -> bytes:
    try:
        return packed.read(HEAD)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"`{path}` does not unpack: {error}", hint="download it again") from error


def _sha256(path: Path, meter: Callable[[int, int], None] | None = None) -> str:
    digest, done, size = hashlib.sha256(), 0, path.stat().st_size
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            done += len(chunk)
            if meter is not None:
                meter(done, size)
    return digest.hexdigest()
