"""Hints as people see them: whole commands that can be pasted."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from geojepa_cli import hints
from geojepa_cli.errors import UsageError
from geojepa_cli.hints import Hint, Invocation


def completed(line: str, hint: Hint) -> str:
    return str(hint.completed(Invocation.parse(shlex.split(line))))


@pytest.mark.parametrize(
    ("line", "hint", "shown"),
    [
        ("tile --region x --memory 5", hints.again(memory="512M"), "geojepa tile --region x --memory 512M"),
        (
            "--workspace 'my ws' tile --memory=5",
            hints.again(memory="512M"),
            "geojepa --workspace 'my ws' tile --memory 512M",
        ),
        ("--workspace w knn --tile a", hints.run("knn", tile="b"), "geojepa --workspace w knn --tile b"),
        (
            "knn --tile a --region r --model m --region s --html --json",
            hints.run("knn", tile="b"),
            "geojepa knn --tile b --region r --model m --region s --html",
        ),
        (
            "probe --task t --masked --model m",
            hints.run("probe", task="u"),
            "geojepa probe --task u --masked --model m",
        ),
        ("probe --region r --task t", hints.run("probe", task="u", region="s"), "geojepa probe --task u --region s"),
        ("embed --region r --model m", hints.run("process"), "geojepa process --region r"),
        ("fetch --region r", hints.run("fetch", pbf="FILE"), "geojepa fetch --pbf FILE"),
        (
            "--workspace w embed",
            hints.run("process", region="r").after(hints.shell("rm", "-r", "a geojepa b")),
            "rm -r 'a geojepa b' && geojepa --workspace w process --region r",
        ),
        (
            "--workspace=w tile --region r",
            hints.run("tile", region="a;b, c").or_else(hints.run("artifacts", prune=True)),
            "geojepa --workspace w tile --region 'a;b, c'  # or: geojepa --workspace w artifacts --prune",
        ),
        (
            "pretrain --set train.lr=-1 --set model.depth=2",
            hints.again(set={"train.lr": 0.001}),
            "geojepa pretrain --set model.depth=2 --set train.lr=0.001",
        ),
        ("--debug knn --k 0", hints.again(k=8), "geojepa knn --k 8"),
        ("tile --bbox=-3,1,2,3 --zoom 9", hints.again(zoom=16), "geojepa tile --bbox=-3,1,2,3 --zoom 16"),
        ("knn --k 9", hints.advice("remove one of both files"), "remove one of both files"),
        (
            "tile --region r",
            Hint(workspace="DIR").noting("on another disk"),
            "geojepa --workspace DIR tile --region r  # on another disk",
        ),
        (
            "tile --zoom 9",
            hints.run("process").noting("later").or_else(hints.again(zoom=16).noting("now")),
            "geojepa process  # later; or: geojepa tile --zoom 16  # now",
        ),
        (
            "tile --zoom 9",
            hints.again().after(hints.shell("rm", "x y").noting("it is\ndamaged")).noting("then again"),
            "rm 'x y' && geojepa tile --zoom 9  # it is damaged; then again",
        ),
        ("tile --zoom 9", hints.again(zoom=16).within(Path("w")), "geojepa --workspace w tile --zoom 16"),
        ("--workspace v tile", Hint(workspace="DIR").within(Path("w")), "geojepa --workspace DIR tile"),
        ("--workspace v tile", hints.shell("rm", "a b").within(Path("w")), "rm 'a b'"),
        ("tile --region r --region s", hints.again(region=["s"]), "geojepa tile --region s"),
    ],
)
def test_a_hint_takes_workspace_and_options_from_the_command_that_failed(line: str, hint: Hint, shown: str) -> None:
    assert completed(line, hint) == shown
    assert subprocess.run(["bash", "-n", "-c", shown], capture_output=True).returncode == 0


def test_without_a_running_command_a_hint_stands_alone() -> None:
    assert str(hints.run("tile", region="r").completed(None)) == "geojepa tile --region r"
    assert str(hints.again(zoom=16).completed(None)) == "--zoom 16"


def test_the_default_workspace_is_named_where_the_environment_names_another(monkeypatch: pytest.MonkeyPatch) -> None:
    hint = hints.run("tile").within(Path(hints.DEFAULT_WORKSPACE))
    assert str(hint) == "geojepa tile"
    monkeypatch.setenv(hints.WORKSPACE_VARIABLE, "other")
    assert str(hint) == "geojepa --workspace workspace tile"


def test_the_hint_of_an_error_is_completed_where_it_is_raised() -> None:
    with hints.invocation(Invocation("tile", (("--region", "r"),), "w")):
        error = UsageError("bad", hints.again(zoom=16))
    assert str(error.hint) == "geojepa --workspace w tile --region r --zoom 16"


def test_the_outermost_command_is_the_one_that_hints_repeat() -> None:
    with hints.invocation(Invocation("demo")), hints.invocation(Invocation("tile")):
        assert hints.running() == Invocation("demo")
    assert hints.running() is None


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ({"region": ["a", "b"]}, ["--region", "a", "--region", "b"]),
        ({"min_entities": 3}, ["--min-entities", "3"]),
        ({"masked": True, "html": False, "name": None}, ["--masked"]),
        ({"pbf": Path("x y.pbf")}, ["--pbf", "x y.pbf"]),
        ({"bbox": "-1,0,1,2"}, ["--bbox=-1,0,1,2"]),
    ],
)
def test_keyword_arguments_become_options(named: dict[str, hints.Value], words: list[str]) -> None:
    assert hints.option_words(hints.as_options(named)) == words


def test_pasted_words_come_back_as_they_were() -> None:
    words = ["geojepa", "fetch", "--pbf", "a;rm -rf x.osm.pbf", "--name", "it's"]
    assert shlex.split(hints.paste(*words)) == words
