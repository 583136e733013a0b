"""Matches words with the tags of opened regions. Loads the text encoder and vectors of tags when needed."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from geojepa_cli import hints
from geojepa_cli.errors import DataError
from geojepa_cli.search.neighbours import Level, SearchRegion
from geojepa_cli.search.text import Encoder, Match, TaggedRegion, encode_text, match
from geojepa_cli.store.features import open_features
from geojepa_cli.store.store import TileStore
from geojepa_cli.tags.encoder import ENCODERS, TextEncoder, load_text_encoder


class TextMatcher:
    """Matches texts with the tags of regions. Several threads may use it.

    Args:
        regions: regions to search.
    """

    def __init__(self, regions: Sequence[SearchRegion]) -> None:
        self._regions = regions
        self._lock = threading.Lock()
        self._opened: tuple[Encoder, list[TaggedRegion]] | None = None

    def match(self, text: str, level: Level) -> Match:
        """Compares a text with the tags of the regions.

        Raises:
            DataError: a region has no text vectors of its tags, or those of another encoder.
            MissingExtraError: the package of the text encoder is not installed.
        """
        with self._lock:
            encoder, regions = self._opened = self._opened or self._open()
            return match(encode_text(text, encoder), regions, level)

    def _open(self) -> tuple[Encoder, list[TaggedRegion]]:
        encoder = load_text_encoder(ENCODERS[0])
        return encoder, [_tagged(region, encoder) for region in self._regions]


def _tagged(region: SearchRegion, encoder: TextEncoder) -> TaggedRegion:
    hint = hints.run("process", region=region.name)
    if region.tags is None:
        raise DataError(f"region `{region.name}` has no text vectors of its tags, with which words are matched", hint)
    known = open_features([region.tags], TileStore([region.store]))
    if (known.encoder, known.table.shape[1]) != (encoder.name, encoder.width):
        message = f"the tags of `{region.name}` were embedded by `{known.encoder}`, but texts by `{encoder.name}`"
        raise DataError(message, hint)
    return TaggedRegion(region.store, region.vectors, known.table.numpy())
