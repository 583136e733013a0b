"""`Stage`: what making an artifact has in common for all kinds; and what the public functions of stages share."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from geojepa_cli import console, hints
from geojepa_cli.errors import DataError
from geojepa_cli.hints import Hint, Invocation
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.build import Build
from geojepa_cli.workspace.kinds import Kind, Remains, register
from geojepa_cli.workspace.workspace import Workspace

P = ParamSpec("P")
R = TypeVar("R")
Regions = str | Artifact | Sequence[str | Artifact] | None


@dataclass(frozen=True)
class Stage:
    """One kind of artifact: its versions, the command that rebuilds it, and what a killed run keeps.

    Attributes:
        kind: name of the kind, also its folder in the workspace.
        version: of the code that decides an artifact's bytes; part of the id.
        rebuild: returns the command that makes an artifact again.
        schema: of the files' layout; part of the id.
        keep: patterns of the files from which a killed or failed run is resumed.
        registers: False for a second stage that publishes artifacts of a kind that has one.
    """

    kind: str
    version: int
    rebuild: Callable[[Remains], Hint]
    schema: int = 1
    keep: tuple[str, ...] = ()
    registers: bool = True

    def __post_init__(self) -> None:
        if self.registers:
            register(Kind(self.kind, self.schema, self.rebuild))

    @contextmanager
    def build(
        self, workspace: Workspace, name: str, params: Mapping[str, Any], inputs: Sequence[Artifact] = ()
    ) -> Iterator[Build]:
        """Opens the directory of an artifact to be made, under a lock; see `Workspace.build`."""
        with workspace.build(self.kind, name, params, inputs, self.version, self.keep) as build:
            yield build

    def make(
        self,
        workspace: Workspace,
        name: str,
        params: Mapping[str, Any],
        inputs: Sequence[Artifact],
        write: Callable[[Build], Artifact],
        quiet: bool = False,
    ) -> Artifact:
        """Returns the artifact if it exists, otherwise makes it.

        Args:
            workspace: to publish in.
            name: of the artifact.
            params: values that change the result.
            inputs: artifacts from which it is made.
            write: writes the files into `build.partial` and publishes; it is not called where the artifact exists.
            quiet: do not print that it exists.
        """
        with self.build(workspace, name, params, inputs) as build:
            if build.existing is not None:
                if not quiet:
                    report_existing(build.existing)
                return build.existing
            return write(build)


def report_existing(artifact: Artifact) -> None:
    """Prints that there is nothing to do."""
    console.note(f"{artifact.full_ref} is up to date, skipping")


@contextmanager
def rebuilding(*artifacts: Artifact | None) -> Iterator[None]:
    """Makes an error about a damaged file of one of these artifacts hint at the command that rebuilds it.

    The damaged file is the first one that the message names.
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
    """Returns the artifacts of a kind of some regions, each once.

    Args:
        workspace: to search.
        kind: such as `processed`.
        wanted: names, artifacts of the kind, or artifacts of another kind, which stand for their region. None for the
            only region.

    Raises:
        NotFoundError: a region is unknown; the message has the nearest name, the hint the command that makes it.
        UsageError: none is named, and there are several.
    """
    if wanted is None:
        return workspace.regions(kind, None)
    found: dict[str, Artifact] = {}
    for one in [wanted] if isinstance(wanted, str | Artifact) else wanted:
        if not isinstance(one, Artifact):
            one = workspace.find(kind, one)
        elif one.kind != kind:
            one = workspace.find(kind, one.name)
        found.setdefault(one.ref, one)
    return list(found.values())


def as_command(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Makes the hints of a Python function's errors name the command line that does the same.

    Every argument that differs from its default becomes an option: a workspace `--workspace`, an artifact `--region`,
    `--model` or `--task` by its kind, anything else the option of the argument's name. When the command line runs, its
    own options are kept.

    Args:
        name: of the command.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            if hints.running() is not None:
                return function(*args, **kwargs)
            bound = signature.bind(*args, **kwargs)
            with hints.invocation(_as_typed(name, signature, bound.arguments)):
                return function(*args, **kwargs)

        return call

    return decorate


def _as_typed(command: str, signature: inspect.Signature, arguments: Mapping[str, Any]) -> Invocation:
    root: str | None = None
    options: list[hints.Option] = []
    for name, value in arguments.items():
        if isinstance(value, Workspace):
            root = str(value.root)
        elif value != signature.parameters[name].default:
            options += _typed_options(name, value)
    return Invocation(command, tuple(dict.fromkeys(options)), root)


def _typed_options(name: str, value: Any) -> tuple[hints.Option, ...]:
    if isinstance(value, Artifact):
        return _artifact_options(value)
    if isinstance(value, tuple) and value and all(isinstance(one, int | float) for one in value):
        return hints.as_options({name: ",".join(repr(one) for one in value)})  # such as a bounding box
    if isinstance(value, str | int | float | Path | Mapping):
        return hints.as_options({name: value})
    if isinstance(value, Sequence):
        return tuple(option for one in value for option in _typed_options(name, one))
    return ()


def _artifact_options(artifact: Artifact) -> tuple[hints.Option, ...]:
    if artifact.kind == "models":
        return (("--model", artifact.ref),)
    if artifact.kind == "tasks":
        region, _, task = artifact.name.rpartition(".")
        return (("--region", region), ("--task", task))
    return (("--region", artifact.name),)
