"""Command `explore`: serves a page on which a user explores similar places. It publishes no artifact but embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from geojepa_cli import hints
from geojepa_cli.config.limits import EntityLimits
from geojepa_cli.config.spaces import DEFAULT_FORM
from geojepa_cli.errors import NotFoundError, UsageError
from geojepa_cli.stages.device import check_device
from geojepa_cli.stages.drawing import shows_drawn_images
from geojepa_cli.stages.embedded_view import check_entity_vectors
from geojepa_cli.stages.embedding_model import find_model
from geojepa_cli.stages.embeddings import check_region, make_embeddings
from geojepa_cli.stages.entity_limits import entity_limits
from geojepa_cli.stages.features import tag_features
from geojepa_cli.stages.joined_images import joined_images
from geojepa_cli.stages.neighbour_query import check_space
from geojepa_cli.stages.neighbour_results import open_regions
from geojepa_cli.stages.neighbours import searchable_regions
from geojepa_cli.stages.stage import Regions, as_command, find_regions, in_fixed_order, rebuilding
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.config.spaces import Form
    from geojepa_cli.pages.explorer.api import Api
    from geojepa_cli.pages.explorer.server import ExplorerServer
    from geojepa_cli.search.neighbours import SearchRegion

LOOPBACK = "127.0.0.1"
_BASEMAP = "https://tile.openstreetmap.org/{z}/{x}/{y}.png"


@as_command("explore")
def explore(
    workspace: Workspace,
    model: str | Artifact | None = None,
    region: Regions = None,
    host: str = LOOPBACK,
    port: int = 0,
    basemap: str | None = None,
    space: str = DEFAULT_FORM,
    min_entities: int | None = None,
    max_entities: int | None = None,
    device: str = "auto",
    threads: int = 1,
) -> ExplorerServer:
    """Opens regions for exploration, and returns a server that is bound to a port but does not serve yet.

    Embeddings that do not exist yet are computed first. Use the server as a context manager to serve in a thread:

        with stages.explore(workspace) as server:
            print(server.url)

    Args:
        workspace: workspace to read from. Missing embeddings are published to it.
        model: name of a model or baseline, or `models/` artifact. Default: the newest model or, if there is none,
            the model that comes with the package.
        region: names or artifacts of the regions to explore. Default: all regions with a `features/` artifact.
        host: address to listen on. By default, only programs on this computer can connect.
        port: port to listen on, 0 for any free port.
        basemap: URL template of raster tiles for a base map, with `{z}`, `{x}` and `{y}`. None: the page loads nothing
            from other servers.
        space: search space in which vectors are compared: `raw`, `centred`, `balanced` or `whitened`.
        min_entities: minimum number of entities in a tile. Default: 5.
        max_entities: maximum number of entities in a tile. Default: 1250.
        device: device for computing embeddings: `cpu`, `cuda` or `auto`.
        threads: number of threads for computing embeddings and for searches.

    Returns:
        The server.

    Raises:
        UsageError: an argument is wrong.
        NotFoundError: there is no such model or region.
        DataError: a region has no tile within the limits, or an artifact is damaged.
        MissingExtraError: MapLibre GL is not part of this installation.
        GeojepaError: the address or port cannot be used.
    """
    from geojepa_cli.pages.explorer.library import check_library
    from geojepa_cli.pages.explorer.server import ExplorerServer

    check_library()
    check_device(device)
    check_basemap(basemap)
    form = check_space(space)
    limits = entity_limits(min_entities, max_entities)
    server = ExplorerServer(host, port)
    try:
        server.api = _open_api(workspace, model, region, basemap, form, limits, device, threads)
    except BaseException:
        server.stop()
        raise
    return server


def _open_api(
    workspace: Workspace,
    model: str | Artifact | None,
    region: Regions,
    basemap: str | None,
    form: Form,
    limits: EntityLimits,
    device: str,
    threads: int,
) -> Api:
    """Opens the embeddings of the regions, and computes those that do not exist."""
    import torch

    from geojepa_cli.pages.explorer.api import About, Api
    from geojepa_cli.pages.explorer.explorer import Explorer

    wanted = searchable_regions(workspace) if region is None else region
    regions = in_fixed_order(find_regions(workspace, "processed", wanted))
    chosen = find_model(workspace, model, regions)
    check_entity_vectors(chosen)
    for one in regions:
        check_region(workspace, chosen, one, limits=limits)
    embeddings = [make_embeddings(workspace, chosen, one, None, False, device, threads, limits) for one in regions]
    images = [joined_images(workspace, one) for one in regions]
    tags = [_tags(workspace, one) for one in regions]
    with rebuilding(*regions, *embeddings, *images, *tags):
        opened = _open(regions, embeddings, images, limits, tags)
    artifacts = [*regions, *embeddings, *(one for one in images if one is not None)]
    credits = list(dict.fromkeys(line for artifact in artifacts for line in artifact.attribution))
    kinds = [None if one is None else "drawn" if shows_drawn_images(one) else "aerial" for one in images]
    torch.set_num_threads(threads)
    return Api(Explorer(opened, form), About(chosen.ref, form, credits, kinds, basemap))


def check_basemap(url: str | None) -> None:
    """Checks the URL template of a base map.

    Raises:
        UsageError: the URL has another scheme than `http` and `https`, or lacks `{z}`, `{x}` or `{y}`.
    """
    if url is None:
        return
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        valid = False
    forbidden = any(one.isspace() or one in ";,'\"" for one in url)
    if not valid or forbidden or not all(part in url for part in ("{z}", "{x}", "{y}")):
        message = f"`--basemap {url}` is not a URL of map tiles: expected http or https, with {{z}}, {{x}} and {{y}}"
        raise UsageError(message, hints.again(basemap=_BASEMAP))


def _open(
    regions: Sequence[Artifact],
    embeddings: Sequence[Artifact],
    images: Sequence[Artifact | None],
    limits: EntityLimits,
    tags: Sequence[Artifact | None],
) -> list[SearchRegion]:
    opened = open_regions(regions, embeddings, images, limits, "tile/vector", tags)
    for one in opened:
        one.store.check_geometry()
        one.embeddings.check_vectors("entity/vector")
        one.embeddings.statistics("entity/vector")
    return opened


def _tags(workspace: Workspace, region: Artifact) -> Artifact | None:
    """Returns the text vectors of a region's tags; None if there are none. Then the page cannot search by words."""
    try:
        return tag_features(workspace, region)
    except NotFoundError:
        return None
