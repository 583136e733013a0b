"""Modalities: the kinds of input data of a model, such as tags and images."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Modality(StrEnum):
    """Kind of input data that a tile can have and a model can read.

    Models identify a modality by its id (property `number`), which is its position in this enum. Trained weights depend
    on these ids, so new modalities must be added at the end.

    - `TAGS`: tags of entities. The tags and the geometry of an entity share one token, which has the id of `TAGS`.
    - `IMAGE`: pixels of an image.
    - `GEOMETRY`: vectors that a geometry encoder computed from the nodes of entities.
    - `NODES`: nodes of entities.
    - `IMAGE_TOKENS`: tokens that a frozen image encoder computed from pixels. They have the id of `IMAGE`.
    """

    TAGS = "tags"
    IMAGE = "image"
    GEOMETRY = "geometry"
    NODES = "nodes"
    IMAGE_TOKENS = "image_tokens"

    @property
    def number(self) -> int:
        """Integer id of the modality. Models store the id with each token."""
        return list(Modality).index(self)


Needs = frozenset[Modality]  # modalities that a model needs in its batches

TAGS_ONLY: Needs = frozenset({Modality.TAGS})
IMAGES: Needs = frozenset({Modality.IMAGE, Modality.IMAGE_TOKENS})  # a model that reads images needs at least one
TOKEN_MODALITIES = (Modality.TAGS, Modality.IMAGE)  # modalities with tokens; the order is that of their ids


def sees_only_images(needs: Needs) -> bool:
    """Returns True if the vectors of a model depend on images and on nothing else, except where entities are.

    Args:
        needs: modalities that the model reads.
    """
    return bool(needs & IMAGES) and needs <= IMAGES | {Modality.NODES}


def count_numbers(modalities: Iterable[Modality]) -> int:
    """Returns the number of modality ids for which a model has weights: the highest id of its tokens, plus one.

    The ids of tags and images are always counted. So a model that reads only tags has weights of the same shapes as a
    model that reads tags and images. Geometry is not counted, because it has no tokens.

    Args:
        modalities: modalities that the model reads.
    """
    return 1 + max(modality.number for modality in (Modality.IMAGE, *modalities) if modality in TOKEN_MODALITIES)
