"""Finds the command that rebuilds a `neighbours/` artifact from its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from geojepa_cli import hints
from geojepa_cli.config.spaces import DEFAULT_FORM
from geojepa_cli.hints import Hint
from geojepa_cli.stages.joined_images import with_same_images
from geojepa_cli.stages.neighbour_query import DEFAULT_K
from geojepa_cli.stages.rebuild import input_refs, limit_options, number, open_inputs, short_ref, text
from geojepa_cli.stages.shipped import noting_version, ref_in
from geojepa_cli.workspace.kinds import Remains


def rebuild_neighbours(remains: Remains) -> Hint:
    """Returns the command that finds the same neighbours."""
    params = remains.params
    query, _, name = remains.name.partition(".")
    made = next(iter(open_inputs(remains, "embeddings")), None)
    known = Remains(name, made.params, made.inputs, workspace=remains.root) if made else Remains(name)
    parts = params.get("query")
    words_only = isinstance(parts, list) and all(isinstance(one, dict) and "text" in one for one in parts)
    searched, sources = (
        [short_ref(remains, "processed", ref) for ref in params.get(key, []) if isinstance(ref, str)]
        for key in ("regions", "from_regions")
    )
    again = hints.run(
        "knn",
        **_query_options(params, query),
        k=number(params.get("k"), DEFAULT_K),
        model=None
        if words_only
        else next(iter(input_refs(known, "models")), text(known.params.get("model")) or name or None),
        region=searched or input_refs(remains, "processed"),
        from_region=sources,
        exclude_same_group=params.get("exclude_same_group") is True,
        min_distance_km=number(params.get("min_distance_km")),
        level=text(params.get("level")),
        space=space if (space := text(params.get("space"))) != DEFAULT_FORM else None,
        html=params.get("html") is True,
        alpha=number(params.get("alpha")),
        **limit_options(params if words_only else known.params),
    )
    return noting_version(with_same_images(remains, again), [ref_in(known.params)])


def _query_options(params: Mapping[str, Any], name: str) -> dict[str, hints.Value]:
    """Returns the options that give the parts of the query. Old manifests have `tile` or `entity`, or neither."""
    parts = [one for one in params.get("query", []) if isinstance(one, dict)]
    if not parts:
        tile, entity = text(params.get("tile")), text(params.get("entity"))
        if not tile and not entity:
            osm_type, dash, osm_id = name.partition("-")
            tile, entity = (None, f"{osm_type}/{osm_id}") if dash else (name, None)
        return {"tile": tile, "entity": entity}
    texts = [text(one.get("tile")) or text(one.get("entity")) for one in parts]
    named = [(shown, one.get("unlike") is True) for shown, one in zip(texts, parts, strict=True) if shown]
    like = [shown for shown, avoided in named if not avoided]
    options: dict[str, hints.Value] = {}
    if like and texts[0] == like[0]:
        first = like.pop(0)
        options["entity" if "/" in first else "tile"] = first
    for one in parts:
        if isinstance(place := one.get("at"), list):
            options["at"] = ",".join(f"{value}" for value in place)
        options |= {"text": text(one.get("text"))} if "text" in one else {}
        options |= {name: "FILE" for name in ("draw", "area", "photo") if name in one}
    options |= {"like": like, "unlike": [shown for shown, avoided in named if avoided]}
    weights = [one.get("weight") for one in parts]
    return options | ({"weight": [str(one) for one in weights]} if any(one != 1 for one in weights) else {})
