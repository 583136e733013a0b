"""`tags.h5`: writes and reads the text embeddings of tags, one for each distinct tag of a region."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import numpy.typing as npt
import torch

from geojepa_cli import hints
from geojepa_cli.errors import DataError
from geojepa_cli.store import schema
from geojepa_cli.store.columns import VERIFY, ColumnSpec, Expected, map_columns, write_text
from geojepa_cli.store.dataset import Dataset

SOURCES = 3  # number of distinct values of `source`
EXPECTED = Expected(
    schema.VERSION,
    {"embedding": ColumnSpec(("<f4",), (None, None)), "source": ColumnSpec(("<u1",))},
    {"encoder": str},
)


class TagEmbeddings(NamedTuple):
    """Text embeddings of the V distinct tags of a dataset.

    Row i of `table` is the embedding of tag i of the dataset's vocabulary (the list of distinct tags). The field
    `tag_ids` of a `TileBatch` holds row numbers of `table`. The mean tag embedding of each entity in a batch is
    `torch.nn.functional.embedding_bag(batch.tag_ids, table, batch.tag_offsets[:-1], mode="mean")`.
    """

    table: torch.Tensor  # float32 [V, width]
    source: torch.Tensor  # uint8 [V], type of the embedded text: 0 description, 1 `key=value`, 2 key without the value
    encoder: str


def write_features(path: Path, embedding: npt.NDArray[np.float32], source: npt.NDArray[np.uint8], encoder: str) -> None:
    """Writes the text embeddings of a region's tags to `tags.h5`.

    Columns are contiguous and aligned, so that they can be memory-mapped. They have no timestamps, so that the same
    input always gives the same bytes.

    Args:
        path: file to write.
        embedding: one vector for each distinct tag, in the order of the region's vocabulary, float32 [V, width].
        source: type of the text that was embedded for each tag: 0 description, 1 `key=value`, 2 key without the value.
            uint8 [V]
        encoder: name of the text encoder.
    """
    with h5py.File(path, "w", alignment_threshold=1, alignment_interval=schema.ALIGNMENT) as file:
        file.attrs["schema_version"] = np.uint32(schema.VERSION)
        write_text(file, "encoder", encoder)
        file.create_dataset("embedding", data=np.ascontiguousarray(embedding, dtype=np.float32), track_times=False)
        file.create_dataset("source", data=source, track_times=False)


def tag_encoder(path: Path, hint: hints.Hint | None = None) -> tuple[str, int]:
    """Returns the name of the text encoder of a `tags.h5` file, and the number of values of a tag embedding.

    Args:
        path: path of the file.
        hint: command that makes the file again, for error messages.

    Raises:
        DataError: the file is missing or damaged, or has another schema.
    """
    columns, attributes = map_columns(path, EXPECTED, hint)
    return str(attributes.get("encoder")), columns["embedding"].shape[1]


def open_features(paths: Sequence[Path | str], store: Dataset) -> TagEmbeddings:
    """Reads the `tags.h5` of every region of a dataset as one matrix, in the order of the dataset's distinct tags.

    Args:
        paths: path of the `tags.h5` of each region, in the order of the dataset's regions.
        store: dataset to which the tags belong.

    Raises:
        DataError: a file is unreadable or damaged, has another schema, has another number of tags than the region,
            or was made by another text encoder than the other files.
    """
    if len(paths) != len(store.regions):
        raise ValueError(f"{len(paths)} feature files for {len(store.regions)} regions")
    tables: list[npt.NDArray[np.float32]] = []
    sources: list[npt.NDArray[np.uint8]] = []
    encoders: list[str] = []
    for path, region in zip(map(Path, paths), store.regions, strict=True):
        hint = hints.run("process", region=region.name)
        columns, attributes = map_columns(path, EXPECTED, hint)
        table = columns["embedding"]
        if len(columns["source"]) != len(table):
            n_sources = len(columns["source"])
            raise DataError(f"column `source` of `{path}` has {n_sources} rows, expected {len(table)}", hint)
        if len(table) != region.n_vocab:
            raise DataError(f"`{path}` has {len(table)} tags, but `{region.path}` has {region.n_vocab}", hint)
        if not np.isfinite(table).all():
            raise DataError(f"`{path}` is damaged: column `embedding` has values that are not finite", VERIFY)
        if len(table) and int(columns["source"].max()) >= SOURCES:
            raise DataError(f"`{path}` is damaged: column `source` has unknown values", VERIFY)
        tables.append(table)
        sources.append(columns["source"])
        encoders.append(str(attributes.get("encoder")))
        first = (encoders[0], tables[0].shape[1])
        if (encoders[-1], table.shape[1]) != first:
            got = f"`{encoders[-1]}` ({table.shape[1]} values)"
            wanted = f"`{first[0]}` ({first[1]} values) as for the other regions"
            raise DataError(f"`{path}` was made by the text encoder {got}, expected {wanted}", hint)
    return TagEmbeddings(
        torch.from_numpy(np.concatenate(tables)), torch.from_numpy(np.concatenate(sources)), encoders[0]
    )
