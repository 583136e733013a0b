"""Query part: an OSM element of a region."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from geojepa_cli.config.limits import EntityLimits
from geojepa_cli.grid import tile_bounds
from geojepa_cli.search.check import check_entity, parse_entity
from geojepa_cli.search.neighbours import Level, element_of_row, find_entity, tile_of_row
from geojepa_cli.search.query import Example, Source
from geojepa_cli.search.tag_counts import tags_of_entity
from geojepa_cli.store.batch import OSM_TYPES
from geojepa_cli.store.reader import RegionStore


@dataclass(frozen=True)
class EntityPart:
    """An OSM element as part of a query. The attributes are those of `QueryPart`.

    The vector is that of the element's largest part in a tile. Distances are measured from the centre of this tile.
    """

    text: str
    option: str = "--entity"
    weight: float = 1.0
    unlike: bool = False
    level: Level | None = "entity"
    has_place: bool = True

    def params(self) -> dict[str, object]:
        osm_type, osm_id = parse_entity(self.text)
        return {"entity": f"{OSM_TYPES[osm_type]}/{osm_id}", "weight": self.weight, "unlike": self.unlike}

    def check(self, stores: Sequence[RegionStore], limits: EntityLimits) -> None:
        check_entity(stores, self.text, limits, self.option)

    def resolve(self, source: Source) -> Example:
        hit = find_entity(source.regions, self.text, self.option)
        vectors = source.regions[hit.region].vectors
        tile = tile_of_row(vectors, int(vectors["entity/tile"][hit.row]))
        west, south, east, north = tile_bounds(*tile)
        return Example(
            source.unit(vectors["entity/vector"][hit.row]),
            hit,
            tile,
            element_of_row(vectors, hit.row),
            (((west + east) / 2, (south + north) / 2),),
            tags_of_entity(source.regions[hit.region], hit.row),
        )
