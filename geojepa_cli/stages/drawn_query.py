"""Encodes entities that a user has drawn: through the native binary and the model, like a region."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from geojepa_cli import hints, native
from geojepa_cli.config.modality import Modality, Needs, sees_only_images
from geojepa_cli.errors import DataError, UsageError
from geojepa_cli.stages.alpha import with_alpha
from geojepa_cli.stages.device import pick_device
from geojepa_cli.stages.embedding_model import Model
from geojepa_cli.stages.features import FILE as FEATURES_FILE
from geojepa_cli.stages.geometry_features import FILE as GEOMETRY_FILE
from geojepa_cli.stages.geometry_source import TRAIN, load_encoder
from geojepa_cli.stages.processed import FILE as PROCESSED_FILE
from geojepa_cli.stages.tiles import FILE as TILES_FILE
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.models.base import Embedder
    from geojepa_cli.search.neighbours import Level
    from geojepa_cli.search.parts.drawing import DrawingPart
    from geojepa_cli.search.query import QueryPart
    from geojepa_cli.sources.drawing import Drawing
    from geojepa_cli.store.store import TileStore

_NO_ENTITY = "no entity that a model reads: boundaries, areas that cover a whole tile and features without a tag that "
_NO_ENTITY += "`geojepa tile` keeps are no entities"


def encode_drawings(
    workspace: Workspace,
    model: Model,
    parts: Sequence[QueryPart],
    region: Artifact,
    level: Level,
    alpha: float = 0.0,
    device: str = "auto",
    threads: int = 1,
) -> tuple[QueryPart, ...]:
    """Returns the parts of a query, with the vectors of drawn parts.

    Args:
        workspace: workspace with the inputs of the model.
        model: model that encodes the drawings.
        parts: parts of the query.
        region: `processed/` artifact of a searched region. Drawings are processed with its zoom and its parameters.
        level: `tile` to encode a drawing as a tile, `entity` to encode its only entity.
        alpha: weight of the entity alone in the vectors of entities.
        device, threads: device of the model; number of threads.

    Raises:
        UsageError: the model reads only images, or an entity is wanted of a drawing with several.
        DataError: the drawing has no entity that the model reads.
    """
    from geojepa_cli.search.parts.drawing import DrawingPart

    return tuple(
        _encoded(workspace, model, part, region, level, alpha, device, threads)
        if isinstance(part, DrawingPart)
        else part
        for part in parts
    )


def check_drawings(parts: Sequence[QueryPart], needs: Needs, level: Level) -> None:
    """Checks that a model can encode the drawn parts of a query.

    Raises:
        UsageError: the model reads only images, or an entity is wanted of a drawing with several.
    """
    from geojepa_cli.search.parts.drawing import DrawingPart

    for part in parts:
        if not isinstance(part, DrawingPart):
            continue
        if sees_only_images(needs):
            raise UsageError("a model that reads only images cannot encode a drawing", hints.again(model="tagpool"))
        count = len(part.drawing.entities)
        if level == "entity" and count != 1:
            message = f"`{part.text}` has {count} features: expected one to search entities"
            raise UsageError(message, hints.again(level="tile"))


def _encoded(
    workspace: Workspace,
    model: Model,
    part: DrawingPart,
    region: Artifact,
    level: Level,
    alpha: float,
    device: str,
    threads: int,
) -> DrawingPart:
    import numpy as np

    from geojepa_cli.search.tag_counts import tags_of_pieces
    from geojepa_cli.store.reader import RegionStore
    from geojepa_cli.store.view import piece_reasons

    drawing, fits = part.drawing.within_one_tile(RegionStore(region.file(PROCESSED_FILE)).zoom)
    with tempfile.TemporaryDirectory(prefix="geojepa-") as folder:
        store = _process(workspace, model, drawing, region, Path(folder), threads, part.text)
        embedder = _open(workspace, model, store, region, device)
        region_store = store.regions[0]
        tags = tags_of_pieces(region_store, np.flatnonzero(piece_reasons(region_store) == 0))
        vector, tiles = _encode(store, with_alpha(embedder, alpha), drawing, level, device, part.text)
    note = ""
    if not fits:
        note = f"the drawing lies in {tiles} tiles; its vector is their mean, weighted by entities"
    elif drawing is not part.drawing:
        note = "the drawing was moved by less than half a tile, so that it lies in one tile"
    return replace(part, vector=tuple(vector), tags=tags, note=note)


def _process(
    workspace: Workspace, model: Model, drawing: Drawing, region: Artifact, folder: Path, threads: int, name: str
) -> TileStore:
    """Makes tiles and model inputs of a drawing in a folder, and opens them."""
    from geojepa_cli.models.geometry_encoders import write_geometry_vectors
    from geojepa_cli.sources.drawing import write_osm
    from geojepa_cli.store.reader import RegionStore
    from geojepa_cli.store.store import TileStore

    source, tiles, processed = (folder / name for name in ("drawing.osm.pbf", TILES_FILE, PROCESSED_FILE))
    write_osm(drawing, source)
    zoom = RegionStore(region.file(PROCESSED_FILE)).zoom
    clip = ["tile", "--input", str(source), "--output", str(tiles), "--zoom", str(zoom), "--threads", str(threads)]
    try:
        native.run(clip, "tile the drawing")
    except DataError as error:
        raise DataError(f"`{name}` has {_NO_ENTITY} ({error.message})", hints.again(draw="FILE.geojson")) from error
    convert = ["process", "--input", str(tiles), "--output", str(processed), "--threads", str(threads)]
    convert += ["--simplify-m", repr(region.params["simplify_m"])]
    convert += ["--visibility-k", str(region.params["visibility_k"])]
    native.run(convert, "process the drawing")
    geometry = None
    encoder = model.geometry(workspace, region)
    if encoder is not None:
        if encoder.model is None and encoder.kind.encoder in TRAIN:
            message = f"the weights of the geometry encoder {encoder.kind}, which `{model.name}` reads, do not exist"
            raise DataError(message, TRAIN[encoder.kind.encoder])
        geometry = [folder / GEOMETRY_FILE]
        write_geometry_vectors(processed, geometry[0], load_encoder(encoder), threads)
    return TileStore.open([processed], names=["drawing"], geometry=geometry)


def _open(workspace: Workspace, model: Model, store: TileStore, region: Artifact, device: str) -> Embedder:
    """Loads the model for a drawing. Its tags are encoded as text, so they need not occur in a region."""
    import torch

    from geojepa_cli.models.base import FrozenInputs, TagList
    from geojepa_cli.store.features import tag_encoder
    from geojepa_cli.tags.descriptions import describe
    from geojepa_cli.tags.encoder import ENCODERS, load_text_encoder

    features = model.tag_features(workspace, region)
    encoder = load_text_encoder(ENCODERS[0])
    found = tag_encoder(features.file(FEATURES_FILE))
    if found != (encoder.name, encoder.width):
        message = f"the tags of `{region.name}` were embedded by `{found[0]}`, but those of the drawing by "
        raise DataError(f"{message}`{encoder.name}`", features.rebuild_hint())
    texts = [describe(key, value).text for key, value in zip(store.keys, store.values, strict=True)]
    table = torch.from_numpy(encoder.encode(texts)) if texts else torch.empty(0, encoder.width)
    frozen = FrozenInputs(table, store.geometry_kind, store.image_kind, tags=TagList(store.keys, store.values))
    return model.open(frozen.to(pick_device(device)))


def _encode(
    store: TileStore, embedder: Embedder, drawing: Drawing, level: Level, device: str, name: str
) -> tuple[list[float], int]:
    """Returns the vector of a drawing, and the number of its tiles.

    The vector of a tile is float32, that of an entity float16, as in `embeddings.h5`.
    """
    import torch

    from geojepa_cli.sources.drawing import AREA
    from geojepa_cli.store.view import View

    view = View.default(store, 1, None)
    if not drawing.has_area_tag:
        view = view.drop(
            tags=[row for row, tag in enumerate(zip(store.keys, store.values, strict=True)) if tag == AREA]
        )
    view = view.restrict(view.tiles[store.lengths(view) > 0])
    if not len(view.tiles):
        raise DataError(f"`{name}` has {_NO_ENTITY}", hints.again(draw="FILE.geojson"))
    batch = store.read(view, view.tiles, embedder.needs - {Modality.IMAGE, Modality.IMAGE_TOKENS})
    with torch.inference_mode():
        vectors = embedder.encode(batch.to(pick_device(device)))
    weights = store.lengths(view).astype(float)
    if level == "entity":
        size = torch.where(batch.area_m2 > 0, batch.area_m2, batch.length_m)
        chosen = vectors.entities[int(size.argmax())].half().double()
    else:
        chosen = torch.from_numpy(weights / weights.sum()).to(vectors.tiles.device) @ vectors.tiles.double()
    return chosen.cpu().tolist(), len(view.tiles)
