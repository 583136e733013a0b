"""Vocabulary of a baseline that counts tags: the tags that are counted, each in one column of a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from geojepa_cli.models.base import TagList


class TagVocabulary(nn.Module):
    """The tags that a baseline counts, most frequent first. Each tag has one column in the table of counts.

    This is a PyTorch module without parameters. Its buffers contain the tags, so weights files contain them too.

    Args:
        texts: tags as `key=value`.
    """

    utf8: Tensor
    ends: Tensor

    def __init__(self, texts: Sequence[str]) -> None:
        super().__init__()
        self.texts = tuple(texts)
        encoded = [text.encode() for text in texts]
        self.register_buffer("utf8", torch.tensor(list(b"".join(encoded)), dtype=torch.uint8))
        self.register_buffer("ends", torch.tensor([len(text) for text in encoded], dtype=torch.int64).cumsum(0))

    @classmethod
    def learn(cls, tags: TagList, columns: int) -> TagVocabulary:
        """Returns a vocabulary of the most frequent tags.

        Args:
            tags: tags of the training data, with their counts.
            columns: maximum number of tags to select.

        Raises:
            ValueError: the tags have no counts.
        """
        if tags.counts is None:
            raise ValueError("the tags have no counts")
        counts: Counter[str] = Counter()
        for text, count in zip(tags.texts(), tags.counts.tolist(), strict=True):
            counts[text] += count  # the same tag has several ids if there are several regions
        ranked = sorted((-count, text) for text, count in counts.items() if count)
        return cls([text for _, text in ranked[:columns]])

    @classmethod
    def read(cls, utf8: Tensor, ends: Tensor) -> TagVocabulary:
        """Returns the vocabulary of a weights file.

        Args:
            utf8: texts of all tags, one after the other, in UTF-8. uint8 [bytes]
            ends: end of each text in `utf8`. int64 [C]

        Raises:
            ValueError: the texts cannot be read, or two are equal.
        """
        if (utf8.dtype, utf8.ndim, ends.dtype, ends.ndim) != (torch.uint8, 1, torch.int64, 1):
            raise ValueError("the tags are not a row of bytes, or their ends are not a row of integers")
        data, stops = bytes(utf8.tolist()), ends.tolist()
        if sorted(stops) != stops or (stops and not 0 <= stops[0] <= stops[-1] == len(data)):
            raise ValueError("the ends of the tags are not in order")
        texts = [data[start:stop].decode() for start, stop in zip([0, *stops], stops, strict=False)]
        if len(set(texts)) < len(texts):
            raise ValueError("a tag has two columns")
        return cls(texts)

    def __len__(self) -> int:
        """Number of columns."""
        return len(self.texts)

    def columns_of(self, tags: TagList) -> Tensor:
        """Returns the column of each tag of a dataset, int64 [V].

        Tags that are not counted get the number of columns.
        """
        place = {text: column for column, text in enumerate(self.texts)}
        return torch.tensor([place.get(text, len(place)) for text in tags.texts()], dtype=torch.int64)
