"""Matches the tag rules of tasks against the vocabulary of a region.

The vocabulary has each distinct tag (key, value) of the region once, however many OSM elements have the tag.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.tasks.label_spec import TagRule

Flags = NDArray[np.bool_]


class RuleVocabulary:
    """The V distinct tags of a region, against which rules are matched.

    Args:
        keys: key of each tag.
        values: value of each tag, in the same order.
    """

    def __init__(self, keys: Sequence[str], values: Sequence[str]) -> None:
        self.keys, self.values = list(keys), list(values)
        self._found: dict[tuple[TagRule, tuple[str, ...]], Flags] = {}  # tasks share many rules

    def __len__(self) -> int:
        return len(self.keys)

    def text(self, row: int) -> str:
        """Returns the tag with the given index as text `key=value`."""
        return f"{self.keys[row]}={self.values[row]}"

    @cached_property
    def key_names(self) -> list[str]:
        """The distinct keys of the tags, in the order in which they first occur."""
        return list(dict.fromkeys(self.keys))

    @cached_property
    def key_ids(self) -> NDArray[np.int64]:
        """For each tag, the index of its key in `key_names`, int64 [V]."""
        ids = {key: index for index, key in enumerate(self.key_names)}
        return np.fromiter((ids[key] for key in self.keys), np.int64, len(self))

    def matches(self, rules: Iterable[TagRule], whatever_value: bool = False) -> Flags:
        """Returns for each of the V tags whether it matches at least one of the rules, bool [V].

        Args:
            rules: rules to match.
            whatever_value: True to let a rule also match the values that it excludes (YAML key `except`). Masks need
                this, because a tag with an excluded value, such as `bridge=no`, gives information about bridges, too.
        """
        found = np.zeros(len(self), np.bool_)
        for rule in rules:
            asked = (rule, () if whatever_value else rule.excluded)
            if asked not in self._found:
                self._found[asked] = self._matches(*asked)
            found |= self._found[asked]
        return found

    @cached_property
    def value_names(self) -> dict[str, int]:
        """Dict from each distinct value of a tag to its index. Values are numbered in the order in which they occur."""
        return {value: index for index, value in enumerate(dict.fromkeys(self.values))}

    @cached_property
    def value_ids(self) -> NDArray[np.int64]:
        """For each tag, the index of its value in `value_names`, int64 [V]."""
        return np.fromiter((self.value_names[value] for value in self.values), np.int64, len(self))

    def _matches(self, rule: TagRule, excluded: tuple[str, ...]) -> Flags:
        key = Matcher([rule.key])
        wanted_keys = np.fromiter((key(name) for name in self.key_names), np.bool_, len(self.key_names))
        found: Flags = wanted_keys[self.key_ids]
        if "*" in rule.values and not excluded:
            return found
        if not excluded and not any("*" in pattern for pattern in rule.values):
            wanted = np.array([self.value_names[text] for text in rule.values if text in self.value_names], np.int64)
            found &= np.isin(self.value_ids, wanted)
            return found
        value, exception = Matcher(rule.values), Matcher(excluded)
        for row in np.flatnonzero(found):
            text = self.values[row]
            found[row] = value(text) and not exception(text)
        return found


_CONTAINED = re.compile(r"\*[^*]+\*")


class Matcher:
    """Function object that checks if a text matches one of several patterns, in which `*` stands for any text."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._exact = {pattern for pattern in patterns if "*" not in pattern}
        # most patterns with `*` only check that the text contains a string
        self._contained = [p.strip("*") for p in patterns if _CONTAINED.fullmatch(p)]
        patterns = [p for p in patterns if not _CONTAINED.fullmatch(p)]
        self._wild = [pattern.split("*") for pattern in patterns if "*" in pattern]

    def __call__(self, text: str) -> bool:
        if text in self._exact or any(part in text for part in self._contained):
            return True
        return any(_matches_parts(text, parts) for parts in self._wild)


def _matches_parts(text: str, parts: Sequence[str]) -> bool:
    """Returns True if a text matches a pattern with stars, given as the parts of the pattern between the stars.

    Each part is matched at its first possible position, which leaves the most text for the next parts, so the search
    never backtracks. A regular expression with n stars can take time in the n-th power of the length of the text.
    """
    first, *between, last = parts
    if not (len(text) >= len(first) + len(last) and text.startswith(first) and text.endswith(last)):
        return False
    place, end = len(first), len(text) - len(last)
    for part in between:
        place = text.find(part, place, end)
        if place < 0:
            return False
        place += len(part)
    return True
