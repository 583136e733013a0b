"""Query part: entities that a user has drawn. The model has encoded them before the search, as a tile or an entity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
        note: remark on how the drawing was encoded.
    """

    text: str
    drawing: Drawing
    option: str = "--draw"
    weight: float = 1.0
    unlike: bool = False
    level: Level | None = None
    vector: tuple[float, ...] | None = None
    note: str = ""

    def params(self) -> dict[str, object]:
        return {"draw": self.drawing.checksum, "weight": self.weight, "unlike": self.unlike}

    def check(self, stores: Sequence[RegionStore], limits: EntityLimits) -> None:
        pass

    def resolve(self, source: Source) -> Example:
        if self.vector is None:
            raise ValueError("the drawing is not encoded yet")
        return Example(source.unit(np.array(self.vector)), tags=self.drawing.tag_counts(), note=self.note)
