"""The explorer of two random regions, and visits of its page in headless Chromium."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from explorer_browser import BASEMAPS, DESKTOP, PHONE, Visit, Visiting, browser
from explorer_pages import served, synthetic_api
from playwright.sync_api import Browser

from geojepa_cli.pages.explorer.api import Api
from geojepa_cli.pages.explorer.explorer import Explorer
from geojepa_cli.pages.explorer.library import check_library
from geojepa_cli.pages.explorer.server import ExplorerServer


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Api:
    check_library()
    return synthetic_api(tmp_path_factory.mktemp("explorer"))


@pytest.fixture(scope="module")
def explorer(api: Api) -> Explorer:
    return api.explorer


@pytest.fixture(scope="module")
def server(api: Api) -> Iterator[ExplorerServer]:
    with served(api) as running:
        yield running


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as running:
        yield running


@pytest.fixture
def visit(chromium: Browser, server: ExplorerServer) -> Iterator[Visiting]:
    """Opens the page; afterwards checks that there was no error and no request to another host."""
    contexts, visits = [], []

    def go(fragment: str = "", size: tuple[int, int] = DESKTOP, dark: bool = False, url: str | None = None) -> Visit:
        context = chromium.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if dark else "light",
            has_touch=size == PHONE,
            reduced_motion="reduce",
            accept_downloads=True,
        )
        contexts.append(context)
        visits.append(Visit(context, url or server.url, fragment))
        return visits[-1]

    yield go
    for context in contexts:
        context.close()
    for one in visits:
        assert not one.errors
        assert one.hosts() <= {f"127.0.0.1:{server.port}", *BASEMAPS}
