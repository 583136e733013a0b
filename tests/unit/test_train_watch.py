"""The weights that a figure chooses, TensorBoard, and the state of the monitor in a checkpoint."""

from __future__ import annotations

import json
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from synthetic_workspace import add_region, new_workspace
from training import SMALL, config_of, kill_at, open_data, train_in, write_region

from geojepa_cli.config.names import METRICS
from geojepa_cli.errors import DataError, InterruptedRunError, MissingExtraError, NotFoundError, UsageError
from geojepa_cli.models.jepa.pretraining import JepaPretraining, build
from geojepa_cli.stages import embed, pretrain
from geojepa_cli.stages.embedding_model import find_model
from geojepa_cli.stages.trained_groups import groups_of
from geojepa_cli.store.embeddings import Embeddings
from geojepa_cli.train.alarms import Finding
from geojepa_cli.train.data import TrainingData
from geojepa_cli.train.log import read_metrics
from geojepa_cli.train.loop import train
from geojepa_cli.train.monitor import Look
from geojepa_cli.train.tensorboard import FOLDER
from geojepa_cli.train.watch import Watch

SELECT = ("train.select=rankme_tiles", "train.monitor_every=2", "train.warmup=0.3", "train.lr=1e-2")


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_region(tmp_path_factory.mktemp("regions") / "oak@000000000000")


def test_the_weights_with_the_highest_figure_after_the_warm_up_are_kept(region: Path, tmp_path: Path) -> None:
    config = config_of("train.max_steps=14", *SELECT)
    data = open_data(region, config)
    model = build(config, data.inputs, 0)
    states: list[dict[str, torch.Tensor]] = [{}]
    finish = model.finish_step

    def finish_step(progress: float) -> None:
        finish(progress)
        states.append({name: tensor.clone() for name, tensor in model.module.state_dict().items()})

    model.finish_step = finish_step  # type: ignore[method-assign]
    train(model, data, config.train, tmp_path, 0)
    lines = [line for line in read_metrics(tmp_path / METRICS) if "rankme_tiles" in line and line["done"] >= 0.3]
    assert [line["step"] for line in lines] == [6, 8, 10, 12, 14]
    best = max(lines, key=lambda line: line["rankme_tiles"])["step"]
    (kept,) = tmp_path.glob("best-*")
    assert kept.name == f"best-{best:09d}.safetensors"
    for name, tensor in load_file(kept).items():
        assert torch.equal(tensor, states[best][name])


@pytest.fixture(scope="module")
def undisturbed(region: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was not killed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    train_in(folder, region, config_of("train.max_steps=14", *SELECT))
    return folder


@pytest.mark.parametrize("killed_at", [7, 9, 13])
def test_a_killed_run_resumes_and_chooses_the_same_weights(
    region: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_at: int
) -> None:
    config = config_of("train.max_steps=14", *SELECT)
    kill_at(killed_at, monkeypatch, tmp_path, region, config)
    assert train_in(tmp_path, region, config).result.resumed_from == killed_at // 5 * 5
    kept = [{p.name: p.read_bytes() for p in folder.glob("best-*")} for folder in (undisturbed, tmp_path)]
    assert len(kept[0]) == 1 and kept[0] == kept[1]
    assert (undisturbed / METRICS).read_bytes() == (tmp_path / METRICS).read_bytes()


class Recorded:
    """Monitor that returns prepared figures."""

    def __init__(self, looks: list[Look]) -> None:
        self.looks = iter(looks)

    def __call__(self, model: object) -> Look:
        return next(self.looks)


def test_weights_of_the_warm_up_and_of_a_collapsed_model_are_not_chosen(region: Path, tmp_path: Path) -> None:
    config = config_of("train.max_steps=100", "train.select=rankme_tokens", "train.warmup=0.2").train
    model: Any = build(config_of("train.max_steps=100"), open_data(region, config_of("train.max_steps=1")).inputs, 0)
    collapsed = (Finding("dead tokens", "dead dimensions at step {step}"),)
    ranks = [(9, ()), (5, ()), (8, collapsed), (6, ()), (4, ())]
    watch = Watch(Recorded([Look({"rankme_tokens": float(r)}, f) for r, f in ranks]), config, tmp_path, {})
    for step in (0, 20, 40, 60, 80):
        watch.look(model, step, step / 100, {})
    watch.settle()
    assert [path.name for path in tmp_path.glob("best-*")] == ["best-000000060.safetensors"]
    again = Watch(Recorded([Look({"rankme_tokens": 5.5})]), config, tmp_path, json.loads(json.dumps(watch.state())))
    again.look(model, 100, 1.0, {})
    again.settle()
    assert [path.name for path in tmp_path.glob("best-*")] == ["best-000000060.safetensors"]


def test_the_lowest_loss_is_the_best(region: Path, tmp_path: Path) -> None:
    config = config_of("train.max_steps=100", "train.select=loss", "train.warmup=0").train
    model: Any = build(config_of("train.max_steps=100"), open_data(region, config_of("train.max_steps=1")).inputs, 0)
    watch = Watch(Recorded([Look({})] * 4), config, tmp_path, {})
    for step, line in ((0, {}), (1, {"loss": 3.0}), (2, {"loss": 1.0}), (3, {"loss": 2.0})):
        watch.look(model, step, 0.5, line)
    watch.settle()
    assert [path.name for path in tmp_path.glob("best-*")] == ["best-000000002.safetensors"]


def test_a_figure_that_is_not_computed_is_refused_before_the_first_step(region: Path, tmp_path: Path) -> None:
    config = config_of("train.max_steps=3", "train.select=probe", "data.split_seed=3")
    data = open_data(region, config)
    assert data.monitor(0).probe is None  # too few tiles of the validation split
    with pytest.raises(UsageError, match="`probe`, but this figure is not computed") as caught:
        train_in(tmp_path, region, config, data=data)
    assert "train.select=loss" in str(caught.value.hint)


def test_embed_uses_the_last_weights_or_with_the_suffix_best_the_chosen_ones(tmp_path: Path) -> None:
    workspace = new_workspace(tmp_path / "workspace")
    add_region(workspace, "oak", seed=1)
    falling = ("loss.regulariser=none", "model.input_weight=null", "train.ema_momentum=0")  # the rank
    settings = [*SMALL, *SELECT, *falling, "train.max_steps=9"]
    model = pretrain(workspace, "tiny", "oak", settings, name="m")
    names = {path.name for path in model.path.iterdir()}
    assert "weights-best.safetensors" in names and not any(name.startswith(("best-", "checkpoint")) for name in names)
    chosen, last = (load_file(model.path / f"weights{suffix}.safetensors") for suffix in ("-best", ""))
    name = "target_encoder.encoder.transformer.norm.weight"
    assert not torch.equal(chosen[name], last[name])
    config = config_of(*SELECT, *falling, "train.max_steps=9")
    processed, features = (workspace.find(kind, "oak") for kind in ("processed", "features"))
    data = TrainingData.open(config, [processed.file("processed.h5")], [features.file("tags.h5")], [None], 0)
    for ref, weights in (("m", last), ("m-best", chosen), (f"m-best@{model.id}", chosen)):
        (made,) = embed(workspace, ref, "oak")
        assert made.name == f"{ref.partition('@')[0]}.oak"
        found = Embeddings(made.file("embeddings.h5"))
        assert found.model == f"{ref.partition('@')[0]}@{model.id}"
        expected = build(config, data.inputs, 0)
        expected.module.load_state_dict(weights)
        tiles = expected.embed(data.store.read(data.view, data.view.tiles)).tiles
        rows = {int(row): i for i, row in enumerate(found["tile/row"])}
        own = found["tile/vector"][[rows[int(row)] for row in data.view.tiles]]
        np.testing.assert_allclose(own, tiles.detach().numpy(), atol=1e-5)
    assert "--model m-best --region oak" in str(workspace.find("embeddings", "m-best.oak").rebuild_hint())


def test_weights_of_chosen_steps_are_kept_and_can_embed(tmp_path: Path) -> None:
    workspace = new_workspace(tmp_path / "workspace")
    add_region(workspace, "oak", seed=1)
    steps = pretrain(workspace, "tiny", "oak", [*SMALL, "train.keep_at=[0,3]", "train.max_steps=5"], name="m")
    short = pretrain(workspace, "tiny", "oak", [*SMALL, "train.max_steps=0"], name="n")
    assert {path.name for path in steps.path.glob("weights-*")} == {f"weights-step-{n}.safetensors" for n in (0, 3)}
    vectors = {}
    for name in ("m", "m-step-0", "m-step-3", "n"):
        (made,) = embed(workspace, name, "oak")
        vectors[name] = Embeddings(made.file("embeddings.h5"))["tile/vector"][:]
    np.testing.assert_array_equal(vectors["m-step-0"], vectors["n"])
    assert not np.allclose(vectors["m-step-3"], vectors["m"]) and short.id != steps.id
    assert find_model(workspace, "m-step-0").label("m") == "m (first weights)"
    assert find_model(workspace, "m-step-3").label("m") == "m"
    assert "--model m-step-3 --region oak" in str(workspace.find("embeddings", "m-step-3.oak").rebuild_hint())
    with pytest.raises(NotFoundError, match="`weights-step-4") as caught:
        embed(workspace, "m-step-4", "oak")
    assert "train.keep_at=[0, 3, 4]" in str(caught.value.hint)
    assert find_model(workspace, "m-step-5").file == "weights.safetensors"
    for step in (6, 9_999_999_999):
        with pytest.raises(NotFoundError, match=f"trained for 5 steps, so it has no step {step:,}") as later:
            embed(workspace, f"m-step-{step}", "oak")
        assert f"embed --model {steps.ref}" in str(later.value.hint)
    for name in ("m-step-03", "m-step-", f"m-step-{'9' * 5000}"):
        with pytest.raises(NotFoundError, match="unknown model"):
            embed(workspace, name, "oak")
    for name in ("m-step-3", "m-best"):
        with pytest.raises(UsageError, match=r"stands for other weights of the model `m`") as refused:
            pretrain(workspace, "tiny", "oak", [*SMALL, "train.max_steps=0"], name=name)
        assert f"--name {name.replace('step-3', 'step3')}-model" in str(refused.value.hint)


def test_the_hint_for_other_weights_trains_on_the_regions_of_the_model_and_with_its_seed(tmp_path: Path) -> None:
    workspace = new_workspace(tmp_path / "workspace")
    trained_on = add_region(workspace, "oak", seed=1)
    add_region(workspace, "elm", seed=2)
    made = pretrain(workspace, "tiny", "oak", [*SMALL, "train.max_steps=3"], name="m", seed=5)
    for suffix, setting in (("best", "train.select=rankme_tiles"), ("step-2", "'train.keep_at=[2]'")):
        with pytest.raises(NotFoundError) as caught:
            embed(workspace, f"m-{suffix}", "elm")
        hint = str(caught.value.hint)
        assert f"pretrain --config {made.path / 'config.yaml'} --name m" in hint and f"--set {setting}" in hint
        assert f"--region {trained_on.name}" in hint and "--seed 5" in hint and "elm" not in hint


def test_the_first_weights_of_a_trained_model_saw_no_tile(tmp_path: Path) -> None:
    workspace = new_workspace(tmp_path / "workspace")
    add_region(workspace, "oak", seed=1)
    pretrain(workspace, "tiny", "oak", [*SMALL, "train.keep_at=[0,1]", "train.max_steps=2"], name="m")
    seen = {name: np.asarray(groups_of(find_model(workspace, name))) for name in ("m-step-0", "m-step-1", "m")}
    assert len(seen["m-step-0"]) == 0 and len(seen["m-step-1"]) > 0
    np.testing.assert_array_equal(seen["m-step-1"], seen["m"])


def test_an_interrupted_run_keeps_the_weights_of_earlier_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = new_workspace(tmp_path / "workspace")
    add_region(workspace, "oak", seed=1)
    settings = [*SMALL, "train.keep_at=[0,3,9,99]", "train.max_steps=12"]
    finish = JepaPretraining.finish_step
    steps = iter(range(100))

    def stop(model: JepaPretraining, progress: float) -> None:
        finish(model, progress)
        if next(steps) == 7:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(InterruptedRunError):
        patched.setattr(JepaPretraining, "finish_step", stop)
        pretrain(workspace, "tiny", "oak", settings, name="m")
    made = pretrain(workspace, "tiny", "oak", settings, name="m")
    assert {path.name for path in made.path.glob("weights-*")} == {f"weights-step-{n}.safetensors" for n in (0, 3, 9)}
    assert "no weights of step 99 of `train.keep_at`" in capsys.readouterr().err


def test_a_resumed_run_that_ends_earlier_does_not_have_later_weights_of_the_interrupted_run(
    region: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of("train.max_minutes=60", "train.epochs=null", "train.keep_at=[0,3,7]", "train.checkpoint_every=5")
    kill_at(9, monkeypatch, tmp_path, region, config)
    assert (tmp_path / "weights-step-7.safetensors").is_file()
    shorter = config.train.model_copy(update={"max_steps": 6})  # in place of a time limit
    data = open_data(region, config)
    train(build(config, data.inputs, 0), data, shorter, tmp_path, 0)
    assert {path.name for path in tmp_path.glob("weights-step-*")} == {f"weights-step-{n}.safetensors" for n in (0, 3)}


def test_a_run_without_a_step_after_the_warm_up_has_no_chosen_weights_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = new_workspace(tmp_path / "workspace")
    add_region(workspace, "oak", seed=1)
    model = pretrain(workspace, "tiny", "oak", [*SMALL, *SELECT, "train.max_steps=0"], name="m")
    assert not (model.path / "weights-best.safetensors").exists()
    assert "no `weights-best.safetensors`" in capsys.readouterr().err


def test_a_model_with_its_last_weights_only_has_no_best_ones(tmp_path: Path) -> None:
    workspace = new_workspace(tmp_path / "workspace")
    add_region(workspace, "oak", seed=1)
    pretrain(workspace, "tiny", "oak", [*SMALL, "train.max_steps=1"], name="m")
    with pytest.raises(NotFoundError, match="does not have these weights: `weights-best") as caught:
        embed(workspace, "m-best", "oak")
    assert "train.select=rankme_tiles" in str(caught.value.hint)


def test_tensorboard_gets_the_numbers_of_the_log(region: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = config_of("train.max_steps=9", "train.tensorboard=true")
    train_in(tmp_path, region, config)
    train_in(tmp_path, region, config)  # resumes from step 5, and writes a second file
    files = sorted(path.name for path in (tmp_path / FOLDER).iterdir())
    assert files == ["events.out.tfevents.0000000000", "events.out.tfevents.0000000001"]
    events = EventAccumulator(str(tmp_path / FOLDER))
    events.Reload()
    for name in ("loss", "lr", "rankme_tiles"):
        logged = [(line["step"], line[name]) for line in read_metrics(tmp_path / METRICS) if name in line]
        assert [(e.step, pytest.approx(e.value, rel=1e-6)) for e in events.Scalars(name)] == logged


def test_tensorboard_that_is_not_installed_is_an_error_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = new_workspace(tmp_path / "workspace")
    add_region(workspace, "oak", seed=1)
    monkeypatch.setattr(util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="needs the `tensorboard` extra") as caught:
        pretrain(workspace, "tiny", "oak", [*SMALL, "train.max_steps=1", "train.tensorboard=true"], name="m")
    assert "pip install 'geojepa[tensorboard]'" in str(caught.value.hint)
    assert not list((tmp_path / "workspace" / "models").glob("*.partial"))


def test_a_changed_configuration_that_fits_the_weights_is_refused(tmp_path: Path) -> None:
    workspace = new_workspace(tmp_path / "workspace")
    add_region(workspace, "oak", seed=1)
    made = pretrain(workspace, "tiny", "oak", [*SMALL, "model.sketch_dim=16", "train.max_steps=0"], name="m")
    path = made.path / "config.yaml"
    path.chmod(0o644)
    path.write_text(path.read_text().replace("sketch_dim: 16", "sketch_dim: 24"))
    with pytest.raises(DataError, match="differs from the checksum"):
        embed(workspace, "m", "oak")
