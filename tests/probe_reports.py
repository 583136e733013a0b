"""Invented reports of probes, with predictions, for tests of `geojepa report`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from geojepa_cli.evaluate.comparison import TaskErrors
from geojepa_cli.evaluate.report_tiles import RowTiles

Floats = NDArray[np.float64]


def probe_report(
    task: str,
    maes: dict[str, float],
    masked: bool = True,
    regions: tuple[str, ...] = ("a@1",),
    protocol: str = "transfer",
    heads: dict[str, str] | None = None,
    **entries: object,
) -> dict[str, Any]:
    """Returns the content of a probe's `report.json` with the given errors. `tagpool` and `dummy` saw nothing."""
    dummy = maes["dummy"]
    scores = [
        {
            "model": model,
            "head": (heads or {}).get(model, "median" if model == "dummy" else "linear"),
            "ref": None if model == "dummy" else model.removesuffix(" without shared"),
            "mae": {"value": mae, "low": mae - 0.125, "high": mae + 0.125},
            "mae_unthinned": mae + 0.5,
            "relative": mae / dummy if dummy else None,
            "protocol": "no pretraining" if model in ("dummy", "tagpool") else protocol,
            "seeds": 1,
            "spread": {},
        }
        for model, mae in maes.items()
    ]
    description = {"task": task, "masked": masked, "regions": list(regions), "evaluation_description": "30 groups"}
    return {
        **description,
        "evaluation": "task folds",
        "unit": "m",
        "tiles": 90,
        "groups": 30,
        **entries,
        "scores": scores,
    }


def errors_of(report: dict[str, Any], n_groups: int = 30, seed: int = 0, noise: float = 0.0) -> TaskErrors:
    """Returns errors of 3 tiles in each group, whose means are the errors of a report if `noise` is 0."""
    rng = np.random.default_rng(seed)
    groups = np.repeat([f"14_{4000 + number}_6500" for number in range(n_groups)], 3)
    models = {}
    for score in report["scores"]:
        mae = score["mae"]["value"]
        models[f"{score['model']} ({score['head']})"] = np.abs(mae + noise * rng.standard_normal(len(groups)))
    return TaskErrors("same tiles", groups, models["dummy (median)"], models)


def row_tiles(row: str, labels: list[float], predicted: list[float], region: str = "a", first: int = 18000) -> RowTiles:
    """Returns the tiles of a row: neighbours in west-east direction."""
    names = np.array([f"16_{first + place}_25950" for place in range(len(labels))])
    groups = np.array([f"14_{(first + place) // 4}_6487" for place in range(len(labels))])
    true, values = np.array(labels, np.float64), np.array(predicted, np.float64)
    errors = np.abs(values - true)
    return RowTiles(row, names, groups, np.full(len(labels), region), true, values, errors, errors)
