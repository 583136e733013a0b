"""Tag text embeddings of several regions as one matrix, in the order of the dataset's vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from geojepa_cli import hints
from geojepa_cli.errors import DataError
from geojepa_cli.store import schema
from geojepa_cli.store.columns import ColumnSpec, Expected, map_columns

if TYPE_CHECKING:
    from geojepa_cli.store.store import TileStore
EXPECTED = Expected(
    schema.VERSION,
    {"embedding": ColumnSpec(("<f4",), (None, None)), "source": ColumnSpec(("<u1",))},
    {"encoder": str},
)


class TagEmbeddings(NamedTuple):
    """One vector for every vocabulary row of a dataset, aligned with `TileBatch.tag_ids`.

    `torch.nn.functional.embedding_bag(tag_ids, table, tag_offsets[:-1], mode="mean")` is the mean of the tag
    embeddings of every entity.
    """

    table: torch.Tensor  # float32 [V, width]
    source: torch.Tensor  # uint8 [V], 0 described, 1 plain key=value, 2 fell back to its key
    encoder: str


def open_features(paths: Sequence[Path | str], store: TileStore) -> TagEmbeddings:
    """Reads the `tags.h5` of every region of a dataset, in the dataset's order.

    Raises:
        DataError: unreadable, of another schema, made for another vocabulary, or by different encoders.
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
            raise DataError(f"`{path}` has {len(columns['source'])} sources of {len(table)} tags", hint)
        if len(table) != region.n_vocab:
            raise DataError(f"`{path}` has {len(table)} tags, `{region.path}` has {region.n_vocab}", hint)
        tables.append(table)
        sources.append(columns["source"])
        encoders.append(str(attributes.get("encoder")))
        first = (encoders[0], tables[0].shape[1])
        if (encoders[-1], table.shape[1]) != first:
            got = f"`{encoders[-1]}` ({table.shape[1]} values)"
            raise DataError(f"`{path}` was made by {got}, the other regions by `{first[0]}` ({first[1]})", hint)
    return TagEmbeddings(
        torch.from_numpy(np.concatenate(tables)), torch.from_numpy(np.concatenate(sources)), encoders[0]
    )
