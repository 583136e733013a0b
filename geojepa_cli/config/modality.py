"""Modalities: the kinds of data that batches can contain and models can read."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Modality(StrEnum):
    """A kind of data in a tile.

    The position of a member is its id in models (see `number`). Trained weights depend on these ids, so new members
    must be added at the end.
    """

    TAGS = "tags"
    IMAGE = "image"
    GEOMETRY = "geometry"

    @property
    def number(self) -> int:
        """Integer id of the modality, which models store with each token."""
        return list(Modality).index(self)


Needs = frozenset[Modality]  # modalities that a model needs in its batches

TAGS_ONLY: Needs = frozenset({Modality.TAGS})


def count_numbers(modalities: Iterable[Modality]) -> int:
    """Returns the number of modality ids for which a model has weights.

    Tags and images always have one. So a model that reads only tags has weights of the same shapes as a model that
    also reads images.
    """
    return 1 + max(modality.number for modality in (Modality.IMAGE, *modalities))
