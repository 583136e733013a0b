"""Workspaces: directories that contain artifacts. Finds, builds and deletes artifacts.

An artifact is a directory `<workspace>/<kind>/<name>@<id>/` with a `manifest.json`, which is written last. The id is a
hash of the parameters, inputs and versions that determine the content of the artifact. So repeating a command with the
same parameters and inputs finds the existing artifact.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from geojepa_cli import hints
from geojepa_cli.errors import BusyError, DataError, GeojepaError, NotFoundError, UsageError, unknown
from geojepa_cli.hints import Hint
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.build import Build
from geojepa_cli.workspace.durable import holds_a_file, without_empty
from geojepa_cli.workspace.kinds import KINDS, Remains, check_name, name_of, rebuild_hint, register_all
from geojepa_cli.workspace.lock import LOCK, locked
from geojepa_cli.workspace.manifest import MANIFEST, published_at, read_manifest, split_directory

Fits = Callable[[list[str], Mapping[str, Any]], bool]
OTHER_WORKSPACE = Hint(workspace="DIR").noting("with a directory you can write to")


class Workspace:
    """A directory that contains artifacts. It is created when the first artifact is built."""

    def __init__(self, root: Path | str) -> None:
        register_all()
        self.root = Path(root)

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
            NotFoundError: there is no such artifact. Message and hint suggest the most similar name, if any.
            UsageError: there is no id after the `@`, or several ids begin with the given digits.
            DataError: the artifact is incomplete or has another schema version.
        """
        return self._find(kind, ref, "--model" if kind == "models" else "--region", "{}")

    def _find(self, kind: str, ref: str, option: str, form: str) -> Artifact:
        """Returns an artifact, like `find`. If there is none, the hint is the command with a corrected `option`."""
        name, at, wanted = ref.partition("@")
        if at and not wanted:
            raise UsageError(f"`{ref}` has no id after the `@`; use `{name}` for the newest artifact", self._listing())
        if not (paths := [path for path in self._directories(kind) if _is_version(path, name, wanted)]):
            raise self._missing(kind, ref, option, form)
        if wanted and len(paths) > 1:
            raise UsageError(f"`{ref}` is ambiguous: it matches {len(paths)} {kind} artifacts", self._listing())
        return self._open(kind, max(paths, key=lambda path: (published_at(path), path.name)))

    def at(self, full_ref: str) -> Artifact:
        """Returns the artifact `kind/name@id`, or the newest artifact `kind/name`. Raises the same errors as `find`."""
        kind, _, ref = full_ref.partition("/")
        if kind not in KINDS:
            raise unknown("kind of artifact", kind, KINDS, self._listing(), "--lineage", f"{{}}/{ref}")
        if not ref:
            raise UsageError(f"`{full_ref}` is not a reference to an artifact: expected `kind/name`", self._listing())
        return self._find(kind, ref, "--lineage", f"{kind}/{{}}")

    def only(self, kind: str) -> str:
        """Returns the name of the only region: the name that all artifacts of a kind have.

        Raises:
            NotFoundError: there is no artifact of this kind.
            UsageError: the artifacts have different names.
        """
        names = self.names(kind)
        if len(names) == 1:
            return names[0]
        if not names:
            raise NotFoundError(f"there are no {kind} artifacts in `{self.root}`", self._rebuild_hint(kind, "R"))
        listed, hint = ", ".join(f"`{name}`" for name in names), hints.again(region=names[0]).within(self.root)
        raise UsageError(f"`{self.root}` has several regions ({listed}): choose one with `--region`", hint)

    def newest(self, kind: str, name: str | None = None, fits: Fits = lambda inputs, params: True) -> Artifact | None:
        """Returns the newest artifact of a kind that meets a condition, or None if no artifact meets the condition.

        Args:
            name: name that the artifact must have; None for any name.
            fits: function of an artifact's inputs (as `kind/name@id`) and parameters that returns True if the condition
                is met. An artifact whose manifest cannot be read is assumed to meet the condition.

        Raises:
            DataError: the newest artifact is incomplete or has another schema version. Older ones are not tried.
        """
        paths = [path for path in self._directories(kind) if name in (None, split_directory(path.name)[0])]
        for path in sorted(paths, key=lambda path: (published_at(path), path.name), reverse=True):
            if _may_fit(path, fits):
                return self._open(kind, path)
        return None

    def regions(self, kind: str, wanted: Sequence[str] | None) -> list[Artifact]:
        """Returns the newest artifact of each region. Without names (`wanted`), uses the workspace's only region."""
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
                os.utime(build.path / MANIFEST)
            if _lock_of(build.path).exists():  # left by a run killed after publishing
                with contextlib.suppress(OSError, BusyError), locked(_lock_of(build.path), what=build.path.name):
                    pass
            yield build
            return
        made = [folder for folder in (build.path.parent, self.root) if not folder.exists()]
        self._make_writable(build.path.parent)
        with without_empty(made), locked(_lock_of(build.path), what=f"{kind}/{build.path.name}"):
            build.existing = self._published(kind, build.path)  # published since the first check
            if build.existing is not None:
                yield build
                return
            yield from self._open_partial(build, keep)

    def remove(self, artifact: Artifact) -> None:
        """Deletes an artifact: first the manifest, so that an interrupted deletion leaves no incomplete artifact."""
        (artifact.path / MANIFEST).unlink()
        shutil.rmtree(artifact.path)

    # -- inside ------------------------------------------------------------------------------------------------

    def _open_partial(self, build: Build, keep: Sequence[str]) -> Iterator[Build]:
        if build.path.exists():  # without a manifest, it is not an artifact
            shutil.rmtree(build.path)
        if build.partial.exists() and not build.partial.is_dir():
            build.partial.unlink()
        build.partial.mkdir(exist_ok=True)
        build.clear(keep)
        try:
            yield build
        except BaseException:
            if not keep or not holds_a_file(build.partial):
                shutil.rmtree(build.partial, ignore_errors=True)
            raise

    def _directories(self, kind: str) -> Iterator[Path]:
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

    def _missing(self, kind: str, ref: str, option: str, form: str) -> GeojepaError:
        name = ref.partition("@")[0]
        what = "region" if kind in ("source", "tiles", "images", "processed", "features") else kind.rstrip("s")
        names, hint = self.names(kind), self._rebuild_hint(kind, name)
        if name in names:
            ids = [artifact.ref for artifact in self.artifacts(kind, name)]
            return unknown(f"version of {kind}", ref, ids, self._listing(), option, form)
        earlier = {"tiles": "source", "processed": "tiles", "features": "processed", "tasks": "processed"}.get(kind)
        region = name.partition(".")[0]
        if earlier and (region in self.names(earlier) or kind == "features"):
            return NotFoundError(f"there is no {kind} artifact with the name `{name}` in `{self.root}`", hint)
        hint = self._rebuild_hint("source", region) if (what, option) == ("region", "--region") else hint
        return unknown(what, ref, names or (self.names(earlier) if earlier else []), hint, option, form)

    def _rebuild_hint(self, kind: str, name: str) -> Hint:
        return rebuild_hint(kind, Remains(name)).within(self.root)

    def _listing(self) -> Hint:
        return hints.run("artifacts").within(self.root)

    def _make_writable(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError as error:
            raise GeojepaError(f"`{folder}` is not a directory", OTHER_WORKSPACE) from error
        if not os.access(folder, os.W_OK):
            raise GeojepaError(f"`{folder}` is not writable", OTHER_WORKSPACE) from None


def inputs_of_kind(artifact: Artifact, kind: str) -> list[str]:
    """Returns the inputs of an artifact that are of the given kind, as references `kind/name@id`."""
    return [ref for ref in artifact.inputs if ref.startswith(f"{kind}/")]


def input_names(inputs: Sequence[str], kind: str) -> list[str]:
    """Picks the references `kind/name@id` of the given kind, and returns the names in them."""
    return [name_of(ref) for ref in inputs if ref.startswith(f"{kind}/")]


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
