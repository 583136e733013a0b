"""Encodes the tags of a region: one text embedding for each distinct tag (each row of its vocabulary)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from geojepa_cli import console
from geojepa_cli.store.features import write_features
from geojepa_cli.store.reader import RegionStore
from geojepa_cli.tags.descriptions import Source, TagText, describe
from geojepa_cli.tags.encoder import load_text_encoder


def write_tag_features(processed: Path, target: Path, encoder: str = "minilm") -> dict[str, int]:
    """Encodes all distinct tags of a region and writes `tags.h5`. Each distinct text is encoded once.

    Args:
        processed: path of the region's `processed.h5`.
        target: path of the `tags.h5` to write.
        encoder: name of the text encoder, one of `geojepa_cli.tags.encoder.ENCODERS`.

    Returns:
        Counts of distinct tags (`pairs`), of tags by the origin of their text, and of distinct texts.

    Raises:
        DataError: `processed` cannot be read.
        MissingExtraError: the package of the encoder is not installed.
    """
    texts = tag_texts(processed)
    model = load_text_encoder(encoder)
    distinct = sorted({tag.text for tag in texts})
    row_of = {text: row for row, text in enumerate(distinct)}
    with console.progress("encode tags", len(distinct)) as meter:
        vectors = model.encode(distinct, meter)
    embedding = vectors[[row_of[tag.text] for tag in texts]] if texts else np.empty((0, model.width), np.float32)
    source = np.array([tag.source for tag in texts], dtype=np.uint8)
    write_features(target, embedding, source, model.name)
    by_source = {kind.name.lower(): int((source == kind).sum()) for kind in Source}
    return {
        "pairs": len(texts),
        "described": by_source["described"],
        "plain": by_source["plain"],
        "fell_back_to_key": by_source["key"],
        "texts": len(distinct),
    }


def tag_texts(processed: Path) -> list[TagText]:
    """Returns the text of every distinct tag of a region, in the order of its vocabulary.

    Raises:
        DataError: the file is not a `processed.h5`.
    """
    region = RegionStore(processed)
    rows = zip(region.keys, region.values, region["vocab/count"].tolist(), strict=True)
    return [describe(key, value, count) for key, value, count in rows]
