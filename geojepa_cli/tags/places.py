"""Tags that name one thing or place and do not say of what kind it is: names, addresses, references, links."""

from __future__ import annotations

import re
from collections.abc import Sequence

_NAMING = re.compile(
    r"""
    addr:.* | (.*_)?name (:.*)? | name_.* |                                  # addresses and names
    ref (:.*)? | .*_ref | .*:id | .*wikidata | .*wikipedia | wikipedia:.* |  # references
    operator.* | network.* | owner.* | brand:.* |                            # who runs it
    website | url | phone | email | fax | contact:.* | opening_hours.* |     # how to reach it
    is_in.* | postal_code | county.* | from | to | via |                     # where it is
    source.* | tiger:.* | gnis:.* | note.* | description.* | image           # where the data come from
    """,
    re.VERBOSE,
)


def names_place(key: str) -> bool:
    """Returns True if the values of a key say which thing or place it is (`name`, `addr:street`, `ref`, `website`)."""
    return _NAMING.fullmatch(key) is not None


def tag_weights(keys: Sequence[str], place_weight: float) -> list[float]:
    """Returns the weight of each tag in the mean of its entity's tags, [tags].

    Args:
        keys: key of each tag.
        place_weight: weight of tags whose keys `names_place` knows. All other tags have weight 1.
    """
    known = {key: place_weight if names_place(key) else 1.0 for key in set(keys)}
    return [known[key] for key in keys]
