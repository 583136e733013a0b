"""Renders the template of a page. All text from OSM and from files of users is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2

from geojepa_cli.console import printable

ODBL = "https://www.openstreetmap.org/copyright"


def render(package: str, credits: Sequence[str], **values: Any) -> str:
    """Returns a page as text, without control characters.

    Args:
        package: package that contains the template `page.html.j2`.
        credits: attribution lines of maps and images. The template shows those of OpenStreetMap as a link.
        values: other values of the template.
    """
    html = _template(package).render(
        **values,
        of_osm=any("OpenStreetMap" in line for line in credits),
        credits=[line.replace("`", "") for line in credits if "OpenStreetMap" not in line],
        copyright_url=ODBL,
    )
    return printable(html)  # names and tags in OSM are untrusted text


@cache
def _template(package: str) -> jinja2.Template:
    """Returns the compiled template of a package."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string((files(package) / "page.html.j2").read_text(encoding="utf-8"))
