"""Definitions of entity tasks: those of the package, classes of values, and the example of the documentation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from geojepa_cli.tasks.entity_spec import find_entity_task, load_entity_task, packed_entity_tasks
from geojepa_cli.tasks.rules import RuleVocabulary

ROOT = Path(__file__).resolve().parents[2]


def test_the_package_has_five_entity_tasks_that_hide_their_key_in_every_spelling() -> None:
    tasks = packed_entity_tasks()
    assert set(tasks) == {"building_class", "road_class", "speed_class", "surface_class", "amenity_class"}
    for name, path in tasks.items():
        spec = find_entity_task(name)
        assert spec.name == name == path.stem and spec == load_entity_task(path)
        keys = [spec.key, f"{spec.key}:note", "name"]
        assert RuleVocabulary(keys, ["x"] * 3).matches(spec.hidden).tolist() == [True, True, False], name
        assert sum(len(values) for values in spec.classes.values()) == len(
            {value for values in spec.classes.values() for value in values}
        )


@pytest.mark.parametrize(
    ("task", "value", "name"),
    [
        ("building_class", "yes", None),
        ("building_class", "detached", "house"),
        ("road_class", "trunk_link", "motorway"),
        ("road_class", "construction", None),
        ("surface_class", "concrete:plates", "concrete"),
        ("surface_class", "paved", None),
        ("amenity_class", "bar;cafe", None),
        ("amenity_class", "bar", "bar"),
        ("speed_class", "30", "up to 30"),
        ("speed_class", "20 mph", "up to 30"),
        ("speed_class", "walk", "up to 20"),
        ("speed_class", "31", "up to 30"),
        ("speed_class", "40", "up to 50"),
        ("speed_class", "DE:urban", "up to 50"),
        ("speed_class", "130", "over 70"),
        ("speed_class", "none", None),
        ("speed_class", "signals", None),
    ],
)
def test_values_have_classes(task: str, value: str, name: str | None) -> None:
    assert find_entity_task(task).class_of(value) == name


def test_the_example_of_tasks_md_is_a_definition(tmp_path: Path) -> None:
    *_, text = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/tasks.md").read_text(), flags=re.S)
    (tmp_path / "barrier_class.yaml").write_text(text)
    spec = load_entity_task(tmp_path / "barrier_class.yaml")
    assert [spec.class_of(value) for value in ("guard_rail", "city_wall", "hedge", "kerb")] == [
        *("fence", "wall", "hedge"),
        None,
    ]
    assert spec.class_order == ("fence", "wall", "hedge")
