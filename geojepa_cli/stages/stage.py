"""Class `Stage`, and functions that all stages use.

They make artifacts that do not exist yet, find the artifacts of regions, and add missing options to the command in the
hint of an error.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from geojepa_cli import console, hints
from geojepa_cli.config.language_model import LanguageModel
from geojepa_cli.errors import DataError, UsageError, io_error
from geojepa_cli.hints import Hint, Invocation
from geojepa_cli.stages.arguments import check_arguments, check_digits, elements_of, wrong_type
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.build import Build
from geojepa_cli.workspace.kinds import KINDS, Kind, Remains, register
from geojepa_cli.workspace.workspace import Workspace

P = ParamSpec("P")
R = TypeVar("R")
Regions = str | Artifact | Sequence[str | Artifact] | None
Models = str | Artifact | LanguageModel | Sequence[str | Artifact | LanguageModel] | None


@dataclass(frozen=True)
class Stage:
    """A stage: a step of the pipeline, which makes artifacts of one kind.

    Attributes:
        kind: name of the kind of artifact, and of its folder in the workspace.
        version: version of the code that makes the artifacts. A new version gives the artifacts new ids.
        rebuild: function that takes the known facts about an artifact and returns the command that rebuilds it.
        schema: version of the layout of the artifacts' files. A new version gives the artifacts new ids.
        keep: glob patterns of the files that are kept if a run fails, because the next run uses them.
        resumes_from: glob patterns. An interrupted run can resume if each pattern matches a file that is not empty. If
            None, the patterns in `keep` are used.
        made_from: kind of artifact from which a region's artifact of this kind is made, such as `source` for `tiles`.
            None if there is no such kind, for example because artifacts are made from several regions.
        of_region: True if the artifacts have the name of a region.
        variant: names of parameters. A new artifact replaces an older one with the same name only if these parameters
            have the same values.
        registers: True to make the kind known to workspaces. False if another stage with the same kind does so: for
            example, tasks and their analyses both have the kind `tasks`.
        files: names of the files that every artifact of this stage contains.
    """

    kind: str
    version: int
    rebuild: Callable[[Remains], Hint]
    schema: int = 1
    keep: tuple[str, ...] = ()
    resumes_from: tuple[str, ...] | None = None
    made_from: str | None = None
    of_region: bool = False
    variant: tuple[str, ...] = ()
    registers: bool = True
    files: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.registers:
            resumes_from = self.keep if self.resumes_from is None else self.resumes_from
            facts = (self.schema, self.rebuild, self.made_from, self.of_region, self.variant, resumes_from, self.files)
            register(Kind(self.kind, *facts))

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
            write: function that takes a `Build`, writes files to its directory `partial`, calls its method `publish`,
                and returns the published artifact. Not called if the artifact exists.
        """
        with self.build(workspace, name, params, inputs) as build:
            if build.existing is not None:
                console.note(f"{build.existing.full_ref} is up to date, skipping")
                return build.existing
            return write(build)


@contextmanager
def rebuilding(*artifacts: Artifact | None) -> Iterator[None]:
    """Context manager that adds a hint to errors about a damaged file of an artifact.

    If the code in the `with` block raises a `DataError` whose message contains the path of such a file, the hint is the
    command that rebuilds the artifact. If the message contains files of several artifacts, the hint is for the artifact
    whose file comes first in the message.

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


def find_regions(workspace: Workspace, kind: str, wanted: Regions, argument: str = "region") -> list[Artifact]:
    """Returns the artifacts of one kind that belong to the given regions, without duplicates.

    Args:
        workspace: workspace to search.
        kind: kind of the artifacts, such as `processed`.
        wanted: names of regions, or artifacts. An artifact of the kind `kind` is returned unchanged. For an artifact of
            another kind, such as `tiles`, the newest artifact of the kind `kind` with the same name is returned. None
            selects the only region in the workspace.
        argument: name of the argument that has the regions, for messages.

    Raises:
        NotFoundError: a region is unknown. The message suggests the most similar name. The hint is the command that
            makes the artifact.
        UsageError: `wanted` is None, but the workspace has several regions; or `wanted` is empty, or contains something
            that is neither a name nor an artifact of a region in this workspace.
    """
    if wanted is None:
        return workspace.regions(kind, None)
    found: dict[str, Artifact] = {}
    for one in as_list(wanted):
        if not isinstance(one, str) and not (isinstance(one, Artifact) and KINDS[one.kind].of_region):
            example = f'workspace.find("{kind}", "NAME")'
            raise wrong_type(argument, one, f"the name of a region or its `{kind}` artifact", example)
        check_own(workspace, one)
        if not isinstance(one, Artifact):
            one = workspace.find(kind, one)
        elif one.kind != kind:
            one = workspace.find(kind, one.name)
        found.setdefault(one.ref, one)
    if not found:
        raise wrong_type(argument, wanted, "at least one region", '"NAME"')
    return list(found.values())


def in_fixed_order(regions: Iterable[Artifact]) -> list[Artifact]:
    """Sorts artifacts by their references.

    The id of an artifact does not depend on the order of its inputs. So its content must not depend on the order in
    which the user gave the regions.
    """
    return sorted(regions, key=lambda region: region.full_ref)


def check_own(workspace: Workspace, given: object) -> None:
    """Checks that an argument is not an artifact of another workspace. Accepts anything that is not an artifact.

    Raises:
        UsageError: the artifact is in another workspace.
    """
    if isinstance(given, Artifact) and given.path.parent.parent.resolve() != workspace.root.resolve():
        other = given.path.parent.parent
        raise UsageError(
            f"the artifact `{given.full_ref}` is in another workspace: expected an artifact in `{workspace.root}`, got "
            f"`{given.path}`",
            hints.advice(f'pass workspace=Workspace("{other}")'),
        )


def as_list(given: object) -> list[Any]:
    """Converts one or several references (names, paths or artifacts) to a list. Does not check their types."""
    elements = elements_of(given)
    return [given] if elements is None else elements


def as_command(name: str, *arguments: str, **always: hints.Value) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Returns a decorator for the Python function of a command.

    The decorated function checks its arguments, and raises a `GeojepaError` if a file cannot be read or written.

    It also adds options to the hints of its errors, so that a hint is a complete command to paste. On the command line,
    these are the options that the user typed. In Python, each argument that differs from its default becomes the option
    with the same name. An artifact becomes `--region`, `--model` or `--task`, depending on its kind.

    Args:
        name: name of the command.
        arguments: arguments of the command that select this function, such as `entity-image` of `probe`.
        always: options of the command that select this function, such as `retrieval=True` of `probe`.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            bound = signature.bind(*args, **kwargs)
            check_digits(bound.arguments)
            with hints.invocation(_as_typed(name, signature, bound.arguments, arguments, always)):
                bound.arguments.update(check_arguments(signature, bound.arguments))
            with hints.invocation(_as_typed(name, signature, bound.arguments, arguments, always)):
                try:
                    return function(*bound.args, **bound.kwargs)
                except BrokenPipeError:  # the program that reads the output has exited
                    raise
                except OSError as error:
                    raise io_error(error) from error

        return call

    return decorate


def _as_typed(
    command: str,
    signature: inspect.Signature,
    arguments: Mapping[str, Any],
    rest: tuple[str, ...],
    always: Mapping[str, hints.Value],
) -> Invocation:
    root: str | None = None
    options = list(hints.as_options(always))
    for name, value in arguments.items():
        default = signature.parameters[name].default
        if isinstance(value, Workspace):
            root = str(value.root)
        elif name == "file" and command in hints.ARGUMENTS:
            rest = (str(value),) if isinstance(value, str | Path) else ()
        elif type(value) is not type(default) or value != default:
            options += _typed_options(name, value)
    return Invocation(command, tuple(dict.fromkeys(options)), root, rest)


def _typed_options(name: str, value: Any) -> tuple[hints.Option, ...]:
    if isinstance(value, Artifact):
        return _artifact_options(name, value)
    if isinstance(value, LanguageModel):
        return value.options
    if name == "bbox" and isinstance(value, tuple) and value and all(isinstance(one, int | float) for one in value):
        return hints.as_options({name: ",".join(repr(one) for one in value)})
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
    return ((f"--{argument.replace('_', '-')}" if argument == "from_region" else "--region", artifact.name),)
