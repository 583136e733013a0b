"""Modalities: the kinds of data that a batch can carry and a model can read."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Modality(StrEnum):
    """One kind of data of a tile.

    The order of the members numbers the modalities of tokens. The numbers are part of trained weights: append only.
    """

    TAGS = "tags"
    IMAGE = "image"
    GEOMETRY = "geometry"

    @property
    def number(self) -> int:
        """Number of this modality's tokens."""
        return list(Modality).index(self)


Needs = frozenset[Modality]  # the modalities that a batch is read with

TAGS_ONLY: Needs = frozenset({Modality.TAGS})


def count_numbers(modalities: Iterable[Modality]) -> int:
    """Returns the number of modalities that a model distinguishes.

    At least tags and images: a model of tags alone has weights of the same shapes as one that reads images too.
    """
    return 1 + max(modality.number for modality in (Modality.IMAGE, *modalities))
