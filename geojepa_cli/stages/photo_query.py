"""Photos as queries: a model encodes a photo of the user, and compares it with the photos of regions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geojepa_cli import console, hints
from geojepa_cli.errors import DataError, NotFoundError, UsageError
from geojepa_cli.stages.device import pick_device
from geojepa_cli.stages.embedding_model import Model
from geojepa_cli.stages.photos import FILE as PHOTOS_FILE
from geojepa_cli.stages.stage import rebuilding
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.durable import file_sha256

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from geojepa_cli.models.base import PointReader
    from geojepa_cli.search.query import QueryPart
    from geojepa_cli.store.photo_table import PhotoBatch, PhotoTable

PHOTOS_AT_ONCE = 32
DECIMALS = 6  # of similarities
ZOOM = 16  # of the tiles by which photos are looked up; not used here


@dataclass(frozen=True)
class PhotoFile:
    """A photo that a user gave.

    Attributes:
        photo: pixels and direction.
        checksum: SHA-256 of the file.
    """

    photo: PhotoBatch
    checksum: str

    @property
    def note(self) -> str:
        """Describes the direction of the camera for users."""
        heading, field = float(self.photo.heading), float(self.photo.field_of_view)
        known = [f"heading {heading:.0f}°"] if not math.isnan(heading) else []
        known += [f"field of view {field:.0f}°"] if not math.isnan(field) else []
        return f"{' and '.join(known) or 'no direction'} in EXIF; a place in EXIF is not used"


def photo_checksum(path: Path) -> str:
    """Returns the SHA-256 of the file of a photo.

    Raises:
        NotFoundError: there is no such file.
    """
    if not path.is_file():
        raise NotFoundError(f"`--photo {path}`: there is no such file", hints.again(photo="FILE.jpg"))
    return file_sha256(path)


def read_photo(path: Path) -> PhotoFile:
    """Reads a photo, as `fetch --photos` does: turned upright, as the largest square around its centre.

    Its heading and field of view are read from EXIF, but not its place.

    Raises:
        NotFoundError: there is no such file.
        DataError: the file is no JPEG, PNG or WebP image, is damaged, or is too small or too large.
    """
    import torch

    from geojepa_cli.sources.photos import PhotoError, open_photo
    from geojepa_cli.stages.photos import REASONS
    from geojepa_cli.store.photo_table import PhotoBatch

    checksum = photo_checksum(path)
    try:
        with open_photo(path) as opened:
            pixels = torch.from_numpy(opened.square()[None])
            field = opened.field_of_view_of_square(opened.field_of_view)
            angles = torch.tensor([opened.exif.heading, field], dtype=torch.float32)
    except PhotoError as error:
        reason = REASONS.get(error.reason, (error.reason,))[0]
        detail = f" ({error.detail})" if error.detail else ""
        raise DataError(f"the photo `{path}` {reason}{detail}", hints.again(photo="FILE.jpg")) from error
    return PhotoFile(PhotoBatch(pixels, angles[:1], angles[1:]), checksum)


def check_reads_photos(model: Model) -> None:
    """Checks that a model was trained with photos.

    Raises:
        UsageError: it was not.
    """
    from geojepa_cli.config.gair import GairConfig

    if not isinstance(model.config, GairConfig) or not model.config.ground.photos:
        message = f"`{model.name}` was not trained with photos: expected a GAIR model with `ground.photos`"
        trained = hints.run("pretrain", config="gair.yaml", name="gair-photos", set={"ground.photos": "true"})
        raise UsageError(message, trained)


def encode_photo(reader: PointReader, file: PhotoFile, device: str) -> NDArray[np.float64]:
    """Returns the vector of a photo. Its length is 1. float64 [D]"""
    import torch

    with torch.inference_mode():
        found = reader.describe_photos(file.photo.to(pick_device(device)))
    vector: NDArray[np.float64] = found[0].double().cpu().numpy()
    return vector


def compare_photos(
    parts: Sequence[QueryPart],
    reader: PointReader,
    photos: Sequence[Artifact],
    k: int,
    device: str,
) -> tuple[tuple[QueryPart, ...], list[dict[str, Any]]]:
    """Encodes the photo of a query, and finds the most similar photos of the searched regions.

    Args:
        parts: parts of the query, one of them a photo.
        reader: the opened model.
        photos: `photos/` artifacts of the searched regions.
        k: number of photos to find.
        device: device of the model.
    Returns:
        The parts with the vector of the photo; and the most similar photos as JSON, best first.
    """
    from geojepa_cli.search.parts.photo import PhotoPart
    from geojepa_cli.store.photo_table import PhotoTable

    with rebuilding(*photos):
        table = PhotoTable.open([one.file(PHOTOS_FILE) for one in photos], [ZOOM] * len(photos))
    vectors = _encode_all(reader, table, device)
    mean = tuple(vectors.mean(0).tolist()) if len(vectors) else None
    done: list[QueryPart] = []
    nearest: list[dict[str, Any]] = []
    for part in parts:
        if isinstance(part, PhotoPart):
            file = read_photo(Path(part.text))
            vector = encode_photo(reader, file, device)
            nearest = _nearest(table, vectors, vector, photos, k)
            part = replace(part, vector=tuple(vector.tolist()), mean=mean, note=file.note)
        done.append(part)
    return tuple(done), nearest


def _encode_all(reader: PointReader, table: PhotoTable, device: str) -> NDArray[np.float64]:
    """Returns the vectors of all photos of a table. float64 [n, D]"""
    import numpy as np
    import torch

    parts = [np.zeros((0, 0))]
    with console.progress("encode photos", len(table)) as meter, torch.inference_mode():
        for first in range(0, len(table), PHOTOS_AT_ONCE):
            numbers = np.arange(first, min(first + PHOTOS_AT_ONCE, len(table)))
            found = reader.describe_photos(table.read(numbers).to(pick_device(device)))
            parts.append(found.double().cpu().numpy())
            meter.update(first + len(numbers))
    return np.concatenate(parts[1:]) if len(parts) > 1 else parts[0]


def _nearest(
    table: PhotoTable,
    vectors: NDArray[np.float64],
    query: NDArray[np.float64],
    photos: Sequence[Artifact],
    k: int,
) -> list[dict[str, Any]]:
    """Returns the photos whose vectors have the largest cosine to a vector. A photo in two regions is returned once."""
    import numpy as np

    from geojepa_cli.search.results import point_url

    if not len(table):
        return []
    scores = np.round(vectors @ query, DECIMALS)
    found: list[dict[str, Any]] = []
    seen: set[int] = set()
    for number in np.argsort(-scores, kind="stable").tolist():
        if len(found) == k:
            break
        if int(table.ids[number]) in seen:
            continue
        seen.add(int(table.ids[number]))
        store, row = table.find(number)
        lon, lat = table.lonlat[number].tolist()
        found.append(
            {
                "rank": len(found) + 1,
                "score": float(scores[number]),
                "file": store.name(row),
                "region": photos[table.stores.index(store)].name,
                **{"lon": round(lon, 7), "lat": round(lat, 7), "url": point_url(lon, lat)},
            }
        )
    return found
