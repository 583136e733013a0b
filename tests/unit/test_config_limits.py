"""Every number of a configuration has a lower and an upper limit."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

from geojepa_cli.config.limits import DEFAULT_LIMITS
from geojepa_cli.config.load import load_config
from geojepa_cli.config.schema import MaskingConfig, PretrainConfig
from geojepa_cli.errors import UsageError
from geojepa_cli.models.jepa.build import mask_rates


def numbers() -> Iterator[tuple[str, FieldInfo]]:
    """All numbers, with their dotted keys."""
    for section, field in PretrainConfig.model_fields.items():
        for key, inner in field.annotation.model_fields.items():  # type: ignore[union-attr]
            if re.search(r"\b(int|float)\b", str(inner.annotation)) and "dict" not in str(inner.annotation):
                yield f"{section}.{key}", inner


NUMBERS = dict(numbers())


def limits(key: str) -> tuple[float, float]:
    """Lower and upper limit of a number, from its metadata or that of its optional type."""
    found = [*NUMBERS[key].metadata]
    for part in getattr(NUMBERS[key].annotation, "__args__", ()):
        found += getattr(part, "__metadata__", [()])[0:]
    flat = [one for part in found for one in (getattr(part, "metadata", None) or [part])]
    low = [one.ge if isinstance(one, Ge) else one.gt for one in flat if isinstance(one, Ge | Gt)]
    high = [one.le if isinstance(one, Le) else one.lt for one in flat if isinstance(one, Le | Lt)]
    assert len(low) == len(high) == 1, f"{key}: {found}"
    return low[0], high[0]  # type: ignore[return-value]


def test_there_are_numbers_in_every_section() -> None:
    assert {key.partition(".")[0] for key in NUMBERS} == set(PretrainConfig.model_fields)
    assert len(NUMBERS) > 45


@pytest.mark.parametrize("key", NUMBERS)
def test_a_number_below_above_infinite_or_huge_is_refused(key: str) -> None:
    low, high = limits(key)
    assert -2 <= low < high < 2**63
    for value in (low - 1, high * 2 + 1, 10**26, -(10**26), "1e999", ".inf", "-.inf", ".nan", "1e26", "9" * 60):
        with pytest.raises(UsageError) as caught:
            load_config("tiny.yaml", [f"{key}={value}"])
        assert f"`{key}`" in caught.value.message, (value, caught.value.message)


@pytest.mark.parametrize("weight", ["-1", "1e26", ".inf", ".nan", "1e999"])
def test_weights_of_modalities_have_limits_too(weight: str) -> None:
    with pytest.raises(UsageError, match="modality_weights"):
        load_config("tiny.yaml", [f"loss.modality_weights.image={weight}"])


def test_a_model_larger_than_any_is_refused_with_its_size() -> None:
    with pytest.raises(UsageError, match=r"206\.2 billion parameters"):
        load_config("tiny.yaml", ["model.depth=256", "model.embed_dim=8192"])


def test_limits_of_entities_and_rates_of_masks_have_one_home() -> None:
    data = load_config("tiny.yaml").data
    assert (data.min_entities, data.max_entities) == DEFAULT_LIMITS
    rates = mask_rates(MaskingConfig())
    assert (rates.random, rates.area, rates.modality, rates.kind) == (0.2, 0.6, 0.2, 0.0)
    with pytest.raises(TypeError):
        type(rates)()  # it has no defaults
