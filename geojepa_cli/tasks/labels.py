"""Computes labels: one value per tile, from the tags of the tile's tokens (entities that are model inputs).

Rules are matched only once against each distinct tag (key, value) of a region.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.tasks.label_spec import MAX_LABEL, LabelSpec
from geojepa_cli.tasks.maxspeed import read_maxspeed
from geojepa_cli.tasks.rules import Flags
from geojepa_cli.tasks.tokens import Floats, RegionTokens


@dataclass(frozen=True)
class Labels:
    """The labels of one region.

    Attributes:
        values: label of each tile, float32 [n_tiles]. Tiles without a label have NaN, such as tiles with roads but
            without any speed limit.
        read: for labels of kind `max` (maximum of the numbers in tag values): number of OSM elements by notation of the
            tag value, such as `number` for `maxspeed=50`. The notation is `unreadable` for values that could not be
            parsed.
        unread: number of OSM elements by tag value, for values that could not be parsed.
        file: for labels from a file: the kind of its rows, and numbers of rows (see docs/formats.md).
    """

    values: NDArray[np.float32]
    read: dict[str, int] = field(default_factory=dict)
    unread: dict[str, int] = field(default_factory=dict)
    file: dict[str, str | int] = field(default_factory=dict)


def label_tiles(tokens: RegionTokens, spec: LabelSpec) -> Labels:
    """Computes the label of every tile of a region, including tiles without tokens.

    Args:
        tokens: tokens of the region.
        spec: definition of the label.
    """
    if spec.kind == "max":
        return _largest(tokens, spec)
    counted = counted_tokens(tokens, spec)
    tiles = tokens.tiles[counted]
    if spec.kind == "sum":
        measure = tokens.region[f"piece/{spec.of}"][tokens.pieces[counted]].astype(np.float64)
        values = np.bincount(tiles, weights=measure, minlength=tokens.n_tiles).astype(np.float64)
    else:
        values = np.bincount(tiles, minlength=tokens.n_tiles).astype(np.float64)
    if spec.kind == "any":
        values = np.minimum(values, 1.0)
    return Labels(_with_absent(tokens, spec, values).astype(np.float32))


def counted_tokens(tokens: RegionTokens, spec: LabelSpec) -> Flags:
    """Returns True for tokens from which the label is computed, bool [K].

    These tokens have a tag that matches `spec.tags` and, if `spec.where` is not empty, a tag that matches `spec.where`.
    """
    matches = tokens.objects_with(tokens.vocabulary.matches(spec.tags))
    if spec.where:
        matches &= tokens.objects_with(tokens.vocabulary.matches(spec.where))
    return matches[tokens.objects]


def label_range(labels: Floats, clamp: tuple[float | None, float | None]) -> tuple[float, float]:
    """Returns the minimum and maximum to which predictions are limited.

    Args:
        labels: labels of the training tiles.
        clamp: pair (minimum, maximum) from the definition of the task. If one of the two is None, the minimum or
            maximum of `labels` is used instead.
    """
    low, high = clamp
    return float(labels.min()) if low is None else low, float(labels.max()) if high is None else high


def _largest(tokens: RegionTokens, spec: LabelSpec) -> Labels:
    matches = tokens.vocabulary.matches(spec.tags)
    read, unread, numbers = _read_values(tokens, spec, matches)
    objects = tokens.largest(numbers)
    if spec.where:
        objects[~tokens.objects_with(tokens.vocabulary.matches(spec.where))] = -np.inf
    values = np.full(tokens.n_tiles, -np.inf)
    np.maximum.at(values, tokens.tiles, objects[tokens.objects])
    values[np.isneginf(values)] = np.nan
    return Labels(_with_absent(tokens, spec, values).astype(np.float32), read, unread)


def _read_values(
    tokens: RegionTokens, spec: LabelSpec, matches: Flags
) -> tuple[dict[str, int], dict[str, int], Floats]:
    """Parses the numbers in the values of selected tags.

    Args:
        tokens: tokens of the region.
        spec: definition of the label.
        matches: True for the tags to parse, bool [V], of the V distinct tags of the region.

    Returns:
        A dict from notation (such as `number`) to the number of OSM elements; a dict from value that could not be
        parsed to the number of OSM elements; and the parsed number of every tag, float64 [V]. The parsed number is -inf
        for tags that are not selected and for tags whose value is not a number.
    """
    numbers = np.full(len(matches), -np.inf)
    read: Counter[str] = Counter()
    unread: Counter[str] = Counter()
    counts = np.bincount(tokens.tag_rows, minlength=len(matches))
    for row in np.flatnonzero(matches):
        value = tokens.vocabulary.values[row]
        number, form = read_maxspeed(value) if spec.read == "speed_kmh" else _read_number(value)
        read[form] += int(counts[row])
        if number is not None:
            numbers[row] = number
        elif form == "unreadable":
            unread[value] += int(counts[row])
    return dict(sorted(read.items())), dict(sorted(unread.items())), numbers


def _read_number(value: str) -> tuple[float | None, str]:
    try:
        number = float(value)
    except ValueError:
        return None, "unreadable"
    return (number, "number") if abs(number) <= MAX_LABEL else (None, "unreadable")


def _with_absent(tokens: RegionTokens, spec: LabelSpec, values: Floats) -> Floats:
    if spec.absent is None:
        return values
    required = tokens.objects_with(tokens.vocabulary.matches(spec.requires))[tokens.objects]
    present = np.bincount(tokens.tiles[required], minlength=tokens.n_tiles) > 0
    return np.where(present, values, spec.absent)
