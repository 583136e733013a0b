"""Texts of tags: from the schema, or of their key only."""

from __future__ import annotations

import json
from importlib import resources

import pytest

from geojepa_cli.tags.descriptions import Source, describe, describe_key, load_descriptions


@pytest.mark.parametrize(
    ("tag", "words"),
    [
        ("amenity=cafe", {"cafe", "coffee"}),
        ("bicycle=no", {"bicycles", "prohibited"}),
        ("bicycle=yes", {"bicycles", "allowed"}),
        ("highway=traffic_signals", {"traffic", "signals"}),
        ("building=house", {"house", "dwelling"}),
        ("footway=crossing", {"pedestrian", "crossing"}),
        ("surface=asphalt", {"surface", "asphalt"}),
        ("aeroway=runway", {"runway"}),
    ],
)
def test_a_tag_of_the_schema_has_its_names_terms_and_option_titles(tag: str, words: set[str]) -> None:
    text, source = describe(*tag.split("="))
    assert source is Source.DESCRIBED
    assert text.startswith(f"{tag}: ")
    assert all(word in text.lower() for word in words)


def test_a_described_tag_keeps_its_text_even_where_it_occurs_once() -> None:
    assert describe("aeroway", "runway", count=1) == describe("aeroway", "runway", count=1000)


def test_a_value_without_a_title_is_described_with_the_label_of_its_key() -> None:
    assert describe("maxspeed", "35 mph", 2) == ("maxspeed=35 mph: Speed Limit: 35 mph", Source.DESCRIBED)
    assert describe("lit", "yes", 2) == ("lit=yes: present: Lit", Source.DESCRIBED)
    assert describe("lit", "no", 2) == ("lit=no: absent: Lit", Source.DESCRIBED)


def test_a_key_that_the_schema_lacks_stays_plain() -> None:
    assert describe("lamp_sort", "electric", 2) == ("lamp_sort=electric", Source.PLAIN)


def test_a_rare_undescribed_value_falls_back_to_its_key() -> None:
    assert describe("lamp_sort", "electric", 1) == ("lamp_sort", Source.KEY)
    assert describe("maxspeed", "37 mph", 1) == ("maxspeed: Speed Limit", Source.KEY)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "Main Street"), ("name:en", "x"), ("addr:housenumber", "12"), ("addr:full", "1 Main Street"),
        ("ref", "I 485"), ("ref:penndot", "3014"), ("phone", "+1 704 555 0100"), ("contact:phone", "x"),
        ("operator", "Duke"), ("brand:wikidata", "Q38076"), ("opening_hours", "24/7"), ("start_date", "1990"),
        ("height", "13.5"), ("ele", "214"), ("capacity", "120"), ("roof:colour", "#aabbcc"), ("fee_note", "a" * 61),
    ],
)  # fmt: skip
def test_names_numbers_and_free_text_fall_back_to_their_key_however_often_they_occur(key: str, value: str) -> None:
    assert describe(key, value, count=500) == describe_key(key)
    assert describe_key(key).text.startswith(key)
    assert describe_key(key).source is Source.KEY


@pytest.mark.parametrize(
    ("key", "value"), [("lanes", "4"), ("building:levels", "12"), ("layer", "-1"), ("maxspeed", "110")]
)
def test_small_numbers_and_speed_limits_keep_their_value(key: str, value: str) -> None:
    text, source = describe(key, value, count=2)
    assert source is Source.DESCRIBED
    assert text.startswith(f"{key}={value}: ")


def test_a_list_of_described_values_joins_their_descriptions() -> None:
    text, source = describe("sport", "tennis;basketball", 1)
    assert source is Source.DESCRIBED
    assert "tennis" in text.lower().split(": ", 1)[1] and "basketball" in text.lower().split(": ", 1)[1]


def test_a_value_may_hold_an_equals_sign() -> None:
    assert describe("odd", "a=b", 2).text == "odd=a=b"


def test_the_data_file_has_one_sorted_entry_a_line() -> None:
    lines = resources.files("geojepa_cli.tags").joinpath("descriptions.json").read_text(encoding="utf-8").splitlines()
    start = lines.index('"tags": {') + 1
    names = [json.loads(line[: line.index('": ') + 1]) for line in lines[start:-2]]
    assert len(names) > 2500
    assert names == sorted(names)
    assert set(names) == set(load_descriptions().tags)
    assert "6.19.2" in load_descriptions().version


def test_the_licence_of_the_schema_is_packed_with_its_excerpt() -> None:
    text = resources.files("geojepa_cli.tags").joinpath("LICENSE-id-tagging-schema.md").read_text(encoding="utf-8")
    assert "ISC License" in text and "iD Contributors" in text
