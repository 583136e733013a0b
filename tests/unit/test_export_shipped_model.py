"""Folder of a model that comes with the package: float16 weights, card, size, and the tool that makes it."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import itertools
import json
import shlex
import subprocess
from pathlib import Path

import pytest
import torch
import yaml
from shipped_models import CREDIT, SYNTHETIC, facts_of, write_model
from synthetic_workspace import add_region, new_workspace
from training import config_of, open_data, train_in, write_region

from geojepa_cli import stages
from geojepa_cli.config.load import load_config, load_run_config
from geojepa_cli.config.names import BEST_WEIGHTS, CARD, CONFIG, WEIGHTS
from geojepa_cli.errors import DataError
from geojepa_cli.export import shipped_model
from geojepa_cli.export.shipped_card import read_header
from geojepa_cli.export.shipped_model import ship_model
from geojepa_cli.models.jepa.embedder import load
from geojepa_cli.models.published import FORMAT, save_model
from geojepa_cli.stages.shipped import FOLDER
from geojepa_cli.store.tensors import read_tensors, save_tensors

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools" / "ship_model.py"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model after a few training steps."""
    folder = tmp_path_factory.mktemp("trained")
    config = config_of("train.max_steps=3")
    trained = train_in(folder / "model", write_region(folder), config)
    save_model(folder / "model", trained.module, config)
    return folder / "model"


def run_tool(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs the tool in this process."""
    spec = importlib.util.spec_from_file_location("ship_model", TOOL)
    assert spec is not None and spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    words, out, err = [*map(str, arguments)], io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = tool.main(words)
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


def test_float16_weights_give_almost_the_same_embeddings(source: Path, tmp_path: Path) -> None:
    size = ship_model(source, tmp_path / "small", facts_of("here"))
    assert size == sum(path.stat().st_size for path in (tmp_path / "small").iterdir())
    data = open_data(write_region(tmp_path), load_config(str(source / CONFIG)))
    batch = data.store.read(data.view, data.view.tiles[:40], frozenset())
    with torch.inference_mode():
        full, half = (load(folder, data.inputs).encode(batch) for folder in (source, tmp_path / "small"))
    for exact, rounded in ((full.tiles, half.tiles), (full.entities, half.entities)):
        assert rounded.dtype == torch.float32 and not torch.equal(exact, rounded)
        error = (exact - rounded).norm(dim=1) / exact.norm(dim=1)
        assert float(error.max()) < 2e-3
        assert float(torch.cosine_similarity(exact, rounded, dim=1).min()) > 0.99999


def test_only_the_target_encoder_is_kept(source: Path, tmp_path: Path) -> None:
    ship_model(source, tmp_path / "small", facts_of("here"))
    (kept, metadata), (all_, _) = (read_tensors(folder / WEIGHTS) for folder in (tmp_path / "small", source))
    assert set(kept) == {name for name in all_ if name.startswith("target_encoder.")} < set(all_)
    assert {tensor.dtype for tensor in kept.values()} == {torch.float16}
    assert metadata == FORMAT
    assert all(path.stat().st_mode & 0o444 == 0o444 for path in (tmp_path / "small").iterdir())
    assert (tmp_path / "small" / CONFIG).read_bytes() == (source / CONFIG).read_bytes()


def test_a_model_that_is_too_large_is_refused_and_the_old_one_kept(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "small"
    size = ship_model(source, target, facts_of("here"))
    before = {path.name: path.read_bytes() for path in target.iterdir()}
    monkeypatch.setattr(shipped_model, "MAX_BYTES", size - 1)
    with pytest.raises(DataError, match=f"takes {size:,} bytes as float16, expected at most {size - 1:,}"):
        ship_model(source, target, facts_of("here"))
    assert {path.name: path.read_bytes() for path in target.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["small"]


@pytest.mark.parametrize("value", [1e6, float("nan")])
def test_weights_that_float16_cannot_hold_are_refused(source: Path, tmp_path: Path, value: float) -> None:
    tensors, _ = read_tensors(source / WEIGHTS)
    name = next(name for name in tensors if name.startswith("target_encoder.") and tensors[name].numel())
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / CONFIG).write_bytes((source / CONFIG).read_bytes())
    save_tensors(tmp_path / "bad" / WEIGHTS, {**tensors, name: tensors[name].fill_(value)}, FORMAT)
    with pytest.raises(DataError, match="not finite as float16"):
        ship_model(tmp_path / "bad", tmp_path / "small", facts_of("here"))


def test_weights_of_another_configuration_are_refused(source: Path, tmp_path: Path) -> None:
    other = write_model(tmp_path / "other", load_config("tiny.yaml", SYNTHETIC))
    (other / CONFIG).write_bytes((source / CONFIG).read_bytes().replace(b"depth: 2", b"depth: 1"))
    with pytest.raises(DataError, match=r"does not match the model in `config\.yaml`"):
        ship_model(other, tmp_path / "small", facts_of("here"))
    (other / CONFIG).write_text("family: polygon_gnn\ntrain: {max_steps: 1}\n")
    with pytest.raises(DataError, match=r"does not match the model in `config\.yaml`"):
        ship_model(other, tmp_path / "small", facts_of("here"))


def test_the_card_has_the_width_of_the_tile_vector_and_the_chosen_weights_are_shipped(tmp_path: Path) -> None:
    config = load_config("tiny.yaml", [*SYNTHETIC, "model.pooling=counts"])
    source = write_model(tmp_path / "source", config)
    (write_model(tmp_path / "other", config, 1) / WEIGHTS).rename(source / BEST_WEIGHTS)
    ship_model(source, tmp_path / "small", facts_of("here"), BEST_WEIGHTS)
    width = 3 * config.model.embed_dim + config.model.summary_dim + config.model.sketch_dim
    assert f"embedding_dimension: {width}\n" in (tmp_path / "small" / "model_card.md").read_text()
    best, shipped = (read_tensors(path)[0] for path in (source / BEST_WEIGHTS, tmp_path / "small" / WEIGHTS))
    assert all(torch.equal(tensor, best[name].half()) for name, tensor in shipped.items())


def test_the_training_log_is_shortened_and_keeps_its_last_line(tmp_path: Path) -> None:
    source = write_model(tmp_path / "source", load_config("tiny.yaml", SYNTHETIC))
    lines = [json.dumps({"step": step, "rankme_tiles": step / 2}) for step in range(101)]
    (source / "metrics.jsonl").write_text("".join(f"{line}\n" for line in lines))
    ship_model(source, tmp_path / "small", facts_of("here"))
    kept = (tmp_path / "small" / "metrics.jsonl").read_text().splitlines()
    assert len(kept) <= 40 and kept[-1] == lines[-1]
    assert [json.loads(line)["step"] for line in kept] == list(range(1, 101, 3))
    assert "| rankme_tiles | 50 |" in (tmp_path / "small" / "model_card.md").read_text()


def test_the_tool_takes_regions_counts_and_attribution_from_the_manifest(tmp_path: Path) -> None:
    workspace = new_workspace(tmp_path / "workspace")
    regions = [add_region(workspace, "alpha", 0, 60), add_region(workspace, "beta", 1, 60, corner=(18100, 25956))]
    settings = ["model.tag_dim=16", "model.depth=1", "train.max_steps=2", "train.batch_tokens=4096"]
    model = stages.pretrain(workspace, "tiny.yaml", regions, settings, "net")
    command = "geojepa pretrain --config tiny.yaml --region alpha --region beta --name net"
    figures = ["--figure", "max_speed, masked", "beta", "MAE / Dummy", "0.75"]
    options = ["--name", "geojepa-small", "--command", command, "--into", tmp_path / "shipped", *figures]
    done = run_tool(model.path, *options)
    assert done.returncode == 0, done.stderr
    path = tmp_path / "shipped" / "geojepa-small" / "model_card.md"
    card = path.read_text(encoding="utf-8")
    header = read_header(card, str(path))
    assert header.regions == ("alpha", "beta")
    assert list(header.attribution) == model.attribution
    assert header.text_encoder == "all-MiniLM-L6-v2"
    assert f"```\n{command}\n```" in card and "ODbL" in card
    assert f"| tiles | {model.counts['tiles']:,} |" in card
    front = yaml.safe_load(card.split("---\n")[1])
    assert front["license"] == "odbl" and front["library_name"] == "geojepa"
    assert front["embedding_dimension"] == 3 * 128 + 512 + 512 and front["embedding_spatial_types"] == [
        "scene",
        "patch",
    ]
    (result,) = front["model-index"][0]["results"]
    assert result["dataset"]["name"] == "beta" and result["metrics"][0]["value"] == 0.75
    again = run_tool(model.path, *options)
    assert again.returncode == 0 and path.read_text(encoding="utf-8") == card


def test_the_tool_needs_the_regions_of_a_folder_without_a_manifest(source: Path, tmp_path: Path) -> None:
    into = ["--command", "geojepa pretrain", "--into", tmp_path]
    done = run_tool(source, *into)
    assert done.returncode == 2 and "`--regions` is required" in done.stderr
    done = run_tool(source, *into, "--regions", "a", "b", "--attribution", CREDIT)
    assert done.returncode == 0, done.stderr
    path = tmp_path / "geojepa-small" / "model_card.md"
    assert read_header(path.read_text(encoding="utf-8"), "card")[:2] == (("a", "b"), (CREDIT,))
    for wrong in (["--figure", "t", "d", "s", "high"], ["--name", ".."]):
        done = run_tool(source, *into, "--regions", "a", *wrong)
        assert done.returncode == 2


@pytest.mark.parametrize("name", ["geojepa-small", "polygon-gnn"])
def test_the_command_of_a_shipped_card_has_the_configuration_of_the_model(name: str) -> None:
    card = (FOLDER / name / CARD).read_text(encoding="utf-8")
    command = card.partition("## Made by")[2].split("```")[1]
    words = shlex.split(command.replace("(", " ").replace(")", " "))
    given: dict[str, list[str]] = {"--config": [], "--set": []}
    for option, value in itertools.pairwise(words):
        if option in given:
            given[option].append(value)
    (config,) = given["--config"]
    made = load_run_config(config, given["--set"]).model_dump()
    kept = load_run_config(str(FOLDER / name / CONFIG)).model_dump()
    if made["model"].get("geometry_encoder") == "fourier":
        made["model"]["geometry_version"] = "v1"  # `pretrain` fills it in
    for section in made.keys() - {"train"}:
        assert made[section] == kept[section]


def test_git_and_so_the_wheel_do_not_leave_out_shipped_models() -> None:
    files = ("config.yaml", "weights.safetensors", "metrics.jsonl", "model_card.md")
    paths = [f"geojepa_cli/shipped/{name}/{file}" for name in ("geojepa-small", "polygon-gnn") for file in files]
    done = subprocess.run(["git", "check-ignore", "--no-index", *paths], cwd=ROOT, capture_output=True, text=True)
    if done.returncode == 128:
        pytest.skip("not a git checkout")
    assert done.returncode == 1 and not done.stdout
