"""Modalities: the kinds of input data of a model, such as tags and images."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Modality(StrEnum):
    """Kind of input data that a tile can have and a model can read.

    Models identify a modality by its id (property `number`), which is its position in this enum. Trained weights depend
    on these ids, so new modalities must be added at the end.
    """

    TAGS = "tags"
    IMAGE = "image"
    GEOMETRY = "geometry"

    @property
    def number(self) -> int:
        """Integer id of the modality. Models store the id with each token."""
        return list(Modality).index(self)


TOKEN_MODALITIES = (Modality.TAGS, Modality.IMAGE)  # modalities that a model can read

Needs = frozenset[Modality]  # modalities that a model needs in its batches

TAGS_ONLY: Needs = frozenset({Modality.TAGS})


def count_numbers(modalities: Iterable[Modality]) -> int:
    """Returns the number of modality ids that a model has weights for: the highest id of its modalities, plus one.

    The ids of tags and images are always counted. So a model that reads only tags has weights of the same shapes as a
    model that reads tags and images.

    Args:
        modalities: modalities that the model reads.
    """
    return 1 + max(modality.number for modality in (Modality.IMAGE, *modalities))
