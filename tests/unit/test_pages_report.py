"""The page of a report: self-contained, escaped, readable without scripts, and with the figures of `report.json`."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from probe_reports import errors_of, probe_report, row_tiles

from geojepa_cli.evaluate.overview import build_overview
from geojepa_cli.evaluate.report import ReportTable, build_tables
from geojepa_cli.evaluate.report_text import count, ratio, share, shares
from geojepa_cli.evaluate.report_tiles import ErrorMap
from geojepa_cli.pages.report.charts import ERROR_COLOURS, legend, nice_end
from geojepa_cli.pages.report.page import Picture, TaskPlots, render_report

EVIL = "<script>alert('x')</script>\"&"
RANDOM = "vit_b_16-random (random image encoder)"
CREDITS = ["© OpenStreetMap contributors, ODbL 1.0", "Imagery: NAIP, `USDA`"]
COSTS = {"m": {"training": {"seconds": 77.5, "device": "cpu"}, "embedding": {"tiles_per_s": 41.5}}}
FACTS = {"m": {"parameters": 5_173_504, "all_parameters": 7_585_792}}


class _Page(HTMLParser):
    """Elements of a page, what a browser would load, and the text of cells by class."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.links: list[str] = []
        self.handlers: list[str] = []
        self.cells: list[str] = []
        self.bold: list[str] = []
        self.red: list[str] = []
        self.rows: list[list[str]] = []
        self._open: list[tuple[str, str]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        values = {name: value or "" for name, value in attrs}
        self.handlers += [name for name in values if name.startswith("on")]
        for name, value in values.items():
            if name in {"src", "srcset", "data", "poster", "action", "background"} or (name == "href" and tag != "a"):
                self.loads.append(value)
            elif name == "href":
                self.links.append(value)
        if tag not in {"meta", "img", "br", "path", "rect"}:
            self._open.append((tag, values.get("class", "")))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        tags = [tag for tag, _ in self._open]
        classes = {name for _, listed in self._open for name in listed.split()}
        if {"td", "th"} & set(tags):
            self.rows[-1][-1] += data
        if "td" in tags and "n" in classes:
            self.cells.append(data)
        if "b" in tags:
            self.bold.append(data)
        if "seen" in classes:
            self.red.append(data)


def _reports(name: str = "m", title: str = "x") -> list[dict[str, Any]]:
    maes = {"dummy": 4.0, "tagpool": 3.0, name: 1.25, RANDOM: 0.5}
    return [
        probe_report(title, maes, masked=False, unit=EVIL if title != "x" else "m"),
        probe_report(title, {"dummy": 4.0, "tagpool": 3.0, name: 2.125}),
        probe_report(title, {"dummy": 4.0, "s": 0.75}, protocol="seen"),
    ]


def _page(reports: list[dict[str, Any]], pictures: bool = True) -> tuple[str, dict[str, Any]]:
    tables = build_tables(reports, [errors_of(one) for one in reports], [0.081, 0.064, 0.064])
    plain = [table.to_json() for table in tables]
    rng = np.random.default_rng(0)
    plots = [_plots(table, rng) for table in tables]
    tiles: list[dict[str, Any]] = [
        {
            "table": place,
            "task": table.tasks[0],
            "row": plot.rows[0].row,
            "scatter": [{"row": one.row, "tiles": len(one.names), "shown": len(one.sample())} for one in plot.rows],
            "error_map": plot.errors.to_json(),
            "worst": plot.rows[0].worst(),
        }
        for place, (table, plot) in enumerate(zip(tables, plots, strict=True))
    ]
    content = {"overview": build_overview(plain, FACTS), "models": FACTS, "tables": plain, "tiles": tiles}
    shown = {}
    if pictures:
        names = {tile["tile"] for entry in tiles for tile in entry["worst"]}
        shown = {
            ("a@1", tile): Picture(np.full((3, 64, 64), 90, np.uint8), place % 2 == 0)
            for place, tile in enumerate(sorted(names))
        }
    return render_report(content, COSTS, plots, shown, CREDITS), content


def _plots(table: ReportTable, rng: np.random.Generator) -> TaskPlots:
    from geojepa_cli.evaluate.report_tiles import error_map

    row = next(row for row in table.rows if "dummy" not in row and "random" not in row)
    tiles = row_tiles(row, rng.integers(0, 9, 400).tolist(), rng.normal(4, 2, 400).tolist())
    return TaskPlots([tiles], error_map(tiles))


@pytest.fixture(scope="module")
def made() -> tuple[str, dict[str, Any]]:
    """A page with models of two protocols, and the content of `report.json`."""
    return _page(_reports())


def test_the_page_loads_nothing_and_runs_nothing(made: tuple[str, dict[str, Any]]) -> None:
    seen = _Page(made[0])
    assert not {"script", "link", "iframe", "object", "embed", "base", "form"} & set(seen.tags)
    assert not seen.handlers and not re.search(r"url\(|@import", made[0])
    assert seen.tags.count("img") > 0 and all(load.startswith("data:image/webp;base64,") for load in seen.loads)
    outward = [link for link in seen.links if not link.startswith("#table-")]
    assert outward and all(link.startswith("https://www.openstreetmap.org/") for link in outward)
    assert '<meta name="viewport" content="width=device-width' in made[0]


def test_names_and_units_of_users_are_escaped() -> None:
    html, _ = _page(_reports(name=EVIL, title=EVIL + "\x1b[2J\u202e"))
    assert "<script" not in html and "&lt;script&gt;" in html
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", html)
    assert not _Page(html).handlers


def test_every_number_of_the_tables_is_in_the_json(made: tuple[str, dict[str, Any]]) -> None:
    html, content = made
    written = set()

    def collect(value: Any) -> None:
        if isinstance(value, dict):
            for one in value.values():
                collect(one)
        elif isinstance(value, list | tuple):
            for one in value:
                collect(one)
            if len(value) == 2 and all(isinstance(one, float) for one in value):
                low, high = value
                written.update({f"[{low:.3g}, {high:.3g}]", shares([low, high])})
        elif isinstance(value, int | float) and not isinstance(value, bool):
            written.update({ratio(value), f"{value:.3g}", f"{value:+.3f}", str(value), share(value), count(int(value))})

    collect(json.loads(json.dumps(content)))
    intervals = [one["difference"] for table in content["tables"] for one in table["comparisons"]]
    written |= {"{low:+.3f} … {high:+.3f}".format(**one) for one in intervals}
    written |= {"–", "yes", "no", "in part", "77.5 s, cpu", "41.5"}  # the last ones are in cost.json
    cells = _Page(html).cells
    assert len(cells) > 60 and set(cells) <= written, set(cells) - written


def test_cells_stand_in_the_row_of_their_model(made: tuple[str, dict[str, Any]]) -> None:
    html, content = made
    rows = [row for row in _Page(html).rows if row and row[0] == "m (linear)"]
    block = next(block for block in content["overview"] if block["protocol"] == "transfer")
    row = next(row for row in block["rows"] if row["model"] == "m (linear)")
    plain, masked = row["parts"]
    expected = [
        f"{part[name]:.3f}" if name else f"{part['relative']['x']:.3f}"
        for part in (plain, masked)
        for name in ("", "score", "harmonic")
    ]
    assert rows[0][1:] == ["transfer", "6.4–8.1 %", "no", *expected, "5.17 M", "7.59 M", "77.5 s, cpu", "41.5"]


def test_seen_is_red_and_random_images_stand_outside_the_ranking(made: tuple[str, dict[str, Any]]) -> None:
    html, _ = made
    found = _Page(html)
    assert all(text.endswith("seen") for text in found.red) and found.red.count("seen") >= 3
    assert re.search(r"\.seen \{ color: var\(--seen\)", html)
    outside = re.findall(r'<tr class="outside"><th class="model" scope="row(?:group)?">([^<]*)<', html)
    assert set(outside) == {"not ranked:", f"{RANDOM} (linear)"}
    values = {"0.312", "1.25", "0.531", "2.12", "0.188", "0.75"}  # of the best ranked rows
    assert set(found.bold) == values


def test_points_squares_and_pictures_are_counted_honestly(made: tuple[str, dict[str, Any]]) -> None:
    html, content = made
    assert "300 of 400 tiles, drawn at random" in html
    scatter = re.search(r'<svg class="scatter".*?</svg>', html, re.S)
    assert scatter is not None and scatter[0].count("h0") == 300
    squares = re.search(r'<svg class="errors".*?</svg>', html, re.S)
    assert squares is not None and squares[0].count("h1v1h-1z") == 400
    for entry in content["tiles"]:
        for tile in entry["worst"]:
            assert f"true {tile['label']:.3g}, predicted {tile['predicted']:.3g}, error {tile['error']:.3g}" in html
    assert 'alt="drawn map of tile' in html and 'alt="aerial image of tile' in html and ">drawn<" in html


def test_the_axis_of_a_plot_ends_at_a_round_number() -> None:
    assert [nice_end(values) for values in ([1.0, 1.161], [0.0], [], [47.2, 3.0], [0.0312])] == [1.2, 1, 1, 48, 0.032]


def test_maps_and_images_are_credited(made: tuple[str, dict[str, Any]]) -> None:
    assert "https://www.openstreetmap.org/copyright" in made[0] and "Imagery: NAIP, USDA" in made[0]
    assert "no picture" in _page(_reports(), pictures=False)[0]


def test_the_same_input_gives_the_same_page(made: tuple[str, dict[str, Any]]) -> None:
    assert _page(_reports())[0] == made[0]
    assert len(made[0]) < 200_000


def test_a_map_without_errors_has_the_lightest_colour_and_large_errors_the_darkest() -> None:
    squares = np.array([[16, 18000 + x, 25950] for x in range(3)], np.int64)
    perfect = ErrorMap(squares, np.zeros(3), (), 3, False)
    assert [one["colour"] for one in legend(perfect)] == [ERROR_COLOURS[0]]
    two = ErrorMap(squares, np.array([0.0, 0.0, 1.0]), (0.0,), 3, False)
    assert [one["colour"] for one in legend(two)] == [ERROR_COLOURS[0], ERROR_COLOURS[-1]]
