"""Parts that all stages use: they make missing artifacts, find regions, and complete the hints of errors."""

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
    """A stage: a step of the pipeline, which makes artifacts of one kind.

    Attributes:
        kind: name of the kind of artifact, and of its folder in the workspace.
        version: version of the code that makes the artifacts. Affects their ids.
        rebuild: function that takes the known facts about an artifact and returns the command that rebuilds it.
        schema: version of the layout of the files. Affects the ids of the artifacts.
        keep: glob patterns of the files from which an interrupted run can resume. They are kept if a run fails.
        registers: True if this stage registers the kind; False if another stage already registers the same kind.
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
        """Context manager that yields a `Build`: the existing artifact, or a locked directory to write files to."""
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
        """Returns the artifact with this name, parameters and inputs. Makes the artifact if it does not exist yet.

        Args:
            workspace: workspace to publish to.
            name: name of the artifact.
            params: parameters that change the content of the artifact.
            inputs: artifacts from which the artifact is made.
            write: function that writes files to the directory `build.partial` and publishes them as the artifact. Not
                called if the artifact exists.
        """
        with self.build(workspace, name, params, inputs) as build:
            if build.existing is not None:
                console.note(f"{build.existing.full_ref} is up to date, skipping")
                return build.existing
            return write(build)


@contextmanager
def rebuilding(*artifacts: Artifact | None) -> Iterator[None]:
    """Context manager: if its body raises an error about a file of one of these artifacts, adds a hint to the error.

    The hint is the command that rebuilds the artifact. If the message of the error contains several paths, the hint
    rebuilds the artifact with the first path.

    Args:
        artifacts: artifacts whose files may be damaged; None is ignored.
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
    """Returns the artifacts of one kind that belong to the given regions, without duplicates.

    Args:
        workspace: workspace to search.
        kind: kind of the artifacts, such as `processed`.
        wanted: regions, as names or artifacts. If an artifact is of another kind, such as `tiles`, its name selects the
            region. None selects the only region in the workspace.

    Raises:
        NotFoundError: a region is unknown. The message suggests the most similar name. The hint is the command that
            makes the artifact.
        UsageError: `wanted` is None, but the workspace has several regions; or `wanted` is empty, or contains something
            that is neither a name nor an artifact of a region.
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
    """Converts one or several references (names, paths or artifacts) to a list. Does not check their types."""
    single = isinstance(given, str | bytes | Path | Artifact | Mapping) or not isinstance(given, Iterable)
    return [given] if single else list(given)  # type: ignore[call-overload, no-any-return]


def as_command(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Returns a decorator for the Python function of a command, which checks arguments and completes hints of errors.

    The hint of an error is a command to paste. If the function was called from Python, the hint must contain the
    options that correspond to the arguments of the call. Each argument that differs from its default becomes the option
    with the same name. An artifact becomes `--region`, `--model` or `--task`, depending on its kind. If the function
    was called by the command line, the hint contains the options that the user typed.

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
