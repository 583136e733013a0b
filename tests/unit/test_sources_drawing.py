"""Drawn entities: files that are refused, and values of tags."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from geojson_files import collection, write

from geojepa_cli.errors import DataError
from geojepa_cli.sources.drawing import read_drawing

POINT = {"type": "Point", "coordinates": [10.0, 50.0]}


def test_values_become_texts_and_drawing_programs_leave_no_tags(tmp_path: Path) -> None:
    tags = {"building": True, "oneway": False, "lanes": 2, "height": 3.5, "name": "", "note": None, "stroke": "#f00"}
    (one,) = read_drawing(write(tmp_path / "d.geojson", collection((tags, POINT)))).entities
    assert one.tags == {"building": "yes", "oneway": "no", "lanes": "2", "height": "3.5"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read as GeoJSON"),
        ("[]", "cannot be read as GeoJSON"),
        (collection(), "is empty"),
        (collection(({}, POINT)), "feature 1: the feature has no tag"),
        (collection(({"highway": "stop"}, None)), "feature 1: there is no geometry"),
        (collection(({"highway": ["a"]}, POINT)), "`highway` is a list"),
        (collection(({"highway": "x" * 300}, POINT)), "more than 255"),
        (collection(({"a": "b"}, {"type": "Point", "coordinates": [400.0, 50.0]})), "not on the map"),
        (collection(({"a": "b"}, {"type": "MultiPoint", "coordinates": [[1, 1], [2, 2]]})), "MultiPoint"),
        (
            collection(({"a": "b"}, {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [0, 1], [1, 0], [0, 0]]]})),
            "not valid",
        ),
    ],
)
def test_bad_drawings_are_refused(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_drawing(write(tmp_path / "bad.geojson", content))
