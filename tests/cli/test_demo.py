"""`geojepa demo`: every stage on a city with known answers, offline; a second run has nothing to do."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from commandline import COMMAND, artifact_names, geojepa, heed_ctrl_c, run
from demo_workspace import SMALL, DemoCity

from geojepa_cli.demo.city import QUERY_TILE, make_city
from geojepa_cli.errors import DataError
from geojepa_cli.stages.demo import ATTRIBUTION, check_answers
from geojepa_cli.workspace.workspace import Workspace


def test_every_stage_publishes_its_artifact(demo_city: DemoCity) -> None:
    made = {name.partition("/")[0] for name in artifact_names(demo_city.folder / "workspace")}
    assert made == {
        "source", "tiles", "images", "photos", "processed", "features", "tasks", "models", "embeddings", "probes",
        "neighbours",
    }  # fmt: skip
    assert (demo_city.folder / demo_city.answer["result"]["page"]).read_text(encoding="utf-8").count("<svg") > 4


def test_the_invented_city_is_attributed_to_the_demo_alone(demo_city: DemoCity) -> None:
    workspace = Workspace(demo_city.folder / "workspace")
    assert workspace.find("source", "demo").manifest["attribution"] == [ATTRIBUTION]
    footer = (
        (demo_city.folder / demo_city.answer["result"]["page"]).read_text(encoding="utf-8").partition("<footer>")[2]
    )
    assert "Demo city" in footer and "OpenStreetMap" not in footer


def test_the_labels_of_every_task_were_compared_with_the_known_answers(demo_city: DemoCity) -> None:
    workspace = Workspace(demo_city.folder / "workspace")
    processed = workspace.find("processed", "demo")
    answers = make_city("small").answers
    for task in next(iter(answers.values())):
        made = workspace.find("tasks", f"demo.{task}")
        check_answers(answers, task, processed, made)
        wrong = answers | {QUERY_TILE: answers[QUERY_TILE] | {task: 7.5}}
        with pytest.raises(DataError, match=f"1 of 64 labels of the task `{task}` are wrong.*{QUERY_TILE}"):
            check_answers(wrong, task, processed, made)


def test_a_second_run_has_nothing_to_do(demo_city: DemoCity) -> None:
    before = artifact_names(demo_city.folder / "workspace")
    done = geojepa(*SMALL, cwd=demo_city.folder, timeout=900)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("up to date, skipping") >= 7
    assert artifact_names(demo_city.folder / "workspace") == before
    assert done.stdout.rstrip().endswith("geojepa knn --tile 16_18052_25957")
    assert "neighbours.html" in done.stdout


@pytest.mark.parametrize(
    "command", [["knn", "--tile", QUERY_TILE], ["probe", "--task", "max_speed", "--head", "linear"]]
)
def test_the_next_commands_need_no_region_and_no_model(demo_city: DemoCity, command: list[str]) -> None:
    assert run(*command, cwd=demo_city.folder, timeout=900)


def test_an_unknown_size_is_a_usage_error(tmp_path: Path) -> None:
    done: subprocess.CompletedProcess[str] = geojepa("demo", "--size", "huge", cwd=tmp_path)
    assert (
        done.returncode == 2
        and "expected full or small" in done.stderr
        and "hint: geojepa demo --size full" in done.stderr
    )
    assert not (tmp_path / "workspace").exists()


def test_ctrl_c_ends_with_130_and_a_hint_to_resume(tmp_path: Path) -> None:
    with subprocess.Popen(
        [*COMMAND, "demo"],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_ctrl_c,
    ) as running:
        while not list(tmp_path.glob("geojepa-demo-*/images/*")):
            assert running.poll() is None
            time.sleep(0.01)
        running.send_signal(signal.SIGINT)
        shown = running.communicate(timeout=60)[1]
    assert running.returncode == 130
    assert "error: interrupted" in shown and "hint: geojepa demo  # to resume" in shown and "Traceback" not in shown
    assert not list((tmp_path / "workspace").glob("*/*@*.partial"))
