"""Stage `heatmaps/`: similarity of an element or place to all points of a region, by a GAIR model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geojepa_cli import hints
from geojepa_cli.config.gair import GairConfig
from geojepa_cli.errors import UsageError
from geojepa_cli.hints import Hint
from geojepa_cli.stages.device import check_device
from geojepa_cli.stages.heatmap_files import JSON_FILE, PAGE_FILE, PNG_FILE, TIFF_FILE, Drawn, write_heatmap
from geojepa_cli.stages.heatmap_query import (
    GROUND,
    IMAGE,
    HeatQuery,
    check_heat_query,
    find_point_model,
    make_heat_query,
    resolve_heat_query,
)
from geojepa_cli.stages.image_features import images_to_read
from geojepa_cli.stages.joined_images import joined_images, with_same_images
from geojepa_cli.stages.point_query import open_reader
from geojepa_cli.stages.processed import FILE as PROCESSED_FILE
from geojepa_cli.stages.rebuild import number, short_ref, text
from geojepa_cli.stages.stage import Regions, Stage, as_command, find_regions, rebuilding
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.build import Build
from geojepa_cli.workspace.kinds import Remains
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.stages.embedding_model import Model

PLACE = "place"
BY = (IMAGE, PLACE)
PER_CELL = 8  # points along one side of a cell of the model's map of features
STEP, MOST_SIDE = 16, 1024  # points along one side of a tile: a multiple of the first, at most the second
MAX_PIXELS = 2**32


def _rebuild(remains: Remains) -> Hint:
    params = remains.params
    given = params.get("query")
    query = given if isinstance(given, dict) else {}
    at, view = query.get("at"), text(query.get("view"))
    model, by = text(params.get("model")), text(params.get("by"))
    region, source = text(params.get("region")), text(params.get("from_region"))
    again = hints.run(
        "heatmap",
        entity=text(query.get("entity")),
        at=",".join(map(str, at)) if isinstance(at, list) else None,
        photo="FILE" if "photo" in query else None,
        view=view if view != GROUND else None,
        by=by if by != IMAGE else None,
        resolution=number(params.get("resolution")),
        model=short_ref(remains, "models", model) if model else None,
        region=short_ref(remains, "processed", region) if region else None,
        from_region=short_ref(remains, "processed", source) if source else None,
    )
    return with_same_images(remains, again)


# version 2 has whole places in titles
HEATMAPS = Stage(
    "heatmaps",
    version=2,
    rebuild=_rebuild,
    variant=("query", "by", "resolution"),
    files=(JSON_FILE, TIFF_FILE, PNG_FILE, PAGE_FILE),
)


@dataclass(frozen=True)
class HeatPlan:
    """Region, model and options of a heatmap.

    Attributes:
        region: `processed/` artifact of the region on the map.
        source: `processed/` artifact of the region of the query.
        model: GAIR model.
        query: query.
        by: `image`: points are read from images; `place`: points are encoded by their longitude and latitude.
        side: number of points along one side of a tile.
        resolution: distance of points that the user wants at most, in metres; None for the default.
    """

    region: Artifact
    source: Artifact
    model: Model
    query: HeatQuery
    by: str
    side: int
    resolution: float | None

    def params(self) -> dict[str, Any]:
        """Returns the parameters of the artifact."""
        return {
            **self.model.params,
            "model": self.model.ref,
            "query": self.query.params(),
            "by": self.by,
            "side": self.side,
            **({} if self.resolution is None else {"resolution": self.resolution}),
            "region": self.region.ref,
            **({} if self.source == self.region else {"from_region": self.source.ref}),
        }


@as_command("heatmap")
def heatmap(
    workspace: Workspace,
    entity: str | None = None,
    at: str | None = None,
    model: str | Artifact | None = None,
    region: Regions = None,
    from_region: Regions = None,
    view: str | None = None,
    by: str = IMAGE,
    resolution: float | None = None,
    device: str = "auto",
    threads: int = 1,
    photo: str | Path | None = None,
) -> Artifact:
    """Maps the similarity of an OSM element, a place or a photo to all points of a region, with a GAIR model.

    Args:
        workspace: workspace to read from and publish to.
        entity: OSM element, such as `way/123`.
        at: place, such as `-76.88,40.26`. Its vector is read from the image or, without an image, from its location.
        model: name of a GAIR model, or `models/` artifact. Default: the newest GAIR model.
        region: region on the map. Default: the only region in the workspace.
        from_region: region of the element or place. Default: the region on the map.
        view: vector of an element: `ground`, what its tags say (default); or `image`, what the image shows there.
        by: `image`: read the points from the images of the tiles; `place`: compute their vectors from longitude and
            latitude alone, also where there is no image.
        resolution: maximum distance of neighbouring points in metres. A tile has a multiple of 16 points on each side.
            Default: 8 points per side of a cell of the model with `image`, 16 points per side of a tile with `place`.
        device, threads: device of the model: `cpu`, `cuda` or `auto`; number of threads, which does not affect the
            result.
        photo: JPEG, PNG or WebP file of a photo, for a model that was trained with photos.

    Returns:
        The `heatmaps/` artifact with `heatmap.tif`, `heatmap.png`, `heatmap.html` and `heatmap.json`.

    Raises:
        UsageError: an argument is invalid, or the model is no GAIR model.
        NotFoundError: there is no such element, model or region, or the place is outside the region.
        DataError: an artifact is damaged, or the vector of an element is wanted from an image that does not exist.
    """
    check_device(device)
    query = make_heat_query(entity, at, None if photo is None else Path(photo), view)
    if by not in BY:
        raise UsageError(f"`--by {by}`: expected {' or '.join(BY)}", hints.again(by=IMAGE))
    processed = _only(workspace, region, "region")
    source = processed if from_region is None else _only(workspace, from_region, "from_region")
    chosen = find_point_model(workspace, model, [processed], query.photo is not None)
    check_heat_query(query, source)
    side = _side(chosen, processed, by, resolution)
    return _make(workspace, HeatPlan(processed, source, chosen, query, by, side, resolution), device, threads)


def _only(workspace: Workspace, given: Regions, argument: str) -> Artifact:
    found, *others = find_regions(workspace, "processed", given, argument)
    if others:
        message = f"`heatmap` takes one region, got {1 + len(others)}: a raster over several could be mostly empty"
        raise UsageError(message, hints.again(**{argument: found.name}))
    return found


def _side(model: Model, region: Artifact, by: str, resolution: float | None) -> int:
    """Returns the number of points along one side of a tile."""
    from geojepa_cli.grid import ground_size
    from geojepa_cli.store.reader import RegionStore

    if resolution is None:
        assert isinstance(model.config, GairConfig)
        wanted = float(PER_CELL * model.config.model.grid if by == IMAGE else STEP)
        return min(_multiple(wanted), MOST_SIDE)
    with rebuilding(region):
        store = RegionStore(region.file(PROCESSED_FILE), region.name)
    middle = store.n_tiles // 2
    east_m = ground_size(*(int(store[f"tile/{axis}"][middle]) for axis in "zxy"))[0] if store.n_tiles else 1.0
    side = _multiple(east_m / resolution)
    if side > MOST_SIDE:
        least = east_m / MOST_SIDE
        message = f"`--resolution {resolution:g}`: points can be no closer than {least:.2f} m, {MOST_SIDE:,} per side "
        raise UsageError(f"{message}of a tile", hints.again(resolution=f"{least + 0.01:.2f}"))
    return side


def _multiple(points: float) -> int:
    """Returns the smallest allowed number of points along a side that is not below the given one."""
    return max(-int(-(points - 1e-6) // STEP), 1) * STEP


def _make(workspace: Workspace, plan: HeatPlan, device: str, threads: int) -> Artifact:
    by_image = plan.by == IMAGE
    images = (
        images_to_read(workspace, plan.region, plan.model.needs())
        if by_image
        else joined_images(workspace, plan.region)
    )
    of_query = joined_images(workspace, plan.source) if plan.query.at or plan.query.view == IMAGE else None
    features = plan.model.tag_features(workspace, plan.source)
    read = plan.region, plan.source, features, plan.model.artifact, images, of_query
    inputs = list(dict.fromkeys(one for one in read if one is not None))

    def write(build: Build) -> Artifact:
        import torch

        torch.set_num_threads(threads)
        reader = open_reader(workspace, plan.model, plan.source, device)
        found = resolve_heat_query(workspace, plan.model, reader, plan.query, plan.source, device)
        drawn = Drawn(plan.region, images, by_image, plan.side, MAX_PIXELS)
        about = {"model": plan.model.ref, "region": plan.region.ref, "by": plan.by}
        with rebuilding(plan.region, images):
            tiles = write_heatmap(
                build.partial, drawn, reader, plan.query, found, about, build.inherited_attribution(), device
            )
        extra = {"crs": "EPSG:3857", "units": {TIFF_FILE: "cosine similarity"}}
        return build.publish({"tiles": tiles, "points": tiles * plan.side**2}, extra=extra)

    return HEATMAPS.make(workspace, f"{plan.query.name}.{plan.model.name}", plan.params(), inputs, write)
