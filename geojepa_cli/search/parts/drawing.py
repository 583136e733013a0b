"""Query part: entities that a user has drawn. The model has encoded them before the search, as a tile or an entity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from geojepa_cli.config.limits import EntityLimits
from geojepa_cli.search.neighbours import Level
from geojepa_cli.search.query import Example, Source
from geojepa_cli.sources.drawing import Drawing
from geojepa_cli.store.reader import RegionStore


@dataclass(frozen=True)
class DrawingPart:
    """Drawn entities as part of a query. The attributes are those of `QueryPart`, and:

    Attributes:
        drawing: drawn entities.
        vector: vector of the model for the drawn tile or entity; None until the model has encoded it.
        tags: tags of main keys of the drawn entities that tiles can have too, with counts.
        note: remark on how the drawing was encoded.
    """

    text: str
    drawing: Drawing
    option: str = "--draw"
    weight: float = 1.0
    unlike: bool = False
    level: Level | None = None
    has_place: bool = True
    vector: tuple[float, ...] | None = None
    tags: Mapping[str, int] = field(default_factory=dict)
    note: str = ""

    def params(self) -> dict[str, object]:
        return {"draw": self.drawing.checksum, "weight": self.weight, "unlike": self.unlike}

    def check(self, stores: Sequence[RegionStore], limits: EntityLimits) -> None:
        pass

    def resolve(self, source: Source) -> Example:
        if self.vector is None:
            raise ValueError("the drawing is not encoded yet")
        unit = source.unit(np.array(self.vector))
        return Example(unit, places=self.drawing.centres, tags=self.tags, note=self.note)
