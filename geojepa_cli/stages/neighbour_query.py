"""The query of a search for neighbours: made from options and checked before embeddings are computed."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geojepa_cli import hints
from geojepa_cli.config.limits import EntityLimits
from geojepa_cli.errors import UsageError
from geojepa_cli.stages.alpha import check_alpha
from geojepa_cli.stages.entity_limits import check_tiles_left
from geojepa_cli.stages.processed import FILE as PROCESSED_FILE
from geojepa_cli.stages.stage import rebuilding
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.kinds import legal_name

if TYPE_CHECKING:
    from geojepa_cli.search.neighbours import Level
    from geojepa_cli.search.query import QueryPart
    from geojepa_cli.search.space import Form

DEFAULT_K = 8
SINGLE = ("tile", "entity", "at", "text", "draw", "area")  # options of which a query has at most one each
FILES = ("--draw", "--area")
LEVELS = ("tile", "entity")
SPACES = ("raw", "centred", "whitened")
DEFAULT_SPACE = "centred"  # as in `search/space.py`, which loads numpy and torch


@dataclass(frozen=True)
class NeighbourQuery:
    """Everything that decides the result of a search, except the embeddings.

    Attributes:
        parts: parts of the query. At least one is not `unlike`.
        level: `tile` or `entity`, what is searched.
        space: form of the search space.
        k: number of neighbours.
        exclude_same_group: leave out results in the zoom-14 tile of an example.
        min_distance_km: smallest distance of results from an example.
        alpha: weight of the entity alone in the vectors of entities.
    """

    parts: tuple[QueryPart, ...]
    level: Level
    space: Form
    k: int
    exclude_same_group: bool
    min_distance_km: float
    alpha: float

    def params(self) -> dict[str, object]:
        """Returns the query as parameters of the artifact."""
        return {
            "query": [part.params() for part in self.parts],
            **({"level": self.level} if all(part.level is None for part in self.parts) else {}),
            "space": self.space,
            "k": self.k,
            "exclude_same_group": self.exclude_same_group,
            "min_distance_km": self.min_distance_km,
            **({"alpha": self.alpha} if self.alpha else {}),
        }

    @property
    def reads_tags(self) -> bool:
        """True if the query has a text, which is matched with text embeddings of tags."""
        return any(part.option == "--text" for part in self.parts)

    @property
    def title(self) -> str:
        """The query in words, such as `school next to a motorway, not 16_18052_25957`."""
        return ", ".join(f"{'not ' if part.unlike else ''}{part.text}" for part in self.parts)

    @property
    def name(self) -> str:
        """Name of the query in the name of the artifact, such as `16_18052_25957` or `way-123+2` (two more parts)."""
        more = f"+{len(self.parts) - 1}" if len(self.parts) > 1 else ""
        first = self.parts[0]
        text = Path(first.text).stem if first.option in FILES else first.text.strip()
        return legal_name(text.replace("/", "-").replace(".", "-"))[:60] + more


def check_options(tile: str | None, entity: str | None) -> None:
    """Checks that the query is not both a tile and an entity.

    Raises:
        UsageError: options cannot be combined.
    """
    if tile is not None and entity is not None:
        raise UsageError("`--tile` cannot be combined with `--entity`", hints.instead(("--entity", entity)))


def check_alpha_of_level(level: Level, alpha: float) -> None:
    """Checks that alpha is given for entities only.

    Raises:
        UsageError: `alpha` is not a number from 0 to 1, or the query consists of tiles.
    """
    if level == "tile" and check_alpha(alpha):
        message = "`--alpha` cannot be combined with `--tile`, or other tiles: it only changes vectors of entities"
        raise UsageError(message, hints.again(alpha=0))


def check_space(space: str) -> Form:
    """Checks the name of a search space.

    Raises:
        UsageError: there is no such space.
    """
    for known in SPACES:
        if space == known:
            return known  # type: ignore[return-value]
    raise UsageError(f"unknown space `{space}`: expected {', '.join(SPACES)}", hints.again(space=DEFAULT_SPACE))


@dataclass(frozen=True)
class Asked:
    """What the options of `knn` ask for.

    Attributes:
        tile, entity: query tile or query entity, or None.
        at: place as `LON,LAT`, or None.
        text: text, or None.
        draw, area: GeoJSON file with drawn entities, file with polygons, or None.
        like, unlike: tiles (`16_18052_25957`) or OSM elements (`way/123`).
        weight: one positive number per part, in the order above. Empty: all weights are 1.
        level: `tile` or `entity`, what to search; None: as the parts decide.
    """

    tile: str | None = None
    entity: str | None = None
    at: str | None = None
    text: str | None = None
    draw: Path | None = None
    area: Path | None = None
    like: Sequence[str] = ()
    unlike: Sequence[str] = ()
    weight: Sequence[Any] = ()
    level: str | None = None

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
    chosen = EntityPart if option == "--entity" or "/" in text else TilePart
    return chosen(text, option, weight, option == "--unlike")


def _weights(given: Sequence[Any], parts: int) -> list[float]:
    for one in given:
        if isinstance(one, bool) or not isinstance(one, numbers.Real) or not 0 < float(one) < math.inf:
            raise UsageError(f"`--weight {one}`: expected a number above 0", hints.again(weight=[1] * parts))
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
                    message = f"`--level {level}` cannot be combined with `{part.option} {part.text}`, which is a "
                    raise UsageError(f"{message}{part.level}", hints.again(level=part.level))
            return known  # type: ignore[return-value]
    raise UsageError(f"unknown level `{level}`: expected {' or '.join(LEVELS)}", hints.again(level="tile"))


def check_form(regions: Sequence[Artifact], parts: Sequence[QueryPart], limits: EntityLimits) -> None:
    """Checks that a part says what to find, and that tiles and elements are written like `16_18052_25957` or `way/123`.

    Raises:
        UsageError: no part says what to find, or a text has another format. The hint repeats the command with a tile or
            entity that exists in the regions.
    """
    from geojepa_cli.search.check import existing_query
    from geojepa_cli.store.reader import RegionStore

    wrong: tuple[str, str] | None = None
    try:
        if all(part.unlike for part in parts):
            expected = ", ".join(f"`--{name}`" for name in SINGLE)
            raise UsageError(f"a query is required: {expected} or `--like`")
        for part in parts:
            wrong = (part.option, part.text)
            part.params()
    except UsageError as error:
        with rebuilding(*regions):
            stores = [RegionStore(region.file(PROCESSED_FILE), region.name) for region in regions]
            raise UsageError(error.message, existing_query(stores, limits, wrong)) from None


def check_query(
    sources: Sequence[Artifact], regions: Sequence[Artifact], parts: Sequence[QueryPart], limits: EntityLimits
) -> None:
    """Checks that every part of the query exists, and that each region has a tile within the limits.

    This runs before embeddings are computed, which can take minutes.

    Args:
        sources: regions from which the query comes.
        regions: regions to search.
        parts: parts of the query.
        limits: minimum and maximum number of entities in a tile.
    """
    from geojepa_cli.store.reader import RegionStore
    from geojepa_cli.store.store import TileStore

    stores = [RegionStore(region.file(PROCESSED_FILE), region.name) for region in sources]
    for part in parts:
        part.check(stores, limits)
    for region in dict.fromkeys((*regions, *sources)):
        alone = TileStore.open([region.file(PROCESSED_FILE)], names=[region.name])
        check_tiles_left(alone, limits)
