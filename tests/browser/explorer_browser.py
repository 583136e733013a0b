"""Drives the explorer's page in headless Chromium with Playwright."""

from __future__ import annotations

import io
import json
import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from geojepa_cli.grid import tile_bounds
from geojepa_cli.pages.explorer.explorer import Explorer
from geojepa_cli.pages.explorer.requests import Question, Search

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ROOT = Path(__file__).resolve().parents[2]
AXE = ROOT / "build/axe-core/axe.min.js"
# software rendering; and no requests of the browser for itself
FLAGS = [
    *("--no-sandbox", "--enable-unsafe-swiftshader", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--disable-quic", "--no-first-run", "--force-device-scale-factor=1"),
]
WAIT_MS = 60_000
NO_CHROMIUM = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
DESKTOP, PHONE = (1100, 700), (390, 844)
BASEMAPS: set[str] = set()  # other hosts that tests allow


@contextmanager
def browser() -> Iterator[Browser]:
    """Starts Chromium."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, timeout=WAIT_MS)
        try:
            yield running
        finally:
            running.close()


class Visit:
    """A page of the explorer, and all that went wrong on it.

    Attributes:
        page: the page.
        errors: messages of the console and exceptions.
        requests: addresses that the page asked for.
    """

    def __init__(self, context: BrowserContext, url: str, fragment: str = "") -> None:
        self.page: Page = context.new_page()
        self.page.set_default_timeout(WAIT_MS)
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self._note(message.type, message.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(url + fragment)
        self.page.wait_for_selector("body[data-ready]")
        self.settle()

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and "GPU stall" not in text:  # of software rendering
            self.errors.append(text)

    def settle(self) -> None:
        """Waits until no search is running and the map is drawn."""
        self.page.wait_for_selector("body:not([data-busy])")
        self.page.wait_for_timeout(150)
        self.page.wait_for_selector("body:not([data-busy])")

    def hosts(self) -> set[str]:
        """Hosts with ports of all requests but those for data that are part of the page."""
        parts = [urlsplit(url) for url in self.requests]
        return {part.netloc for part in parts if part.scheme not in ("data", "blob")}

    def names(self) -> list[str]:
        """Names of the results in the list, in its order."""
        return [str(one.get_attribute("data-name")) for one in self.page.query_selector_all("#results > li")]

    def status(self) -> str:
        return self.page.inner_text("#status")

    def fragment(self) -> str:
        return urlsplit(self.page.url).fragment

    def place(self, lon: float, lat: float) -> tuple[float, float]:
        """Pixels of a place on the page. The view stands in the fragment."""
        view = self.fragment().partition("view=")[2].partition("&")[0]
        zoom, centre_lat, centre_lon = map(float, view.split("/"))
        box = self.page.query_selector("#map").bounding_box()
        assert box is not None
        (x, y), (x0, y0) = (_mercator(*at) for at in ((lon, lat), (centre_lon, centre_lat)))
        scale = 512 * 2**zoom
        return box["x"] + box["width"] / 2 + (x - x0) * scale, box["y"] + box["height"] / 2 + (y - y0) * scale

    def click_tile(self, explorer: Explorer, number: int) -> None:
        lon, lat = centre(explorer, number)
        self.page.mouse.click(*self.place(lon, lat))
        self.settle()

    def faults(self) -> list[str]:
        """Serious faults of accessibility, by axe-core."""
        self.page.evaluate(AXE.read_text(encoding="utf-8"))
        found = self.page.evaluate("async () => (await axe.run(document)).violations")
        return [
            f"{one['id']}: {one['help']}: {[node['target'] for node in one['nodes']]}"
            for one in found
            if one["impact"] in ("serious", "critical")
        ]


Visiting = Callable[..., Visit]


def pixels(visit: Visit) -> np.ndarray:
    """The page as it looks, uint8 [h, w, 3]."""
    return np.asarray(Image.open(io.BytesIO(visit.page.screenshot())).convert("RGB"))


def _mercator(lon: float, lat: float) -> tuple[float, float]:
    return (lon + 180) / 360, (1 - math.asinh(math.tan(math.radians(lat))) / math.pi) / 2


def centre(explorer: Explorer, number: int) -> tuple[float, float]:
    """Longitude and latitude of the centre of a tile."""
    places = explorer.places
    west, south, east, north = tile_bounds(int(places.z[number]), int(places.x[number]), int(places.y[number]))
    return (west + east) / 2, (south + north) / 2


def view_of(explorer: Explorer, number: int, zoom: float) -> str:
    """A view for the fragment, centred on a tile."""
    lon, lat = centre(explorer, number)
    return f"view={zoom}/{lat:.5f}/{lon:.5f}"


def expected(explorer: Explorer, question: dict[str, Any], k: int = 12) -> list[str]:
    """Names of the results of a question, without the browser."""
    answer = explorer.search(Search(question=Question.model_validate(question), k=k))
    places = explorer.places
    hits = [one.hit for one in answer.results]
    rows = [(places.regions[hit.region].vectors, hit.row) for hit in hits]
    return [vectors.entity_ref(row) if answer.entities else vectors.tile_name(row) for vectors, row in rows]


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def area(explorer: Explorer, numbers: Sequence[int]) -> list[tuple[float, float]]:
    """Corners of a box around the centres of tiles."""
    at = [centre(explorer, number) for number in numbers]
    west, east = min(x for x, _ in at) - 0.001, max(x for x, _ in at) + 0.001
    south, north = min(y for _, y in at) - 0.001, max(y for _, y in at) + 0.001
    return [(west, south), (east, south), (east, north), (west, north)]
