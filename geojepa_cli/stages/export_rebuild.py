"""Finds the command that rebuilds an `exports/` artifact with vectors or a model."""

from __future__ import annotations

from geojepa_cli import hints
from geojepa_cli.hints import Hint
from geojepa_cli.stages.joined_images import with_same_images
from geojepa_cli.stages.rebuild import input_refs, limit_options, number, open_inputs, text
from geojepa_cli.stages.shipped import noting_version, ref_in
from geojepa_cli.workspace.kinds import Remains

_LEVELS = {"tiles": "tile", "entities": "entity", "groups": "group", "areas": "area"}
_SHORT = {"format": "geoparquet", "dtype": "float32", "list": "fixed"}  # defaults, which are left out


def is_export_of_vectors(remains: Remains) -> bool:
    """Returns True if an `exports/` artifact was made by `export`, and not by `build-tasks`."""
    return (
        "level" in remains.params or remains.params.get("format") == "model" or _ending(remains) in (*_LEVELS, "model")
    )


def rebuild_export(remains: Remains) -> Hint:
    """Returns the command that makes the same export."""
    params = remains.params
    name = remains.name.split(".")[0]
    models = input_refs(remains, "models")
    if params.get("format") == "model" or (not params and _ending(remains) == "model"):
        model = next(iter(models), text(params.get("model")) or remains.name.rpartition(".")[0] or name)
        return noting_version(hints.run("export", format="model", model=model), [ref_in(params)])
    made = next(iter(open_inputs(remains, "embeddings")), None)
    known = Remains(name, made.params, made.inputs, workspace=remains.root) if made else Remains(name)
    level = text(params.get("level")) or _LEVELS.get(_ending(remains), "tile")
    shown = {option: text(params.get(option)) for option in _SHORT}
    dates = params.get("dates")
    again = hints.run(
        "export",
        model=next(iter(input_refs(known, "models")), text(known.params.get("model")) or name or None),
        region=input_refs(remains, "processed"),
        level=level if level in ("entity", "group") else None,
        area="FILE.geojson" if level == "area" else None,
        crs=text(params.get("crs")),
        **{option: value for option, value in shown.items() if value != _SHORT[option]},
        dimensions=number(params.get("dimensions")),
        space=text(params.get("space")),
        no_vectors=params.get("no_vectors") is True,
        alpha=number(known.params.get("alpha")),
        date=dates[0] if isinstance(dates, list) and len(set(dates)) == 1 and isinstance(dates[0], str) else None,
        seed=number(params.get("seed")),
        **limit_options(known.params),
    )
    if level == "area":
        again = again.noting("with the same file")
    return noting_version(with_same_images(remains, again), [ref_in(known.params)])


def _ending(remains: Remains) -> str:
    return remains.name.rpartition(".")[2]
