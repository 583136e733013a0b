"""Modalities: the kinds of data that a batch can carry and a model can read."""

from __future__ import annotations

from enum import StrEnum


class Modality(StrEnum):
    """One kind of data of a tile.

    The order of the members numbers the modalities of tokens: it is part of trained weights.
    """

    TAGS = "tags"
    IMAGE = "image"
    GEOMETRY = "geometry"


Needs = frozenset[Modality]  # the modalities that a batch is read with

TAGS_ONLY: Needs = frozenset({Modality.TAGS})
