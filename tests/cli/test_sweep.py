"""`geojepa sweep`: real models and probes on random regions, failures, interruption, workers and wrong files."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commandline import invoke, refused
from demo_workspace import DemoCity
from synthetic_workspace import add_region

from geojepa_cli import Workspace, stages
from geojepa_cli.errors import DataError, InterruptedRunError, UsageError
from geojepa_cli.stages import sweep_jobs
from geojepa_cli.workspace.artifact import Artifact

SMALL = (
    "set: {model.tag_dim: 16, model.depth: 1, model.embed_dim: 16, model.num_heads: 2, model.predictor_depth: 1, "
    "data.min_entities: 1, train.max_steps: 1}\n"
)
TWO = SMALL + "settings: {loss.regulariser: [vicreg, none]}\nseeds: 2\nregions: [home]\nmasked: true\n"
BASELINE = "tagpool-counts"
NAMES = ("regulariser_vicreg", "regulariser_none")
DUMMY = "dummy (median)"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """`home` to train on, and `far` with two tasks to test on."""
    made = Workspace(tmp_path_factory.mktemp("sweeps") / "workspace")
    add_region(made, "home", 0, 60)
    add_region(made, "far", 2, 300, corner=(19000, 25956))
    stages.build_tasks(made, "far", ["building_count", "max_speed"])
    return made


@pytest.fixture(scope="module")
def two(workspace: Workspace) -> Artifact:
    """A sweep of two trials with two seeds."""
    return stages.sweep(workspace, written(workspace, "two.yaml", TWO))


def written(workspace: Workspace, name: str, text: str) -> Path:
    path = workspace.root.parent / name
    path.write_text(text, encoding="utf-8")
    return path


def rows_of(made: Artifact) -> dict[str, dict[str, Any]]:
    (table,) = made.read_json("sweep.json")["tables"]
    return {row["trial"]: row for row in table["rows"]}


def probe_errors(workspace: Workspace, model: str, task: str) -> tuple[dict[str, float], dict[str, float]]:
    """The absolute errors of a model and of Dummy by tile, from the file of a single probe."""
    probe = workspace.find("probes", f"{task}.{model}")
    lines = csv.DictReader(io.StringIO(probe.file("predictions.csv").read_text(encoding="utf-8")))
    kept = [line for line in lines if line["kept"] == "1"]
    errors = [
        {line["tile"]: abs(float(line[column]) - float(line["label"])) for line in kept}
        for column in (f"{model}_linear", "dummy_median")
    ]
    return errors[0], errors[1]


def test_scores_and_paired_differences_are_those_of_the_single_probes(workspace: Workspace, two: Artifact) -> None:
    rows = rows_of(two)
    assert list(rows)[2] == BASELINE and set(rows) == {*NAMES, BASELINE}
    assert [row["rank"] for row in rows.values()] == [1, 2, None]
    expected: dict[str, float] = {}
    for name in NAMES:
        ratios = []
        for task in ("building_count", "max_speed"):
            for seed in (0, 1):
                errors, dummy = probe_errors(workspace, f"two-{name}-seed{seed}", task)
                ratios.append(np.mean(list(errors.values())) / np.mean(list(dummy.values())))
        expected[name] = float(np.mean(ratios))
        assert rows[name]["score"] == pytest.approx(expected[name], abs=1e-4)
        assert len(rows[name]["seeds"]) == 2 and rows[name]["steps"] == 1 and rows[name]["tokens"] > 0
        assert rows[name]["protocol"] == "transfer"
    ranked = sorted(expected, key=lambda name: rows[name]["rank"])
    assert rows[ranked[0]]["score"] <= rows[ranked[1]]["score"]
    ratios = []
    for task in ("building_count", "max_speed"):
        errors, dummy = probe_errors(workspace, BASELINE, task)
        ratios.append(np.mean(list(errors.values())) / np.mean(list(dummy.values())))
    assert rows[BASELINE]["score"] == pytest.approx(np.mean(ratios), abs=1e-4)
    reference, other = NAMES
    assert rows[reference]["verdict"] == "reference" and rows[reference]["difference"]["value"] == 0
    assert rows[other]["difference"]["value"] == pytest.approx(expected[other] - expected[reference], abs=1e-4)
    assert rows[other]["difference"]["low"] <= rows[other]["difference"]["value"] <= rows[other]["difference"]["high"]


def test_models_are_ordinary_and_a_second_run_skips_everything(workspace: Workspace, two: Artifact) -> None:
    (model,) = workspace.artifacts("models", "two-regulariser_none-seed1")
    assert model.params["seed"] == 1 and model.params["config"]["loss"]["regulariser"] == "none"
    assert {ref.partition("/")[0] for ref in two.inputs} == {"models", "probes"} and not two.verify()
    before = {path: path.stat().st_ino for path in workspace.root.glob("*/*/*")}
    done = invoke(workspace, "sweep", workspace.root.parent / "two.yaml")
    assert done.exit_code == 0 and "sweeps/two@" in done.stderr and "is up to date, skipping" in done.stderr
    shown = " ".join(done.stdout.split())
    assert "fewer than 3 seeds, no trial is called better" in shown and "confirm it on other regions" in shown
    assert "differences from the trial regulariser_vicreg;" in shown
    assert "regulariser_none" in done.stdout
    assert {path: path.stat().st_ino for path in workspace.root.glob("*/*/*")} == before
    lines = list(csv.DictReader(io.StringIO(two.file("sweep.csv").read_text(encoding="utf-8"))))
    assert [line["trial"] for line in lines] == list(rows_of(two))
    assert "## Head linear" in two.file("sweep.md").read_text(encoding="utf-8")


def test_the_artifact_has_a_file_that_makes_it_again(workspace: Workspace, two: Artifact) -> None:
    hint = str(two.rebuild_hint())
    assert hint.endswith(f"sweep {two.file('sweep.yaml')}")
    assert stages.sweep(workspace, two.file("sweep.yaml")) == two


def test_a_trial_that_fails_is_recorded_and_the_others_continue(workspace: Workspace) -> None:
    settings = "settings: {train.lr: [0.001, 100]}\nregions: [home]\ntasks: [max_speed]\n"
    text = (
        SMALL.replace(
            "max_steps: 1", "max_steps: 30, train.batch_tokens: 200, train.warmup: 0, train.grad_clip: 1.0e+6"
        )
        + settings
    )
    done = invoke(workspace, "sweep", written(workspace, "hot.yaml", text), "--json", "--threads", 1)
    assert done.exit_code == 0, done.output
    rows = {row["trial"]: row for row in json.loads(done.stdout)["result"]["tables"][0]["rows"]}
    assert rows["lr0.001"]["rank"] == 1 and not rows["lr0.001"]["error"]
    if not rows["lr100"]["error"]:
        pytest.fail("the training with a learning rate of 100 did not fail")
    assert rows["lr100"]["rank"] is None and rows["lr100"]["score"] is None
    assert "is not finite" in rows["lr100"]["error"] and "trial `lr100` failed" in done.stderr
    assert rows["lr0.001"]["verdict"] == "reference"
    made = workspace.find("sweeps", "hot")
    assert "failed: " in made.file("sweep.md").read_text(encoding="utf-8") and made.counts["failed"] == 1


def fail_trial(monkeypatch: pytest.MonkeyPatch, trial: str, error: Exception) -> None:
    """Lets the training of one trial fail."""
    original = sweep_jobs.pretrain

    def pretrain(workspace: Workspace, config: Path, *rest: Any, **more: Any) -> Artifact:
        if config.stem == trial:
            raise error
        return original(workspace, config, *rest, **more)

    monkeypatch.setattr(sweep_jobs, "pretrain", pretrain)


def test_without_the_reference_trial_no_differences_are_announced(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_trial(monkeypatch, "lr0.01", DataError("no luck"))
    text = SMALL + "settings: {train.lr: [0.01, 0.02]}\nregions: [home]\ntasks: [max_speed]\n"
    done = invoke(workspace, "sweep", written(workspace, "lost.yaml", text), "--threads", 1)
    says = "no differences are shown, because the reference trial lr0.01 failed"
    assert done.exit_code == 0 and says in " ".join(done.stdout.split())
    assert "differences from the trial" not in done.stdout
    made = workspace.find("sweeps", "lost")
    assert says in made.file("sweep.md").read_text(encoding="utf-8")
    assert all(row["difference"] is None for row in rows_of(made).values())


def test_running_out_of_memory_fails_one_trial_only(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_trial(monkeypatch, "min_entities2", RuntimeError("CUDA out of memory. Tried to allocate 2 TiB"))
    text = SMALL.replace("data.min_entities: 1, ", "") + "settings: {data.min_entities: [1, 2]}\nregions: [home]\n"
    rows = rows_of(stages.sweep(workspace, written(workspace, "memory.yaml", text)))
    assert rows["min_entities2"]["error"] == "not enough memory" and rows["min_entities1"]["rank"] == 1
    with pytest.raises(DataError, match="all trials failed; the first error: not enough memory"):
        only = text.replace("[1, 2]", "[2]")
        stages.sweep(workspace, written(workspace, "memory.yaml", only))


def test_an_interrupted_sweep_continues_with_the_models_it_has(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = SMALL + "settings: {train.lr: [0.01, 0.02]}\nregions: [home]\ntasks: [max_speed]\n"
    file = written(workspace, "stopped.yaml", text)
    original = sweep_jobs.pretrain

    def stopped(workspace: Workspace, config: Path, *rest: Any, **more: Any) -> Artifact:
        if config.stem == "lr0.02":
            raise KeyboardInterrupt
        return original(workspace, config, *rest, **more)

    monkeypatch.setattr(sweep_jobs, "pretrain", stopped)
    with pytest.raises(InterruptedRunError, match="1 of 2 models are finished") as caught:
        stages.sweep(workspace, file)
    assert str(caught.value.hint).endswith(f"sweep {file}  # to resume")
    assert workspace.names("sweeps").count("stopped") == 0
    (first,) = workspace.artifacts("models", "stopped-lr0.01-seed0")
    inode = first.file("weights.safetensors").stat().st_ino
    monkeypatch.undo()
    made = stages.sweep(workspace, file)
    assert first.file("weights.safetensors").stat().st_ino == inode
    assert {row["rank"] for row in rows_of(made).values()} == {1, 2, None}


def test_workers_are_processes_and_make_the_same_table(workspace: Workspace, two: Artifact) -> None:
    text = TWO.replace("seeds: 2", "seeds: 1").replace("settings", "name: pair\nsettings")
    made = stages.sweep(workspace, written(workspace, "pair.yaml", text), workers=2)
    rows, expected = rows_of(made), rows_of(two)
    for name in NAMES:
        assert rows[name]["seeds"] == expected[name]["seeds"][:1]
        mine, theirs = (workspace.find("models", f"{sweep}-{name}-seed0") for sweep in ("pair", "two"))
        assert mine.manifest["files"]["weights.safetensors"] == theirs.manifest["files"]["weights.safetensors"]


def test_ray_makes_the_same_table(workspace: Workspace, two: Artifact) -> None:
    ray = pytest.importorskip("ray")
    text = TWO.replace("seeds: 2", "seeds: 1").replace("settings", "name: cluster\nsettings")
    try:
        made = stages.sweep(workspace, written(workspace, "cluster.yaml", text), ray=True)
    finally:
        ray.shutdown()
    for name in NAMES:
        assert rows_of(made)[name]["seeds"] == rows_of(two)[name]["seeds"][:1]


def test_a_dry_run_prints_the_trials_and_trains_nothing(workspace: Workspace, two: Artifact) -> None:
    before = sorted(workspace.root.glob("*/*"))
    done = invoke(workspace, "sweep", workspace.root.parent / "two.yaml", "--dry-run")
    assert "regulariser_none" in done.stdout and "4 models (2 seeds), trained on home" in done.stdout
    answer = json.loads(invoke(workspace, "sweep", workspace.root.parent / "two.yaml", "--dry-run", "--json").stdout)
    assert answer["result"]["models"] == 4 and answer["result"]["tasks"] == ["building_count", "max_speed"]
    assert sorted(workspace.root.glob("*/*")) == before


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "settings: {train.lrr: [1]}",
            "trial `lrr1`: unknown key `train.lrr` in `tiny.yaml`; did you mean `train.lr`?",
        ),
        ("settings: {train.lr: [0.1, -1]}", "trial `lr-1`: `train.lr` in `tiny.yaml`: expected more than 0"),
        ("settings: {train.lr: [1]}\ntasks: [max_sped]", "max_sped"),
        ("settings: {train.lr: [1]}\nheads: [forest]", "unknown head `forest`"),
        ("settings: {train.lr: [1]}\nregions: [nowhere]", "unknown region `nowhere`"),
        ("settings: {data.fold: [1]}", "use the key `folds`"),
        ("base: geometry.yaml\nsettings: {train.lr: [0.1]}", "which has no tile vectors"),
        ("settings: {train.lr: {low: 1, high: 2}}", "a grid needs a list of values"),
    ],
)
def test_everything_is_checked_before_the_first_model(workspace: Workspace, text: str, says: str) -> None:
    regions = "" if "regions" in text else "\nregions: [home]"
    before = sorted(workspace.root.glob("*/*"))
    error = refused(workspace, "sweep", written(workspace, "wrong.yaml", text + regions))
    assert isinstance(error, UsageError) and says in error.message
    assert sorted(workspace.root.glob("*/*")) == before


def test_a_sweep_of_the_demo_city(demo_city: DemoCity) -> None:
    city = demo_city.workspace
    text = "{settings: {model.null_weight: [0, 64]}, set: {train.max_steps: 0}, masked: true, tasks: [building_count]}"
    file = demo_city.folder / "city.yaml"
    file.write_text(text)
    made = stages.sweep(city, file)
    rows = rows_of(made)
    assert {row["protocol"] for row in rows.values()} == {"no pretraining"} and len(rows) == 3
    assert all(row["verdict"] in ("reference", "no claim: fewer than 20 groups") for row in rows.values())
    assert not any(row["best"] for row in rows.values())
