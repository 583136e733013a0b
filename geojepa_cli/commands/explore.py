"""`geojepa explore`: serves a page with a map, on which a user explores similar places."""

from __future__ import annotations

import os
import signal
import sys
import threading
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from geojepa_cli import console, stages
from geojepa_cli.commands import options
from geojepa_cli.commands.examples import example
from geojepa_cli.config.spaces import DEFAULT_FORM, FORMS
from geojepa_cli.stages.explore import LOOPBACK

if TYPE_CHECKING:
    from geojepa_cli.pages.explorer.server import ExplorerServer


@example()
def explore(
    ctx: typer.Context,
    model: options.ModelName = None,
    region: Annotated[
        list[str] | None,
        typer.Option(
            "--region",
            help="Region to explore. Repeat for several regions. Default: all regions for which `geojepa process` has "
            "computed text embeddings of tags.",
        ),
    ] = None,
    host: Annotated[
        str,
        typer.Option(
            "--host",
            help="Address to listen on. By default, only programs on this computer can connect. With 0.0.0.0, everyone "
            "on the network who knows the printed address can.",
        ),
    ] = LOOPBACK,
    port: Annotated[int, typer.Option("--port", help="Port to listen on. 0: any free port.")] = 0,
    basemap: Annotated[
        str | None,
        typer.Option(
            "--basemap",
            help="URL of raster map tiles to show under the tiles, with {z}, {x} and {y}. Without it, the page loads "
            "nothing from other servers.",
        ),
    ] = None,
    space: Annotated[
        str,
        typer.Option("--space", help=f"Form in which vectors are compared: {', '.join(f'`{one}`' for one in FORMS)}."),
    ] = DEFAULT_FORM,
    no_open: Annotated[bool, typer.Option("--no-open", help="Do not open the page in a browser.")] = False,
    min_entities: options.MinEntities = None,
    max_entities: options.MaxEntities = None,
    device: options.Device = "auto",
    threads: options.Threads = options.default_threads(),
    json: options.Json = False,
) -> None:
    """Explore similar places on a map in the browser. Computes missing embeddings first. Runs until Ctrl-C."""
    server = stages.explore(
        options.workspace(ctx),
        model,
        region,
        host,
        port,
        basemap,
        space,
        min_entities,
        max_entities,
        device,
        threads,
    )
    with _stop_signals() as stopped, server:
        _announce(server, json)
        if not no_open and _has_screen():
            webbrowser.open(server.url)
        stopped.wait()
    console.note("stopped")


def _announce(server: ExplorerServer, json: bool) -> None:
    """Prints the address of the page."""
    if json:
        console.emit_json("explore", None, {"url": server.url, "host": server.host, "port": server.port})
        return
    console.print_line(server.url)
    console.note("open this address in a browser; Ctrl-C stops the server")


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """Context manager that yields an event, which Ctrl-C (SIGINT) and SIGTERM set."""
    stopped = threading.Event()
    before = {number: signal.signal(number, lambda *_: stopped.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _has_screen() -> bool:
    """Returns True if a browser can open a window. Otherwise `webbrowser` may start a browser for text."""
    return sys.platform == "darwin" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
