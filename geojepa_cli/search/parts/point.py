"""Query part: a point, given by longitude and latitude, whose vector a model has read from an image or its location."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.config.limits import EntityLimits
from geojepa_cli.grid import TileId
from geojepa_cli.search.neighbours import Level, SearchRegion
from geojepa_cli.search.parts.place import check_inside, parse_place
from geojepa_cli.search.query import Example, Source
from geojepa_cli.store.embeddings import PLACE
from geojepa_cli.store.reader import RegionStore

_ROWS_AT_ONCE = 65_536


@dataclass(frozen=True)
class PointReading:
    """Vector of a point.

    Attributes:
        vector: unit vector of the model.
        read_from: `image`: read from the image of `tile`; `location`: computed from longitude and latitude alone,
            because the tile has no image.
        tile: tile that contains the point.
    """

    vector: tuple[float, ...]
    read_from: Literal["image", "location"]
    tile: TileId

    @property
    def note(self) -> str:
        """Describes the vector for users."""
        if self.read_from == "image":
            return f"the vector is read at this point of the image of tile {self.tile.name}"
        return f"tile {self.tile.name} has no image, so the vector is that of the location: longitude and latitude"


@dataclass(frozen=True)
class PointPart:
    """A point as part of a query. The attributes are those of `QueryPart`; the text is `LON,LAT`, in degrees.

    Attributes:
        reading: vector of the point; None until the model has computed it.
    """

    text: str
    option: str = "--at"
    weight: float = 1.0
    unlike: bool = False
    level: Level | None = "entity"
    has_place: bool = True
    reading: PointReading | None = None

    def params(self) -> dict[str, object]:
        at = list(parse_place(self.text))
        return {"at": at, "level": "entity", "weight": self.weight, "unlike": self.unlike}

    def check(self, stores: Sequence[RegionStore], limits: EntityLimits) -> None:
        check_inside(self.text, stores, limits)

    def resolve(self, source: Source) -> Example:
        if self.reading is None:
            raise ValueError("the point is not encoded yet")
        vector = np.array(self.reading.vector)
        if self.reading.read_from == "location":
            unit = source.unit_of_other_view(vector, lambda: _mean_of_places(source.searched))
        else:
            unit = source.unit(vector)
        return Example(
            unit,
            places=(parse_place(self.text),),
            note=self.reading.note,
            read_from=self.reading.read_from,
        )


def _mean_of_places(regions: Sequence[SearchRegion]) -> NDArray[np.float64] | None:
    """Returns the mean of the vectors of all entities' locations; None without entities. float64 [D]"""
    total, count = np.zeros(()), 0
    for region in regions:
        places = region.embeddings[PLACE]
        for first in range(0, len(places), _ROWS_AT_ONCE):
            some = places[first : first + _ROWS_AT_ONCE]
            total = total + some.astype(np.float64).sum(0)
            count += len(some)
    return total / count if count else None
