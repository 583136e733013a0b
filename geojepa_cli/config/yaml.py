"""YAML reader with size limits, so that a malicious or broken file cannot use up time or memory."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import ComposerError
from yaml.parser import ParserError
from yaml.reader import ReaderError
from yaml.scanner import ScannerError

from geojepa_cli import hints
from geojepa_cli.errors import UsageError

# For comparison: the largest task or configuration in this package has 5 kB and 200 nodes.
MAX_BYTES = 262_144
MAX_DEPTH = 32
MAX_NODES = 20_000  # counted after aliases are expanded
MAX_NUMBER = 64  # characters in a number

_INT, _FLOAT, _MERGE = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float", "tag:yaml.org,2002:merge"


class BoundedLoader(yaml.SafeLoader):
    """YAML loader that limits the nesting depth, the number of nodes and the length of numbers.

    An alias (`*name`) counts as many nodes as the content that it refers to. Duplicate keys in a mapping are errors;
    PyYAML would keep the last value without a warning. Merge keys (`<<`) are errors too.
    """

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = self._composed = 0
        self._sizes: dict[int, int] = {}  # `id` of a composed node -> number of nodes in it, with aliases expanded

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Composes a YAML node and all nodes inside it. Raises a YAML error if a limit is exceeded."""
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        self._composed += 1
        if self._composed > MAX_NODES:
            raise _error(f"more than {MAX_NODES:,} values", mark)
        if self.check_event(yaml.AliasEvent):
            node = super().compose_node(parent, index)
            if id(node) not in self._sizes:
                raise _error("an alias refers to a node that contains it", mark)
            return node
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _error(f"nested more than {MAX_DEPTH} levels deep", mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        children = _children(node)
        if isinstance(node, yaml.MappingNode) and any(key.tag == _MERGE for key in children[::2]):
            raise _error("merge keys (`<<`) are not supported; write out the keys", mark)
        size = 1 + sum(self._sizes[id(child)] for child in children)
        if size > MAX_NODES:  # checked at every level, so `size` itself cannot become huge
            raise _error(f"more than {MAX_NODES:,} values", mark)
        self._sizes[id(node)] = size
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Constructs a dict from a mapping node. Raises a YAML error if a key is a duplicate or is not a scalar."""
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _error("a key that is not text", key.start_mark)
            if key.value in seen:
                raise _error(f"duplicate key `{key.value}`", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        """Constructs the value of a scalar node. Raises a YAML error if a number has too many characters."""
        if node.tag in (_INT, _FLOAT) and len(node.value) > MAX_NUMBER:
            raise _error(f"a number of {len(node.value):,} characters", node.start_mark)
        return super().construct_scalar(node)  # type: ignore[arg-type]


def read_yaml(path: Path, loader: type[BoundedLoader] = BoundedLoader) -> Any:
    """Reads a file that contains one YAML document.

    Args:
        path: path of the file.
        loader: loader class with the size limits.

    Raises:
        UsageError: the file is not UTF-8, is not YAML, exceeds a limit, or has a duplicate key.
    """
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    try:
        if len(content) > MAX_BYTES:
            raise yaml.YAMLError(f"more than {MAX_BYTES:,} bytes")
        return parse_yaml(content.decode("utf-8"), loader)
    except UnicodeDecodeError as error:
        raise UsageError(f"`{path}` is not UTF-8 text: {error.reason}", _corrected()) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f", line {mark.line + 1}, column {mark.column + 1}"
        problem = " is not YAML" if is_malformed(error) else ""
        raise UsageError(f"`{path}`{problem}{where}: {describe_yaml_error(error)}", _corrected()) from None


def parse_yaml(text: str, loader: type[BoundedLoader] = BoundedLoader) -> Any:
    """Parses one YAML document.

    Args:
        text: content of the document.
        loader: loader class with the size limits.

    Raises:
        yaml.YAMLError: the text is not YAML, exceeds a limit, or has a duplicate key.
    """
    if len(text) > MAX_BYTES:
        raise yaml.YAMLError(f"{len(text):,} characters, expected at most {MAX_BYTES:,}")
    try:
        return yaml.load(text, loader)  # noqa: S506 - a SafeLoader
    except (ValueError, OverflowError) as error:  # a date or number that Python cannot represent
        raise yaml.YAMLError(str(error)) from error


def is_malformed(error: yaml.YAMLError) -> bool:
    """Returns True if the error is a syntax error, and False if the YAML is valid but breaks a rule of this package."""
    return isinstance(error, ScannerError | ParserError | ComposerError | ReaderError)


def describe_yaml_error(error: yaml.YAMLError) -> str:
    """Describes a YAML error in one line, without line and column number."""
    return getattr(error, "problem", None) or " ".join(str(error).split())


def _corrected() -> hints.Hint:
    return hints.again().noting("after the file is corrected")


def _children(node: yaml.Node | None) -> list[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        return list(node.value)
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return []


def _error(problem: str, mark: yaml.Mark) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, problem, mark)
