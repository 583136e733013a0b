"""Numbers in tags: readers, codes, and their place in the text embeddings, by formulas and by a slow loop."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from training import config_of

from geojepa_cli.models.base import FrozenInputs, TagList
from geojepa_cli.models.numbers import QUANTITIES, encode_numbers, number_code, read_count, read_metres, with_numbers


@pytest.mark.parametrize(
    ("value", "metres"),
    [
        *(("12.5", 12.5), ("12,5 m", 12.5), (" 3 M ", 3.0), ("40 ft", 12.192), ("13'6\"", 4.1148), ("250 cm", 2.5)),
        *(("tall", None), ("", None), ("3 lions", None), ("1e5", None), ("-4", None), ("٣", 3.0)),
    ],
)
def test_lengths_are_read_in_metres(value: str, metres: float | None) -> None:
    assert read_metres(value) == (metres if metres is None else pytest.approx(metres))


@pytest.mark.parametrize(("value", "count"), [("2", 2), ("2.5", 2.5), ("1;3;2", 3), ("2|1", 2), ("two", None)])
def test_counts_are_read(value: str, count: float | None) -> None:
    assert read_count(value) == count


def test_a_code_has_length_1_and_its_products_are_those_of_the_differences() -> None:
    a, b = np.array(number_code(30, 5, 150)), np.array(number_code(90, 5, 150))
    difference = math.log(3) / math.log(30)
    expected = (1 + sum(math.cos(math.pi * 2**j * difference) for j in range(5))) / 6
    assert np.dot(a, a) == pytest.approx(1)
    assert np.dot(a, b) == pytest.approx(expected)


def test_numbers_beyond_the_range_have_the_codes_of_its_ends() -> None:
    assert number_code(1, 5, 150) == number_code(5, 5, 150)
    assert number_code(900, 5, 150) == number_code(150, 5, 150)


TAGS = (
    *(("maxspeed", "50"), ("maxspeed", "31.07 mph"), ("maxspeed:forward", "50 km/h"), ("maxspeed", "signals")),
    *(("building:levels", "3"), ("height", "10 m"), ("height", "0"), ("name", "50"), ("lanes", "two")),
)


def test_equal_numbers_have_equal_vectors_and_tags_without_one_have_zeros() -> None:
    vectors = encode_numbers(*zip(*TAGS, strict=True), width=384)
    lengths = np.linalg.norm(vectors, axis=1)
    assert np.allclose(vectors[0], vectors[1], atol=1e-3)  # 31.07 mph is 50.002 km/h
    assert (vectors[0] == vectors[2]).all()
    assert (lengths[[3, 6, 7, 8]] == 0).all()
    assert np.allclose(lengths[[0, 4, 5]], 1, atol=0.25)
    assert abs(vectors[0] @ vectors[4]) < 0.25  # quantities hardly share a direction


def test_random_signs_keep_products_of_codes() -> None:
    keys, values = ["height"] * 40, [str(1.2**power) for power in range(1, 31)] + ["7"] * 10
    vectors = encode_numbers(keys, values, width=32768).astype(np.float64)
    quantity = next(one for one in QUANTITIES if one.name == "height")
    codes = np.array([number_code(float(value), quantity.low, quantity.high) for value in values])
    assert np.abs(vectors @ vectors.T - codes @ codes.T).max() < 0.05


def test_the_table_of_a_model_is_text_plus_weighted_numbers() -> None:
    table = torch.randn(len(TAGS), 24, generator=torch.Generator().manual_seed(0))
    keys, values = zip(*TAGS, strict=True)
    inputs = FrozenInputs(table, tags=TagList(keys, values))
    numbers = torch.from_numpy(encode_numbers(keys, values, 24))
    assert torch.equal(with_numbers(inputs, 0.5).tag_table, table + 0.5 * numbers)
    assert with_numbers(inputs, 0.0) is inputs


def test_presets_read_text_alone() -> None:
    assert config_of().model.number_weight == 0
