"""Hints as they are shown: they can be pasted as they stand."""

from __future__ import annotations

import shlex

import pytest

from geojepa_cli.hints import CommandLine, paste


@pytest.mark.parametrize(
    ("line", "hint", "shown"),
    [
        ("tile --region x --memory 5", "--memory 512M", "geojepa tile --region x --memory 512M"),
        ("--workspace 'my ws' tile --memory=5", "--memory 512M", "geojepa --workspace 'my ws' tile --memory 512M"),
        ("--workspace w knn --tile a", "geojepa knn --tile b", "geojepa --workspace w knn --tile b"),
        (
            "knn --tile a --region r --model m --region s --html --json",
            "geojepa knn --tile b",
            "geojepa knn --tile b --region r --model m --region s --html",
        ),
        ("probe --task t --masked --model m", "geojepa probe --task u", "geojepa probe --task u --masked --model m"),
        ("probe --region r --task t", "geojepa probe --task u --region s", "geojepa probe --task u --region s"),
        ("embed --region r --model m", "geojepa process", "geojepa process --region r"),
        ("fetch --region r", "geojepa fetch --pbf FILE", "geojepa fetch --pbf FILE"),
        (
            "--workspace w embed",
            "rm -r 'a geojepa b' && geojepa process --region r",
            "rm -r 'a geojepa b' && geojepa --workspace w process --region r",
        ),
        (
            "--workspace=w tile --region r",
            "geojepa tile --region 'a;b, c', or `geojepa artifacts --prune`",
            "geojepa --workspace w tile --region 'a;b, c', or `geojepa --workspace w artifacts --prune`",
        ),
        (
            "pretrain --set train.lr=-1 --set model.depth=2",
            "--set train.lr=0.001",
            "geojepa pretrain --set model.depth=2 --set train.lr=0.001",
        ),
        ("--debug knn --k 0", "--k 8", "geojepa knn --k 8"),
        ("tile --bbox=-3,1,2,3 --zoom 9", "--zoom 16", "geojepa tile --bbox=-3,1,2,3 --zoom 16"),
        ("knn", "--min-entities 3 or more", "--min-entities 3 or more"),  # prose stays
        ("", "--zoom 16", "--zoom 16"),
    ],
)
def test_a_hint_keeps_workspace_region_and_model_and_becomes_a_whole_command(line: str, hint: str, shown: str) -> None:
    assert CommandLine.of(shlex.split(line)).complete(hint) == shown


def test_pasted_words_come_back_as_they_were() -> None:
    words = ["geojepa", "fetch", "--pbf", "a;rm -rf x.osm.pbf", "--name", "it's"]
    assert shlex.split(paste(*words)) == words
