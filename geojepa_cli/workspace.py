"""The workspace: artifacts are found, verified, built under a lock and published here, and nowhere else.

An artifact is a directory `<workspace>/<kind>/<name>@<id>/` with a `manifest.json`, written last. Its id is made
of everything that decides its bytes, so the same command on the same inputs finds its result and stops.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shlex
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from geojepa_cli import __version__
from geojepa_cli.durable import file_sha256, fsync, holds_a_file, without_empty, write_durably
from geojepa_cli.errors import BusyError, DataError, GeojepaError, NotFoundError, UsageError, unknown
from geojepa_cli.kinds import KINDS as KINDS
from geojepa_cli.kinds import check_name as check_name
from geojepa_cli.kinds import legal_name as legal_name
from geojepa_cli.kinds import remake_hint as remake_hint
from geojepa_cli.lock import locked

MANIFEST_SCHEMA = 1
ID_LENGTH = 12
MANIFEST = "manifest.json"
TIMING = "timing.json"

_ENTRIES = {
    "kind": str,
    "id": str,
    "schema": int,
    "inputs": list,
    "parameters": dict,
    "counts": dict,
    "attribution": list,
}
Fits = Callable[[list[str], Mapping[str, Any]], bool]
_ID = re.compile(rf"[0-9a-f]{{{ID_LENGTH}}}")


@dataclass(frozen=True)
class Artifact:
    """A published, read-only directory.

    Attributes:
        kind, name, id: where it stands, `<kind>/<name>@<id>/`.
        path: its directory.
        manifest: the parsed `manifest.json`.
    """

    kind: str
    name: str
    id: str
    path: Path
    manifest: Mapping[str, Any] = field(hash=False)

    @property
    def ref(self) -> str:
        """`name@id`."""
        return f"{self.name}@{self.id}"

    @property
    def params(self) -> Mapping[str, Any]:
        """The parameters that decided its content."""
        return self.manifest["parameters"]  # type: ignore[no-any-return]

    @property
    def inputs(self) -> list[str]:
        """Its inputs as `kind/name@id`."""
        return list(self.manifest["inputs"])

    def file(self, name: str) -> Path:
        """The path of one of its files; DataError where the manifest has none of that name."""
        if name not in self.manifest["files"]:
            raise DataError(f"`{self.path}` has no file `{name}`", hint=self._remake_hint())
        return self.path / name

    def read_json(self, name: str) -> Any:
        """One of its files as JSON.

        Raises:
            DataError: it is not JSON any more; the hint makes the artifact anew.
        """
        try:
            return json.loads(self.file(name).read_text(encoding="utf-8"))
        except ValueError as error:
            raise self.broken(f"`{self.path / name}` is not JSON: {error}") from error

    def broken(self, message: str) -> DataError:
        """The error for content that cannot be read although the manifest's sizes are right.

        The same command would find the artifact and stop, so the hint removes it first.
        """
        again = _pretrain_again(self.path, self.manifest) if self.kind == "models" else None
        if again:  # with its own config, which therefore has to stay until then
            return DataError(message, hint=f"rm {shlex.quote(str(self.path / MANIFEST))} && {again}")
        return DataError(message, hint=f"rm -r {shlex.quote(str(self.path))} && {self._remake_hint()}")

    def _remake_hint(self) -> str:
        return remake_hint(self.kind, self.name, self.params, self.inputs)

    def verify(self) -> list[str]:
        """Compares every file with its SHA-256; the names that differ."""
        return [
            name
            for name, entry in self.manifest["files"].items()
            if not (self.path / name).is_file() or file_sha256(self.path / name) != entry["sha256"]
        ]


class Build:
    """An artifact in the making; see `Workspace.build`.

    Attributes:
        existing: the published artifact where there is nothing to do, else None.
        partial: the directory to write into.
    """

    def __init__(self, workspace: Workspace, kind: str, name: str, identity: dict[str, Any]) -> None:
        self._workspace, self._kind, self._name, self._identity = workspace, kind, name, identity
        self.id = identity_hash(identity)
        self.path = workspace.root / kind / f"{name}@{self.id}"
        self.partial = self.path.with_name(self.path.name + ".partial")
        self.existing: Artifact | None = None
        self._started = time.time()

    def publish(
        self,
        counts: Mapping[str, Any] | None = None,
        attribution: Sequence[str] = (),
        extra: Mapping[str, Any] | None = None,
        timing: Mapping[str, Any] | None = None,
    ) -> Artifact:
        """Writes the manifest last, makes everything durable, and renames the directory into place.

        Args:
            counts: what was read, kept and dropped by reason.
            attribution: sources and licences; those of the inputs are added.
            extra: further manifest entries, such as `units`, `crs` or `seed`.
            timing: speeds and durations beyond the build's own, for `timing.json`.
        """
        files = {}
        for path in sorted(p for p in self.partial.rglob("*") if p.is_file()):
            name = path.relative_to(self.partial).as_posix()
            if name in (MANIFEST, TIMING):
                continue
            files[name] = {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
            fsync(path)
        inherited = [
            line for ref in self._identity["inputs"] for line in self._workspace.at(ref).manifest["attribution"]
        ]
        manifest = {
            "manifest_schema": MANIFEST_SCHEMA,
            "kind": self._kind,
            "name": self._name,
            "id": self.id,
            "schema": self._identity["schema"],
            "stage_version": self._identity["stage_version"],
            "geojepa": __version__,
            "inputs": self._identity["inputs"],
            "parameters": self._identity["parameters"],
            "files": files,
            "counts": dict(counts or {}),
            "attribution": list(dict.fromkeys([*inherited, *attribution])),
            **(extra or {}),
        }
        times = {"started": self._started, "finished": time.time(), "seconds": time.time() - self._started}
        write_durably(self.partial / TIMING, json.dumps({**times, **(timing or {})}) + "\n")
        write_durably(
            self.partial / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        )
        fsync(self.partial)
        self.partial.rename(self.path)
        fsync(self.path.parent)
        return Artifact(self._kind, self._name, self.id, self.path, manifest)


class Workspace:
    """A directory of artifacts."""

    def __init__(self, root: Path) -> None:
        self.root = root

    # -- finding -----------------------------------------------------------------------------------------------

    def artifacts(self, kind: str, name: str | None = None) -> list[Artifact]:
        """The published artifacts of a kind (and name), oldest first; those of another schema are left out."""
        found = []
        for path in self._directories(kind):
            with contextlib.suppress(DataError):
                artifact = self._open(kind, path)
                if name is None or artifact.name == name:
                    found.append(artifact)
        return sorted(found, key=lambda artifact: (_published_at(artifact.path), artifact.ref))

    def damaged(self, kind: str) -> dict[str, str]:
        """The published artifacts of a kind that cannot be opened, with the reason."""
        found = {}
        for path in self._directories(kind):
            try:
                self._open(kind, path)
            except DataError as error:
                found[f"{kind}/{path.name}"] = error.message
        return found

    def names(self, kind: str) -> list[str]:
        """The distinct names of a kind."""
        return sorted({_split(path.name)[0] for path in self._directories(kind)})

    def find(self, kind: str, ref: str) -> Artifact:
        """The artifact `name@id`, or the newest of `name`.

        Raises:
            NotFoundError: there is none; says the nearest name and the command that makes it.
            UsageError: nothing follows the `@`, or several ids begin like this.
            DataError: it is incomplete or of another schema.
        """
        name, at, wanted = ref.partition("@")
        if at and not wanted:
            raise UsageError(f"`{ref}` has no id after the `@`", hint=f"`{name}` is the newest; geojepa artifacts")
        paths = [
            p for p in self._directories(kind) if _split(p.name)[0] == name and _split(p.name)[1].startswith(wanted)
        ]
        if not paths:
            raise self._missing(kind, ref)
        if wanted and len(paths) > 1:
            raise UsageError(f"`{ref}` is the beginning of {len(paths)} ids of {kind}", hint="geojepa artifacts")
        return self._open(kind, max(paths, key=lambda path: (_published_at(path), path.name)))

    def at(self, full_ref: str) -> Artifact:
        """The artifact `kind/name@id`, as manifests name their inputs."""
        kind, _, ref = full_ref.partition("/")
        if kind not in KINDS:
            raise unknown("kind of artifact", kind, KINDS, hint="geojepa artifacts")
        if not ref:
            raise UsageError(f"`{full_ref}` names no artifact", hint=f"geojepa artifacts --lineage {kind}/NAME")
        return self.find(kind, ref)

    def only(self, kind: str) -> str:
        """The one name of a kind, for commands called without `--region` or `--model`."""
        names = self.names(kind)
        if len(names) == 1:
            return names[0]
        if not names:
            raise NotFoundError(f"no {kind} in `{self.root}`", hint=remake_hint(kind, "R"))
        listed = ", ".join(f"`{name}`" for name in names)
        raise UsageError(f"which of {listed}?", hint=f"--region {names[0]}")

    def newest(self, kind: str, name: str | None = None, fits: Fits = lambda inputs, params: True) -> Artifact | None:
        """The newest artifact of a kind (and name) that fits; None where there is none.

        Args:
            fits: told the inputs (`kind/name@id`) and the parameters; what cannot be read may fit.

        Raises:
            DataError: it is incomplete or of another schema: an older one would be taken in silence.
        """
        paths = [path for path in self._directories(kind) if name in (None, _split(path.name)[0])]
        for path in sorted(paths, key=lambda path: (_published_at(path), path.name), reverse=True):
            if _may_fit(path, fits):
                return self._open(kind, path)
        return None

    def regions(self, kind: str, wanted: Sequence[str] | None) -> Sequence[Artifact]:
        """The artifacts of the regions named, or of the only one."""
        names = list(dict.fromkeys(wanted)) if wanted else [self.only(kind)]
        return [self.find(kind, name) for name in names]

    def derived(self, kind: str, name: str, source: Artifact) -> Artifact:
        """The newest artifact of `kind` made from `source`.

        Raises:
            NotFoundError: there is none; the hint names the command that makes it.
            DataError: the newest is incomplete or of another schema: an older one would be taken in silence.
        """
        wanted = f"{source.kind}/{source.ref}"
        made = self.newest(kind, name, lambda inputs, params: wanted in inputs)
        if made is None:
            raise NotFoundError(f"no {kind} of `{wanted}` in `{self.root}`", hint=remake_hint(kind, name))
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
        resume: bool = False,
    ) -> Iterator[Build]:
        """Opens `<name>@<id>.partial/` under a lock, or finds the artifact already there.

        Args:
            params: JSON values, only what changes the result (no threads, paths, verbosity).
            resume: what a killed or failed run left is kept and can be gone on with, unless it left no file.

        Raises:
            BusyError: another process builds the same artifact; says which.
            UsageError: `name` is not a name.
        """
        check_name(name)
        identity = {
            "kind": kind,
            "schema": KINDS[kind][0],
            "stage_version": stage_version,
            "parameters": json.loads(json.dumps(dict(params), sort_keys=True)),
            "inputs": sorted(f"{artifact.kind}/{artifact.ref}" for artifact in inputs),
        }
        build = Build(self, kind, name, identity)
        build.existing = self._published(kind, build.path)
        if build.existing is not None:
            with contextlib.suppress(OSError):  # asked for again: from now on the newest of its name
                os.utime(build.path / MANIFEST)
            yield build
            return
        made = [folder for folder in (build.path.parent, self.root) if not folder.exists()]
        self._make_writable(build.path.parent)
        with (
            without_empty(made),
            locked(build.path.with_name(build.path.name + ".lock"), what=f"{kind}/{build.path.name}"),
        ):
            build.existing = self._published(kind, build.path)  # by a run that held the lock until now
            if build.existing is not None:
                yield build
                return
            if build.path.exists():  # a directory without a manifest is no artifact
                shutil.rmtree(build.path)
            if build.partial.exists() and not resume:
                shutil.rmtree(build.partial)
            build.partial.mkdir(exist_ok=True)
            try:
                yield build
            except BaseException:
                if not resume or not holds_a_file(build.partial):
                    shutil.rmtree(build.partial, ignore_errors=True)
                raise

    def remove(self, artifact: Artifact) -> None:
        """Deletes an artifact; its manifest goes first, so that a kill leaves no half of it behind."""
        (artifact.path / MANIFEST).unlink()
        shutil.rmtree(artifact.path)

    def leftovers(self) -> list[Path]:
        """What ended runs left and nobody works on: `.partial` directories, and directories without a manifest."""
        found = []
        for kind in KINDS:
            for path in sorted((self.root / kind).glob("*@*")):
                partial = path.name.endswith(".partial")
                if path.is_dir() and (partial or (_split(path.name)[0] and not (path / MANIFEST).is_file())):
                    with contextlib.suppress(BusyError), locked(_lock_of(path), what=path.name):
                        found.append(path)
        return found

    def remove_leftover(self, path: Path) -> bool:
        """Deletes what `leftovers` found; False where another process has taken it up since."""
        try:
            with locked(_lock_of(path), what=path.name):
                if path.name.endswith(".partial") or not (path / MANIFEST).is_file():
                    shutil.rmtree(path)
                    return True
        except (BusyError, FileNotFoundError):
            pass
        return False

    # -- inside ------------------------------------------------------------------------------------------------

    def _directories(self, kind: str) -> Iterator[Path]:
        folder = self.root / kind
        if not folder.is_dir():
            return
        for path in folder.iterdir():
            if path.is_dir() and _split(path.name) != ("", "") and (path / MANIFEST).is_file():
                yield path

    def _published(self, kind: str, path: Path) -> Artifact | None:
        if not (path / MANIFEST).is_file():
            return None
        try:
            return self._open(kind, path)
        except DataError:
            return None  # damaged: it is made anew

    def _open(self, kind: str, path: Path) -> Artifact:
        name, id_ = _split(path.name)
        hint = remake_hint(kind, name)
        try:
            manifest = json.loads((path / MANIFEST).read_text())
            files = {file: int(entry["bytes"]) for file, entry in manifest["files"].items() if entry["sha256"]}
            for key, expected in _ENTRIES.items():
                if not isinstance(manifest[key], expected):
                    raise TypeError(f"`{key}` is {manifest[key]!r}")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"`{path / MANIFEST}` is not a manifest: {error}", hint=hint) from error
        wrong = _wrong(path, kind, manifest, files)
        if wrong:
            again = _pretrain_again(path, manifest) if kind == "models" else None
            raise DataError(wrong, hint=again or remake_hint(kind, name, manifest["parameters"], manifest["inputs"]))
        return Artifact(kind, name, id_, path, manifest)

    def _missing(self, kind: str, ref: str) -> GeojepaError:
        name = ref.partition("@")[0]
        what = "region" if kind in ("source", "tiles", "images", "processed", "features") else kind.rstrip("s")
        names = self.names(kind)
        if name in names:
            ids = [artifact.ref for artifact in self.artifacts(kind, name)]
            return unknown(f"version of {kind}", ref, ids, hint="geojepa artifacts")
        earlier = {"tiles": "source", "processed": "tiles", "features": "processed", "tasks": "processed"}.get(kind)
        region = name.partition(".")[0]
        if earlier and (region in self.names(earlier) or kind == "features"):
            return NotFoundError(f"no {kind} of `{name}` in `{self.root}`", hint=remake_hint(kind, name))
        candidates = names or (self.names(earlier) if earlier else [])
        return unknown(what, ref, candidates, hint=remake_hint(kind, name))

    def _make_writable(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError as error:
            raise GeojepaError(f"`{folder}` is not a directory", hint="geojepa --workspace DIR …") from error
        if not os.access(folder, os.W_OK):
            raise GeojepaError(f"`{folder}` is not writable", hint="geojepa --workspace DIR …") from None


def identity_hash(identity: Mapping[str, Any]) -> str:
    """First 12 hex digits of the SHA-256 of the canonical JSON of what decides an artifact's bytes."""
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:ID_LENGTH]


def _wrong(path: Path, kind: str, manifest: Mapping[str, Any], files: Mapping[str, int]) -> str | None:
    """What is wrong with an artifact whose manifest can be read, or None."""
    if manifest["kind"] != kind or manifest["id"] != _split(path.name)[1]:
        return f"`{path / MANIFEST}` is of `{manifest['kind']}/…@{manifest['id']}`, not of `{kind}/{path.name}`"
    if manifest["schema"] != KINDS[kind][0]:
        return f"`{path}` has schema {manifest['schema']}, this version reads {KINDS[kind][0]}"
    for name, expected in files.items():
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            return f"`{path / MANIFEST}` names a file outside of its folder: `{name}`"
        file = path / name
        size = file.stat().st_size if file.is_file() else None
        if size != expected:
            got = "is missing" if size is None else f"has {size} bytes, the manifest says {expected}"
            return f"`{file}` {got}"
    return None


def _pretrain_again(path: Path, manifest: Mapping[str, Any]) -> str | None:
    """The command that trains a model anew by its own config; None where that is damaged too."""
    config = path / "config.yaml"
    known = manifest["files"].get(config.name, {}).get("sha256")
    if known is None or not config.is_file() or file_sha256(config) != known:
        return None
    words = ["geojepa", "pretrain", "--config", str(config), "--name", _split(path.name)[0]]
    for ref in manifest["inputs"]:
        words += ["--region", ref.partition("/")[2]] if ref.startswith("processed/") else []
    seed = manifest["parameters"].get("seed", 0)
    return shlex.join(words + (["--seed", str(seed)] if seed else []))


def _may_fit(path: Path, fits: Fits) -> bool:
    try:
        manifest = json.loads((path / MANIFEST).read_text())
        return fits(manifest["inputs"], manifest["parameters"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return True


def _split(directory: str) -> tuple[str, str]:
    name, _, id_ = directory.rpartition("@")
    return (name, id_) if name and _ID.fullmatch(id_) else ("", "")


def _lock_of(path: Path) -> Path:
    """The lock of an artifact's directory, finished or `.partial`."""
    return path.with_name(path.name.removesuffix(".partial") + ".lock")


def _published_at(path: Path) -> int:
    return (path / MANIFEST).stat().st_mtime_ns
