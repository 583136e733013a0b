"""Parts of a tile vector, such as maximum and mean of its entities: names and widths, in the order of the vector."""

from __future__ import annotations

import re

TileParts = tuple[tuple[str, int], ...]

_PART = re.compile(r"([a-z][a-z0-9_]{0,39}):([1-9][0-9]{0,6})")


def write_parts(parts: TileParts) -> str:
    """Returns parts as text, such as `max:128,mean:128`. Empty without parts."""
    return ",".join(f"{name}:{width}" for name, width in parts)


def read_parts(text: str, width: int) -> TileParts:
    """Reads what `write_parts` has written.

    Args:
        text: parts as text.
        width: width of the vector.

    Raises:
        ValueError: the text has another form, a name occurs twice, or the widths do not add up.
    """
    if not text:
        return ()
    matches = [_PART.fullmatch(part) for part in text.split(",")]
    parts = tuple((found[1], int(found[2])) for found in matches if found)
    names = [name for name, _ in parts]
    if len(parts) < len(matches) or len(set(names)) < len(names) or sum(size for _, size in parts) != width:
        raise ValueError(f"expected parts such as `max:128,mean:128`, of {width} values in all")
    return parts
