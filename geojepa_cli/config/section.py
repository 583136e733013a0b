"""Base class of the sections of a configuration."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Base class for the sections of a configuration. Unknown keys are errors. Values cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ConflictError(ValueError):
    """Error for a value that is invalid in combination with other values of its section.

    Attributes:
        keys: keys that are in conflict. If the whole configuration is checked, a key includes its section, such
            as `model.depth`. The hint of the error message suggests a value for each key: its example in the schema or,
            if there is none, its default. These values must be valid together.
    """

    def __init__(self, message: str, *keys: str) -> None:
        super().__init__(message)
        self.keys = keys


def check_heads(embed_dim: int, num_heads: int) -> None:
    """Raises a `ConflictError` if the width of a transformer is not a multiple of its number of attention heads."""
    if embed_dim % num_heads:
        message = f"embed_dim {embed_dim} is not a multiple of num_heads {num_heads}"
        raise ConflictError(message, "embed_dim", "num_heads")
