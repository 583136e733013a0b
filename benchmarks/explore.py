"""Times and memory of `geojepa explore` at 100,000 tiles, made from shifted copies of a real region; prints JSON.

    python benchmarks/explore.py --workspace DIR --region NAME [--tiles 100000] [--model NAME]

Each copy is a region with its files, in which the columns of the tiles are shifted to the east: no tile occurs twice.
Noise of 1 % of the standard deviation makes the tile vectors of the copies differ. The page runs in headless Chromium
with software rendering. Times include the server, the network stack and the browser.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from playwright.sync_api import Page, sync_playwright

from geojepa_cli import Workspace, stages
from geojepa_cli.pages.explorer.api import About, Api
from geojepa_cli.pages.explorer.explorer import Explorer
from geojepa_cli.pages.explorer.library import check_library
from geojepa_cli.pages.explorer.server import ExplorerServer
from geojepa_cli.search.neighbours import SearchRegion
from geojepa_cli.store.embeddings import Embeddings
from geojepa_cli.store.reader import RegionStore

COLUMNS = ("tile/vector", "entity/vector")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--enable-unsafe-swiftshader", "--disable-background-networking", "--js-flags=--expose-gc"]
WIDE, HIGH = 1400, 900


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--region", required=True)
    parser.add_argument("--model", default="geojepa-small")
    parser.add_argument("--tiles", type=int, default=100_000)
    parser.add_argument("--clicks", type=int, default=9)
    given = parser.parse_args()
    check_library()
    workspace = Workspace(given.workspace)
    (embeddings,) = stages.embed(workspace, given.model, given.region)
    processed = workspace.at(next(ref for ref in embeddings.inputs if ref.startswith("processed/")))
    with tempfile.TemporaryDirectory() as folder:
        files = embeddings.file("embeddings.h5"), processed.file("processed.h5")
        pairs = copies(*files, Path(folder), given.tiles)
        print(json.dumps(measured(pairs, given.clicks) | {"region": given.region, "model": embeddings.ref}, indent=1))


def copies(embeddings: Path, processed: Path, folder: Path, wanted: int) -> list[tuple[Path, Path]]:
    """Writes shifted copies of a region's files until they have `wanted` tiles."""
    with h5py.File(embeddings) as file:
        x, n = file["tile/x"][...], len(file["tile/x"])
    width = int(x.max() - x.min()) + 2
    made = []
    for number in range(-(-wanted // n)):
        pair = folder / f"e{number}.h5", folder / f"p{number}.h5"
        rng = np.random.default_rng(number)
        for source, target in zip((embeddings, processed), pair, strict=True):
            shutil.copy(source, target)
            target.chmod(0o644)
            with h5py.File(target, "r+") as file:
                file["tile/x"][...] = file["tile/x"][...] + number * width
                if number and source == embeddings:
                    values = file["tile/vector"][...]
                    noise = rng.standard_normal(values.shape, np.float32)
                    file["tile/vector"][...] = values + 0.01 * values.std() * noise
        made.append(pair)
    return made


def measured(pairs: list[tuple[Path, Path]], clicks: int) -> dict[str, Any]:
    """Opens the copies and serves them in a child process; drives the page in this one."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        serve(pairs, writer)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        try:
            opened = json.loads(pipe.readline())
            page = drive(opened.pop("url"), opened["tiles"], clicks)
            memory = resident_mib(child)
        finally:
            os.kill(child, 9)
            os.waitpid(child, 0)
    server = {"private_mib": memory["Private"], "resident_mib": memory["Rss"], "open_s": opened.pop("open_s")}
    return {**opened, "cores": len(os.sched_getaffinity(0)), "load_1min": os.getloadavg()[0], "server": server, **page}


def serve(pairs: list[tuple[Path, Path]], writer: int) -> None:
    """Serves the regions until the process is killed. Writes the address and sizes to a pipe."""
    began = time.perf_counter()
    regions = [
        SearchRegion(f"copy-{i}", Embeddings(embeddings), RegionStore(processed, f"copy-{i}"))
        for i, (embeddings, processed) in enumerate(pairs)
    ]
    server = ExplorerServer()
    credit = "© OpenStreetMap contributors, ODbL 1.0"
    server.api = Api(Explorer(regions), About("m", "centred", [credit], [None] * len(regions)))
    server.start()
    places = server.api.explorer.places
    about = {
        "url": server.url,
        "tiles": len(places),
        "entities": places.n_entities,
        "regions": len(regions),
        "values_per_vector": {column: int(regions[0].vectors[column].shape[1]) for column in COLUMNS},
        "open_s": round(time.perf_counter() - began, 2),
    }
    os.write(writer, (json.dumps(about) + "\n").encode())
    while True:
        time.sleep(60)


def drive(url: str, tiles: int, clicks: int) -> dict[str, Any]:
    """Measures the page."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        loads = []
        for _ in range(3):  # the first one also computes the colours of the vectors
            page = browser.new_page(viewport={"width": WIDE, "height": HIGH})
            page.set_default_timeout(120_000)
            began = time.perf_counter()
            page.goto(url + "#view=10/40.3/-76.8")
            paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null")
            page.wait_for_selector("body[data-ready]")
            loads.append({"first_contentful_ms": paint, "tiles_drawn_ms": 1000 * (time.perf_counter() - began)})
            if len(loads) < 3:
                page.close()
        times = [click(page, number, tiles) for number in range(clicks)]
        frames = pan(page)
        heap = page.evaluate("(gc(), performance.memory.usedJSHeapSize / 2 ** 20)")
        total = sum(
            resident_mib(pid)["Private"] for pid in descendants(os.getpid()) if "--type=renderer" in command(pid)
        )
        browser.close()
    return {
        "load_ms": [{key: value and round(value) for key, value in one.items()} for one in loads],
        "click_to_colours_ms": {
            "first": round(times[0]),
            "median": round(statistics.median(times[1:])),
            "max": round(max(times[1:])),
        },
        "frames_while_panning": frames,
        "page": {"js_heap_mib": round(heap, 1), "renderers_private_mib": round(total, 1)},
    }


def click(page: Page, number: int, tiles: int) -> float:
    """Searches from one tile by its link, as a click does; returns milliseconds until the new colours are drawn."""
    return float(
        page.evaluate(
            """async ([number, tiles]) => {
                const body = await (await fetch('api/tiles')).arrayBuffer();
                const at = Math.floor((number + 0.5) * tiles / 10);
                const x = new Uint32Array(body, 0, tiles)[at], y = new Uint32Array(body, 4 * tiles, tiles)[at];
                const before = document.getElementById('status').textContent;
                const began = performance.now();
                location.hash = location.hash.replace(/&?q=[^&]*/, '') + `&q=tile:16_${x}_${y}`;
                const frame = () => new Promise(requestAnimationFrame);
                const status = document.getElementById('status');
                do { await frame(); } while (status.textContent === before || document.body.dataset.busy);
                await frame();
                return performance.now() - began;
            }""",
            [number, tiles],
        )
    )


def pan(page: Page) -> dict[str, float]:
    """Drags the map for two seconds; returns frames per second, and the longest time between two frames."""
    page.evaluate(
        """() => {
            window.times = [];
            window.going = true;
            const tick = (now) => { window.times.push(now); if (window.going) requestAnimationFrame(tick); };
            requestAnimationFrame(tick);
        }"""
    )
    page.mouse.move(500, 500)
    page.mouse.down()
    for step in range(40):
        page.mouse.move(500 + 6 * step, 500 + 2 * step)
        page.wait_for_timeout(50)
    page.mouse.up()
    times = page.evaluate("(window.going = false, window.times)")
    gaps = np.diff(times)
    return {"per_s": round(1000 / float(gaps.mean()), 1), "longest_gap_ms": round(float(gaps.max()), 1)}


def resident_mib(pid: int) -> dict[str, float]:
    """Resident memory of a process, and the part that belongs to it alone (mapped files do not), in MiB."""
    values: dict[str, float] = {"Rss": 0.0, "Private": 0.0}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in ("Rss", "Anonymous"):
            values["Private" if name == "Anonymous" else "Rss"] += int(rest.split()[0]) / 1024
    return {key: round(value, 1) for key, value in values.items()}


def descendants(pid: int) -> list[int]:
    found = []
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        found += [int(child), *descendants(int(child))]
    return found


def command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")


if __name__ == "__main__":
    sys.exit(main())
