"""Measures of retrieval: searches, computes figures, and writes the files of the artifact."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from geojepa_cli import console, hints
from geojepa_cli.errors import DataError
from geojepa_cli.stages.retrieval_plan import RetrievalPlan, RetrievalSettings
from geojepa_cli.stages.retrieval_search import Search

REPORT_FILE, SCORES_FILE, QUERIES_FILE, TASKS_FOLDER = "report.json", "scores.csv", "queries.csv", "tasks"


def measure(plan: RetrievalPlan, settings: RetrievalSettings, search: Search, folder: Path) -> dict[str, Any]:
    """Searches, writes all files, and returns the content of the report."""
    import numpy as np
    import torch
    import yaml

    from geojepa_cli.evaluate.retrieval import Row, search_features
    from geojepa_cli.evaluate.retrieval_report import retrieval_report, write_queries, write_scores

    torch.set_num_threads(1)  # with one thread, results do not depend on the number of threads
    rows = [Row(label, space) for space in settings.spaces for label in search.labels]
    with console.progress(f"search {search.title}", len(rows)) as meter:
        found = search_features(
            search.features, search.rows(), search.groups, settings.k, settings.threads, meter.update
        )
    if not found:
        raise _no_query(search)
    queried = {one.feature.name for one in found}
    report = {
        "task": search.name,
        "title": search.title,
        "masked": settings.masked,
        "regions": [region.ref for region in plan.regions],
        search.facts["searched"]: len(search.groups),
        "searched_groups": len(np.unique(search.groups)),
        "k": settings.k,
        "seed": settings.seed,
        "spaces": list(settings.spaces),
        "without_queries": {one.name: int(one.relevant.sum()) for one in search.features if one.name not in queried},
        **search.facts,
        **retrieval_report(found, rows, settings.seed),
        "protocols": {ref: one.to_json() for ref, one in search.protocols.items()},
    }
    models = dict(zip(search.labels, plan.models, strict=True))
    for score in report["scores"]:
        ref = models[score["model"]].ref
        score |= {"ref": ref, "protocol": search.protocols[ref].name}
    dumped = json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / REPORT_FILE).write_text(dumped + "\n", encoding="utf-8")
    write_scores(folder / SCORES_FILE, report)
    write_queries(folder / QUERIES_FILE, found, rows, search.places)
    (folder / TASKS_FOLDER).mkdir(exist_ok=True)
    for name, definition in search.definitions.items():
        text = yaml.safe_dump(definition, sort_keys=False, allow_unicode=True)
        (folder / TASKS_FOLDER / f"{name}.yaml").write_text(text, encoding="utf-8")
    return report


def _no_query(search: Search) -> DataError:
    have = {one.name: int(one.relevant.sum()) for one in search.features}
    what = search.facts["searched"]
    if not any(have.values()):
        message = f"none of the {len(search.groups):,} {what} has one of {len(have)} features"
    else:
        message = f"no feature is in the {what} of two zoom-14 groups, so a search cannot find another one"
    return DataError(f"{message}: expected more regions", hints.again(region=["NAME", "ANOTHER"]))
