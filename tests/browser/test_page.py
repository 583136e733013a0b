"""The page in a real browser: it is drawn, in colours that a map has, without a request."""

from __future__ import annotations

import http.server
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from example_page import card, page
from PIL import Image

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-device-scale-factor=1",
)


@pytest.fixture
def screenshot(tmp_path: Path) -> Iterator[tuple[np.ndarray, list[str]]]:
    """The page's pixels, uint8 [h, w, 3], and every path that the browser asked the server for."""
    html = page(card(0, "way/5", image=True), card(1, image=True), card(2))
    (tmp_path / "page.html").write_text(html, encoding="utf-8")
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(tmp_path))  # type: ignore[arg-type]

        def log_message(self, format: str, *args: object) -> None:
            asked.append(self.path)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        files = [f"--user-data-dir={tmp_path / 'profile'}", f"--screenshot={tmp_path / 'page.png'}"]
        command = [str(CHROMIUM), *FLAGS, *files]
        url = f"http://127.0.0.1:{server.server_port}/page.html"
        subprocess.run([*command, "--window-size=1300,1000", url], check=True, capture_output=True, timeout=120)
    finally:
        server.shutdown()
        server.server_close()
    yield np.asarray(Image.open(tmp_path / "page.png").convert("RGB")), asked


def test_the_page_is_drawn_with_map_image_and_highlight(screenshot: tuple[np.ndarray, list[str]]) -> None:
    pixels, asked = screenshot
    assert pixels.shape == (1000, 1300, 3)

    def share(colour: tuple[int, int, int], within: int = 6) -> float:
        return float((np.abs(pixels.astype(int) - np.array(colour)).max(-1) <= within).mean())

    assert share((0xF5, 0xF2, 0xEC)) > 0.02  # ground of the maps
    assert share((0xFB, 0xD1, 0x9A)) > 0.001  # the primary road
    assert share((0xD5, 0x00, 0x6D)) > 0.001  # what sets the query off
    assert share((90, 90, 90)) > 0.02  # the images
    assert [path for path in asked if path != "/favicon.ico"] == ["/page.html"]
