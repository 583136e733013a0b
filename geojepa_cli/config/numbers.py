"""Number types for configurations and task files. They reject booleans, which Python treats as integers."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

MAX_WEIGHT = 1e6
MAX_COUNT = 1_000_000_000  # steps, tiles, entities
MAX_SEED = 2**63 - 1


def refuse_boolean(value: Any) -> Any:
    """Returns the value unchanged, or raises an error if the value is a boolean.

    Raises:
        PydanticCustomError: the value is a boolean; the type of the error is `boolean`.
    """
    if isinstance(value, bool):
        raise PydanticCustomError("boolean", "expected a number, not a boolean")
    return value


Int = Annotated[int, BeforeValidator(refuse_boolean)]
Float = Annotated[float, BeforeValidator(refuse_boolean)]
Weight = Annotated[Float, Field(ge=0, le=MAX_WEIGHT)]
Share = Annotated[Float, Field(ge=0, le=1)]
