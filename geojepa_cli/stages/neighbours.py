"""Stage `neighbours/`: finds the tiles or entities that are most similar to a query tile or entity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from geojepa_cli import console, hints
from geojepa_cli.config.limits import DEFAULT_LIMITS, EntityLimits
from geojepa_cli.hints import Hint
from geojepa_cli.stages.alpha import check_alpha_of
from geojepa_cli.stages.device import check_device
from geojepa_cli.stages.drawing import shows_drawn_images
from geojepa_cli.stages.embedded_view import check_entity_vectors
from geojepa_cli.stages.embedding_model import Model, find_model
from geojepa_cli.stages.embeddings import make_embeddings
from geojepa_cli.stages.entity_limits import entity_limits
from geojepa_cli.stages.images import FILE as IMAGES_FILE
from geojepa_cli.stages.joined_images import joined_images, with_same_images
from geojepa_cli.stages.neighbour_query import check_form, check_options, check_query
from geojepa_cli.stages.processed import FILE as PROCESSED_FILE
from geojepa_cli.stages.rebuild import input_refs, limit_options, number, open_inputs, text
from geojepa_cli.stages.shipped import noting_version, ref_in
from geojepa_cli.stages.stage import Regions, Stage, as_command, find_regions, in_fixed_order, rebuilding
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.build import Build
from geojepa_cli.workspace.kinds import Remains
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.search.neighbours import Hit, SearchRegion
    from geojepa_cli.search.results import SearchResult

DEFAULT_K = 8
JSON_FILE, GEOJSON_FILE, PAGE_FILE = "neighbours.json", "neighbours.geojson", "neighbours.html"


def _rebuild(remains: Remains) -> Hint:
    params = remains.params
    tile, entity = text(params.get("tile")), text(params.get("entity"))
    query, _, name = remains.name.partition(".")
    if not tile and not entity:
        osm_type, dash, osm_id = query.partition("-")
        tile, entity = (None, f"{osm_type}/{osm_id}") if dash else (query, None)
    made = next(iter(open_inputs(remains, "embeddings")), None)
    known = Remains(name, made.params, made.inputs, workspace=remains.root) if made else Remains(name)
    again = hints.run(
        "knn",
        tile=tile,
        entity=entity,
        k=number(params.get("k"), DEFAULT_K),
        model=next(iter(input_refs(known, "models")), text(known.params.get("model")) or name or None),
        region=input_refs(remains, "processed"),
        exclude_same_group=params.get("exclude_same_group") is True,
        html=params.get("html") is True,
        alpha=number(params.get("alpha")),
        **limit_options(known.params),
    )
    return noting_version(with_same_images(remains, again), [ref_in(known.params)])


# version 2 added `osm_version` and `record_id` of entities
VARIANT = ("html", "alpha")
NEIGHBOURS = Stage("neighbours", version=2, rebuild=_rebuild, variant=VARIANT, files=(JSON_FILE, GEOJSON_FILE))


@as_command("knn")
def knn(
    workspace: Workspace,
    tile: str | None = None,
    entity: str | None = None,
    k: int = DEFAULT_K,
    model: str | Artifact | None = None,
    region: Regions = None,
    exclude_same_group: bool = False,
    html: bool = False,
    min_entities: int | None = None,
    max_entities: int | None = None,
    device: str = "auto",
    threads: int = 1,
    alpha: float = 0.0,
) -> Artifact:
    """Finds the tiles or entities with embeddings most similar to the embedding of a query tile or entity.

    Embeddings that do not exist yet are computed first.

    Args:
        workspace: workspace to read from and publish to.
        tile: query tile as zoom_x_y, such as `16_18052_25957`. Exactly one of `tile` and `entity` is required.
        entity: query entity, given as an OSM element such as `way/123`.
        k: number of neighbours to find.
        model: name of a model or baseline, or `models/` artifact. Default: the newest model or, if there is none,
            the model that comes with the package.
        region: names or artifacts of the regions to search. Default: all regions with a `features/` artifact.
        exclude_same_group: leave out neighbours that are in the same zoom-14 tile as the query.
        html: also make an HTML page with a map of the query and of each neighbour.
        min_entities: minimum number of entities in a tile. Default: 5.
        max_entities: maximum number of entities in a tile. Default: 1250.
        device: device for computing embeddings: `cpu`, `cuda` or `auto`.
        threads: number of threads for computing embeddings; does not affect the result.
        alpha: weight of the entity alone in the vectors of entities, 0 to 1 (ADR 24). Requires `entity`.

    Returns:
        The `neighbours/` artifact. It contains `neighbours.json`, `neighbours.geojson` and, if `html` is set,
        `neighbours.html`.

    Raises:
        UsageError: neither or both of `tile` and `entity` are given, or one of them has the wrong format.
        NotFoundError: there is no such tile, entity, model or region.
        DataError: a region has no tile within the limits, or an artifact is damaged.
    """
    check_options(tile, entity, alpha)
    check_device(device)
    limits = entity_limits(min_entities, max_entities)
    wanted = searchable_regions(workspace) if region is None else region
    regions = in_fixed_order(find_regions(workspace, "processed", wanted))
    check_form(regions, tile, entity, limits)
    chosen = find_model(workspace, model, regions)
    if entity is not None:
        check_entity_vectors(chosen)
    alpha = check_alpha_of(chosen, alpha)
    return make_neighbours(
        workspace, chosen, regions, tile, entity, k, exclude_same_group, html, device, threads, limits, alpha
    )


def make_neighbours(
    workspace: Workspace,
    model: Model,
    regions: Sequence[Artifact],
    tile: str | None,
    entity: str | None,
    k: int = DEFAULT_K,
    exclude_same_group: bool = False,
    html: bool = False,
    device: str = "auto",
    threads: int = 1,
    limits: EntityLimits = DEFAULT_LIMITS,
    alpha: float = 0.0,
) -> Artifact:
    """Finds the neighbours of a query tile or entity, and publishes them as `neighbours/<query>.<model>`.

    The arguments are described in the function `knn`.

    Raises:
        NotFoundError: there is no such tile or entity. This is checked before embeddings are computed.
        DataError: a region has no tile within the limits.
    """
    with rebuilding(*regions):
        check_query(regions, tile, entity, limits)
    embeddings = [
        make_embeddings(workspace, model, region, None, False, device, threads, limits, alpha=alpha)
        for region in regions
    ]
    images = [joined_images(workspace, region) if html else None for region in regions]
    shifted: dict[str, object] = {"alpha": alpha} if alpha else {}
    params = {"tile": tile, "entity": entity, "k": k, "exclude_same_group": exclude_same_group, "html": html, **shifted}
    inputs = [*regions, *embeddings, *(artifact for artifact in images if artifact)]

    def write(build: Build) -> Artifact:
        from geojepa_cli.search.geojson import to_geojson
        from geojepa_cli.search.results import describe_entity, describe_tile

        with rebuilding(*regions, *embeddings, *images):
            opened = _open(regions, embeddings, images, limits, "entity/vector" if entity else "tile/vector")
        hits = _search(opened, tile, entity, k, exclude_same_group)
        describe = describe_entity if entity else describe_tile
        results = [describe(opened[hit.region], hit, rank) for rank, hit in enumerate(hits)]
        searched = sum(r.vectors.n_entities if entity else r.vectors.n_tiles for r in opened)
        query, *neighbours = [result.to_json() for result in results]
        answer = {"query": query, "neighbours": neighbours, "model": model.ref, "searched": searched, **shifted}
        answer["regions"] = [region.ref for region in regions]
        _write_json(build, JSON_FILE, answer)
        _write_json(build, GEOJSON_FILE, to_geojson(results, [opened[hit.region].store for hit in hits]))
        if html:
            credits = dict.fromkeys(line for artifact in inputs for line in artifact.attribution)
            drawn = [shows_drawn_images(one) for one in images]
            shown = f"{model.ref} (alpha {alpha:g})" if alpha else model.ref
            page = _page(opened, hits, results, shown, searched, list(credits), drawn)
            (build.partial / PAGE_FILE).write_text(page, encoding="utf-8")
        return build.publish(counts={"searched": searched, "neighbours": len(neighbours)})

    name = f"{(tile or entity or '').replace('/', '-')}.{model.name}"
    return NEIGHBOURS.make(workspace, name, params, inputs, write)


def searchable_regions(workspace: Workspace) -> list[str] | None:
    """Returns the names of the regions to search: those with both a `processed/` and a `features/` artifact.

    If no region has both, returns all regions with a `processed/` artifact. If there is no such region, returns None.
    """
    names, ready = workspace.names("processed"), workspace.names("features")
    return [name for name in names if name in ready] or names or None


def _open(
    regions: Sequence[Artifact],
    embeddings: Sequence[Artifact],
    images: Sequence[Artifact | None],
    limits: EntityLimits,
    column: str,
) -> list[SearchRegion]:
    from geojepa_cli.search.neighbours import SearchRegion
    from geojepa_cli.store.embeddings import FILE as EMBEDDINGS_FILE
    from geojepa_cli.store.embeddings import Embeddings
    from geojepa_cli.store.images import ImageStore
    from geojepa_cli.store.reader import RegionStore

    opened = [
        SearchRegion(
            region.name,
            Embeddings(made.file(EMBEDDINGS_FILE)),
            RegionStore(region.file(PROCESSED_FILE), region.name),
            ImageStore(image.file(IMAGES_FILE), any_form=True) if image else None,
            limits,
        )
        for region, made, image in zip(regions, embeddings, images, strict=True)
    ]
    for one in opened:
        one.vectors.check_source(one.store)
        one.vectors.check_vectors(column)
    return opened


def _search(regions: Sequence[SearchRegion], tile: str | None, entity: str | None, k: int, exclude: bool) -> list[Hit]:
    """Returns the query tile or entity, followed by its nearest neighbours."""
    from geojepa_cli.search.neighbours import find_entity, find_tile, nearest_entities, nearest_tiles

    if tile is not None:
        query = find_tile(regions, tile)
        return [query, *nearest_tiles(regions, query, k, exclude)]
    query = find_entity(regions, entity or "")
    return [query, *nearest_entities(regions, query, k, exclude)]


def _write_json(build: Build, name: str, content: object) -> None:
    (build.partial / name).write_text(console.to_json(content, indent=1) + "\n", encoding="utf-8")


def _page(
    regions: Sequence[SearchRegion],
    hits: Sequence[Hit],
    results: Sequence[SearchResult],
    model: str,
    searched: int,
    credits: Sequence[str],
    drawn: Sequence[bool],
) -> str:
    import numpy as np

    from geojepa_cli.grid import parse_tile, tiles_bounds
    from geojepa_cli.pages.neighbours.page import Card, render_page
    from geojepa_cli.store.tile_map import read_map

    cards = []
    for hit, result in zip(hits, results, strict=True):
        region = regions[hit.region]
        image = None
        if region.images is not None:
            z, x, y = parse_tile(result.tile)
            row = int(region.images.rows_of([z], [x], [y])[0])
            image = region.images.image[row] if row >= 0 else None
        cards.append(Card(result, read_map(region.store, result.tile_row), image, drawn[hit.region]))
    bounds = [tiles_bounds(*(r.vectors[f"tile/{axis}"] for axis in "zxy")) for r in regions]
    names = sorted({region.name for region in regions})
    return render_page(cards, model, names, searched, np.concatenate(bounds), credits)
