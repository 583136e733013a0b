"""GAIR through the commands: training on regions with images, embeddings, probes, search, and clear errors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from commandline import invoke
from demo_workspace import DemoCity
from hint_commands import check_hint
from synthetic_workspace import add_region, new_workspace

from geojepa_cli import Workspace, stages
from geojepa_cli.errors import DataError, NotFoundError, UsageError
from geojepa_cli.store.embeddings import Embeddings
from geojepa_cli.store.tensors import read_tensors
from geojepa_cli.workspace.artifact import Artifact

ROOT = Path(__file__).resolve().parents[2]
SETTINGS: Mapping[str, object] = {
    **{"model.embed_dim": 16, "model.depth": 1, "model.num_heads": 2, "model.patch_px": 56, "model.decoder_dim": 16},
    **{"model.location_features": 4, "model.location_dim": 8, "model.location_layers": 1},
    **{"ground.queries": 32, "loss.queue": 50, "train.batch_tokens": 400, "train.max_steps": 2},
}


@pytest.fixture(scope="module")
def workspace(demo_city: DemoCity) -> Workspace:
    return demo_city.workspace


@pytest.fixture(scope="module")
def model(workspace: Workspace) -> Artifact:
    return stages.pretrain(workspace, "gair.yaml", "demo", SETTINGS)


@pytest.fixture(scope="module")
def vectors(workspace: Workspace, model: Artifact) -> Embeddings:
    (made,) = stages.embed(workspace, "gair", "demo", min_entities=1)
    return Embeddings(made.file("embeddings.h5"))


def test_a_model_is_trained_on_the_demo_city_and_skipped_when_it_exists(workspace: Workspace, model: Artifact) -> None:
    assert model.name == "gair" and model.counts["tiles without an image"] == 0
    assert {ref.partition("/")[0] for ref in model.inputs} == {"processed", "features", "images"}
    card = model.file("model_card.md").read_text()
    assert "GAIR: reads an image at any point" in card and "decoder `mlp`, 16 values" in card
    tensors, _ = read_tensors(model.file("weights.safetensors"))
    assert int(tensors["queue.pushed"]) > 0
    sets = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]
    again = invoke(workspace, "pretrain", "--config", "gair.yaml", "--region", "demo", *sets)
    assert "up to date, skipping" in again.output


def test_embeddings_have_localised_vectors_and_vectors_of_places(vectors: Embeddings) -> None:
    assert vectors["tile/vector"].shape == (vectors.n_tiles, 32)
    assert vectors.tile_parts == (("max", 16), ("mean", 16))
    for column in ("entity/vector", "entity/place"):
        assert vectors[column].shape == (vectors.n_entities, 16)
        np.testing.assert_allclose(np.linalg.norm(vectors[column].astype(float), axis=1), 1.0, atol=2e-3)
    same = np.flatnonzero(vectors["entity/osm_id"] == vectors["entity/osm_id"][0])
    assert vectors.has_places and len(same) >= 1


def test_hidden_tags_do_not_change_localised_vectors(workspace: Workspace, vectors: Embeddings) -> None:
    (plain,) = stages.embed(workspace, "gair", task="building_count")
    (masked,) = stages.embed(workspace, "gair", task="building_count", masked=True)
    whole, hidden = (Embeddings(one.file("embeddings.h5")) for one in (plain, masked))
    assert hidden.n_entities < whole.n_entities
    rows = {int(piece): row for row, piece in enumerate(whole["entity/piece"])}
    kept = [rows[int(piece)] for piece in hidden["entity/piece"]]
    np.testing.assert_allclose(hidden["entity/vector"], whole["entity/vector"][kept], atol=2e-3)
    np.testing.assert_allclose(hidden["tile/vector"], whole["tile/vector"], atol=1e-4)


def test_embeddings_of_several_processes_have_the_same_bytes(workspace: Workspace, vectors: Embeddings) -> None:
    before = vectors.path.read_bytes()
    workspace.remove(workspace.find("embeddings", "gair.demo"))
    (again,) = stages.embed(workspace, "gair", "demo", min_entities=1, workers=2)
    assert again.file("embeddings.h5").read_bytes() == before


def test_tiles_and_entities_are_searched_and_probed(workspace: Workspace, vectors: Embeddings, tmp_path: Path) -> None:
    for query in ({"tile": vectors.tile_name(0)}, {"entity": vectors.entity_ref(0)}):
        found = stages.knn(workspace, model="gair", k=3, **query).read_json("neighbours.json")
        assert len(found["neighbours"]) == 3 and found["model"].startswith("gair@")
    probe = stages.probe(workspace, "building_count", "gair", masked=True, head="linear")
    assert '"gair"' in probe.file("report.json").read_text()
    roads = tmp_path / "roads.yaml"
    roads.write_text("{name: roads, title: roads, key: highway, kinds: [line], ignore: ['no'], min_examples: 2}")
    of_entities = stages.probe_entities(workspace, roads, "gair", seeds=1)
    assert "gair" in of_entities.file("report.json").read_text()


def test_a_region_with_drawn_images_is_trained_on(workspace: Workspace) -> None:
    stages.tile(workspace, "demo", imagery="drawn")
    made = stages.pretrain(workspace, "gair.yaml", "demo", {**SETTINGS, "model.decoder": "linear"}, "drawn-gair")
    assert "drawn" in made.file("model_card.md").read_text()
    stages.tile(workspace, "demo")


def test_vectors_of_entities_alone_are_refused(workspace: Workspace, model: Artifact) -> None:
    with pytest.raises(UsageError, match="no vector of an entity alone"):
        stages.embed(workspace, "gair", "demo", alpha=0.5)
    with pytest.raises(UsageError, match="no vector of an entity alone"):
        stages.probe_entities(workspace, "building_class", "gair", context=True)


def test_a_region_without_images_is_refused_with_the_command_that_draws_them(tmp_path: Path, model: Artifact) -> None:
    place = new_workspace(tmp_path / "workspace")
    add_region(place, "oak", seed=1)
    with pytest.raises(NotFoundError, match="the model reads images, but there are no images") as caught:
        stages.pretrain(place, "gair.yaml", "oak", {**SETTINGS, "model.tag_dim": 16})
    assert "geojepa" in str(caught.value.hint) and "--imagery drawn" in str(caught.value.hint)
    add_region(place, "elm", seed=2, n_tiles=60, corner=(19000, 25000), with_images=True)
    made = stages.pretrain(place, "gair.yaml", ["elm", "oak"], {**SETTINGS, "model.tag_dim": 16})
    assert made.counts["tiles without an image"] > 30  # every second tile of `elm` has an image, and none of `oak`
    with pytest.raises(NotFoundError, match="there are no images for the tiles of `oak`"):
        stages.embed(place, "gair", "oak")
    (embedded,) = stages.embed(place, "gair", "elm", min_entities=1)
    found = Embeddings(embedded.file("embeddings.h5"))
    shown = found["tile/vector"].any(1)
    assert 0 < shown.sum() < found.n_tiles
    with_image = shown[found["entity/tile"]]
    assert not found["entity/vector"][~with_image].any() and found["entity/place"].any(1).all()


@pytest.mark.parametrize(
    ("setting", "match"),
    [
        ("model.decoder=cubic", "`model.decoder`"),
        ("model.num_heads=7", "not a multiple of num_heads"),
        ("model.patch_px=15", "does not divide 224"),
        ("model.location_sigmas=[]", "location_sigmas"),
        ("loss.temperature=0", "temperature"),
        ("train.ema_momentum=0.5", "has no effect"),
        ("model.tag_dim=16", "`model.tag_dim` is 16"),
    ],
)
def test_wrong_settings_are_refused_with_a_command(workspace: Workspace, setting: str, match: str) -> None:
    error = invoke(workspace, "pretrain", "--config", "gair.yaml", "--region", "demo", "--set", setting).exception
    assert isinstance(error, UsageError | DataError) and match in error.message
    check_hint(str(error.hint))


def test_the_example_of_the_documentation_runs(
    workspace: Workspace, vectors: Embeddings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace.root.parent)
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/gair.md").read_text(), flags=re.S)
    names: dict[str, object] = {}
    exec(compile(code, "gair.md", "exec"), names)
    agreement = names["agreement"]
    assert isinstance(agreement, np.ndarray) and np.abs(agreement).max() <= 1.01
