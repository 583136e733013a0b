"""Reads YAML files with the definition of an entity task or of a map feature, and explains what is wrong in them."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from geojepa_cli import hints
from geojepa_cli.config.reasons import describe_reason, shorten
from geojepa_cli.config.yaml import read_yaml
from geojepa_cli.errors import NotFoundError, UsageError, nearest
from geojepa_cli.tasks.spec import CORRECTED, REASONS, WordsLoader, definition_folders

Definition = TypeVar("Definition", bound=BaseModel)


def packed_definitions(folder: str, what: str) -> dict[str, Path]:
    """Returns the paths of the definitions that come with geojepa, as a dict by name.

    Args:
        folder: folder of the definitions, such as `entity`.
        what: what they define, for messages, such as `entity tasks`.

    Raises:
        NotFoundError: there are none, because the installation is incomplete.
    """
    for place in definition_folders():
        found = {path.stem: path for path in sorted((place / folder).glob("*.yaml"))}
        if found:
            return found
    searched = ", ".join(f"`{place / folder}`" for place in definition_folders())
    hint = hints.shell("pip", "install", "--force-reinstall", "geojepa")
    raise NotFoundError(f"no definitions of {what} in {searched}", hint)


def load_definition(path: Path, model: type[Definition], what: str, key: str) -> Definition:
    """Reads a definition from a YAML file.

    Args:
        path: YAML file.
        model: data model of the definition.
        what: what the file defines, for messages, such as `an entity task`.
        key: a key that such a definition has, for messages.

    Raises:
        UsageError: the file is not YAML, or has an unknown key or a wrong value. For an unknown key, the message
            suggests the most similar allowed key.
    """
    content = read_yaml(path, WordsLoader)
    known = list(model.model_fields)
    corrected = hints.again().noting(f"{CORRECTED}; keys: {', '.join(known)}")
    if not isinstance(content, dict):
        raise UsageError(f"`{path}` is not the definition of {what}: expected keys such as `{key}`", corrected)
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "missing":
        raise UsageError(f"`{path}` lacks the key `{where}`", corrected)
    if first["type"] == "extra_forbidden":
        close = nearest(str(first["loc"][-1]), known) if len(first["loc"]) == 1 else None
        guess = f"; did you mean `{close}`?" if close else ""
        raise UsageError(f"`{path}` has an unknown key `{shorten(where)}`{guess}", corrected)
    raise UsageError(f"`{path}`: `{where or 'definition'}`: {describe_reason(first, REASONS)}", corrected)
