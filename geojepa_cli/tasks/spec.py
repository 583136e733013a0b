"""Task definitions: the data model of the YAML files of tasks, and functions to find and read these files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, Field, ValidationError

from geojepa_cli import hints
from geojepa_cli.config.numbers import Float
from geojepa_cli.config.reasons import describe_reason, shorten
from geojepa_cli.config.yaml import BoundedLoader, read_yaml
from geojepa_cli.errors import NotFoundError, UsageError, nearest, unknown
from geojepa_cli.hints import Hint
from geojepa_cli.tasks.label_spec import LabelSpec, MaskSpec, Strict, TagRule, Text

NAME = r"^[a-z][a-z0-9_]*$"
CORRECTED = "after the file is corrected"
REASONS = {
    "string_type": "expected text; quote numbers and dates",
    "string_pattern_mismatch": "expected lower-case letters, digits and `_`, beginning with a letter",
    "dict_type": "expected keys such as `kind: count`",
    "model_type": "expected keys such as `kind: count`",
    "tuple_type": "expected a list",
    "invalid_key": "a key must be text",
}


class TaskSpec(Strict):
    """A prediction task: a number to predict for each tile, and a mask that hides what reveals this number.

    See docs/adr/0004-tasks.md.

    Attributes:
        name: name of the task and of its artifacts, in lower case.
        title: title of the task in tables and plots.
        label: definition of the label.
        mask: tags and entities to hide.
        keep_zero: share of the tiles with label 0 to keep. The other tiles with label 0 are removed, which is called
            thinning. A seeded hash decides which tiles are removed.
    """

    name: str = Field(pattern=NAME, max_length=60)
    title: Text
    label: LabelSpec
    mask: MaskSpec = MaskSpec()
    keep_zero: Float = Field(default=1.0, gt=0.0, le=1.0)

    @property
    def binary(self) -> bool:
        """True if all labels are 0 or 1."""
        return self.label.kind == "any" or (self.label.file is not None and self.label.file.binary)

    def resolved(self) -> dict[str, Any]:
        """Returns the definition with all defaults as a dict for JSON. Artifact ids are computed from this dict."""
        found = self.model_dump(mode="json", by_alias=True)
        if self.label.file is None:
            del found["label"]["file"]
        return found

    def to_yaml(self) -> str:
        """Returns the definition as YAML that `load_task` can read. The text includes all default values."""
        plain = self.resolved()
        for part, names in (("label", ("tags", "where", "requires")), ("mask", ("tags", "entities", "signs"))):
            for name in names:
                plain[part][name] = [rule.written() for rule in getattr(getattr(self, part), name)]
        return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)


def packed_tasks() -> dict[str, Path]:
    """Returns the paths of the task definitions that come with geojepa, as a dict by task name."""
    for folder in definition_folders():
        found = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
        if found:
            return found
    searched = ", ".join(f"`{folder}`" for folder in definition_folders())
    raise NotFoundError(
        f"no task definitions in {searched}", hints.shell("pip", "install", "--force-reinstall", "geojepa")
    )


def find_task(name_or_file: str, option: str = "--task") -> TaskSpec:
    """Reads the definition of a task that comes with geojepa, or of a task in a YAML file.

    Args:
        name_or_file: name of a task that comes with geojepa, or path of a YAML file.
        option: command-line option that was used to give the task; the hints of errors use this option.

    Raises:
        NotFoundError: there is no such task or file. The message suggests the most similar name of a task.
        UsageError: the file is not a valid task definition.
    """
    return load_task(definition_path(name_or_file, packed_tasks, "task", "task file `{}`", "max_speed", option))


def definition_path(
    name_or_file: str,
    packed: Callable[[], Mapping[str, Path]],
    what: str,
    file: str,
    example: str,
    option: str = "--task",
) -> Path:
    """Returns the path of a definition.

    Args:
        name_or_file: name of a definition that comes with geojepa, or path of a YAML file.
        packed: function that returns the paths of the definitions that come with geojepa, by name.
        what, file: what is defined, and its file, with `{}` in place of the path, for messages.
        example: name of a definition, for the hint.
        option: command-line option that was used to give the definition.

    Raises:
        NotFoundError: there is no such definition or file. The message suggests the most similar name.
    """
    path, hint = Path(name_or_file), hints.instead((option, name_or_file), (option, example))
    if path.suffix in (".yaml", ".yml") or path.name != name_or_file:
        if not path.is_file():
            raise NotFoundError(f"{file.format(name_or_file)} not found", hint)
        return path
    known = packed()
    if name_or_file not in known:
        raise unknown(what, name_or_file, known, hint.noting("or a YAML file"), option)
    return known[name_or_file]


def load_task(path: Path) -> TaskSpec:
    """Reads a task definition from a YAML file.

    Raises:
        UsageError: the file is not YAML, or has an unknown key or a wrong value. For an unknown key, the message
            suggests the most similar allowed key.
    """
    content = read_yaml(path, WordsLoader)
    if not isinstance(content, dict):
        raise UsageError(f"`{path}` is not a task definition: expected keys such as `name` and `label`", _corrected())
    try:
        return TaskSpec.model_validate(content)
    except ValidationError as error:
        raise _invalid(path, error) from error


class WordsLoader(BoundedLoader):
    """YAML loader that reads `no` and `yes` as text (as in YAML 1.2), because they are values of OSM tags."""


WordsLoader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
WordsLoader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(?:true|false)$"), list("tf"))


def definition_folders() -> Iterator[Path]:
    """Yields the folders that can contain the packed definitions: that of the wheel, and that of a source checkout."""
    yield Path(str(files("geojepa_cli.tasks"))) / "definitions"
    yield Path(__file__).resolve().parents[2] / "tasks"


def _corrected(keys: list[str] | None = None) -> Hint:
    """Returns a hint that tells the user to correct the task file, and then to repeat the failed command.

    Args:
        keys: allowed keys, which the hint lists. None: the hint lists no keys.
    """
    return hints.again().noting(CORRECTED if keys is None else f"{CORRECTED}; keys: {', '.join(keys)}")


def _invalid(path: Path, error: ValidationError) -> UsageError:
    """Returns an error for the first problem of an invalid file.

    If there are several problems, an unknown key is reported first. Otherwise, a mistyped key would be reported as
    a missing key.
    """
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    where = ".".join(str(part) for part in first["loc"])
    known = _keys_at(first["loc"][:-1])
    if first["type"] == "missing":
        return UsageError(f"`{path}` lacks the key `{where}`", _corrected(known))
    if first["type"] != "extra_forbidden":
        return UsageError(f"`{path}`: `{where or 'task'}`: {describe_reason(first, REASONS)}", _corrected())
    close = nearest(str(first["loc"][-1]), known)
    guess = f"; did you mean `{close}`?" if close else ""
    return UsageError(f"`{path}` has an unknown key `{shorten(where)}`{guess}", _corrected(known))


def _keys_at(location: tuple[int | str, ...]) -> list[str]:
    """Returns the keys that a task definition may have at a given position in its YAML."""
    names = [part for part in location if isinstance(part, str)]
    models: dict[str, type[BaseModel]] = {"label": LabelSpec, "mask": MaskSpec}
    model: type[BaseModel] = TaskSpec if not names else models.get(names[0], TaskSpec) if len(names) == 1 else TagRule
    return [field.alias or name for name, field in model.model_fields.items() if name != "file"]
