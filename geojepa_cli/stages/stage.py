"""Base of all stages: builds artifacts that do not exist yet, finds regions, and completes hints of errors."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from geojepa_cli import console, hints
from geojepa_cli.errors import DataError
from geojepa_cli.hints import Hint, Invocation
from geojepa_cli.stages.arguments import check_arguments, wrong_type
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.build import Build
from geojepa_cli.workspace.kinds import Kind, Remains, register
from geojepa_cli.workspace.workspace import Workspace

P = ParamSpec("P")
R = TypeVar("R")
Regions = str | Artifact | Sequence[str | Artifact] | None
OF_REGIONS = ("source", "tiles", "images", "processed", "features")  # kinds whose artifacts have the name of a region


@dataclass(frozen=True)
class Stage:
    """A stage: makes artifacts of one kind.

    Attributes:
        kind: name of the kind of artifact, and of its folder in the workspace.
        version: version of the code that determines the content of artifacts; part of their ids.
        rebuild: function that returns the command that rebuilds an artifact.
        schema: version of the file layout; part of the ids.
        keep: patterns of the files from which a killed or failed run can be resumed.
        registers: register the kind. False if another stage with the same kind already does.
    """

    kind: str
    version: int
    rebuild: Callable[[Remains], Hint]
    schema: int = 1
    keep: tuple[str, ...] = ()
    registers: bool = True

    def __post_init__(self) -> None:
        if self.registers:
            register(Kind(self.kind, self.schema, self.rebuild, self.keep))

    @contextmanager
    def build(
        self, workspace: Workspace, name: str, params: Mapping[str, Any], inputs: Sequence[Artifact] = ()
    ) -> Iterator[Build]:
        """Opens the directory of a new artifact under a lock. See `Workspace.build`."""
        with workspace.build(self.kind, name, params, inputs, self.version, self.keep) as build:
            yield build

    def make(
        self,
        workspace: Workspace,
        name: str,
        params: Mapping[str, Any],
        inputs: Sequence[Artifact],
        write: Callable[[Build], Artifact],
    ) -> Artifact:
        """Returns the artifact if it exists, otherwise makes it. Prints a note if it exists.

        Args:
            workspace: workspace to publish to.
            name: name of the artifact.
            params: parameters that change the result.
            inputs: artifacts from which it is made.
            write: function that writes the files to `build.partial` and publishes the artifact. It is called only if
                the artifact does not exist.
        """
        with self.build(workspace, name, params, inputs) as build:
            if build.existing is not None:
                console.note(f"{build.existing.full_ref} is up to date, skipping")
                return build.existing
            return write(build)


@contextmanager
def rebuilding(*artifacts: Artifact | None) -> Iterator[None]:
    """Adds a hint to errors that the body raises about a damaged file in one of these artifacts.

    The hint is the command that rebuilds the artifact. If a message names several files, the first one counts.
    """
    try:
        yield
    except DataError as error:
        places = [(error.message.find(f"{one.path}/"), one) for one in artifacts if one is not None]
        named = [(place, one) for place, one in places if place >= 0]
        if not named:
            raise
        raise min(named, key=lambda found: found[0])[1].broken(error.message) from error


def find_regions(workspace: Workspace, kind: str, wanted: Regions) -> list[Artifact]:
    """Returns the artifacts of one kind for the given regions, without duplicates.

    Args:
        workspace: workspace to search.
        kind: kind of the artifacts, such as `processed`.
        wanted: regions, as names or artifacts. An artifact of another kind, such as `tiles`, selects the region with
            its name. None selects the only region.

    Raises:
        NotFoundError: a region is unknown. The message suggests the most similar name; the hint is the command that
            makes the region.
        UsageError: `wanted` is None and the workspace has several regions, or `wanted` contains no region or anything
            other than regions.
    """
    if wanted is None:
        return workspace.regions(kind, None)
    found: dict[str, Artifact] = {}
    for one in as_list(wanted):
        if not isinstance(one, str) and not (isinstance(one, Artifact) and one.kind in OF_REGIONS):
            example = f'workspace.find("{kind}", "NAME")'
            raise wrong_type("region", one, f"the name of a region or its `{kind}` artifact", example)
        if not isinstance(one, Artifact):
            one = workspace.find(kind, one)
        elif one.kind != kind:
            one = workspace.find(kind, one.name)
        found.setdefault(one.ref, one)
    if not found:
        raise wrong_type("region", wanted, "at least one region", '"NAME"')
    return list(found.values())


def as_list(given: object) -> list[Any]:
    """Returns a list of one or several references: names, paths or artifacts. Their types are not checked."""
    single = isinstance(given, str | bytes | Path | Artifact | Mapping) or not isinstance(given, Iterable)
    return [given] if single else list(given)  # type: ignore[call-overload, no-any-return]


def as_command(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorates the Python function of a command. Checks its arguments, and completes the hints of its errors.

    Arguments are checked and converted by `check_arguments`. Hints contain the equivalent command line: arguments that
    differ from their defaults become options. A workspace becomes `--workspace`. An artifact becomes `--region`,
    `--model` or `--task`, depending on its kind. All others become the option with the argument's name. If the function
    is called by the command line, hints use the typed options instead.

    Args:
        name: name of the command.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            bound = signature.bind(*args, **kwargs)
            with hints.invocation(_as_typed(name, signature, bound.arguments)):
                bound.arguments.update(check_arguments(signature, bound.arguments))
            with hints.invocation(_as_typed(name, signature, bound.arguments)):
                return function(*bound.args, **bound.kwargs)

        return call

    return decorate


def _as_typed(command: str, signature: inspect.Signature, arguments: Mapping[str, Any]) -> Invocation:
    root: str | None = None
    options: list[hints.Option] = []
    for name, value in arguments.items():
        default = signature.parameters[name].default
        if isinstance(value, Workspace):
            root = str(value.root)
        elif type(value) is not type(default) or value != default:
            options += _typed_options(name, value)
    return Invocation(command, tuple(dict.fromkeys(options)), root)


def _typed_options(name: str, value: Any) -> tuple[hints.Option, ...]:
    if isinstance(value, Artifact):
        return _artifact_options(name, value)
    if isinstance(value, tuple) and value and all(isinstance(one, int | float) for one in value):
        return hints.as_options({name: ",".join(repr(one) for one in value)})  # for example a bounding box
    if isinstance(value, str | int | float | Path | Mapping):
        return hints.as_options({name: value})
    if isinstance(value, Sequence):
        return tuple(option for one in value for option in _typed_options(name, one))
    return ()


def _artifact_options(argument: str, artifact: Artifact) -> tuple[hints.Option, ...]:
    if artifact.kind == "models":
        return (("--model", artifact.ref),)
    if artifact.kind == "tasks":
        region, _, task = artifact.name.rpartition(".")
        if argument == "analyze":
            return (("--analyze", task),)
        return (("--region", region), ("--task", task))
    return (("--region", artifact.name),)
