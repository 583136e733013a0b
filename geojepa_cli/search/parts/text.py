"""Query part: a text in words, such as `airfield with a grass runway`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from geojepa_cli import hints
from geojepa_cli.config.limits import EntityLimits
from geojepa_cli.errors import DataError
from geojepa_cli.search.neighbours import Level, SearchRegion
from geojepa_cli.search.query import Example, Source
from geojepa_cli.search.text import TaggedRegion, encode_text, match
from geojepa_cli.store.features import open_features
from geojepa_cli.store.reader import RegionStore
from geojepa_cli.store.store import TileStore
from geojepa_cli.tags.encoder import ENCODERS, TextEncoder, encoder_identity, load_text_encoder


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

    def params(self) -> dict[str, object]:
        return {"text": " ".join(self.text.split()), "weight": self.weight, "unlike": self.unlike}

    def check(self, stores: Sequence[RegionStore], limits: EntityLimits) -> None:
        encoder_identity(ENCODERS[0])

    def resolve(self, source: Source) -> Example:
        encoder = load_text_encoder(ENCODERS[0])
        regions = [_tagged(region, encoder) for region in source.searched]
        found = match(encode_text(self.text, encoder), regions, source.level)
        width = source.searched[0].vectors[f"{source.level}/vector"].shape[1]
        names = [f"`{phrase.text}`" for phrase in found.phrases]
        note = f"read as {' + '.join(names)}" if len(names) > 1 else ""
        return Example(np.zeros(width), scores=found.scores(), note=note, matching=found.tags)


def _tagged(region: SearchRegion, encoder: TextEncoder) -> TaggedRegion:
    hint = hints.run("process", region=region.name)
    if region.tags is None:
        raise DataError(f"region `{region.name}` has no text embeddings of tags, which `--text` reads", hint)
    known = open_features([region.tags], TileStore([region.store]))
    if (known.encoder, known.table.shape[1]) != (encoder.name, encoder.width):
        message = f"the tags of `{region.name}` were embedded by `{known.encoder}`, but texts by `{encoder.name}`"
        raise DataError(message, hint)
    return TaggedRegion(region.store, region.vectors, known.table.numpy())
