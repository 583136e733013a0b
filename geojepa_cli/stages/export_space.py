"""Search spaces of exported vectors: to map the vectors, and to measure the loss of their encoding."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from geojepa_cli.config.spaces import DEFAULT_FORM, Form
from geojepa_cli.export.vector_rows import Floats, VectorRows, blocks
from geojepa_cli.search.space import SearchSpace
from geojepa_cli.store.csr import Rows
from geojepa_cli.store.tile_parts import TileParts
from geojepa_cli.store.vector_statistics import add_rows, no_vectors

if TYPE_CHECKING:
    from torch import Tensor


class InSpace:
    """Vectors in a search space, scaled to length 1.

    Args:
        of: the vectors.
        space: the space.
    """

    def __init__(self, of: VectorRows, space: SearchSpace) -> None:
        self._of, self._space = of, space
        self.count, self.width = of.count, of.width

    def read(self, rows: Rows) -> Floats:
        """Returns the vectors in the given rows, float32 [m, width]."""
        return self._space.project(self._of.read(rows))


def fit_space(vectors: VectorRows, parts: TileParts, form: Form = DEFAULT_FORM) -> SearchSpace:
    """Returns a search space of `knn`, fitted to vectors that are read in blocks.

    Args:
        vectors: the vectors.
        parts: name and width of each part of a vector; empty if they are not known.
        form: form of the space.
    """
    total = no_vectors(vectors.width)
    for _, block in blocks(vectors):
        total = add_rows(total, block)
    return SearchSpace.fit([replace(total, parts=parts)], form)


def space_tensors(space: SearchSpace) -> dict[str, Tensor]:
    """Returns the tensors that map a vector to a space: its `mean`, and `scale` or `matrix` if its form has one."""
    import torch

    scale = space.scale
    if space.form == "balanced" and scale is None and space.mean is not None:  # the parts are not known
        scale = np.ones_like(space.mean)
    named = {"mean": space.mean, "scale": scale, "matrix": space.matrix}
    return {name: torch.from_numpy(values) for name, values in named.items() if values is not None}
