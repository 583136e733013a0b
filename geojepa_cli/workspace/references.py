"""References to artifacts that users give: checks them, and describes errors of unknown references."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from geojepa_cli import hints
from geojepa_cli.errors import GeojepaError, NotFoundError, nearest, unknown, wrong_argument
from geojepa_cli.workspace.kinds import KINDS, Remains, rebuild_hint


def option_of(kind: str) -> str | None:
    """Returns the command-line option that selects an artifact of a kind. None if there is no such option."""
    return {"models": "--model", "tasks": "--task"}.get(kind, "--region" if KINDS[kind].of_region else None)


def check_kind(kind: object) -> str:
    """Checks that a kind of artifact exists, and returns it.

    Raises:
        UsageError: `kind` is no kind of artifact.
    """
    if not isinstance(kind, str) or kind not in KINDS:
        example = (nearest(kind, KINDS) if isinstance(kind, str) else None) or "models"
        raise wrong_argument("kind", kind, f"a kind of artifact ({', '.join(KINDS)})", f'"{example}"')
    return kind


def check_reference(kind: object, ref: object, names: Callable[[str], list[str]]) -> None:
    """Checks the type of a reference, and that its kind exists. Does not check that the artifact exists.

    Args:
        kind: kind of the artifact.
        ref: `name` or `name@id` of the artifact.
        names: function that returns the names of all artifacts of a kind.

    Raises:
        UsageError: `kind` is no kind of artifact, or `ref` is not text.
    """
    known = check_kind(kind)
    if not isinstance(ref, str):
        raise wrong_argument("ref", ref, "`name` or `name@id` as text", f'"{next(iter(names(known)), "NAME")}"')


def missing_artifact(
    root: Path,
    kind: str,
    ref: str,
    names: Callable[[str], list[str]],
    versions: Sequence[str],
    option: str | None,
    form: str,
) -> GeojepaError:
    """Returns the error for a reference to an artifact that does not exist.

    Args:
        root: directory of the workspace.
        kind: kind of the artifact.
        ref: `name` or `name@id` of the artifact.
        names: function that returns the names of all artifacts of a kind.
        versions: references `name@id` to the artifacts with the same name.
        option: option of the running command in which the user gave the reference. If None, the hint is a whole
            command: it lists the artifacts, or makes the missing artifact.
        form: format of the option's value in the hint, such as `tiles/{}`. A name replaces `{}`.
    """
    name = ref.partition("@")[0]
    what = "region" if KINDS[kind].of_region else kind.rstrip("s")
    hint, listing = rebuild_hint(kind, Remains(name, workspace=root)), hints.run("artifacts").within(root)
    if name in names(kind):
        return unknown(f"version of {kind}", ref, versions, listing, option, form)
    earlier = KINDS[kind].made_from
    region, _, task = name.rpartition(".") if kind == "tasks" else (name, "", "")
    built = [one.removeprefix(f"{region}.") for one in names(kind) if one.startswith(f"{region}.")]
    mistyped = kind == "tasks" and nearest(task, built, cutoff=0.8) is not None
    if earlier and not mistyped and (region in names(earlier) or kind == "features"):
        return NotFoundError(f"there is no {kind} artifact with the name `{name}` in `{root}`", hint)
    if what == "region" and option != "--lineage":
        hint = rebuild_hint("source", Remains(region, workspace=root))
    known = names(kind) or (names(earlier) if earlier else [])
    if option is None and nearest(ref, known) is not None:
        hint = listing
    return unknown(what, ref, known, hint, option, form)
