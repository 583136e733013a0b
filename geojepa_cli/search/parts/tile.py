"""Query part: a tile of a region."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from geojepa_cli.config.limits import EntityLimits
from geojepa_cli.grid import parse_tile, tile_bounds
from geojepa_cli.search.check import check_tile
from geojepa_cli.search.neighbours import Level, find_tile
from geojepa_cli.search.query import Example, Source
from geojepa_cli.search.tag_counts import tags_of_tile
from geojepa_cli.store.reader import RegionStore


@dataclass(frozen=True)
class TilePart:
    """A tile as part of a query. The attributes are those of `QueryPart`."""

    text: str
    option: str = "--tile"
    weight: float = 1.0
    unlike: bool = False
    level: Level | None = "tile"
    has_place: bool = True

    def params(self) -> dict[str, object]:
        return {"tile": parse_tile(self.text).name, "weight": self.weight, "unlike": self.unlike}

    def check(self, stores: Sequence[RegionStore], limits: EntityLimits) -> None:
        check_tile(stores, self.text, limits, self.option)

    def resolve(self, source: Source) -> Example:
        hit = find_tile(source.regions, self.text, self.option)
        tile = parse_tile(self.text)
        west, south, east, north = tile_bounds(*tile)
        region = source.regions[hit.region]
        return Example(
            source.unit(region.vectors["tile/vector"][hit.row]),
            hit,
            tile,
            places=(((west + east) / 2, (south + north) / 2),),
            tags=tags_of_tile(region, hit.row),
        )
