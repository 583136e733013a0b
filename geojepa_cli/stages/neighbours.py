"""Stage `neighbours/`: finds the tiles or entities that are most similar to a query of tiles or entities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geojepa_cli import console
from geojepa_cli.config.limits import DEFAULT_LIMITS, EntityLimits
from geojepa_cli.config.spaces import DEFAULT_FORM
from geojepa_cli.stages.alpha import check_alpha_of
from geojepa_cli.stages.device import check_device
from geojepa_cli.stages.drawing import shows_drawn_images
from geojepa_cli.stages.drawn_query import check_drawings, encode_drawings
from geojepa_cli.stages.embedded_view import check_entity_vectors
from geojepa_cli.stages.embedding_model import Model, find_model
from geojepa_cli.stages.embeddings import make_embeddings
from geojepa_cli.stages.entity_limits import entity_limits, limits_beyond_default
from geojepa_cli.stages.features import tag_features
from geojepa_cli.stages.joined_images import joined_images
from geojepa_cli.stages.neighbour_query import DEFAULT_K, NeighbourQuery, check_form, check_query, make_query
from geojepa_cli.stages.neighbour_rebuild import rebuild_neighbours
from geojepa_cli.stages.neighbour_results import Answer, make_page, open_regions, search
from geojepa_cli.stages.photo_query import check_reads_photos, compare_photos
from geojepa_cli.stages.point_query import encode_points, open_reader, parts_at_points
from geojepa_cli.stages.query_parts import Asked
from geojepa_cli.stages.stage import Regions, Stage, as_command, find_regions, in_fixed_order, rebuilding
from geojepa_cli.stages.training_inputs import photos_of
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.build import Build
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.search.query import QueryPart

JSON_FILE, GEOJSON_FILE, CSV_FILE, PAGE_FILE = (f"neighbours.{kind}" for kind in ("json", "geojson", "csv", "html"))
# version 2 added `osm_version` and `record_id` of entities; version 3 has search spaces, combined queries, places among
# all searched vectors, reasons, and CSV; version 4 has `score` with its kind instead of `cosine`, and scores of parts;
# version 5 leaves tiles without a vector out of the mean of an area
VARIANT = ("html", "alpha", "space", "query")
NEIGHBOURS = Stage(
    "neighbours",
    version=5,
    rebuild=rebuild_neighbours,
    variant=VARIANT,
    files=(JSON_FILE, GEOJSON_FILE, CSV_FILE),
)


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
    space: str = DEFAULT_FORM,
    like: Sequence[str] | None = None,
    unlike: Sequence[str] | None = None,
    weight: Sequence[float] | None = None,
    min_distance_km: float = 0.0,
    from_region: Regions = None,
    text: str | None = None,
    at: str | None = None,
    draw_: str | Path | None = None,
    area: str | Path | None = None,
    level: str | None = None,
    photo: str | Path | None = None,
) -> Artifact:
    """Finds the tiles or entities with embeddings most similar to a query. Computes missing embeddings first.

    Args:
        workspace: workspace to read from and publish to.
        tile, entity: query tile, such as `16_18052_25957`, or query entity, such as `way/123`.
        k: number of neighbours to find.
        model: name of a model or baseline, or `models/` artifact. Default: the newest model, else the packaged one.
        region: regions to search. Default: all regions with a `features/` artifact.
        exclude_same_group, html: leave out neighbours in the zoom-14 tile of the query; also make an HTML page.
        min_entities, max_entities, device, threads: see `embed`.
        alpha: weight of the entity alone in the vectors of entities, 0 to 1 (ADR 24). Requires entities.
        space: form in which vectors are compared: `raw`, `centred`, `balanced` or `whitened` (ADR 26).
        like, unlike: further tiles or entities that results shall resemble, or must not resemble.
        weight: weights of `tile`, `entity`, `at`, `text`, `draw_`, `area`, `photo`, each `like`, each `unlike`.
        min_distance_km: smallest distance in km between the tile of a neighbour and those of the query.
        from_region: regions from which the query comes, if not from the searched regions.
        text, at: English words, such as `school next to a motorway` (ADR 31); place, such as `-76.88,40.26`.
        draw_, area: GeoJSON file of drawn entities, with OSM tags as properties; file with polygons.
        photo: JPEG, PNG or WebP file of a photo, for a GAIR model that was trained with photos.
        level: `tile` or `entity`, what to search. Default: `entity` if the query has entities, otherwise `tile`.

    Returns:
        The `neighbours/` artifact, with `neighbours.json`, `.geojson`, `.csv` and, if `html` is set, `.html`.

    Raises:
        UsageError: a part of the query is missing or has the wrong format, or arguments cannot be combined.
        NotFoundError, DataError: there is no such tile, entity, model or region; a region has no tile in the limits.
    """
    limits = entity_limits(min_entities, max_entities)
    asked = Asked(tile, entity, at, text, draw_, area, photo, like or (), unlike or (), weight or ())
    query = make_query(asked, space, k, exclude_same_group, min_distance_km, alpha)
    return _find(workspace, model, query, level, region, from_region, html, device, threads, limits)


def _find(
    workspace: Workspace,
    model: str | Artifact | None,
    query: NeighbourQuery,
    level: str | None,
    region: Regions,
    from_region: Regions,
    html: bool,
    device: str,
    threads: int,
    limits: EntityLimits,
) -> Artifact:
    check_device(device)
    wanted = searchable_regions(workspace) if region is None else region
    regions = in_fixed_order(find_regions(workspace, "processed", wanted))
    sources = regions
    if from_region is not None:
        sources = in_fixed_order(find_regions(workspace, "processed", from_region, "from_region"))
    check_form(sources, query.parts, limits)
    chosen, everything = None, list(dict.fromkeys((*regions, *sources)))
    if {"--at", "--photo"} & {part.option for part in query.parts}:  # the model decides if and how it reads them
        chosen = find_model(workspace, model, everything)
        query = replace(query, parts=parts_at_points(query.parts, chosen, level))
        if query.has_photo:
            check_reads_photos(chosen)
    query = query.with_level(level)
    if not query.words_only:
        chosen = chosen or find_model(workspace, model, everything)
        if query.level == "entity":
            check_entity_vectors(chosen)
        check_drawings(query.parts, chosen.needs(), query.level)
        query = replace(query, alpha=check_alpha_of(chosen, query.alpha))
    elif model is not None:
        console.note("`--model` has no effect: words are compared with tags, not with vectors")
    return make_neighbours(workspace, chosen, query, regions, sources, html, device, threads, limits)


def make_neighbours(
    workspace: Workspace,
    model: Model | None,
    query: NeighbourQuery,
    regions: Sequence[Artifact],
    sources: Sequence[Artifact] | None = None,
    html: bool = False,
    device: str = "auto",
    threads: int = 1,
    limits: EntityLimits = DEFAULT_LIMITS,
) -> Artifact:
    """Finds the neighbours of a query, and publishes them as `neighbours/<query>.<model>`.

    Args:
        workspace, model: workspace to publish to; model that computes the embeddings. None for a query of words alone,
            which needs no embeddings: its artifact is `neighbours/<query>.text`.
        query: the query.
        regions: `processed/` artifacts of the regions to search, in a fixed order.
        sources: `processed/` artifacts of the regions from which the query comes. Default: the searched regions.
        html, device, threads, limits: see `knn`.

    Raises:
        NotFoundError: there is no such tile or entity. This is checked before embeddings are computed.
        DataError: a region has no tile within the limits.
    """
    sources = regions if sources is None or model is None else sources
    everything = list(dict.fromkeys((*regions, *sources)))
    with rebuilding(*everything):
        check_query(sources, regions, query.parts, limits)
    tags = [tag_features(workspace, region) if query.reads_tags else None for region in everything]
    embeddings: list[Artifact | None] = [None] * len(everything)
    if model is not None:
        settings = None, False, device, threads, limits
        embeddings = [make_embeddings(workspace, model, one, *settings, alpha=query.alpha) for one in everything]
    images = [joined_images(workspace, region) if html else None for region in everything]
    photos = list(dict.fromkeys(one for region in regions if query.has_photo for one in photos_of(workspace, region)))
    params: dict[str, Any] = {**query.params(), "html": html, **({} if model else limits_beyond_default(limits))}
    if list(sources) != list(regions):
        params |= {"regions": [one.ref for one in regions], "from_regions": [one.ref for one in sources]}
    inputs = [*everything, *filter(None, (*embeddings, *images, *tags)), *photos]

    def write(build: Build) -> Artifact:
        import torch

        torch.set_num_threads(threads)
        with rebuilding(*everything, *embeddings, *images, *tags):
            opened = open_regions(everything, embeddings, images, limits, f"{query.level}/vector", tags)
        searched, came_from = ([opened[everything.index(one)] for one in group] for group in (regions, sources))
        given = regions[0], sources, photos, device, threads
        parts, nearest = _encode_parts(workspace, model, query, *given)
        answer = search(replace(query, parts=parts), searched, came_from)
        _write_files(build, answer, query, model.ref if model else None, [region.ref for region in regions], nearest)
        if html:
            credits = list(dict.fromkeys(line for artifact in inputs for line in artifact.attribution))
            drawn = [shows_drawn_images(images[opened.index(region)]) for region in answer.stores]
            page = make_page(answer, query, searched, _shown(model, query), credits, drawn)
            (build.partial / PAGE_FILE).write_text(page, encoding="utf-8")
        return build.publish(counts={"searched": answer.searched, "neighbours": len(answer.neighbours)})

    return NEIGHBOURS.make(workspace, f"{query.name}.{model.name if model else 'text'}", params, inputs, write)


def _encode_parts(
    workspace: Workspace,
    model: Model | None,
    query: NeighbourQuery,
    region: Artifact,
    sources: Sequence[Artifact],
    photos: Sequence[Artifact],
    device: str,
    threads: int,
) -> tuple[tuple[QueryPart, ...], list[dict[str, Any]] | None]:
    """Returns the parts of a query, with the vectors of drawings, points and photos; and the most similar photos."""
    if model is None:
        return query.parts, None
    parts = encode_drawings(workspace, model, query.parts, region, query.level, query.alpha, device, threads)
    parts = encode_points(workspace, model, parts, sources, device)
    if not query.has_photo:
        return parts, None
    return compare_photos(parts, open_reader(workspace, model, sources[0], device), photos, query.k, device)


def _shown(model: Model | None, query: NeighbourQuery) -> str:
    """Returns the model as the page names it; empty if there is none."""
    if model is None:
        return ""
    return f"{model.ref} (alpha {query.alpha:g})" if query.alpha else model.ref


def searchable_regions(workspace: Workspace) -> list[str] | None:
    """Returns the names of the regions to search: those with both a `processed/` and a `features/` artifact.

    If no region has both, returns all regions with a `processed/` artifact. If there is no such region, returns None.
    """
    names, ready = workspace.names("processed"), workspace.names("features")
    return [name for name in names if name in ready] or names or None


def _write_files(
    build: Build,
    answer: Answer,
    query: NeighbourQuery,
    model: str | None,
    regions: Sequence[str],
    photos: Sequence[Mapping[str, Any]] | None,
) -> None:
    """Writes the results as JSON, GeoJSON and CSV."""
    from geojepa_cli.search.geojson import to_geojson
    from geojepa_cli.search.tables import to_csv

    content: dict[str, Any] = {**answer.to_json(query), "regions": list(regions)}
    content |= {"model": model} if model else {}
    content |= {"alpha": query.alpha} if query.alpha else {}
    content |= {} if photos is None else {"photos": list(photos)}
    places = to_geojson(answer.results, [region.store for region in answer.stores])
    for name, document in ((JSON_FILE, content), (GEOJSON_FILE, places)):
        (build.partial / name).write_text(console.to_json(document, indent=1) + "\n", encoding="utf-8")
    (build.partial / CSV_FILE).write_text(to_csv(answer.neighbours), encoding="utf-8", newline="")
