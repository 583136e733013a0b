"""Parts of a query, made from the options of `geojepa knn`."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geojepa_cli import hints
from geojepa_cli.errors import UsageError
from geojepa_cli.stages.arguments import wrong_type
from geojepa_cli.stages.photo_query import photo_checksum

if TYPE_CHECKING:
    from geojepa_cli.search.neighbours import Level
    from geojepa_cli.search.query import QueryPart

SINGLE = ("tile", "entity", "at", "text", "draw", "area", "photo")  # options of which a query has at most one each
FILES = ("--draw", "--area", "--photo")
LEVELS: tuple[Level, ...] = ("tile", "entity")


@dataclass(frozen=True)
class Asked:
    """Query that the options of `knn` describe.

    Attributes:
        tile, entity: query tile or query entity, or None.
        at: place as `LON,LAT`, or None.
        text: text, or None.
        draw, area, photo: GeoJSON file with drawn entities, file with polygons, photo, or None.
        like, unlike: tiles (`16_18052_25957`) or OSM elements (`way/123`).
        weight: one positive number per part, in the order above. Empty: all weights are 1.
    """

    tile: str | None = None
    entity: str | None = None
    at: str | None = None
    text: str | None = None
    draw: str | Path | None = None
    area: str | Path | None = None
    photo: str | Path | None = None
    like: Sequence[str] = ()
    unlike: Sequence[str] = ()
    weight: Sequence[Any] = ()

    def named(self) -> list[tuple[str, str]]:
        """Returns option and text of every part, in the order of their weights."""
        single = [(f"--{name}", getattr(self, name)) for name in SINGLE]
        given = [(option, str(value)) for option, value in single if value is not None]
        return [*given, *(("--like", one) for one in self.like), *(("--unlike", one) for one in self.unlike)]


def make_parts(asked: Asked) -> tuple[QueryPart, ...]:
    """Returns the parts of a query, in the order of `Asked.named`.

    Raises:
        UsageError: the number of weights differs from that of parts, a weight is not a positive number, a text has no
            letter, or a place is not `LON,LAT`.
        NotFoundError: a file does not exist.
        DataError: a file with a drawing is damaged.
    """
    named = asked.named()
    weights = _weights(asked.weight, len(named))
    return tuple(_part(option, text, value) for (option, text), value in zip(named, weights, strict=True))


def _part(option: str, text: str, weight: float) -> QueryPart:
    from geojepa_cli.search.parts.area import AreaPart
    from geojepa_cli.search.parts.drawing import DrawingPart
    from geojepa_cli.search.parts.entity import EntityPart
    from geojepa_cli.search.parts.photo import PhotoPart
    from geojepa_cli.search.parts.place import PlacePart, parse_place
    from geojepa_cli.search.parts.text import TextPart
    from geojepa_cli.search.parts.tile import TilePart
    from geojepa_cli.sources.drawing import read_drawing

    if option == "--text":
        if not any(letter.isalnum() for letter in text):
            message = f"`--text {text!r}` has no word"
            raise UsageError(message, hints.again(text="school next to a motorway"))
        return TextPart(text, option, weight)
    if option == "--at":
        parse_place(text)
        return PlacePart(text, option, weight)
    if option == "--draw":
        return DrawingPart(text, read_drawing(Path(text)), option, weight)
    if option == "--area":
        part = AreaPart(text, option, weight)
        part.params()  # reads the file
        return part
    if option == "--photo":
        return PhotoPart(text, photo_checksum(Path(text)), option, weight)
    chosen = EntityPart if option == "--entity" or "/" in text else TilePart
    return chosen(text, option, weight, option == "--unlike")


def _weights(given: Sequence[Any], parts: int) -> list[float]:
    for one in given:
        if isinstance(one, bool) or not isinstance(one, numbers.Real):
            raise wrong_type("weight", given, "numbers above 0", str([1.0] * parts))
        number: Any = one  # `Real` has no comparison with numbers
        if not 0 < number <= 1e300:
            raise UsageError(f"`--weight {one}`: expected a number above 0", hints.again(weight=["1"] * parts))
    if given and len(given) != parts:
        message = f"`--weight` is given {len(given)} times, expected once for each of the {parts} parts of the query: "
        message += f"{', '.join(f'`--{name}`' for name in SINGLE)}, then each `--like`, then each `--unlike`"
        raise UsageError(message, hints.again(weight=["1"] * parts))
    return [float(one) for one in given] or [1.0] * parts


def check_level(level: str | None, parts: Sequence[QueryPart]) -> Level:
    """Returns what a query searches: `level` or, if that is None, what its parts are.

    Raises:
        UsageError: there is no such level, or a part has no vector of it.
    """
    from geojepa_cli.search.query import level_of

    found = level_of(parts)
    if level is None:
        return found
    for known in LEVELS:
        if level == known:
            for part in parts:
                if part.level not in (None, level):
                    things = "entities" if part.level == "entity" else "tiles"
                    message = (
                        f"`--level {level}` cannot be combined with `{part.option} {part.text}`, which only finds "
                    )
                    raise UsageError(f"{message}{things}", hints.again(level=part.level))
            return known
    raise UsageError(f"unknown level `{level}`: expected {' or '.join(LEVELS)}", hints.again(level="tile"))
