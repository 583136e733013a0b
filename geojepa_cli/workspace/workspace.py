"""Workspaces: directories that contain artifacts. Finds, builds and deletes artifacts.

An artifact is a directory `<workspace>/<kind>/<name>@<id>/` with a `manifest.json`, which is written last. The id is a
hash of the parameters, inputs and versions that determine the content of the artifact. So repeating a command with the
same parameters and inputs finds the existing artifact.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from geojepa_cli import hints
from geojepa_cli.errors import BusyError, DataError, NotFoundError, UsageError, unknown, wrong_argument
from geojepa_cli.hints import Hint
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.build import Build
from geojepa_cli.workspace.durable import holds_a_file, remove, without_empty
from geojepa_cli.workspace.kinds import KINDS, Remains, check_name, rebuild_hint, register_all
from geojepa_cli.workspace.lock import LOCK, locked
from geojepa_cli.workspace.manifest import MANIFEST, mark_newest, published_at, read_manifest, split_directory
from geojepa_cli.workspace.references import check_kind, check_reference, missing_artifact, option_of
from geojepa_cli.workspace.root import check_root, make_writable

Fits = Callable[[list[str], Mapping[str, Any]], bool]


class Workspace:
    """A directory that contains artifacts. It is created when the first artifact is built."""

    def __init__(self, root: Path | str) -> None:
        """Opens a workspace. Creates no files.

        Args:
            root: directory of the workspace. It need not exist.

        Raises:
            UsageError: `root` is not a path.
            GeojepaError: `root` is a file, or cannot be opened.
        """
        register_all()
        self.root = check_root(root)

    # -- finding -----------------------------------------------------------------------------------------------

    def artifacts(self, kind: str, name: str | None = None) -> list[Artifact]:
        """Returns the artifacts of a kind, or only those with a given name, oldest first. Skips damaged artifacts."""
        found = []
        for path in self._directories(kind):
            with contextlib.suppress(DataError):
                artifact = self._open(kind, path)
                if name is None or artifact.name == name:
                    found.append(artifact)
        return sorted(found, key=lambda artifact: (published_at(artifact.path), artifact.ref))

    def everything(self) -> list[Artifact]:
        """Returns the artifacts of all kinds, in the order in which the stages run. Skips damaged artifacts."""
        return [artifact for kind in KINDS for artifact in self.artifacts(kind)]

    def damaged(self, kind: str) -> dict[str, DataError]:
        """Finds the artifacts of a kind that cannot be opened. Returns a dict from `kind/name@id` to the error."""
        found = {}
        for path in self._directories(kind):
            try:
                self._open(kind, path)
            except DataError as error:
                found[f"{kind}/{path.name}"] = error
        return found

    def names(self, kind: str) -> list[str]:
        """Returns the names of the artifacts of a kind, sorted and without duplicates."""
        return sorted({split_directory(path.name)[0] for path in self._directories(kind)})

    def find(self, kind: str, ref: str) -> Artifact:
        """Returns the artifact to which a reference refers.

        Args:
            kind: kind of the artifact.
            ref: `name` for the newest artifact with this name, or `name@id`. The first digits of the id are enough.

        Raises:
            NotFoundError: there is no such artifact. The message suggests the most similar name, if any.
            UsageError: there is no such kind, there is no id after the `@`, or several ids begin with the given digits.
            DataError: the artifact is incomplete or has another schema version.
        """
        check_reference(kind, ref, self.names)
        return self._find(kind, ref, option_of(kind) if hints.running() else None, "{}")

    def _find(self, kind: str, ref: str, option: str | None, form: str) -> Artifact:
        """Works like `find`, but the hint for a misspelt name can be the failed command with a similar name.

        Args:
            option: option of that command whose value is corrected, such as `--lineage`. None: the hint is another
                command.
            form: format of the option's value, such as `tiles/{}`. The similar name replaces `{}`.
        """
        name, at, wanted = ref.partition("@")
        if at and not wanted:
            raise UsageError(f"`{ref}` has no id after the `@`; use `{name}` for the newest artifact", self._listing())
        if not (paths := [path for path in self._directories(kind) if _is_version(path, name, wanted)]):
            versions = [artifact.ref for artifact in self.artifacts(kind, name)]
            raise missing_artifact(self.root, kind, ref, self.names, versions, option, form)
        if wanted and len(paths) > 1:
            raise UsageError(f"`{ref}` is ambiguous: it matches {len(paths)} {kind} artifacts", self._listing())
        return self._open(kind, max(paths, key=lambda path: (published_at(path), path.name)))

    def at(self, full_ref: str) -> Artifact:
        """Returns the artifact `kind/name@id`, or the newest artifact `kind/name`. Raises the same errors as `find`."""
        if not isinstance(full_ref, str):
            raise wrong_argument("full_ref", full_ref, "`kind/name` or `kind/name@id` as text", '"models/NAME"')
        kind, _, ref = full_ref.partition("/")
        if kind not in KINDS:
            raise unknown("kind of artifact", kind, KINDS, self._listing(), "--lineage", f"{{}}/{ref}")
        if not ref:
            raise UsageError(f"`{full_ref}` is not a reference to an artifact: expected `kind/name`", self._listing())
        return self._find(kind, ref, "--lineage", f"{kind}/{{}}")

    def only(self, kind: str) -> str:
        """Returns the name of the only region in the workspace: all artifacts of the kind must have this name.

        Raises:
            NotFoundError: there is no artifact of this kind.
            UsageError: the artifacts have different names.
        """
        names = self.names(kind)
        if len(names) == 1:
            return names[0]
        if not names:
            raise NotFoundError(f"there are no {kind} artifacts in `{self.root}`", self._rebuild_hint(kind, "R"))
        listed = ", ".join(f"`{name}`" for name in names)
        hint = hints.again(region=names[0]).within(self.root) if hints.running() else self._listing()
        raise UsageError(f"`{self.root}` has several regions ({listed}): choose one with `--region`", hint)

    def newest(self, kind: str, name: str | None = None, fits: Fits = lambda inputs, params: True) -> Artifact | None:
        """Returns the newest artifact of a kind that meets a condition, or None if no artifact meets the condition.

        Args:
            name: name that the artifact must have; None for any name.
            fits: the condition: a function that takes the inputs (as `kind/name@id`) and the parameters of an artifact,
                and returns True or False. An artifact whose manifest cannot be read is assumed to meet the condition.

        Raises:
            DataError: the newest artifact is incomplete or has another schema version. Older ones are not tried.
        """
        paths = [path for path in self._directories(kind) if name in (None, split_directory(path.name)[0])]
        for path in sorted(paths, key=lambda path: (published_at(path), path.name), reverse=True):
            if _may_fit(path, fits):
                return self._open(kind, path)
        return None

    def regions(self, kind: str, wanted: Sequence[str] | None) -> list[Artifact]:
        """Returns the newest artifact of a kind for each of the `wanted` regions; None or []: the only region."""
        names = list(dict.fromkeys(wanted)) if wanted else [self.only(kind)]
        return [self.find(kind, name) for name in names]

    def derived(self, kind: str, name: str, source: Artifact) -> Artifact:
        """Returns the newest artifact with this kind and name that was made from the artifact `source`.

        Raises:
            NotFoundError: there is no such artifact. The hint is the command that makes it.
            DataError: the newest artifact is incomplete or has another schema version. Older ones are not tried.
        """
        made = self.newest(kind, name, lambda inputs, params: source.full_ref in inputs)
        if made is None:
            hint = self._rebuild_hint(kind, name)
            raise NotFoundError(f"there is no {kind} artifact made from `{source.full_ref}` in `{self.root}`", hint)
        return made

    # -- building ----------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def build(
        self,
        kind: str,
        name: str,
        params: Mapping[str, Any],
        inputs: Sequence[Artifact] = (),
        stage_version: int = 1,
        keep: Sequence[str] = (),
    ) -> Iterator[Build]:
        """Context manager that yields a `Build`: the existing artifact, or a locked directory to write files to.

        Args:
            kind: kind of the artifact.
            name: name of the artifact.
            params: parameters that change the artifact's content, as JSON values (not threads, paths or verbosity).
            inputs: artifacts from which the artifact is made.
            stage_version: version of the code that makes the artifact.
            keep: glob patterns of the files from which an interrupted run can resume. They are kept if a run fails.

        Raises:
            BusyError: another process is building the same artifact. The message contains the id of that process.
            UsageError: `name` is not a valid name for an artifact.
        """
        check_name(name)
        identity = {
            "kind": kind,
            "schema": KINDS[kind].schema,
            "stage_version": stage_version,
            "parameters": json.loads(json.dumps(dict(params), sort_keys=True)),
            "inputs": sorted(artifact.full_ref for artifact in inputs),
        }
        build = Build(self.root, kind, name, identity, inputs)
        build.existing = self._published(kind, build.path)
        if build.existing is not None:
            with contextlib.suppress(OSError):  # requested again: it becomes the newest of its name
                mark_newest(build.path, name)
            if _lock_of(build.path).exists():  # left by a run killed after publishing
                with contextlib.suppress(OSError, BusyError), locked(_lock_of(build.path), what=build.path.name):
                    pass
            yield build
            return
        made = [folder for folder in (build.path.parent, self.root) if not folder.exists()]
        make_writable(build.path.parent)
        with without_empty(made), locked(_lock_of(build.path), what=f"{kind}/{build.path.name}"):
            build.existing = self._published(kind, build.path)  # published since the first check
            if build.existing is not None:
                yield build
                return
            yield from self._open_partial(build, keep)

    def remove(self, artifact: Artifact) -> None:
        """Deletes an artifact.

        The manifest is deleted first. If the deletion is interrupted, the remaining files do not count as an artifact.
        If the directory is a symbolic link, only the link is deleted, because other workspaces may use its target.
        """
        if not artifact.path.is_symlink():
            (artifact.path / MANIFEST).unlink()
        remove(artifact.path)

    # -- inside ------------------------------------------------------------------------------------------------

    def _open_partial(self, build: Build, keep: Sequence[str]) -> Iterator[Build]:
        remove(build.path)  # without a valid manifest, it is not an artifact
        if build.partial.is_symlink() or not build.partial.is_dir():
            remove(build.partial)
        build.partial.mkdir(exist_ok=True)
        build.clear(keep)
        try:
            yield build
        except BaseException:
            if not keep or not holds_a_file(build.partial):
                shutil.rmtree(build.partial, ignore_errors=True)
            raise

    def _directories(self, kind: str) -> Iterator[Path]:
        check_kind(kind)
        folder = self.root / kind
        if not folder.is_dir():
            return
        for path in folder.iterdir():
            if path.is_dir() and split_directory(path.name) != ("", "") and (path / MANIFEST).is_file():
                yield path

    def _published(self, kind: str, path: Path) -> Artifact | None:
        """Returns the artifact in the directory `path`, or None if the artifact is missing or damaged."""
        if not (path / MANIFEST).is_file():
            return None
        try:
            return self._open(kind, path)
        except DataError:
            return None

    def _open(self, kind: str, path: Path) -> Artifact:
        return Artifact(kind, *split_directory(path.name), path, read_manifest(kind, path))

    def _rebuild_hint(self, kind: str, name: str) -> Hint:
        return rebuild_hint(kind, Remains(name, workspace=self.root))

    def _listing(self) -> Hint:
        return hints.run("artifacts").within(self.root)


def inputs_of_kind(artifact: Artifact | Remains, kind: str) -> list[str]:
    """Returns the inputs of an artifact that are of the given kind, as references `kind/name@id`."""
    return [ref for ref in artifact.inputs if ref.startswith(f"{kind}/")]


def _is_version(path: Path, name: str, id_start: str) -> bool:
    own_name, own_id = split_directory(path.name)
    return own_name == name and own_id.startswith(id_start)


def _may_fit(path: Path, fits: Fits) -> bool:
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        return fits(manifest["inputs"], manifest["parameters"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return True


def _lock_of(path: Path) -> Path:
    return path.with_name(path.name + LOCK)
