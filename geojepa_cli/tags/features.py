"""Tag text embeddings of a region: one vector per row of its vocabulary, written as `tags.h5`."""

from __future__ import annotations

import itertools
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from geojepa_cli import console
from geojepa_cli.errors import DataError
from geojepa_cli.tags.descriptions import Source, TagText, describe
from geojepa_cli.tags.encoder import load_encoder

ALIGNMENT = 64


def write_tag_features(processed: Path, target: Path, encoder: str = "minilm") -> dict[str, int]:
    """Encodes the vocabulary of a `processed.h5` and writes `tags.h5`.

    `embedding` float32 [V, width] and `source` uint8 [V] (see `Source`), in the order of `vocab/`; attributes
    `schema_version` (of the processed file) and `encoder`. Each distinct text is encoded once.

    Args:
        processed: the region's `processed.h5`.
        target: a file that does not exist yet.
        encoder: a name of `geojepa_cli.tags.encoder.ENCODERS`.

    Returns:
        Counts: pairs, how many of them by source, distinct texts.

    Raises:
        DataError: `processed` has no vocabulary.
        MissingExtraError: the encoder's package is not installed.
    """
    schema_version, texts = tag_texts(processed)
    model = load_encoder(encoder)
    distinct = sorted({tag.text for tag in texts})
    row_of = {text: row for row, text in enumerate(distinct)}
    with console.progress("encode tags", len(distinct)) as meter:
        vectors = model.encode(distinct, meter)
    embedding = vectors[[row_of[tag.text] for tag in texts]] if texts else np.empty((0, model.width), np.float32)
    source = np.array([tag.source for tag in texts], dtype=np.uint8)
    _write(target, embedding, source, schema_version, model.name)
    by_source = {kind.name.lower(): int((source == kind).sum()) for kind in Source}
    return {
        "pairs": len(texts),
        "described": by_source["described"],
        "plain": by_source["plain"],
        "fell_back_to_key": by_source["key"],
        "texts": len(distinct),
    }


def tag_texts(processed: Path) -> tuple[int, list[TagText]]:
    """The file's schema version, and the text of every row of its vocabulary.

    Raises:
        DataError: the file is not a `processed.h5`.
    """
    try:
        with h5py.File(processed, "r") as file:
            keys, values = (_strings(file, f"vocab/{name}") for name in ("key", "value"))
            counts = file["vocab/count"][:]
            schema_version = int(file.attrs["schema_version"])
    except (OSError, KeyError) as error:
        raise DataError(f"`{processed}` has no vocabulary: {error}", hint="geojepa process") from error
    return schema_version, [describe(*row) for row in zip(keys, values, counts.tolist(), strict=True)]


def _strings(file: h5py.File, column: str) -> list[str]:
    """A text column: offsets into one UTF-8 buffer."""
    offsets, buffer = file[column][:], file[f"{column}_utf8"][:].tobytes()
    return [buffer[start:end].decode("utf-8", "replace") for start, end in itertools.pairwise(offsets)]


def _write(
    target: Path,
    embedding: npt.NDArray[np.float32],
    source: npt.NDArray[np.uint8],
    schema_version: int,
    encoder: str,
) -> None:
    """Contiguous and aligned, so that the columns can be memory-mapped; without times, so that bytes repeat."""
    with h5py.File(target, "w", alignment_threshold=1, alignment_interval=ALIGNMENT) as file:
        file.attrs["schema_version"] = np.uint32(schema_version)
        file.attrs["encoder"] = encoder
        file.create_dataset("embedding", data=np.ascontiguousarray(embedding, dtype=np.float32), track_times=False)
        file.create_dataset("source", data=source, track_times=False)
