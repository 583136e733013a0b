"""GeoJSON files that tests write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def collection(*features: tuple[dict[str, Any], Any]) -> dict[str, Any]:
    """A feature collection of pairs of properties and geometry."""
    found = [{"type": "Feature", "properties": tags, "geometry": shape} for tags, shape in features]
    return {"type": "FeatureCollection", "features": found}


def write(path: Path, content: Any) -> Path:
    """Writes text, or anything else as JSON. Returns the path."""
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path
