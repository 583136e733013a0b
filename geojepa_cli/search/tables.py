"""Converts search results to CSV (RFC 4180)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence

from geojepa_cli.console import printable
from geojepa_cli.search.results import SearchResult

COLUMNS = (
    "rank", "place", "top_percent", "score", "score_kind", "part_scores", "region", "tile", "entity", "record_id",
    "lon", "lat", "entities", "reason", "tags", "url",
)  # fmt: skip


def to_csv(results: Sequence[SearchResult]) -> str:
    """Returns the neighbours of a query as a table with the columns `COLUMNS`, one line each.

    Tags are a JSON object, so a spreadsheet reads none of them as a formula. Control characters are escaped.
    """
    out = io.StringIO(newline="")
    table = csv.writer(out)
    table.writerow(COLUMNS)
    for result in results:
        found = result.to_json()
        found["tags"] = json.dumps(found["tags"], ensure_ascii=False)
        found["part_scores"] = " ".join(map(str, found.get("part_scores", ())))
        table.writerow([printable(str(found.get(name) if found.get(name) is not None else "")) for name in COLUMNS])
    return out.getvalue()
