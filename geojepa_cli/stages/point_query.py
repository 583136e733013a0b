"""Points as queries: a model reads them from the image of their tile or, without an image, encodes their location."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from geojepa_cli.stages.device import pick_device
from geojepa_cli.stages.embedding_model import Model
from geojepa_cli.stages.image_features import images_to_read
from geojepa_cli.stages.images import FILE as IMAGES_FILE
from geojepa_cli.stages.model_inputs import open_embedder
from geojepa_cli.stages.processed import FILE as PROCESSED_FILE
from geojepa_cli.stages.stage import rebuilding
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.models.base import PointReader
    from geojepa_cli.search.parts.point import PointReading
    from geojepa_cli.search.query import QueryPart


def reads_points(model: Model) -> bool:
    """Returns True if a model reads images at any point, and has vectors of locations (`PointReader`)."""
    from geojepa_cli.config.gair import GairConfig

    return isinstance(model.config, GairConfig)


def parts_at_points(parts: Sequence[QueryPart], model: Model, level: str | None) -> tuple[QueryPart, ...]:
    """Returns the parts of a query, in which places are points if the model can read them and entities are searched.

    A place is a tile if tiles are searched: with `level` `tile`, or next to a tile.

    Args:
        parts: parts of the query.
        model: model that computes the vectors.
        level: `tile`, `entity`, or None if the user did not say what to search.
    """
    from geojepa_cli.search.parts.place import PlacePart
    from geojepa_cli.search.parts.point import PointPart

    if not reads_points(model):
        return tuple(parts)
    others = {part.level for part in parts if not isinstance(part, PlacePart)}
    if level == "tile" or (level is None and "tile" in others):
        # without a level of its own, so that the level is a parameter of the artifact
        return tuple(replace(part, level=None) if isinstance(part, PlacePart) else part for part in parts)
    return tuple(
        PointPart(part.text, part.option, part.weight, part.unlike) if isinstance(part, PlacePart) else part
        for part in parts
    )


def encode_points(
    workspace: Workspace, model: Model, parts: Sequence[QueryPart], regions: Sequence[Artifact], device: str
) -> tuple[QueryPart, ...]:
    """Returns the parts of a query, with the vectors of points.

    Args:
        workspace: workspace with the inputs of the model.
        model: model that computes the vectors.
        parts: parts of the query.
        regions: `processed/` artifacts of the regions from which the query comes.
        device: device of the model.
    """
    from geojepa_cli.search.parts.place import parse_place
    from geojepa_cli.search.parts.point import PointPart

    if not any(isinstance(part, PointPart) for part in parts):
        return tuple(parts)
    reader = open_reader(workspace, model, regions[0], device)
    return tuple(
        replace(part, reading=read_point(workspace, model, reader, regions, parse_place(part.text), device))
        if isinstance(part, PointPart)
        else part
        for part in parts
    )


def open_reader(workspace: Workspace, model: Model, region: Artifact, device: str) -> PointReader:
    """Loads a model that reads points, with the tags of a region.

    Raises:
        DataError: the files of the model are damaged.
    """
    from geojepa_cli.models.base import PointReader
    from geojepa_cli.store.store import TileStore

    with rebuilding(region):
        store = TileStore.open([region.file(PROCESSED_FILE)], names=[region.name])
    found = open_embedder(model, store, [model.tag_features(workspace, region)], device)
    if not isinstance(found, PointReader):
        raise TypeError(f"`{model.name}` reads no points")
    return found


def read_point(
    workspace: Workspace,
    model: Model,
    reader: PointReader,
    regions: Sequence[Artifact],
    lonlat: tuple[float, float],
    device: str,
) -> PointReading:
    """Computes the vector of a point: read from the first region that has an image there, else that of the location.

    Args:
        workspace, model: workspace with the images, model.
        reader: the opened model.
        regions: `processed/` artifacts of the regions that may have an image of the point.
        lonlat: longitude and latitude in degrees.
        device: device of the model.
    """
    import numpy as np
    import torch

    from geojepa_cli.grid import tile_of, tile_uv
    from geojepa_cli.search.parts.point import PointReading
    from geojepa_cli.store.images import ImageStore
    from geojepa_cli.store.reader import RegionStore

    tile, on = None, pick_device(device)
    for region in regions:
        with rebuilding(region):
            zoom = RegionStore(region.file(PROCESSED_FILE), region.name).zoom
        here = tile_of(*lonlat, zoom)
        tile = tile or here
        images = images_to_read(workspace, region, model.needs())
        if images is None:
            continue
        with rebuilding(images):
            store = ImageStore(images.file(IMAGES_FILE))
        row = int(store.rows_of([here.z], [here.x], [here.y])[0])
        if row < 0:
            continue
        uv = torch.from_numpy(tile_uv([here.z], [here.x], [here.y], [lonlat])).clamp(0, 1).float()
        image = torch.from_numpy(np.array(store.image[row])[None])
        with torch.inference_mode():
            features = reader.feature_maps(image.to(on))
            vector = reader.at_points(features, uv.to(on), torch.zeros(1, dtype=torch.int64, device=on))
        return PointReading(tuple(vector[0].double().tolist()), "image", here)
    assert tile is not None, "no regions"
    with torch.inference_mode():
        vector = reader.at_places(torch.tensor([lonlat], dtype=torch.float64, device=on))
    return PointReading(tuple(vector[0].double().tolist()), "location", tile)
