"""Converts answers of the explorer to JSON and bytes for the page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from geojepa_cli.console import printable
from geojepa_cli.grid import parse_tile
from geojepa_cli.pages.explorer.explorer import Answer, as_int16, scale_of
from geojepa_cli.search.geojson import entity_geometry
from geojepa_cli.search.neighbours import Hit, SearchRegion
from geojepa_cli.search.places import Places
from geojepa_cli.search.reasons import reason
from geojepa_cli.search.results import SearchResult, describe_entity, describe_tile
from geojepa_cli.search.tag_counts import MAIN_KEYS, TagStatistics, merged, tags_of_entity, tags_of_tile
from geojepa_cli.store import csr
from geojepa_cli.store.tile_map import read_piece

EARTH_RADIUS_KM = 6371.0088
MAX_EXAMPLES = 12  # whose descriptions are sent


def pack_search(places: Places, answer: Answer, statistics: TagStatistics) -> bytes:
    """Returns an answer as bytes: length of the JSON as uint32, the JSON, and the score of every tile as int16.

    Scores of tiles are divided by the value `scale` in the JSON. Numbers are little-endian. The JSON is padded with
    spaces so that its length is a multiple of 4.
    """
    text = json.dumps(search_json(places, answer, statistics), ensure_ascii=False, allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    return len(text).to_bytes(4, "little") + text + as_int16(answer.tile_scores, _scale(answer)).tobytes()


def search_json(places: Places, answer: Answer, statistics: TagStatistics) -> dict[str, Any]:
    """Returns the results of a search as a JSON object. All text in it is printable.

    Args:
        places: tiles and entities of all regions.
        answer: answer to the search.
        statistics: numbers of elements with each tag in all regions.
    """
    hit_of = places.entity_hit if answer.entities else places.tile_hit
    match = answer.match
    tags_of = tags_of_entity if answer.entities else tags_of_tile
    examples = [hit_of(number) for number in answer.examples[:MAX_EXAMPLES]]
    shown_examples = [describe(places, hit, 0, answer.entities, statistics) for hit in examples]
    example_tags = merged([tags_of(places.regions[hit.region], hit.row) for hit in examples])
    results = []
    for rank, one in enumerate(answer.results, start=1):
        hit = one.hit
        result = describe(places, hit, rank, answer.entities, statistics)
        own_tags = tags_of(places.regions[hit.region], hit.row)
        reasons = [reason(example_tags, own_tags, statistics)] if examples else []
        if match is not None and (tags := match.tags(hit.region, hit.row)):
            reasons.insert(0, f"matches: {', '.join(tags)}")
        result["reason"] = printable("; ".join(filter(None, reasons)))
        result["parts"] = [round(part, 6) for part in one.parts]
        result["share"] = hit.place / max(1, answer.total)
        result["distance_km"] = _nearest_km(result, shown_examples)
        results.append(result)
    return {
        "entities": answer.entities,
        "kind": answer.kind,
        "scale": _scale(answer),
        "total": answer.total,
        "examples": shown_examples,
        "n_examples": len(answer.examples),
        "results": results,
        "note": printable(match.note) if match is not None else "",
    }


def describe(places: Places, hit: Hit, rank: int, entity: bool, statistics: TagStatistics) -> dict[str, Any]:
    """Returns the description of a tile or entity as a JSON object, with the number of its tile in `places`.

    Args:
        places: tiles and entities of all regions.
        hit: the tile or entity.
        rank: rank of the result; 0 for an example of the query.
        entity: True if `hit` is an entity.
        statistics: numbers of elements with each tag in all regions.
    """
    region = places.regions[hit.region]
    result = describe_entity(region, hit, rank) if entity else describe_tile(region, hit, rank, statistics)
    found = _printable_json(result)
    row = int(region.vectors["entity/tile"][hit.row]) if entity else hit.row
    found["id"] = int(places.tile_starts[hit.region]) + row
    found["name"] = result.name
    found["has_image"] = _has_image(region, result.tile)
    if result.entity is not None:
        found["geometry"] = entity_geometry(read_piece(region.store, result.entity.piece), parse_tile(result.tile))
    return found


def entities_json(places: Places, tiles: Sequence[int]) -> dict[str, Any]:
    """Returns the entities of several tiles: for each tile, a list of [OSM element, label, geometry].

    The label is the main tag of the entity, with its name. An entity that covers its whole tile has no geometry.
    """
    found = {}
    for number in tiles:
        hit = places.tile_hit(number)
        region = places.regions[hit.region]
        tile = parse_tile(places.tile_name(number))
        first, last = csr.span(region.vectors["entity/cu_seqlens"], hit.row)
        pieces = [read_piece(region.store, int(row)) for row in region.vectors["entity/piece"][first:last]]
        found[str(number)] = [
            [item.ref, _label(dict(item.tags)), entity_geometry(item, tile) if item.parts else None] for item in pieces
        ]
    return found


def tiles_bytes(places: Places) -> bytes:
    """Returns the grid of tiles: column as uint32 [N], row as uint32 [N], zoom as uint8 [N], little-endian."""
    x, y = (axis.astype("<u4").tobytes() for axis in (places.x, places.y))
    return x + y + places.z.astype(np.uint8).tobytes()


def _scale(answer: Answer) -> float:
    return 1.0 if answer.kind == "cosine" else scale_of(answer.tile_scores)


def _printable_json(result: SearchResult) -> dict[str, Any]:
    found = result.to_json()
    for name in ("top_percent", "score_kind"):  # the page has a share, and one kind for all results
        found.pop(name, None)
    found["tags"] = {
        printable(tag): printable(value) if isinstance(value, str) else value for tag, value in found["tags"].items()
    }
    return found


def _has_image(region: SearchRegion, tile: str) -> bool:
    if region.images is None:
        return False
    z, x, y = parse_tile(tile)
    return bool(region.images.rows_of([z], [x], [y])[0] >= 0)


def _label(tags: dict[str, str]) -> str:
    key = next((key for key in MAIN_KEYS if key in tags), next(iter(tags), ""))
    name = f" {tags['name']}" if "name" in tags else ""
    return printable(f"{key}={tags.get(key, '')}{name}")[:120]


def _nearest_km(result: dict[str, Any], examples: Sequence[dict[str, Any]]) -> float | None:
    """Returns the distance from a result to the nearest example in kilometres (great circle), or None."""
    if not examples:
        return None
    lon, lat = np.radians([result["lon"], result["lat"]])
    others = np.radians([[one["lon"], one["lat"]] for one in examples])
    half = (others - [lon, lat]) / 2
    square = np.sin(half[:, 1]) ** 2 + np.cos(lat) * np.cos(others[:, 1]) * np.sin(half[:, 0]) ** 2
    return round(float((2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(square.clip(0, 1)))).min()), 3)
