"""The page of `knn` in headless Chromium: slider, map of the results, keyboard, phone, dark, accessibility."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from example_page import card, page
from explorer_browser import AXE, DESKTOP, NO_CHROMIUM, PHONE, WAIT_MS
from PIL import Image
from playwright.sync_api import Browser, Page

from geojepa_cli.search.reasons import Comparison

pytestmark = NO_CHROMIUM
Opening = Callable[..., Page]
COMPARED = Comparison(
    (("highway=service", 12, 3), ("building=house", 30, 41)), (("amenity=school", 2),), (("natural=wood", 1),)
)


@pytest.fixture
def opened(chromium: Browser, tmp_path: Path) -> Iterator[Opening]:
    """Opens a page of three results, two with images; afterwards checks errors and requests."""
    cards = [card(0, image=True), card(1, image=True), card(2)]
    cards[1:] = [replace(one, result=replace(one.result, comparison=COMPARED)) for one in cards[1:]]
    path = tmp_path / "page.html"
    path.write_text(page(*cards), encoding="utf-8")
    contexts, errors, requests = [], [], []

    def go(size: tuple[int, int] = DESKTOP, dark: bool = False, scripts: bool = True) -> Page:
        context = chromium.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if dark else "light",
            java_script_enabled=scripts,
        )
        contexts.append(context)
        shown = context.new_page()
        shown.set_default_timeout(WAIT_MS)
        shown.on("console", lambda message: errors.append(message.text))
        shown.on("pageerror", lambda error: errors.append(str(error)))
        shown.on("request", lambda request: requests.append(request.url))
        shown.goto(path.as_uri())
        return shown

    yield go
    for context in contexts:
        context.close()
    assert errors == []
    assert all(url == path.as_uri() or url.startswith("data:image/") for url in requests)


def _grey(shown: Page, selector: str) -> float:
    """Share of the pixels of a picture that have the grey of the image."""
    found = np.asarray(Image.open(io.BytesIO(shown.locator(selector).screenshot())).convert("RGB")).astype(int)
    return float((np.abs(found - 90).max(-1) <= 3).mean())


def test_a_slider_moves_the_line_between_map_and_image(opened: Opening) -> None:
    shown = opened()
    assert shown.locator(".slider").count() == 2, "only where there is an image"
    assert shown.locator("#place-2 .none").inner_text() == "no image of this tile"
    first = "#place-1 .pair"
    slider = shown.locator(f"{first} .slider")
    assert 0.3 < _grey(shown, first) < 0.6
    slider.fill("0")
    assert _grey(shown, first) > 0.75
    slider.fill("100")
    assert _grey(shown, first) < 0.02
    assert slider.get_attribute("aria-valuetext") == "map 100 %, image 0 %"


def test_the_keyboard_alone_moves_the_slider_and_follows_the_map(opened: Opening) -> None:
    shown = opened()
    focused = "document.activeElement.getAttribute('class')"
    for _ in range(12):
        shown.keyboard.press("Tab")
        if shown.evaluate(focused) == "slider":
            break
    before = float(shown.evaluate("document.activeElement.value"))
    shown.keyboard.press("ArrowRight")
    assert float(shown.evaluate("document.activeElement.value")) == before + 5
    shown.locator("a.place[href='#place-2']").first.focus()
    shown.keyboard.press("Enter")
    assert shown.evaluate("location.hash") == "#place-2"
    box = shown.locator("#place-2").bounding_box()
    assert box is not None and -1 < box["y"] < DESKTOP[1]


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
@pytest.mark.parametrize("dark", [False, True])
def test_nothing_is_cut_off_and_all_is_accessible(opened: Opening, size: tuple[int, int], dark: bool) -> None:
    shown = opened(size, dark)
    assert shown.evaluate("document.documentElement.scrollWidth") <= size[0]
    background = shown.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, background[4:-1].split(","))) < 150) == dark
    if not AXE.is_file():
        pytest.skip("axe-core is not fetched: `python tools/npm_files.py axe-core`")
    shown.evaluate(AXE.read_text(encoding="utf-8"))
    found = shown.evaluate("async () => (await axe.run(document)).violations")
    assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []


def test_without_scripts_map_and_image_are_next_to_each_other(opened: Opening) -> None:
    shown = opened(scripts=False)
    boxes = [shown.locator(f"#place-1 .pair > :nth-child({n})").bounding_box() for n in (1, 2)]
    assert boxes[0] is not None and boxes[1] is not None and boxes[0]["x"] + boxes[0]["width"] <= boxes[1]["x"] + 1
