"""Finds old versions of artifacts that are no longer needed."""

from __future__ import annotations

from collections.abc import Iterable

from geojepa_cli.workspace.artifact import Artifact


def find_prunable(found: Iterable[Artifact]) -> list[Artifact]:
    """Returns the artifacts that can be deleted.

    An artifact is needed if it is the newest version of its kind, name and variant (see `describe_variant`), or if a
    needed artifact was made from it. All others can be deleted.

    Args:
        found: all artifacts of a workspace; of two versions, the older must come first.
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
    """Returns the variant of an artifact as text: the parameters that set it apart from others of the same name.

    Artifacts of different variants are not versions of each other. For instance, a masked probe does not replace the
    plain probe of the same task. Most kinds have one variant, the empty string.
    """
    params = artifact.params
    if artifact.kind in ("tiles", "images"):
        return f"zoom {params['zoom']}" if "zoom" in params else ""
    if artifact.kind == "embeddings":
        return f"{params.get('task') or ''}{', masked' if params.get('masked') else ''}".strip(", ")
    if artifact.kind == "probes":
        return "masked" if params.get("masked") else "plain"
    return "page" if artifact.kind == "neighbours" and params.get("html") else ""
