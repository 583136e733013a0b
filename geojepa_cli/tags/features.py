"""Computes the text embeddings of all distinct tags of a region."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from geojepa_cli import console
from geojepa_cli.store.features import write_features
from geojepa_cli.store.reader import RegionStore
from geojepa_cli.tags.descriptions import Source, TagText, describe
from geojepa_cli.tags.encoder import load_text_encoder


def write_tag_features(processed: Path, target: Path, encoder: str = "minilm") -> dict[str, int]:
    """Computes the text embeddings of all distinct tags of a region and writes them to `tags.h5`.

    Args:
        processed: path of the region's `processed.h5`.
        target: path of the `tags.h5` to write.
        encoder: name of the text encoder, one of `geojepa_cli.tags.encoder.ENCODERS`.

    Returns:
        Counts by name. `pairs`: distinct tags. `texts`: distinct texts. `described`: tags whose text has words from the
        id-tagging-schema. `plain`: tags whose text is `key=value`. `fell_back_to_key`: tags whose text describes the
        key, without the value.

    Raises:
        DataError: `processed` cannot be read.
        MissingExtraError: the Python package with the weights of the encoder is not installed.
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
    """Returns the text of each distinct tag of a region, in the order of the table `vocab` in `processed.h5`.

    Raises:
        DataError: `processed` is not the path of a `processed.h5` file.
    """
    region = RegionStore(processed)
    rows = zip(region.keys, region.values, region["vocab/count"].tolist(), strict=True)
    return [describe(key, value, count) for key, value, count in rows]
