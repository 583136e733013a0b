"""Class token: an additional token at the end of a sequence, whose vector represents the whole sequence."""

from __future__ import annotations

from torch import Tensor

from geojepa_cli.nn.packing import lengths_of


def class_tokens(joined: Tensor, cu_seqlens: Tensor) -> Tensor:
    """Returns the vector of the last token of each sequence, the class token. Zeros for an empty sequence.

    Args:
        joined: packed tokens with class tokens. [T, D]
        cu_seqlens: cumulative sequence lengths, with class tokens. [B+1]
    Returns:
        One vector per sequence. [B, D]
    """
    lengths = lengths_of(cu_seqlens)
    if not len(joined):
        return joined.new_zeros(len(lengths), joined.shape[1])
    last = (cu_seqlens.long()[1:] - 1).clamp_min(0)
    return joined.index_select(0, last) * (lengths > 0)[:, None].to(joined.dtype)
