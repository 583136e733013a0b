"""Stages: made once, and hints that are complete when a stage is called from Python."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from workspace_artifacts import publish

from geojepa_cli import hints
from geojepa_cli.errors import NotFoundError, UsageError
from geojepa_cli.hints import Invocation
from geojepa_cli.stages.stage import Regions, Stage, as_command, find_regions
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.build import Build
from geojepa_cli.workspace.workspace import Workspace

STAGE = Stage("tiles", 7, lambda remains: hints.run("tile", region=remains.name), keep=("part-*",), registers=False)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "my ws")


def test_a_stage_makes_an_artifact_once_and_says_when_there_is_nothing_to_do(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = []

    def write(build: Build) -> Artifact:
        calls.append(build.id)
        return build.publish(counts={"rows": 1})

    source = publish(workspace)
    made = STAGE.make(workspace, "r", {"zoom": 1}, [source], write)
    assert made.manifest["stage_version"] == 7 and made.inputs == [source.full_ref]
    assert "up to date" not in capsys.readouterr().err
    assert STAGE.make(workspace, "r", {"zoom": 1}, [source], write) == made
    assert f"{made.full_ref} is up to date, skipping" in capsys.readouterr().err
    assert len(calls) == 1
    assert STAGE.make(workspace, "r", {"zoom": 2}, [source], write).id != made.id and len(calls) == 2


def test_a_stage_resumes_from_what_it_keeps(workspace: Workspace) -> None:
    def fail(build: Build) -> Artifact:
        (build.partial / "part-1").write_text("done")
        (build.partial / "other").write_text("half")
        raise RuntimeError

    def write(build: Build) -> Artifact:
        assert [path.name for path in build.partial.iterdir()] == ["part-1"]
        return build.publish()

    with pytest.raises(RuntimeError):
        STAGE.make(workspace, "r", {}, [], fail)
    assert STAGE.make(workspace, "r", {}, [], write).verify() == []


def test_regions_are_names_or_artifacts_and_come_once(workspace: Workspace) -> None:
    a, b = publish(workspace, name="a"), publish(workspace, name="b")
    of_a = publish(workspace, "tiles", "a", (a,))
    old_b = publish(workspace, "tiles", "b", (b,), zoom=1)
    new_b = publish(workspace, "tiles", "b", (b,), zoom=2)

    def refs(wanted: Regions) -> list[str]:
        return [artifact.ref for artifact in find_regions(workspace, "tiles", wanted)]

    assert refs("a") == refs(of_a) == refs([a, "a", of_a]) == [of_a.ref]
    assert refs(["b", "a"]) == [new_b.ref, of_a.ref]
    assert refs(old_b) == refs(old_b.ref) == [old_b.ref]
    with pytest.raises(UsageError, match="several regions"):
        refs(None)
    with pytest.raises(NotFoundError):
        refs("c")


@as_command("tile")
def tile(
    workspace: Workspace,
    region: Regions = None,
    model: Artifact | str | None = None,
    task: Artifact | None = None,
    zoom: int = 16,
    bbox: tuple[float, ...] | None = None,
    polygon: Path | None = None,
    keep_tags: Sequence[str] = (),
    set: dict[str, Any] | None = None,
    with_imagery: bool = False,
) -> None:
    """Always fails, with the hint to run the command with one thread."""
    raise UsageError("bad", hints.again(threads=1))


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ({}, ""),
        ({"region": "a"}, "--region a "),
        ({"region": ["a", "b c"]}, "--region a --region 'b c' "),
        ({"region": ("a", "b"), "zoom": 16}, "--region a --region b "),
        ({"zoom": 14, "polygon": Path("x.geojson")}, "--zoom 14 --polygon x.geojson "),
        ({"bbox": (-77.5, -40, 1.0, 2)}, "--bbox=-77.5,-40.0,1.0,2.0 "),
        ({"keep_tags": ["source:*", "x"]}, "--keep-tags 'source:*' --keep-tags x "),
        ({"with_imagery": True}, "--with-imagery "),
        ({"model": "tiny", "set": {"train.lr": 0.1}}, "--model tiny --set train.lr=0.1 "),
    ],
)
def test_the_hint_of_a_python_call_is_the_command_line_that_does_the_same(
    workspace: Workspace, arguments: dict[str, Any], options: str
) -> None:
    with pytest.raises(UsageError) as caught:
        tile(workspace, **arguments)
    assert str(caught.value.hint) == f"geojepa --workspace '{workspace.root}' tile {options}--threads 1"


def test_artifacts_become_the_options_that_name_them(workspace: Workspace) -> None:
    source = publish(workspace, name="us.pa")
    tiles = publish(workspace, "tiles", "us.pa", (source,))
    other = publish(workspace, "tiles", "b")
    task = publish(workspace, "tasks", "us.pa.bridge")
    model = publish(workspace, "models", "tiny")
    with pytest.raises(UsageError) as caught:
        tile(workspace, [tiles, other, "c"], model, task)
    options = f"--region us.pa --region b --region c --model {model.ref} --task bridge"
    assert str(caught.value.hint) == f"geojepa --workspace '{workspace.root}' tile {options} --threads 1"


def test_on_the_command_line_its_options_are_kept(workspace: Workspace) -> None:
    with hints.invocation(Invocation.parse(["tile", "--region", "typed"])), pytest.raises(UsageError) as caught:
        tile(workspace, "a", zoom=15)
    assert str(caught.value.hint) == "geojepa tile --region typed --threads 1"


def test_nothing_is_left_running_after_a_call(workspace: Workspace) -> None:
    with pytest.raises(UsageError):
        tile(workspace)
    assert hints.running() is None
