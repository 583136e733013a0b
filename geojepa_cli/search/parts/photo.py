"""Query part: a street-level photo of the user. The model has encoded it before the search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from geojepa_cli.config.limits import EntityLimits
from geojepa_cli.search.neighbours import Level
from geojepa_cli.search.query import Example, Source
from geojepa_cli.store.reader import RegionStore


@dataclass(frozen=True)
class PhotoPart:
    """A photo as part of a query. The attributes are those of `QueryPart`; the text is the path of the file, and:

    Attributes:
        checksum: SHA-256 of the file.
        vector: unit vector of the photo; None until the model has encoded it.
        mean: mean vector of all photos of the searched regions; None if they have no photos.
        note: direction of the camera that was read from EXIF.
    """

    text: str
    checksum: str
    option: str = "--photo"
    weight: float = 1.0
    unlike: bool = False
    level: Level | None = "entity"
    has_place: bool = False
    vector: tuple[float, ...] | None = None
    mean: tuple[float, ...] | None = None
    note: str = ""

    def params(self) -> dict[str, object]:
        return {"photo": self.checksum, "weight": self.weight, "unlike": self.unlike}

    def check(self, stores: Sequence[RegionStore], limits: EntityLimits) -> None:
        pass

    def resolve(self, source: Source) -> Example:
        if self.vector is None:
            raise ValueError("the photo is not encoded yet")
        mean = None if self.mean is None else np.array(self.mean)
        return Example(source.unit_of_other_view(np.array(self.vector), lambda: mean), note=self.note)
