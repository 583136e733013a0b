"""The page of `geojepa explore` in a real browser: searches, marks, files and links."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from explorer_browser import NO_CHROMIUM, Visiting, area, centre, expected, pixels, read_json, view_of
from explorer_pages import CREDIT

from geojepa_cli.pages.explorer.explorer import Explorer

pytestmark = NO_CHROMIUM


def test_the_page_shows_all_tiles_in_the_colours_of_their_vectors(visit: Visiting, explorer: Explorer) -> None:
    seen = visit(f"#{view_of(explorer, 0, 13)}")
    shown = pixels(seen)
    for number in range(0, explorer.places.tile_starts[1], 5):
        x, y = (round(value) for value in seen.place(*centre(explorer, number)))
        if 60 < x < 600 and 110 < y < 560:
            difference = np.abs(shown[y, x].astype(int) - explorer.tile_colours[number].astype(int))
            assert difference.max() <= 3, number
    assert CREDIT.split(", https")[0] in seen.page.inner_text("#credits")
    assert f"{len(explorer.places)} tiles" in seen.page.inner_text("#about")


def test_a_click_shows_the_neighbours_and_another_click_other_ones(visit: Visiting, explorer: Explorer) -> None:
    seen = visit(f"#{view_of(explorer, 20, 13)}")
    found = []
    for number in (20, 21):
        seen.click_tile(explorer, number)
        name = explorer.places.tile_name(number)
        assert seen.names() == expected(explorer, {"query": {"kind": "tile", "tile": name}})
        assert name in seen.page.inner_text("#query") and "Found 12 tiles" in seen.status()
        assert f"q=tile:{name}" in seen.fragment()
        found.append(seen.names())
    assert found[0] != found[1]
    pictures = seen.page.query_selector_all("#results img")
    assert len(pictures) >= 12
    pictures[0].scroll_into_view_if_needed()
    seen.page.wait_for_function("document.querySelector('#results img').naturalWidth > 0")
    assert seen.page.query_selector("#results .drawn") is not None  # the first region has drawn images


def test_similar_tiles_are_darker(visit: Visiting, explorer: Explorer) -> None:
    seen = visit(f"#{view_of(explorer, 20, 13)}&q=tile:{explorer.places.tile_name(20)}&k=1")
    shown = pixels(seen)
    space, columns = explorer.searchers["tile"].opened
    unit = space.project(np.concatenate(columns))
    similar = unit @ unit[20]
    values = []
    for number in range(explorer.places.tile_starts[1]):
        x, y = (round(value) for value in seen.place(*centre(explorer, number)))
        if 60 < x < 600 and 110 < y < 560 and number != 20 and similar[number] < similar[similar < 0.999].max():
            values.append((similar[number], -int(shown[y, x].sum())))
    order = np.corrcoef(np.argsort(np.argsort(values, axis=0), axis=0).T)[0, 1]
    assert len(values) > 10 and order > 0.9


def test_words_find_tiles_and_say_which_tags_they_stand_for(visit: Visiting, explorer: Explorer) -> None:
    seen = visit()
    seen.page.fill("#text", "garage")
    seen.page.keyboard.press("Enter")
    seen.settle()
    assert seen.names() == expected(explorer, {"query": {"kind": "text", "text": "garage"}})
    assert "building=garage" in seen.page.inner_text("#query") and "Match" in seen.page.inner_text("#legend")
    seen.page.click("#results > li:nth-child(2) button.good")
    seen.page.click("#refine")
    seen.settle()
    good = seen.page.get_attribute("#marks-list li button", "aria-label")
    question = {"query": {"kind": "text", "text": "garage"}, "good": [str(good).rpartition(" ")[2]]}
    assert seen.names() == expected(explorer, question)
    assert "Vectors and words" in seen.page.inner_text("#legend") and "count together" in seen.page.inner_text("#query")
    assert "words 0." in seen.page.inner_text("#results > li:nth-child(1) .facts")
    seen.page.click("#clear")
    seen.page.fill("#text", "zeppelin")
    seen.page.click("#text-form button")
    seen.settle()
    assert "zeppelin: no tag matches" in seen.page.inner_text("#query")


def test_marks_refine_the_query(visit: Visiting, explorer: Explorer) -> None:
    name = explorer.places.tile_name(10)
    seen = visit(f"#q=tile:{name}")
    before = seen.names()
    seen.page.click("#results > li:nth-child(2) button.good")
    seen.page.click("#results > li:nth-child(3) button.bad")
    seen.page.click("#results > li:nth-child(4) button.bad")
    seen.page.click("#results > li:nth-child(4) button.bad")  # takes the mark back
    assert seen.names() == before and "no longer marked" in seen.status()
    assert seen.page.get_attribute("#results > li:nth-child(2) button.good", "aria-pressed") == "true"
    seen.page.click("#refine")
    seen.settle()
    question = {"query": {"kind": "tile", "tile": name}, "good": [before[1]], "bad": [before[2]], "weight": 0.5}
    assert seen.names() == expected(explorer, question) != before
    seen.page.fill("#weight", "2")
    seen.page.keyboard.press("Tab")
    seen.settle()
    assert seen.names() == expected(explorer, question | {"weight": 2})
    seen.page.click("#clear")
    seen.settle()
    assert seen.names() == [] and not seen.page.is_visible("#marks")


def test_marks_and_results_are_saved_and_loaded(visit: Visiting, explorer: Explorer, tmp_path: Path) -> None:
    name = explorer.places.tile_name(10)
    seen = visit(f"#q=tile:{name}&k=5")
    seen.page.click("#results > li:nth-child(1) button.good")
    seen.page.click("#results > li:nth-child(5) button.bad")
    seen.page.click("#refine")
    seen.settle()
    found, fragment = seen.names(), seen.fragment()
    with seen.page.expect_download() as waiting:
        seen.page.click("#save")
    waiting.value.save_as(tmp_path / "places.geojson")
    saved = read_json(tmp_path / "places.geojson")
    assert saved["type"] == "FeatureCollection" and saved["geojepa"]["model"] == "m@1"
    results = [one for one in saved["features"] if one["properties"]["role"] == "result"]
    assert [one["id"] for one in results] == found
    assert [one["properties"]["rank"] for one in results] == [1, 2, 3, 4, 5]
    marks = {one["id"]: one["properties"]["mark"] for one in saved["features"] if one["properties"]["mark"]}
    assert sorted(marks.values()) == ["bad", "good"]
    for one in saved["features"]:
        (ring,) = one["geometry"]["coordinates"]
        assert ring[0] == ring[-1] and len(ring) == 5
    seen.page.click("#clear")
    seen.settle()
    assert seen.names() == []
    seen.page.set_input_files("#file", tmp_path / "places.geojson")
    seen.page.wait_for_selector("#results > li")
    seen.settle()
    assert seen.names() == found and seen.fragment() == fragment and "is loaded" in seen.status()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"type": "FeatureCollection", "features": []}'])
def test_a_wrong_file_is_a_clear_error(visit: Visiting, tmp_path: Path, content: str) -> None:
    seen = visit()
    (tmp_path / "wrong.geojson").write_text(content)
    seen.page.set_input_files("#file", tmp_path / "wrong.geojson")
    seen.page.wait_for_selector("#status.error")
    assert "wrong.geojson" in seen.status()


def test_a_drawn_area_is_the_query(visit: Visiting, explorer: Explorer) -> None:
    seen = visit(f"#{view_of(explorer, 20, 13)}")
    seen.page.click("#draw")
    for corner in area(explorer, [20, 21, 22]):
        seen.page.mouse.click(*seen.place(*corner))
        seen.page.wait_for_timeout(350)  # two clicks in a short time would be a double click
    assert "4 corners" in seen.status()
    seen.page.click("#draw-search")
    seen.settle()
    ring = [tuple(map(float, at.split(","))) for at in seen.fragment().partition("q=area:")[2].split("&")[0].split(";")]
    assert len(ring) == 4
    question = {"query": {"kind": "area", "ring": ring}}
    assert seen.names() == expected(explorer, question)
    assert "mean of" in seen.page.inner_text("#query") and not seen.page.is_visible("#draw-search")


def test_entities_are_drawn_near_the_ground_and_can_be_the_query(visit: Visiting, explorer: Explorer) -> None:
    seen = visit(f"#{view_of(explorer, 20, 15.5)}&select=entities")
    seen.page.wait_for_function("Number(document.body.dataset.entities) > 0")
    seen.page.wait_for_timeout(400)
    x, y = seen.place(*centre(explorer, 20))
    for step in range(0, 400):  # from the centre outwards, until there is an entity
        seen.page.mouse.click(x + (step % 20 - 10) * 9, y + (step // 20 - 10) * 9)
        seen.settle()
        if "q=entity" in seen.fragment():
            break
    entity = seen.fragment().partition("q=entity:")[2].partition("&")[0]
    assert seen.names() == expected(explorer, {"query": {"kind": "entity", "entity": entity}})
    assert "entities" in seen.status() and entity in seen.page.inner_text("#query")
    seen.page.click("#results > li:nth-child(1) button.good")
    seen.page.click("#refine")
    seen.settle()
    assert "good=" in seen.fragment() and len(seen.names()) == 12


def test_a_link_restores_the_whole_page(visit: Visiting, explorer: Explorer) -> None:
    places = explorer.places
    good, bad = places.tile_name(3), places.tile_name(4)
    options = f"weight=0.8&k=7&colours=components&{view_of(explorer, 10, 14)}"
    seen = visit(f"#q=tile:{places.tile_name(10)}&good={good}&bad={bad}&{options}")
    question = {"query": {"kind": "tile", "tile": places.tile_name(10)}, "good": [good], "bad": [bad], "weight": 0.8}
    assert seen.names() == expected(explorer, question, k=7)
    assert seen.page.is_checked("input[value=components]") and seen.page.input_value("#weight") == "0.8"
    before = seen.fragment()
    again = visit(f"#{before}")
    assert again.fragment() == before and again.names() == seen.names()


def test_a_wrong_link_is_a_page_without_a_query(visit: Visiting) -> None:
    seen = visit("#q=tile:<script>&good=../..,way/x&k=-5&weight=no&view=1/2&colours=red")
    assert (
        seen.names() == [] and seen.page.input_value("#k") == "12" and seen.page.is_checked("input[value=similarity]")
    )
