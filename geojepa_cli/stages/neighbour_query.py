"""The query of a search for neighbours: made from options and checked before embeddings are computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from geojepa_cli import hints
from geojepa_cli.config.limits import EntityLimits
from geojepa_cli.config.spaces import DEFAULT_FORM, FORMS, Form
from geojepa_cli.errors import UsageError
from geojepa_cli.stages.alpha import check_alpha
from geojepa_cli.stages.entity_limits import check_tiles_left
from geojepa_cli.stages.processed import FILE as PROCESSED_FILE
from geojepa_cli.stages.query_parts import FILES, SINGLE, Asked, check_level, make_parts
from geojepa_cli.stages.stage import rebuilding
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.kinds import legal_name

if TYPE_CHECKING:
    from geojepa_cli.search.neighbours import Level
    from geojepa_cli.search.query import QueryPart

DEFAULT_K = 8


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
            **({} if self.words_only else {"space": self.space}),
            "k": self.k,
            "exclude_same_group": self.exclude_same_group,
            "min_distance_km": self.min_distance_km,
            **({"alpha": self.alpha} if self.alpha else {}),
        }

    def with_level(self, wanted: str | None = None) -> NeighbourQuery:
        """Returns the query with the wanted level or, by default, that of its parts, whose form must be checked.

        Raises:
            UsageError: parts are of different levels, or `alpha` is not a number from 0 to 1, or given for tiles.
        """
        level = check_level(wanted, self.parts)
        if check_alpha(self.alpha) and (level == "tile" or self.words_only):
            given = ", ".join(f"`{option}`" for option in dict.fromkeys(part.option for part in self.parts))
            why = "which is compared with tags, not with vectors" if self.words_only else "which searches tiles"
            message = f"`--alpha` cannot be combined with {given}, {why}: it only changes vectors of entities"
            raise UsageError(message, hints.again(alpha=0))
        self._check_places()
        return replace(self, level=level)

    def _check_places(self) -> None:
        """Checks that distances to the query can be measured if results near it shall be left out."""
        wanted = {"--min-distance-km": self.min_distance_km > 0, "--exclude-same-group": self.exclude_same_group}
        option = next((name for name, given in wanted.items() if given), None)
        if option is None or any(part.has_place for part in self.parts if not part.unlike):
            return
        part = next(part for part in self.parts if not part.unlike)
        why = "words are nowhere on the map" if part.option == "--text" else "the place in its EXIF is not used"
        message = f"`{option}` needs a query with a place, but `{part.option}` has none: {why}"
        raise UsageError(message, hints.Hint(dropped=tuple(wanted)))

    @property
    def words_only(self) -> bool:
        """True if the query consists of words, so that no vectors are needed."""
        return all(part.option == "--text" for part in self.parts)

    @property
    def has_photo(self) -> bool:
        """True if a part of the query is a photo."""
        return any(part.option == "--photo" for part in self.parts)

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
        place = first.params().get("at")
        if isinstance(
            place, list
        ):  # equal places have equal names, so that the rebuild command makes the same artifact
            text = ",".join(map(str, place))
        return legal_name(text.replace("/", "-").replace(".", "-"))[:60] + more


def check_space(space: str) -> Form:
    """Checks the name of a search space.

    Raises:
        UsageError: there is no such space.
    """
    for known in FORMS:
        if space == known:
            return known
    raise UsageError(f"unknown space `{space}`: expected {', '.join(FORMS)}", hints.again(space=DEFAULT_FORM))


def make_query(
    asked: Asked,
    space: str,
    k: int,
    exclude_same_group: bool,
    min_distance_km: float,
    alpha: float,
) -> NeighbourQuery:
    """Returns a query. Its level is not known yet, and its parts are not checked. See `knn` for the arguments.

    Raises:
        UsageError: arguments cannot be combined, there is no such space, or a weight, text or place is wrong.
        NotFoundError: a file does not exist.
        DataError: a file with a drawing is damaged.
    """
    if asked.tile is not None and asked.entity is not None:
        raise UsageError("`--tile` cannot be combined with `--entity`", hints.instead(("--entity", asked.entity)))
    parts = make_parts(asked)
    return NeighbourQuery(parts, "tile", check_space(space), k, exclude_same_group, min_distance_km, alpha)


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
            raise UsageError(f"{expected} or `--like` is required")
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
