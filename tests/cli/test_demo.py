"""`geojepa demo`: every stage on a city with known answers, offline, and again without any work."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from commandline import COMMAND, artifact_names, geojepa, heed_ctrl_c, run

from geojepa_cli.commands.demo import ATTRIBUTION, check_answers
from geojepa_cli.demo.city import QUERY_TILE, make_city
from geojepa_cli.errors import DataError
from geojepa_cli.workspace.workspace import Workspace

NO_PROXY = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}  # nothing listens there
SMALL = ("demo", "--size", "small", "--steps", "2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def answer(folder: Path) -> dict[str, object]:
    return json.loads(run(*SMALL, "--json", cwd=folder, timeout=900, **NO_PROXY))  # type: ignore[no-any-return]


def test_every_stage_publishes_its_artifact(folder: Path, answer: dict[str, dict[str, object]]) -> None:
    made = {name.partition("/")[0] for name in artifact_names(folder / "workspace")}
    assert made == {
        "source", "tiles", "images", "processed", "features", "tasks", "models", "embeddings", "probes", "neighbours",
    }  # fmt: skip
    assert (folder / str(answer["result"]["page"])).read_text(encoding="utf-8").count("<svg") > 4


def test_an_invented_city_is_nobodys_but_the_demos(folder: Path, answer: dict[str, object]) -> None:
    workspace = Workspace(folder / "workspace")
    assert workspace.find("source", "demo").manifest["attribution"] == [ATTRIBUTION]
    footer = (folder / str(answer["result"]["page"])).read_text(encoding="utf-8").partition("<footer>")[2]  # type: ignore[index]
    assert "Demo city" in footer and "OpenStreetMap" not in footer


def test_the_labels_of_every_task_were_compared_with_the_known_answers(folder: Path, answer: dict[str, object]) -> None:
    workspace = Workspace(folder / "workspace")
    processed = workspace.find("processed", "demo")
    answers = make_city("small").answers
    for task in next(iter(answers.values())):
        made = workspace.find("tasks", f"demo.{task}")
        check_answers(answers, task, processed, made)
        wrong = answers | {QUERY_TILE: answers[QUERY_TILE] | {task: 7.5}}
        with pytest.raises(DataError, match=f"1 of 64 labels of `{task}` differ.*{QUERY_TILE}"):
            check_answers(wrong, task, processed, made)


def test_a_second_run_finds_everything_done(folder: Path, answer: dict[str, object]) -> None:
    before = artifact_names(folder / "workspace")
    done = geojepa(*SMALL, cwd=folder, timeout=900)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("up to date, skipping") >= 7
    assert artifact_names(folder / "workspace") == before
    assert done.stdout.rstrip().endswith("geojepa knn --tile 16_18052_25957")
    assert "neighbours.html" in done.stdout


@pytest.mark.parametrize(
    "command", [["knn", "--tile", QUERY_TILE], ["probe", "--task", "max_speed", "--head", "linear"]]
)
def test_the_next_commands_need_no_region_and_no_model(
    folder: Path, answer: dict[str, object], command: list[str]
) -> None:
    assert run(*command, cwd=folder, timeout=900)


def test_an_unknown_size_is_a_usage_error(tmp_path: Path) -> None:
    done: subprocess.CompletedProcess[str] = geojepa("demo", "--size", "huge", cwd=tmp_path)
    assert done.returncode == 2 and "--size full or --size small" in done.stderr
    assert not (tmp_path / "workspace").exists()


def test_ctrl_c_is_said_and_ends_with_130(tmp_path: Path) -> None:
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
        told = running.communicate(timeout=60)[1]
    assert running.returncode == 130
    assert "error: interrupted" in told and "Traceback" not in told
    assert not list((tmp_path / "workspace").glob("*/*@*.partial"))
