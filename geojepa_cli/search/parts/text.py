"""Query part: a text in words, such as `airfield with a grass runway`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from geojepa_cli.config.limits import EntityLimits
from geojepa_cli.search.neighbours import Level
from geojepa_cli.search.query import Example, Source
from geojepa_cli.search.text_matcher import TextMatcher
from geojepa_cli.store.reader import RegionStore
from geojepa_cli.tags.encoder import ENCODERS, encoder_identity


@dataclass(frozen=True)
class TextPart:
    """A text as part of a query. The attributes are those of `QueryPart`.

    It yields scores of the searched tiles or entities, not a vector.
    """

    text: str
    option: str = "--text"
    weight: float = 1.0
    unlike: bool = False
    level: Level | None = None
    has_place: bool = False

    def params(self) -> dict[str, object]:
        return {"text": " ".join(self.text.split()), "weight": self.weight, "unlike": self.unlike}

    def check(self, stores: Sequence[RegionStore], limits: EntityLimits) -> None:
        encoder_identity(ENCODERS[0])

    def resolve(self, source: Source) -> Example:
        found = TextMatcher(source.searched).match(self.text, source.level)
        return Example(None, scores=found.scores(), note=found.note, matching=found.tags)
