"""Query of a heatmap: checked options, and the vector that is compared with all points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geojepa_cli import console, hints
from geojepa_cli.config.limits import EntityLimits
from geojepa_cli.config.modality import TAGS_ONLY, Modality
from geojepa_cli.errors import DataError, UsageError
from geojepa_cli.stages.device import pick_device
from geojepa_cli.stages.embedding_model import Model, find_model
from geojepa_cli.stages.image_features import images_to_read
from geojepa_cli.stages.images import FILE as IMAGES_FILE
from geojepa_cli.stages.model_family import newest_gair
from geojepa_cli.stages.photo_query import check_reads_photos, encode_photo, photo_checksum, read_photo
from geojepa_cli.stages.point_query import read_point, reads_points
from geojepa_cli.stages.processed import FILE as PROCESSED_FILE
from geojepa_cli.stages.stage import rebuilding
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.kinds import legal_name
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from geojepa_cli.models.base import PointReader

GROUND, IMAGE, PHOTO = "ground", "image", "photo"
VIEWS = (GROUND, IMAGE)
ANY_TILE = EntityLimits(1, 2**31 - 1)
EXAMPLE = "-76.88,40.26"


@dataclass(frozen=True)
class HeatQuery:
    """Query of a heatmap, as the user gave it: an element, a place or a photo.

    Attributes:
        entity: OSM element, such as `way/123`, or None.
        at: longitude and latitude in degrees, or None.
        photo: path of a photo, or None.
        checksum: SHA-256 of the photo; empty without one.
        view: vector of an element: `ground`, what its tags say; or `image`, what the image shows there.
    """

    entity: str | None
    at: tuple[float, float] | None
    photo: Path | None = None
    checksum: str = ""
    view: str = GROUND

    @property
    def title(self) -> str:
        """The query in words, such as `way/123`."""
        name = "" if self.photo is None else console.printable(self.photo.name)
        return self.entity or name or ",".join(map(str, self.at or ()))

    @property
    def name(self) -> str:
        """Name of the query in the name of the artifact."""
        stem = "" if self.photo is None else self.photo.stem
        given = self.entity or stem or ",".join(map(str, self.at or ()))
        return legal_name(given.replace("/", "-").replace(".", "-"))[:60]

    def params(self) -> dict[str, Any]:
        """Returns the query as a parameter of the artifact."""
        if self.photo is not None:
            return {"photo": self.checksum}
        return {"at": list(self.at)} if self.at else {"entity": self.entity, "view": self.view}


@dataclass(frozen=True)
class HeatVector:
    """Resolved query.

    Attributes:
        vector: unit vector. float64 [D]
        read_from: `tags` of the element, `image`, `location` or `photo`.
        lonlat: place of the query in degrees; of an element, the centre of its largest part in a tile. None: no place.
        tile: name of the tile with this place; empty without one.
        tags: tags `key=value` of the element.
    """

    vector: NDArray[np.float64]
    read_from: str
    lonlat: tuple[float, float] | None
    tile: str
    tags: Sequence[str] = field(default=())


def make_heat_query(entity: str | None, at: str | None, photo: Path | None, view: str | None) -> HeatQuery:
    """Checks the options of a query.

    Raises:
        UsageError: none or two of the options are given, one has another form, or `view` is unknown
            or needs an element.
    """
    from geojepa_cli.search.check import parse_entity
    from geojepa_cli.search.parts.place import parse_place
    from geojepa_cli.store.batch import OSM_TYPES

    given = [name for name, value in (("--entity", entity), ("--at", at), ("--photo", photo)) if value is not None]
    if len(given) > 1:
        raise UsageError(f"`{given[0]}` cannot be combined with `{given[1]}`", hints.Hint(dropped=tuple(given[1:])))
    if view is not None and view not in VIEWS:
        raise UsageError(f"unknown view `{view}`: expected {' or '.join(VIEWS)}", hints.again(view=GROUND))
    if entity is not None:
        try:
            osm_type, osm_id = parse_entity(entity)
        except UsageError as error:
            raise UsageError(error.message, hints.again(entity="way/123")) from None
        return HeatQuery(f"{OSM_TYPES[osm_type]}/{osm_id}", None, view=view or GROUND)
    if at is None and photo is None:
        raise UsageError("`--entity`, `--at` or `--photo` is required", hints.again(at=EXAMPLE))
    if view is not None:
        message = "`--view` needs `--entity`: a place has one vector, read from the image or, without an image, from "
        raise UsageError(f"{message}its location, and so has a photo", hints.Hint(dropped=("--view",)))
    if photo is not None:
        return HeatQuery(None, None, photo, photo_checksum(photo))
    return HeatQuery(None, parse_place(at or ""))


def find_point_model(
    workspace: Workspace, ref: str | Artifact | None, regions: Sequence[Artifact], photos: bool
) -> Model:
    """Finds a model that reads images at points and, with `photos`, photos. Default: the newest one.

    Raises:
        NotFoundError: there is no such model.
        UsageError: the model does not read images at points, or photos.
    """
    train = hints.run("pretrain", config="gair.yaml", region=[region.name for region in regions])
    model = find_model(workspace, newest_gair(workspace, train) if ref is None else ref, regions)
    if not reads_points(model):
        message = f"`{model.name}` has one vector per tile and entity: expected a GAIR model, which reads images at "
        raise UsageError(f"{message}any point", train)
    if photos:
        check_reads_photos(model)
    return model


def check_heat_query(query: HeatQuery, region: Artifact) -> None:
    """Checks that the element exists, or that the place is in or near the region, before anything is computed.

    Raises:
        NotFoundError: there is no such element, or the place is outside the region.
    """
    from geojepa_cli.search.check import check_entity
    from geojepa_cli.search.parts.place import check_inside
    from geojepa_cli.store.reader import RegionStore

    with rebuilding(region):
        stores = [RegionStore(region.file(PROCESSED_FILE), region.name)]
        if query.entity is not None:
            check_entity(stores, query.entity, ANY_TILE, "--entity")
        elif query.at is not None:
            check_inside(",".join(map(str, query.at)), stores, ANY_TILE)


def resolve_heat_query(
    workspace: Workspace, model: Model, reader: PointReader, query: HeatQuery, region: Artifact, device: str
) -> HeatVector:
    """Computes the vector of a query.

    Args:
        workspace, model: workspace with the inputs of the model.
        reader: the opened model, with the tags of the region.
        query: checked query.
        region: `processed/` artifact of the region of the query.
        device: device of the model.

    Raises:
        DataError: the vector is to be read from the image, but the tile has none.
    """
    import numpy as np

    if query.at is not None:
        reading = read_point(workspace, model, reader, [region], query.at, device)
        return HeatVector(np.array(reading.vector), reading.read_from, query.at, reading.tile.name)
    if query.photo is not None:
        file = read_photo(query.photo)
        console.note(f"`{query.photo.name}`: {file.note}")
        return HeatVector(encode_photo(reader, file, device), PHOTO, None, "")
    return _of_entity(workspace, model, reader, query, region, device)


def _of_entity(
    workspace: Workspace, model: Model, reader: PointReader, query: HeatQuery, region: Artifact, device: str
) -> HeatVector:
    import numpy as np
    import torch

    from geojepa_cli.search.neighbours import SearchRegion, find_entity, tile_of_row
    from geojepa_cli.search.results import centre_of
    from geojepa_cli.store.entity_rows import rows_of_region
    from geojepa_cli.store.store import TileStore
    from geojepa_cli.store.tile_map import read_piece
    from geojepa_cli.store.view import View

    reads_image = query.view == IMAGE
    images = images_to_read(workspace, region, model.needs()) if reads_image else None
    with rebuilding(region, images):
        pictures = [images.file(IMAGES_FILE)] if images else None
        store = TileStore.open([region.file(PROCESSED_FILE)], pictures, [region.name])
        rows = rows_of_region(store.regions[0], ANY_TILE)
        hit = find_entity([SearchRegion(region.name, rows, store.regions[0])], query.entity or "")
        own, piece = int(rows["entity/tile"][hit.row]), int(rows["entity/piece"][hit.row])
        tile = tile_of_row(rows, own)
        needs = frozenset({Modality.IMAGE, Modality.NODES}) if reads_image else TAGS_ONLY
        batch = store.read(View.default(store, *ANY_TILE), [int(rows["tile/row"][own])], needs)
        shown = read_piece(store.regions[0], piece)
    with torch.inference_mode():
        moved = batch.to(pick_device(device))
        found = reader.encode(moved).entities if reads_image else reader.describe(moved)
    vector = found[int((batch.piece_rows == piece).nonzero()[0])].double().cpu().numpy()
    if not vector.any():
        message = f"tile `{tile.name}` of `{query.entity}` has no image, so the vector of the element cannot be read"
        raise DataError(message, hints.again(view=GROUND))
    tags = [f"{key}={value}" for key, value in shown.tags.items()]
    vector = np.asarray(vector / np.linalg.norm(vector))
    return HeatVector(vector, IMAGE if reads_image else "tags", centre_of(shown, tile), tile.name, tags)
