"""The search space of exported vectors, in which the loss of their encoding is measured."""

from __future__ import annotations

from dataclasses import replace

from geojepa_cli.config.spaces import DEFAULT_FORM
from geojepa_cli.export.vector_rows import VectorRows, blocks
from geojepa_cli.search.space import SearchSpace
from geojepa_cli.store.tile_parts import TileParts
from geojepa_cli.store.vector_statistics import add_rows, no_vectors


def default_space(vectors: VectorRows, parts: TileParts) -> SearchSpace:
    """Returns the default space of `knn`, fitted to vectors that are read in blocks.

    Args:
        vectors: the vectors.
        parts: name and width of each part of a vector; empty if they are not known, as for principal components.
    """
    total = no_vectors(vectors.width)
    for _, block in blocks(vectors):
        total = add_rows(total, block)
    return SearchSpace.fit([replace(total, parts=parts)], DEFAULT_FORM)
