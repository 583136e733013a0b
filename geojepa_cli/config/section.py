"""Base class of the sections of a configuration."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Base class for the sections of a configuration. An unknown key is an error, and values cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ConflictError(ValueError):
    """Values of several keys that cannot be combined.

    Attributes:
        keys: keys of the section whose default values can be combined.
    """

    def __init__(self, message: str, *keys: str) -> None:
        super().__init__(message)
        self.keys = keys
