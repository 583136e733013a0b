"""Versions of artifacts that nothing needs any more."""

from __future__ import annotations

from collections.abc import Iterable

from geojepa_cli.workspace.artifact import Artifact


def find_prunable(found: Iterable[Artifact]) -> list[Artifact]:
    """Returns the versions that are older than the newest of their kind, name and variant.

    An older version is kept where a newest one was made from it.

    Args:
        found: artifacts, oldest first.
    """
    by_ref = {artifact.full_ref: artifact for artifact in found}
    newest = {(a.kind, a.name, describe_variant(a)): a for a in by_ref.values()}
    kept: set[str] = set()
    waiting = [artifact.full_ref for artifact in newest.values()]
    while waiting:
        ref = waiting.pop()
        if ref not in kept:
            kept.add(ref)
            waiting += by_ref[ref].inputs if ref in by_ref else []
    return [artifact for ref, artifact in by_ref.items() if ref not in kept]


def describe_variant(artifact: Artifact) -> str:
    """Describes what distinguishes artifacts of one name that are not versions of each other; "" for most kinds.

    The masked probe of a task is not an older version of the plain one, nor are the vectors for one task an older
    version of another's.
    """
    params = artifact.params
    if artifact.kind in ("tiles", "images"):
        return f"zoom {params['zoom']}" if "zoom" in params else ""
    if artifact.kind == "embeddings":
        return f"{params.get('task') or ''}{', masked' if params.get('masked') else ''}".strip(", ")
    if artifact.kind == "probes":
        return "masked" if params.get("masked") else "plain"
    return "page" if artifact.kind == "neighbours" and params.get("html") else ""
