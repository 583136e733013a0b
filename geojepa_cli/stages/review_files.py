"""Writes the files of a review: JSON, GeoJSON for an OSM editor, CSV, and an HTML page."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geojepa_cli import console
from geojepa_cli.console import printable
from geojepa_cli.stages.review_plan import ReviewPlan

if TYPE_CHECKING:
    from geojepa_cli.evaluate.review_findings import FamilyResult, Finding
    from geojepa_cli.tasks.tokens import RegionTokens

JSON_FILE, GEOJSON_FILE, CSV_FILE, PAGE_FILE = "review.json", "review.geojson", "review.csv", "review.html"
COLUMNS = (
    *("rank", "score", "entity", "osm_version", "record_id", "family", "present", "suggested"),
    *("probability_present", "probability_suggested", "model_suggested", "simple_suggested"),
    *("lon", "lat", "tile", "url", "reason"),
)


def write_files(
    folder: Path,
    plan: ReviewPlan,
    tokens: RegionTokens,
    results: Sequence[FamilyResult],
    skipped: Mapping[str, str],
    credits: Sequence[str],
) -> int:
    """Writes all files of a review. Returns the number of findings.

    Args:
        folder: folder to write to.
        plan: region, model and options.
        tokens: entities of the region.
        results: predictions for each family.
        skipped: for each family that was not reviewed, the reason.
        credits: attribution lines.
    """
    from geojepa_cli.evaluate.review_findings import HINT, family_summary, find

    found = find(tokens, results, plan.k, plan.keys)
    described = [_describe(tokens, one) for one in found]
    content = {
        "region": plan.region.ref,
        "model": plan.model.ref,
        "note": HINT,
        "keys": None if plan.keys is None else sorted(plan.keys),
        "reviewed": sum(len(one.rows) for one in results),
        "families": [family_summary(one) for one in results],
        "not_reviewed": dict(skipped),
        "findings": described,
        "attribution": list(credits),
    }
    (folder / JSON_FILE).write_text(console.to_json(content, indent=1) + "\n", encoding="utf-8")
    features = [_feature(tokens, one, each) for one, each in zip(found, described, strict=True)]
    collection = {"type": "FeatureCollection", "note": HINT, "attribution": list(credits), "features": features}
    (folder / GEOJSON_FILE).write_text(console.to_json(collection, indent=1) + "\n", encoding="utf-8")
    _write_csv(folder / CSV_FILE, described)
    if plan.html:
        page = _page(plan, tokens, found, described, content, credits)
        (folder / PAGE_FILE).write_text(page, encoding="utf-8")
    return len(found)


def _describe(tokens: RegionTokens, finding: Finding) -> dict[str, Any]:
    """Returns a finding as a JSON object."""
    from geojepa_cli.grid import TileId
    from geojepa_cli.search.results import OSM, centre_of
    from geojepa_cli.store.tile_map import read_piece

    rows, region = finding.family.rows, tokens.region
    tile = TileId(*(int(region[f"tile/{axis}"][rows.tiles[finding.row]]) for axis in "zxy"))
    lon, lat = centre_of(read_piece(region, int(rows.pieces[finding.row])), tile)
    return {
        "rank": finding.rank,
        "score": round(finding.score, 3),
        "entity": finding.entity,
        "osm_version": finding.version,
        "record_id": finding.record_id,
        "family": rows.spec.name,
        "present": finding.present,
        "suggested": finding.suggested,
        "probabilities": finding.probabilities(),
        "lon": round(lon, 7),
        "lat": round(lat, 7),
        "tile": tile.name,
        "in_several_tiles": bool(rows.several_tiles[finding.row]),
        "tags": finding.tags,
        "url": f"{OSM}/{finding.entity}",
        "reason": finding.reason,
    }


def _feature(tokens: RegionTokens, finding: Finding, described: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a finding as a GeoJSON feature with the geometry of its largest piece, and with flat properties.

    The properties do not contain the element's tags by their keys, so that an editor does not take the feature for the
    element itself.
    """
    from geojepa_cli.grid import parse_tile
    from geojepa_cli.search.geojson import entity_geometry
    from geojepa_cli.store.tile_map import read_piece

    piece = read_piece(tokens.region, int(finding.family.rows.pieces[finding.row]))
    left_out = {"probabilities", "tags", "lon", "lat"}
    properties = {key: value for key, value in described.items() if key not in left_out}
    both = described["probabilities"]["all"]
    properties |= {
        "osm_type": finding.entity.partition("/")[0],
        "osm_id": int(finding.entity.partition("/")[2]),
        "probability_present": both["present"],
        "probability_suggested": both["suggested"],
        "tags": "\n".join(f"{key}={value}" for key, value in finding.tags.items()),
        "note": "a hint, not an error",
    }
    shown = {
        key: printable(value) if isinstance(value, str) and key != "tags" else value
        for key, value in properties.items()
    }
    shown["tags"] = "\n".join(printable(line) for line in str(properties["tags"]).split("\n"))
    geometry = entity_geometry(piece, parse_tile(str(described["tile"])))
    return {"type": "Feature", "id": finding.entity, "geometry": geometry, "properties": shown}


def _write_csv(path: Path, described: Sequence[Mapping[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for one in described:
            p = one["probabilities"]
            flat = {
                **one,
                "probability_present": p["all"]["present"],
                "probability_suggested": p["all"]["suggested"],
                "model_suggested": p["model"]["suggested"],
                "simple_suggested": p["simple"]["suggested"],
            }
            writer.writerow([_cell(flat[name]) for name in COLUMNS])


def _cell(value: Any) -> Any:
    """Returns a cell of a CSV file. Text that a spreadsheet would compute as a formula gets an apostrophe in front."""
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


def _page(
    plan: ReviewPlan,
    tokens: RegionTokens,
    found: Sequence[Finding],
    described: Sequence[Mapping[str, Any]],
    content: Mapping[str, Any],
    credits: Sequence[str],
) -> str:
    from geojepa_cli.pages.review.page import Card, render_page
    from geojepa_cli.store.tile_map import TileMap, read_map

    maps: dict[int, TileMap] = {}
    cards = []
    for one, each in zip(found, described, strict=True):
        tile = int(one.family.rows.tiles[one.row])
        if tile not in maps:
            maps[tile] = read_map(tokens.region, tile)
        cards.append(Card(each, maps[tile]))
    return render_page(cards, plan.region.name, content, credits)
