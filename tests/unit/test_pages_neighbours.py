"""The page and the GeoJSON of a search: self-contained, escaped, valid."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import shapely.geometry
from example_page import EVIL, HOLE, SQUARE, TILE, card, page

from geojepa_cli.grid import from_tile_local, ground_size
from geojepa_cli.pages.neighbours.page import render_page
from geojepa_cli.search.geojson import entity_geometry, to_geojson
from geojepa_cli.search.reasons import Comparison
from geojepa_cli.store.tile_map import INNER, LINE, OUTER, POINT, MapObject


class _Collector(HTMLParser):
    """Elements, and every attribute that makes a browser load something."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in {"src", "srcset", "data", "poster", "action", "background"} or (name == "href" and tag != "a"):
                self.loads.append(value or "")
            elif name == "href":
                self.links.append(value or "")


def test_the_page_loads_nothing_and_runs_only_its_slider() -> None:
    html = page(card(0, image=True), card(1, image=True), card(2))
    seen = _Collector()
    seen.feed(html)
    assert not {"link", "iframe", "object", "embed", "base", "form"} & set(seen.tags)
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" in html
    assert "<script" not in page(card(0), card(1)) and "script-src" not in page(card(0), card(1))
    assert all(load.startswith(("data:image/", "#")) for load in seen.loads)
    assert seen.tags.count("img") == 2
    assert not re.search(r"url\(|@import|\son[a-z]+\s*=", html)
    assert all(link.startswith(("https://www.openstreetmap.org/", "#place-")) for link in seen.links)


def test_text_from_osm_is_escaped_on_the_whole_page() -> None:
    html = page(card(0, "way/5", tag=f"note={EVIL}"), replace(card(1, "way/6", tag=f"name={EVIL}")))
    assert "<script" not in html
    assert "&lt;script&gt;" in html


def test_control_characters_are_written_out_on_the_page_and_in_the_geojson() -> None:
    evil = "name=a\x1b[2J\x00\x9b\x7f\u202eb"
    html = page(card(0, "way/5", tag=evil), card(1, tag=evil))
    assert r"a\x1b[2J\x00\x9b\x7f\u202eb" in html
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", html)
    (feature,) = to_geojson([card(0, tag=evil).result], [None])["features"]  # type: ignore[list-item]
    assert r"\x1b[2J\x00" in json.dumps(feature["properties"]).replace("\\\\", "\\")
    assert not re.search("[\x00-\x1f\x7f-\x9f]", "".join(feature["properties"]["tags"]))


def test_every_result_has_its_link_size_and_attribution() -> None:
    html = page(card(0), card(1), card(2))
    assert html.count('class="map"') == 3
    assert html.count("openstreetmap.org/#map=17/35/-80") == 3
    assert f"{ground_size(*TILE)[0]:.0f} × {ground_size(*TILE)[1]:.0f} m" in html
    assert "OpenStreetMap contributors" in html
    assert "ODbL" in html


def test_ids_of_drawings_are_unique_in_the_page() -> None:
    html = page(card(0), card(1), card(2))
    ids = re.findall(r'\sid="([^"]+)"', html)
    assert len(ids) == len(set(ids)) == 6
    assert set(re.findall(r'href="#(place-\d+)"', html)) == {"place-0", "place-1", "place-2"} <= set(ids)


def test_the_same_input_gives_the_same_page() -> None:
    assert page(card(0, image=True), card(1)) == page(card(0, image=True), card(1))


def test_a_page_without_neighbours_says_so() -> None:
    assert "nothing else to compare with" in page(card(0))


@pytest.mark.parametrize(
    ("parts", "kind"),
    [
        (((POINT, SQUARE[:1]),), "Point"),
        (((LINE, SQUARE),), "LineString"),
        (((LINE, SQUARE), (LINE, HOLE)), "MultiLineString"),
        (((OUTER, SQUARE), (INNER, HOLE)), "Polygon"),
        (((OUTER, SQUARE), (INNER, HOLE), (OUTER, SQUARE + 1)), "MultiPolygon"),
        (((POINT, SQUARE[:1]), (LINE, HOLE)), "GeometryCollection"),
        ((), "Polygon"),
    ],
)
def test_geojson_geometry_is_valid_and_lies_where_it_should(
    parts: tuple[tuple[int, np.ndarray], ...], kind: str
) -> None:
    geometry = json.loads(json.dumps(entity_geometry(MapObject("way/1", {}, parts), TILE)))
    shape = shapely.geometry.shape(geometry)
    assert geometry["type"] == kind
    assert shape.is_valid
    if parts:
        expected = np.concatenate([from_tile_local(TILE, xy) for _, xy in parts])
        np.testing.assert_allclose(shape.bounds, [*expected.min(0), *expected.max(0)], atol=1e-7)


def test_geojson_rings_are_closed_and_turn_as_rfc_7946_wants() -> None:
    outer, inner = entity_geometry(MapObject("way/1", {}, ((OUTER, SQUARE[::-1]), (INNER, HOLE))), TILE)["coordinates"]
    assert outer[0] == outer[-1]
    assert shapely.geometry.LinearRing(outer).is_ccw
    assert not shapely.geometry.LinearRing(inner).is_ccw


def test_only_those_named_in_the_manifests_are_credited() -> None:
    bounds = np.array([[-81.0, 34.0, -80.0, 36.0]])
    invented = render_page([card(0, image=True)], "m", ["a"], 1, bounds, ["A city of `geojepa demo` & Sons"])
    assert "A city of geojepa demo &amp; Sons." in invented
    assert "OpenStreetMap contributors" not in invented
    assert "NAIP" not in invented
    both = render_page([card(0)], "m", ["a"], 1, bounds, ["© OpenStreetMap contributors, ODbL 1.0", "Imagery: NAIP"])
    assert "https://www.openstreetmap.org/copyright" in both
    assert "Imagery: NAIP." in both


def test_tags_of_both_and_of_one_alone_are_apart() -> None:
    found = Comparison((("highway=service", 12, 3),), ((f"amenity={EVIL}", 2),), (("natural=wood", 1),))
    other = card(1)
    html = page(card(0), replace(other, result=replace(other.result, comparison=found)))
    both, here, query = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", html, re.DOTALL)
    assert both[0] == "both" and 'class="same"' in both[1] and "×12, query ×3" in both[1]
    assert here[0] == "only here" and "amenity=<b>&lt;script&gt;" in here[1] and "same" not in here[1]
    assert query[0] == "only in the query" and "natural=<b>wood</b>" in query[1]


def test_scores_of_the_parts_are_shown() -> None:
    other = card(1)
    found = replace(other.result, score_kind="blend", score=2.5, part_scores=(0.25, 0.5))
    html = render_page([card(0), replace(other, result=found)], "m", ["a"], 9, part_names=["16_1_2", f"lake {EVIL}"])
    assert "score 2.500" in html and 'class="bar"' not in html
    assert "<dt>parts</dt><dd>16_1_2 0.250, lake &lt;script&gt;" in html
