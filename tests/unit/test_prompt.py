"""Questions to language models, made from definitions of tasks."""

from __future__ import annotations

import pytest

from geojepa_cli.tasks.prompt import build_prompt
from geojepa_cli.tasks.spec import TaskSpec


def test_the_question_names_title_unit_limits_and_absent_value() -> None:
    label = {"kind": "max", "read": "speed_kmh", "tags": ["maxspeed"], "unit": "km/h"}
    label |= {"requires": ["highway"], "absent": -100, "clamp": [-100, None]}
    spec = TaskSpec.model_validate({"name": "speed", "title": "maximum speed", "label": label})
    text = build_prompt(spec, 10, 430, drawn=False)
    for part in ("10 images", "430 m", "maximum speed in km/h", "`highway=*`", "-100", '{"answers": ['):
        assert part in text
    assert "drawn" not in text and "drawn" in build_prompt(spec, 10, 430, drawn=True)
    bridge = TaskSpec.model_validate({"name": "b", "title": "bridge", "label": {"kind": "any", "tags": ["bridge"]}})
    assert "1 if the area has this, otherwise 0: bridge" in build_prompt(bridge, 1, 430, drawn=False)


@pytest.mark.parametrize(
    ("file", "asked"),
    [
        ({"reduce": "mean"}, "`Price`, the mean of the values in the area."),
        ({"reduce": "sum"}, "`Price`, the sum of the values in the area."),
        ({"reduce": "max"}, "`Price`, the largest of the values in the area."),
        ({"reduce": "nearest"}, "`Price`, the value nearest to the centre of the area."),
        ({"reduce": None}, "`Price`, the value for the area."),
        ({"reduce": "max", "binary": True}, "1 or 0, the value of `Price` for the area."),
    ],
)
def test_the_question_about_labels_of_a_file_names_the_column_and_not_openstreetmap(
    file: dict[str, object], asked: str
) -> None:
    label = {"kind": "file", "tags": [], "file": {"sha256": "0" * 64, "column": "Price", "bins": [1.0], **file}}
    text = build_prompt(TaskSpec.model_validate({"name": "p", "title": "Price", "label": label}), 10, 430, drawn=False)
    assert f"Estimate for each image: {asked}\n" in text and "OpenStreetMap" not in text
