"""`Stage`: all that is common to making artifacts of one kind, once."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from geojepa_cli import console, hints
from geojepa_cli.hints import Hint, Invocation
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.build import Build
from geojepa_cli.workspace.kinds import Kind, Remains, register
from geojepa_cli.workspace.workspace import Workspace

P = ParamSpec("P")
R = TypeVar("R")


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
            params: that change the result.
            inputs: artifacts that it is made from.
            write: writes the files into `build.partial` and publishes; it is not called where the artifact exists.
            quiet: do not say that it exists.
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


def as_command(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Makes the errors of a Python call name the command line that does the same.

    Options are the arguments that differ from their defaults: a workspace becomes `--workspace`, an artifact of map
    data `--region`, a model `--model`, any other argument the option of its name. Called from the command line, it
    changes nothing.

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
            options += _typed_option(name, value)
    return Invocation(command, tuple(options), root)


def _typed_option(name: str, value: Any) -> tuple[hints.Option, ...]:
    values = value if isinstance(value, list | tuple) else [value]
    if values and all(isinstance(one, Artifact) for one in values):
        option = {"models": "model", "tasks": "task"}.get(values[0].kind, "region")
        return hints.as_options({option: [one.name.rpartition(".")[2] for one in values]})
    if isinstance(value, tuple) and all(isinstance(one, int | float) for one in value):
        return hints.as_options({name: ",".join(repr(one) for one in value)})
    if isinstance(value, str | int | float | Path | list | tuple | dict):
        return hints.as_options({name: value})
    return ()
