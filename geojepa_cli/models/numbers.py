"""Adds the numbers in tags to the text embeddings of tags: speed limits, lanes, levels, heights, widths.

The text embeddings of `maxspeed=30 mph` and `maxspeed=65 mph` are nearly equal, and many heights have the embedding of
their key alone (docs/adr/0006-tag-descriptions.md). A number is encoded by sines and cosines of its logarithm, as
positions are (Vaswani et al. 2017), and projected to the width of the embeddings by random signs. These come from a
hash, so they are the same on every computer, and no weights are stored.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from geojepa_cli.models.base import FrozenInputs
from geojepa_cli.models.signs import hashed_signs
from geojepa_cli.tasks.maxspeed import read_maxspeed

FREQUENCIES = 5
METRES = {"": 1.0, "m": 1.0, "metre": 1.0, "metres": 1.0, "meter": 1.0, "meters": 1.0, "ft": 0.3048, "feet": 0.3048}
METRES |= {"'": 0.3048, "cm": 0.01, "km": 1000.0}

_COUNT = re.compile(r"\d{1,3}(?:\.\d+)?")
_LENGTH = re.compile(r"(\d{1,6}(?:[.,]\d{1,20})?)\s*([a-z']*)")
_FEET = re.compile(r"(\d{1,5})\s*'\s*(\d{1,2}(?:\.\d+)?)\s*(?:\"|'')")


def read_count(value: str) -> float | None:
    """Returns a number such as `2` or `2.5`. Of a list (separated by `;` or `|`), the highest. None: no number."""
    items = [item.strip() for item in re.split(r"[;|]", value)]
    return max((float(item) for item in items if _COUNT.fullmatch(item)), default=None)


def read_metres(value: str) -> float | None:
    """Returns a length such as `12.5`, `12,5 m`, `40 ft` or `13'6"` in metres. None: it cannot be read."""
    text = value.strip().lower()
    if feet := _FEET.fullmatch(text):
        return (int(feet[1]) + float(feet[2]) / 12) * METRES["ft"]
    number = _LENGTH.fullmatch(text)
    if number is None or number[2] not in METRES:
        return None
    return float(number[1].replace(",", ".")) * METRES[number[2]]


@dataclass(frozen=True)
class Quantity:
    """Keys whose values are numbers of the same quantity.

    Attributes:
        name: name of the quantity.
        keys: pattern of the keys.
        read: reads the number of a value; None if the value has none.
        low, high: range of usual numbers. The codes of numbers outside it are those of its ends.
    """

    name: str
    keys: re.Pattern[str]
    read: Callable[[str], float | None]
    low: float
    high: float


QUANTITIES = (
    Quantity("speed", re.compile(r"maxspeed(:.*)?"), lambda value: read_maxspeed(value).kmh, 5, 150),
    Quantity("lanes", re.compile(r"lanes(:.*)?"), read_count, 1, 16),
    Quantity("levels", re.compile(r"((building|roof):)?levels(:.*)?"), read_count, 1, 100),
    Quantity("height", re.compile(r"((building|roof):|min_|est_)?height"), read_metres, 0.5, 500),
    Quantity("width", re.compile(r"(est_)?width(:.*)?"), read_metres, 0.25, 100),
)


def number_code(number: float, low: float, high: float) -> list[float]:
    """Encodes a number. Returns a vector of length 1 with 1 + 2 · `FREQUENCIES` values.

    With x, the place of log(number) between log(low) and log(high), from 0 to 1, the values are 1, then cos(π 2^j x)
    and sin(π 2^j x) for j = 0, 1, …, all divided by the root of 1 + `FREQUENCIES`.

    Args:
        number: number above 0.
        low, high: range of usual numbers.
    """
    x = min(max(math.log(number / low) / math.log(high / low), 0.0), 1.0)
    angles = [math.pi * 2**j * x for j in range(FREQUENCIES)]
    scale = (1 + FREQUENCIES) ** -0.5
    return [scale, *(scale * f(angle) for angle in angles for f in (math.cos, math.sin))]


def encode_numbers(keys: Sequence[str], values: Sequence[str], width: int) -> NDArray[np.float32]:
    """Encodes the numbers in tags. A tag that has none gets zeros; all others have vectors of about length 1.

    Args:
        keys, values: key and value of each of the V tags.
        width: width E of the result.

    Returns:
        Vectors. float32 [V, E]
    """
    quantity_of = {key: next((one for one in QUANTITIES if one.keys.fullmatch(key)), None) for key in set(keys)}
    vectors = np.zeros((len(keys), width), np.float32)
    signs = {one.name: _signs(one.name, width) for one in QUANTITIES}
    for row, (key, value) in enumerate(zip(keys, values, strict=True)):
        quantity = quantity_of[key]
        number = None if quantity is None else quantity.read(value)
        if quantity is not None and number is not None and number > 0:
            vectors[row] = np.array(number_code(number, quantity.low, quantity.high)) @ signs[quantity.name]
    return vectors


def with_numbers(inputs: FrozenInputs, weight: float) -> FrozenInputs:
    """Returns inputs whose text embeddings of tags contain the numbers of tags, multiplied by a weight.

    Args:
        inputs: text embeddings, keys and values of the tags.
        weight: length of the vector of a number; text embeddings have length 1. With 0, nothing is added.
    """
    if weight == 0:
        return inputs
    table, tags = inputs.tag_table, inputs.tag_list
    numbers = torch.from_numpy(encode_numbers(tags.keys, tags.values, table.shape[1]))
    return replace(inputs, tag_table=table + weight * numbers.to(table))


def _signs(name: str, width: int) -> NDArray[np.float64]:
    """Returns the projection of the code of a quantity: −1 or 1, divided by the root of the width E. [1 + 2·F, E]"""
    rows = [f"number:{name}:{row}" for row in range(1 + 2 * FREQUENCIES)]
    return hashed_signs(rows, width).astype(np.float64) / width**0.5
