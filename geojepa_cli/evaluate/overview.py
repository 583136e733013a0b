"""Overview of a report: all models by all tasks, plain and masked, with leakage and numbers of parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_KEY = ("regions", "random", "fold", "tile_set", "protocol")


def build_overview(
    tables: Sequence[Mapping[str, Any]], parameters: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Puts tables of the same regions, fold, set of tiles and protocol next to each other: first plain, then masked.

    Args:
        tables: results of `ReportTable.to_json`.
        parameters: numbers of parameters of the models, by their references.

    Returns:
        A dict for each set of regions, fold, set of tiles and protocol:

        - `parts`: for each of its tables `table` (index in `tables`), `masked`, `evaluation` and `tasks`.
        - `rows`: for each model and head `model`, `name` (without the head), `ref`, `ranked`, `protocol`,
          `shared_entities` (lowest and highest share over tasks), `buffer` (None if it differs between tasks),
          `parameters` and `all_parameters`; and in `parts` for each part: by task the MAE divided by Dummy's
          (`relative`), `score`, `harmonic`, and in `bold` the tasks (and `score`) in which the row is proven to be the
          best. None for a part without the row.
    """
    groups: dict[str, list[int]] = {}
    for place, table in enumerate(tables):
        groups.setdefault(repr([table[name] for name in _KEY]), []).append(place)
    return [_block(tables, places, parameters) for places in groups.values()]


def _block(
    tables: Sequence[Mapping[str, Any]], places: Sequence[int], parameters: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    first = tables[places[0]]
    models = [{model["model"]: model for model in tables[place]["models"]} for place in places]
    names = sorted({name for part in models for name in part}, key=lambda name: _order(models, name))
    return {
        **{name: first[name] for name in _KEY},
        "parts": [
            {
                "table": place,
                **{name: tables[place][name] for name in ("masked", "evaluation")},
                "tasks": sorted(tables[place]["evaluations"]),
            }
            for place in places
        ],
        "rows": [_row(name, [tables[place] for place in places], models, parameters) for name in names],
    }


def _order(models: Sequence[Mapping[str, Any]], name: str) -> tuple[bool, bool, float, str]:
    """Returns the sort key of a row: ranked rows first, then rows with all scores, then the mean of the scores."""
    scores = [part[name]["score"] if name in part else None for part in models]
    known = [score for score in scores if score is not None]
    ranked = all(part[name]["ranked"] for part in models if name in part)
    return not ranked, len(known) < len(scores), sum(known) / len(known) if known else float("inf"), name


def _row(
    name: str,
    tables: Sequence[Mapping[str, Any]],
    models: Sequence[Mapping[str, Any]],
    parameters: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    found = [part[name] for part in models if name in part]
    shares = [share for model in found for share in model["shared_entities"].values()]
    buffers = {buffer for model in found for buffer in model["buffer"].values()}
    ref = found[0]["ref"]
    counts = parameters.get(ref, {}) if ref else {"parameters": 0, "all_parameters": 0}
    unknown = not shares or None in shares
    return {
        "model": name,
        "name": found[0]["name"],
        "ref": ref,
        "ranked": found[0]["ranked"],
        "protocol": _weakest(found, tables[0]["protocol"]),
        "shared_entities": None if unknown else [min(shares), max(shares)],
        "buffer": buffers.pop() if len(buffers) == 1 else None,
        "parameters": counts.get("parameters"),
        "all_parameters": counts.get("all_parameters"),
        "parts": [_part(name, table, part) for table, part in zip(tables, models, strict=True)],
    }


def _weakest(found: Sequence[Mapping[str, Any]], protocol: str) -> str:
    """Returns the protocol of a row: that of the block, or `no pretraining`, which all blocks have."""
    names = {model["protocol"] for model in found}
    return names.pop() if len(names) == 1 else protocol


def _part(name: str, table: Mapping[str, Any], models: Mapping[str, Any]) -> dict[str, Any] | None:
    if name not in models:
        return None
    model, whole = models[name], table["best_score"]
    bold = [task for task, best in table["best"].items() if best["row"] == name and best["bold"]]
    bold += ["score"] if whole and whole["row"] == name and whole["bold"] else []
    return {"relative": model["relative"], "score": model["score"], "harmonic": model["harmonic"], "bold": bold}
