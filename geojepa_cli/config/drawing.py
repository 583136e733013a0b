"""Settings of images that are drawn from the map (`tile --imagery drawn`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field, ValidationError

from geojepa_cli import hints
from geojepa_cli.config.numbers import Float, Int, Share
from geojepa_cli.config.reasons import describe_reason, shorten
from geojepa_cli.config.section import Section
from geojepa_cli.errors import UsageError, nearest

# Version of the colours, sizes and order of painted elements, a parameter of `images/`. Every change of the files
# appearance.py, paints.py or surfaces.py in drawing/ increases it; tests/unit/test_drawing_appearance.py checks it.
APPEARANCE = 2
MAX_LEVELS = 64.0  # maximum noise and jitter, in grey levels
EXAMPLE = {"missing": 0.2}


class DrawingConfig(Section):
    """Settings of drawn images. The same settings and the same map give the same images."""

    missing: Share = Field(default=0.1, description="share of OSM elements that are not drawn")
    shadows: Share = Field(default=1.0, description="share of buildings, trees and other high elements with a shadow")
    noise: Float = Field(
        default=4.0, ge=0, le=MAX_LEVELS, description="standard deviation of the noise of each pixel, in grey levels"
    )
    jitter: Float = Field(
        default=8.0, ge=0, le=MAX_LEVELS, description="maximum random change of an element's colour, in grey levels"
    )
    seed: Int = Field(default=0, ge=0, lt=2**32, description="random seed")


def load_drawing(settings: Sequence[str]) -> DrawingConfig:
    """Reads settings of drawn images, given as `key=value`. If a key occurs several times, the last value is used.

    Raises:
        UsageError: a setting is not `key=value`, a key is unknown, or a value is invalid.
    """
    values: dict[str, str] = {}
    for setting in settings:
        key, equals, value = (part.strip() for part in setting.partition("="))
        option = ("--draw", setting)
        if not equals or not key:
            hint = hints.instead(option, *hints.as_options({"draw": EXAMPLE}))
            raise UsageError(f"`--draw` expects `key=value`, got `{shorten(setting)}`", hint)
        if key not in DrawingConfig.model_fields:
            close = nearest(key, DrawingConfig.model_fields)
            known = ", ".join(f"`{name}`" for name in DrawingConfig.model_fields)
            right = (("--draw", f"{close}={value}"),) if close else ()
            raise UsageError(
                f"`--draw`: unknown key `{shorten(key)}`, expected one of {known}", hints.instead(option, *right)
            )
        values[key] = value
    try:
        return DrawingConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0])
        given = next(setting for setting in reversed(settings) if setting.partition("=")[0].strip() == key)
        default: Any = DrawingConfig.model_fields[key].default
        hint = hints.instead(("--draw", given), *hints.as_options({"draw": {key: default}}))
        raise UsageError(f"`--draw {shorten(given)}`: {describe_reason(first)}", hint) from None
