"""Neighbours of a tile or an entity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from geojepa_cli import console, hints
from geojepa_cli.config.limits import DEFAULT_LIMITS, EntityLimits
from geojepa_cli.hints import Hint
from geojepa_cli.stages.embeddings import Model, make_embeddings
from geojepa_cli.stages.entity_limits import check_tiles_left
from geojepa_cli.stages.joined_images import joined_images
from geojepa_cli.stages.stage import Stage
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.kinds import Remains
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.search.query import SearchRegion


def _rebuild(remains: Remains) -> Hint:
    params = remains.params
    tile, entity = params.get("tile"), params.get("entity")
    tile = tile if tile or entity else remains.name.partition(".")[0]
    return hints.run("knn", tile=tile, entity=entity, html=bool(params.get("html")))


NEIGHBOURS = Stage("neighbours", version=1, rebuild=_rebuild)


def make_neighbours(
    workspace: Workspace,
    model: Model,
    regions: Sequence[Artifact],
    tile: str | None,
    entity: str | None,
    k: int = 8,
    exclude_same_group: bool = False,
    html: bool = False,
    device: str = "auto",
    threads: int = 1,
    limits: EntityLimits = DEFAULT_LIMITS,
) -> Artifact:
    """Publishes `neighbours/<query>.<model>`: `neighbours.json`, `neighbours.geojson` and, if wanted, the page.

    Args:
        workspace: where.
        model: whose vectors are searched; embeds what is not embedded.
        regions: processed artifacts to search in.
        tile, entity: the query, one of them.
        k: neighbours.
        exclude_same_group: leave out the query's zoom-14 block.
        html: make the page.
        device, threads: of embedding.
        limits: fewest and most entities of a tile that is searched.

    Raises:
        NotFoundError: no such tile or entity; told before anything is embedded.
        DataError: no tile of a region is within the limits.
    """
    _check_query(regions, tile, entity, limits)
    embeddings = [make_embeddings(workspace, model, region, None, False, device, threads, limits) for region in regions]
    images = [joined_images(workspace, region) for region in regions] if html else []
    query = tile or entity or ""
    params = {"tile": tile, "entity": entity, "k": k, "exclude_same_group": exclude_same_group, "html": html}
    inputs = [*regions, *embeddings, *(artifact for artifact in images if artifact)]
    name = f"{query.replace('/', '-')}.{model.name}"
    opened = _open(regions, embeddings, images, limits)
    hits = _search(opened, tile, entity, k, exclude_same_group)  # before the artifact: a wrong query leaves nothing
    with NEIGHBOURS.build(workspace, name, params, inputs) as build:
        if build.existing:
            return build.existing
        from geojepa_cli.search.places import entity_place, geojson, tile_place

        told = entity_place if entity else tile_place
        places = [told(opened[hit.region], hit, rank) for rank, hit in enumerate(hits)]
        searched = sum(r.vectors.n_entities if entity else r.vectors.n_tiles for r in opened)
        found = [place.to_json() for place in places]
        result = {"query": found[0], "neighbours": found[1:], "model": model.ref, "searched": searched}
        for file, content in (
            ("neighbours.json", result | {"regions": [region.ref for region in regions]}),
            ("neighbours.geojson", geojson(places, opened, hits)),
        ):
            (build.partial / file).write_text(console.to_json(content, indent=1) + "\n", encoding="utf-8")
        if html:
            credits = dict.fromkeys(line for artifact in inputs for line in artifact.manifest["attribution"])
            page = _page(opened, hits, places, model.ref, searched, list(credits))
            (build.partial / "neighbours.html").write_text(page, encoding="utf-8")
        return build.publish(counts={"searched": searched, "neighbours": len(hits) - 1})


def check_query_form(tile: str | None, entity: str | None) -> None:
    """Refuses what cannot name a tile or an entity, before anything is read."""
    if tile is not None:
        from geojepa_cli.grid import parse_tile

        parse_tile(tile)
        return
    from geojepa_cli.search.check import parse_entity

    parse_entity(entity or "")


def _check_query(regions: Sequence[Artifact], tile: str | None, entity: str | None, limits: EntityLimits) -> None:
    """Refuses, before minutes of embedding, a query that the regions do not have and regions without a tile."""
    from geojepa_cli.search.check import check_entity, check_tile
    from geojepa_cli.store.reader import RegionStore
    from geojepa_cli.store.store import TileStore

    stores = [RegionStore(region.file("processed.h5"), region.name) for region in regions]
    if tile is not None:
        check_tile(stores, tile, limits)
    else:
        check_entity(stores, entity or "", limits)
    for region in regions:
        alone = TileStore.open([region.file("processed.h5")], names=[region.name])
        check_tiles_left(alone, limits)


def searchable_regions(workspace: Workspace) -> list[str] | None:
    """Every region that can be embedded: a search without `--region` looks everywhere."""
    names, ready = workspace.names("processed"), workspace.names("features")
    return [name for name in names if name in ready] or names or None


def _open(
    regions: Sequence[Artifact], embeddings: Sequence[Artifact], images: Sequence[Artifact | None], limits: EntityLimits
) -> list[SearchRegion]:
    from geojepa_cli.search.query import SearchRegion
    from geojepa_cli.store.embeddings import Embeddings
    from geojepa_cli.store.images import ImageStore
    from geojepa_cli.store.reader import RegionStore

    pictures = images or [None] * len(regions)
    return [
        SearchRegion(
            region.name,
            Embeddings(made.file("embeddings.h5")),
            RegionStore(region.file("processed.h5"), region.name),
            ImageStore(image.file("images.h5"), any_form=True) if image else None,
            limits,
        )
        for region, made, image in zip(regions, embeddings, pictures, strict=True)
    ]


def _search(regions: Sequence[SearchRegion], tile: str | None, entity: str | None, k: int, exclude: bool) -> list[Any]:
    """The query's hit, then its neighbours'."""
    from geojepa_cli.search.query import find_entity, find_tile, nearest_entities, nearest_tiles

    if tile is not None:
        query = find_tile(regions, tile)
        return [query, *nearest_tiles(regions, query, k, exclude)]
    query = find_entity(regions, entity or "")
    return [query, *nearest_entities(regions, query, k, exclude)]


def _page(
    regions: Sequence[SearchRegion],
    hits: Sequence[Any],
    places: Sequence[Any],
    model: str,
    searched: int,
    credits: Sequence[str],
) -> str:
    import numpy as np

    from geojepa_cli.grid import parse_tile, tiles_bounds
    from geojepa_cli.pages.neighbours.page import Card, render_page
    from geojepa_cli.store.tile_map import read_map

    cards = []
    for hit, place in zip(hits, places, strict=True):
        region = regions[hit.region]
        image = None
        if region.images is not None:
            z, x, y = parse_tile(place.tile)
            row = int(region.images.rows_of([z], [x], [y])[0])
            image = region.images.image[row] if row >= 0 else None
        cards.append(Card(place, read_map(region.store, place.tile_row), image))
    bounds = [tiles_bounds(*(r.vectors[f"tile/{axis}"] for axis in "zxy")) for r in regions]
    names = sorted({region.name for region in regions})
    return render_page(cards, model, names, searched, np.concatenate(bounds), credits)
