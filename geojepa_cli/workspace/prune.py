"""Finds old artifacts that can be deleted, because newer ones replace them."""

from __future__ import annotations

from collections.abc import Iterable

from geojepa_cli.workspace.artifact import Artifact


def find_prunable(found: Iterable[Artifact]) -> list[Artifact]:
    """Returns the artifacts that are no longer needed, and so can be deleted.

    Of all artifacts with the same kind, name and variant (see `describe_variant`), the newest is needed. The artifacts
    from which a needed artifact was made are also needed. All others can be deleted.

    Args:
        found: all artifacts of a workspace. An older artifact must come before newer ones of the same name.
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
    """Returns the parameters that distinguish artifacts with the same kind and name, as text (the variant).

    An artifact replaces an older artifact only if both have the same variant. For example, tiles of zoom 16 do not
    replace tiles of zoom 15. A probe without the tags that reveal the label (`masked`) does not replace a probe with
    all tags (`plain`). The variant is empty for kinds in which the newest artifact always replaces the older ones.
    """
    params = artifact.params
    if artifact.kind in ("tiles", "images"):
        return f"zoom {params['zoom']}" if "zoom" in params else ""
    if artifact.kind == "embeddings":
        return f"{params.get('task') or ''}{', masked' if params.get('masked') else ''}".strip(", ")
    if artifact.kind == "probes":
        return "masked" if params.get("masked") else "plain"
    return "page" if artifact.kind == "neighbours" and params.get("html") else ""
