"""The explorer's page for all: by keyboard, on a phone, in the dark, for screen readers; and what it never does."""

from __future__ import annotations

import http.server
import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from explorer_browser import (
    BASEMAPS,
    DESKTOP,
    NO_CHROMIUM,
    PHONE,
    Visiting,
    centre,
    pixels,
    view_of,
)
from explorer_pages import HOSTILE, served
from PIL import Image

from geojepa_cli.console import printable
from geojepa_cli.pages.explorer.api import Api
from geojepa_cli.pages.explorer.explorer import Explorer

pytestmark = NO_CHROMIUM


def test_hostile_tags_are_text(visit: Visiting) -> None:
    seen = visit("#q=text:building%3D*&k=100")
    assert printable(HOSTILE) in seen.page.inner_text("#results")
    assert seen.page.query_selector("img[src=x]") is None and seen.page.title() == "Explore places – geojepa"


def test_every_function_works_by_keyboard_alone(visit: Visiting, explorer: Explorer) -> None:
    seen = visit(f"#k=3&{view_of(explorer, 20, 14)}")  # few results have few places for the focus
    page = seen.page

    def tab_to(selector: str) -> None:
        for _ in range(120):
            page.keyboard.press("Tab")
            if page.evaluate("selector => document.activeElement.matches(selector)", selector):
                return
        raise AssertionError(f"no Tab leads to {selector}")

    tab_to(".maplibregl-canvas")
    page.keyboard.press("Enter")
    seen.settle()
    name = explorer.places.tile_name(20)
    assert f"q=tile:{name}" in seen.fragment() and page.is_visible("#cross")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.getElementById('here').textContent.startsWith('16_')")
    page.keyboard.press("g")
    assert "is marked as good" in seen.status() and "good=16_" in seen.fragment()
    tab_to("#draw")
    page.keyboard.press("Enter")
    for key in ("ArrowUp", "ArrowLeft", "ArrowDown"):  # the map has the focus
        page.keyboard.press("Enter")
        page.keyboard.press(key)
        page.wait_for_timeout(500)
    assert "3 corners" in seen.status()
    page.keyboard.press("Backspace")
    assert "2 corners" in seen.status()
    page.keyboard.press("Enter")
    tab_to("#draw-search")
    page.keyboard.press("Enter")
    seen.settle()
    assert "q=area" in seen.fragment()
    page.keyboard.press("/")
    page.keyboard.type("garage")
    page.keyboard.press("Enter")
    seen.settle()
    tab_to("#results > li:nth-child(1) button.good")
    page.keyboard.press("Space")
    tab_to("#results > li:nth-child(2) button[aria-label^='Search from here']")
    page.keyboard.press("Enter")
    seen.settle()
    assert "q=tile" in seen.fragment()
    tab_to("#save")
    with page.expect_download():
        page.keyboard.press("Enter")


def test_the_page_fits_a_phone(visit: Visiting, explorer: Explorer) -> None:
    seen = visit(f"#{view_of(explorer, 20, 13)}", size=PHONE)
    x, y = seen.place(*centre(explorer, 20))
    seen.page.touchscreen.tap(x, y)
    seen.page.wait_for_selector("#results > li")
    seen.settle()
    assert f"q=tile:{explorer.places.tile_name(20)}" in seen.fragment()
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
    outside = seen.page.evaluate(
        """() => [...document.querySelectorAll('button, input, select, a, li')]
            .filter((one) => one.checkVisibility() && !one.matches('.skip'))
            .filter((one) => one.getBoundingClientRect().right > innerWidth + 1)
            .map((one) => one.outerHTML.slice(0, 80))"""
    )
    assert outside == []


@pytest.mark.parametrize(("size", "dark"), [(DESKTOP, False), (DESKTOP, True), (PHONE, False)])
def test_axe_finds_no_serious_fault(visit: Visiting, explorer: Explorer, size: tuple[int, int], dark: bool) -> None:
    seen = visit(size=size, dark=dark)
    assert seen.faults() == []
    seen.page.goto(seen.page.url.split("#")[0] + f"#q=tile:{explorer.places.tile_name(10)}")
    seen.page.wait_for_selector("#results > li")
    seen.settle()
    seen.page.click("#results > li:nth-child(2) button.good")
    seen.page.click("#results > li:nth-child(3) button.bad")
    seen.page.click("#help summary")
    seen.page.click("#draw")
    assert seen.faults() == []


def test_the_dark_page_is_dark(visit: Visiting, explorer: Explorer) -> None:
    light, dark = (pixels(visit(f"#{view_of(explorer, 20, 13)}", dark=one)).mean() for one in (False, True))
    assert dark < 70 < 170 < light


def test_a_new_search_is_announced(visit: Visiting, explorer: Explorer) -> None:
    seen = visit(f"#q=tile:{explorer.places.tile_name(10)}")
    assert seen.page.get_attribute("#status", "role") == "status" and "Most similar" in seen.status()
    seen = visit("#q=tile:16_1_2")
    assert "unknown tile" in seen.status() and seen.names() == []
    seen.errors[:] = [error for error in seen.errors if "404" not in error]  # the browser reports the refusal


@contextmanager
def tile_server() -> Iterator[tuple[str, list[str]]]:
    """Serves a red picture at every path; yields its address and the paths that were asked for."""
    asked: list[str] = []
    buffer = io.BytesIO()
    Image.new("RGB", (256, 256), (230, 20, 20)).save(buffer, "PNG")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "image/png")
            self.send_header("Access-Control-Allow-Origin", "*")
            self.end_headers()
            self.wfile.write(buffer.getvalue())

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


def test_a_base_map_is_loaded_only_if_it_is_asked_for(visit: Visiting, api: Api) -> None:
    with tile_server() as (host, asked):
        BASEMAPS.add(host)
        other = Api(api.explorer, replace(api.about, basemap=f"http://{host}/{{z}}/{{x}}/{{y}}.png"))
        with served(other) as running:
            BASEMAPS.add(f"127.0.0.1:{running.port}")
            seen = visit(url=running.url)
            seen.page.wait_for_timeout(800)
            red = (np.abs(pixels(seen).astype(int) - (230, 20, 20)).max(-1) < 120).mean()
        assert asked and red > 0.05
        before = len(asked)
        visit()
        assert len(asked) == before
