"""`geojepa build-tasks --folds` as a user runs it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from commandline import artifact_names, call, run_main
from synthetic_workspace import add_region, new_workspace


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with one region of 16 zoom-14 groups."""
    folder = tmp_path_factory.mktemp("folds")
    add_region(new_workspace(folder / "workspace"), "north", seed=1)
    return folder


def test_an_empty_fold_is_a_warning_too_and_probe_skips_it(folder: Path) -> None:
    command = ["--region", "north", "--task", "building_count"]
    done = call("build-tasks", *command, "--folds", "16", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "`fold " in done.stderr and "too few groups for this value of `--folds`" in done.stderr
    report = json.loads(run_main("probe", *command, "--head", "linear", "--model", "tagpool", "--json", cwd=folder))[
        "result"
    ]
    assert report["evaluation"] == "task folds" and report["tiles"] > 20
    run_main("build-tasks", *command, cwd=folder)  # the newest again


def test_more_folds_than_groups_are_refused_and_all_folds_fit_into_one_table(folder: Path) -> None:
    before = artifact_names(folder / "workspace")
    command = ["build-tasks", "--region", "north", "--task", "building_count", "--task", "max_speed"]
    for folds, says in ((17, "but the tiles are in 16 zoom-14 groups"), (21, "`--folds 21`: expected 2 to 20")):
        done = call(*command, "--folds", folds, cwd=folder)
        assert done.returncode == 2 and says in " ".join(done.stderr.split())
    assert artifact_names(folder / "workspace") == before
    output = run_main(*command, "--folds", "12", cwd=folder)
    assert max(len(line) for line in output.splitlines() if line.startswith("│")) <= 140
    table = output.partition("\nfolds\n")[2].splitlines()
    rows = [re.findall(r"\d+", line) for line in table if re.match(r"│ +\d+ │ +\d+ / \d+ +│ +\d+ / \d+ +│", line)]
    assert [int(row[0]) for row in rows] == list(range(12))
    reports = json.loads(run_main(*command, "--folds", "12", "--json", cwd=folder))["result"]
    for column, report in enumerate(reports):
        got = [(int(row[1 + 2 * column]), int(row[2 + 2 * column])) for row in rows]
        assert got == [(fold["tiles"], fold["groups"]) for fold in report["folds"]]
    run_main("build-tasks", "--region", "north", "--task", "building_count", "--task", "max_speed", cwd=folder)
