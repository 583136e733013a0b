"""`geojepa build-tasks` as a user runs it, on a small workspace of random artifacts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commandline import artifact_names, geojepa, run
from synthetic_workspace import add_region, new_workspace

from geojepa_cli.tasks.spec import find_task

PARK = """
name: park_area
title: parks
label: {kind: sum, of: area_m2, tags: [landuse=grass], unit: m²}
mask: {entities: [landuse=grass]}
keep_zero: 0.5
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("build-tasks")
    add_region(new_workspace(folder / "workspace"), "north", seed=1)
    add_region(new_workspace(folder / "workspace"), "south", seed=2, corner=(18048, 25990))
    return folder


def test_all_five_tasks_are_made_for_every_region_and_a_second_run_says_so(folder: Path) -> None:
    first = geojepa("build-tasks", "--region", "north", "--region", "south", cwd=folder)
    assert first.returncode == 0, first.stderr
    for word in ("bridge", "max_speed", "AUROC", "train/val/test", "test_unthinned"):
        assert word in first.stdout
    assert "test groups" in first.stderr
    made = [name for name in artifact_names(folder / "workspace") if name.startswith("tasks/")]
    assert len(made) == 10
    again = geojepa("build-tasks", "--region", "north", "--region", "south", cwd=folder)
    assert "5 of 5 tasks of `north` are up to date" in again.stderr
    assert again.stdout == first.stdout
    assert [name for name in artifact_names(folder / "workspace") if name.startswith("tasks/")] == made


def test_json_answers_hold_the_report(folder: Path) -> None:
    answer = json.loads(run("build-tasks", "--region", "north", "--task", "bridge", "--json", cwd=folder))
    assert answer["command"] == "build-tasks"
    assert answer["artifact"].startswith("north.bridge@")
    result = answer["result"]
    assert sum(part["tiles"] for part in result["splits"].values()) == result["tiles"]["kept"]
    for part in (*result["splits"].values(), result["test_unthinned"]):
        assert sum(count for _, count in part["histogram"]) == part["tiles"]
    assert result["strongest"]["measure"] == "auroc"


def test_json_of_several_artifacts_is_one_document_with_a_list(folder: Path) -> None:
    command = ["build-tasks", "--region", "north", "--region", "south", "--task", "bridge", "--task", "max_speed"]
    answer = json.loads(run(*command, "--json", cwd=folder))
    assert set(answer) == {"schema", "command", "artifact", "result"}
    names = [ref.partition("@")[0] for ref in answer["artifact"]]
    assert names == ["north.bridge", "south.bridge", "north.max_speed", "south.max_speed"]
    assert [result["task"] for result in answer["result"]] == ["bridge", "bridge", "max_speed", "max_speed"]


def test_one_task_that_is_up_to_date_is_said_in_the_singular(tmp_path: Path) -> None:
    add_region(new_workspace(tmp_path / "workspace"), "r", seed=3)
    run("build-tasks", "--task", "bridge", cwd=tmp_path)
    told = geojepa("build-tasks", "--task", "bridge", "--task", "max_speed", cwd=tmp_path).stderr
    assert "1 of 2 tasks of `r` is up to date" in told


def test_a_task_named_like_a_packed_one_is_warned_of_where_it_differs(folder: Path) -> None:
    (folder / "mine.yaml").write_text(PARK.replace("park_area", "bridge"))
    told = geojepa("build-tasks", "--region", "south", "--task", "mine.yaml", cwd=folder).stderr
    assert "`mine.yaml` is named like the packed task `bridge`" in told
    same = find_task("car_bridge").to_yaml()
    (folder / "same.yaml").write_text(same)
    told = geojepa("build-tasks", "--region", "south", "--task", "same.yaml", cwd=folder).stderr
    assert "packed task" not in told


def test_limits_that_leave_no_tile_are_refused_with_those_that_would_leave_some(folder: Path) -> None:
    done = geojepa("build-tasks", "--region", "north", "--min-entities", "5000", "--max-entities", "9000", cwd=folder)
    assert done.returncode == 1 and done.stdout == ""
    assert "no tile of `north` has 5,000 to 9,000 entities: its " in done.stderr
    wider = done.stderr.split("hint: ")[1].split()
    assert wider[:2] == ["geojepa", "build-tasks"]
    assert run(*wider[1:], "--task", "bridge", cwd=folder)


def test_a_task_of_ones_own_is_built_from_its_file(folder: Path) -> None:
    (folder / "park.yaml").write_text(PARK)
    answer = json.loads(run("build-tasks", "--region", "north", "--task", "park.yaml", "--json", cwd=folder))
    assert answer["artifact"].startswith("north.park_area@")
    assert answer["result"]["mask"]["entities masked whole"] > 0
    assert answer["result"]["strongest"]["measure"] == "spearman"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--region", "north", "--task", "max_sped"], "did you mean `max_speed`"),
        (["--region", "nort"], "`north`"),
        (["--region", "north", "--task", "missing.yaml"], "no file `missing.yaml`"),
        (["--region", "north", "--seed", str(2**63)], "--seed"),
        (["--region", "north", "--seed", "-1"], "--seed"),
        (["--region", "north@"], "no id after the `@`"),
        (["--region", "north", "--min-entities", "9", "--max-entities", "8"], "--min-entities 9"),
        ([], "which of"),
    ],
)
def test_wrong_arguments_are_refused_with_exit_code_2_and_nothing_is_made(
    folder: Path, arguments: list[str], says: str
) -> None:
    before = artifact_names(folder / "workspace")
    done = geojepa("build-tasks", *arguments, cwd=folder)
    assert done.returncode == 2
    assert says in done.stderr
    assert artifact_names(folder / "workspace") == before


def test_an_empty_split_is_an_error_on_request(tmp_path: Path) -> None:
    add_region(new_workspace(tmp_path / "workspace"), "tiny", n_tiles=12)
    done = geojepa("build-tasks", "--need-splits", cwd=tmp_path)
    assert done.returncode == 1
    assert "falls into" in done.stderr
    assert "hint" in done.stderr
    assert geojepa("build-tasks", cwd=tmp_path).returncode == 0
