"""Rebuild hints: after an artifact is deleted, its hint makes the same artifact again."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest
from commandline import invoke
from demo_workspace import DemoCity
from hint_commands import check_hint, split_hint

from geojepa_cli import Workspace, stages
from geojepa_cli.workspace.artifact import Artifact

TILE = "16_18052_25957"
REGION, MODEL = "san.jose", "my.model"


@pytest.fixture(scope="module")
def dotted(demo_city: DemoCity) -> Workspace:
    """A workspace with dotted names, options that are no defaults, and newer versions of most artifacts."""
    workspace = Workspace(demo_city.folder / "dotted")
    source = Workspace(demo_city.folder / "workspace").find("source", "demo")
    for name in (REGION, "other"):
        stages.fetch(workspace, pbf=source.file("map.osm.pbf"), name=name, imagery=source.path / "imagery")
    tiles, images = stages.tile(workspace, REGION, drop_tags=["colour"], image_codec="webp-lossless")[0]
    assert images is not None
    (processed,) = stages.process(workspace, tiles, simplify_m=0.25, visibility_k=2)
    definition = demo_city.folder / "own.yaml"
    bridge = Workspace(demo_city.folder / "workspace").find("tasks", "demo.bridge").file("task.yaml").read_text()
    definition.write_text(bridge.replace("name: bridge", "name: own", 1))
    stages.build_tasks(workspace, processed, ["bridge", definition], seed=3, min_entities=2, max_entities=900)
    stages.analyze_task(workspace, "building_count", processed, seed=3, min_entities=2, folds=3)
    settings = {"train.max_steps": 0, "model.modalities": "[tags, image]", "model.patch_px": 112}
    model = stages.pretrain(workspace, "tiny.yaml", processed, settings, MODEL, seed=5)
    bridge_task = workspace.find("tasks", f"{REGION}.bridge")
    stages.embed(workspace, model, processed, min_entities=1, max_entities=50)
    stages.embed(workspace, model, task=bridge_task, masked=True)
    stages.embed(workspace, "tagpool", task=bridge_task)
    stages.probe(workspace, bridge_task, [model, "tagpool"], head="linear", seed=4, masked=True, without_shared=True)
    stages.knn(
        workspace, TILE, k=3, model=model, region=processed, exclude_same_group=True, html=True, max_entities=800
    )
    way = Workspace(demo_city.folder / "workspace").find("embeddings", "tagpool.demo")
    from geojepa_cli.store.embeddings import Embeddings

    entity = Embeddings(way.file("embeddings.h5")).entity_ref(0)
    stages.knn(workspace, entity=entity, k=2, model="tagpool", region=processed, min_entities=1)
    stages.report(workspace)
    # newer versions, so that names alone do not mean the versions above
    newer = stages.tile(workspace, REGION, image_codec="webp-lossless")[0].tiles
    (plain,) = stages.process(workspace, newer)
    stages.build_tasks(workspace, plain, "bridge")
    stages.build_tasks(workspace, processed, "bridge")
    stages.pretrain(workspace, "tiny.yaml", plain, {"train.max_steps": 0}, MODEL)
    stages.tile(workspace, REGION, drop_tags=["colour"])  # images in another format
    return workspace


def rebuild(workspace: Workspace, hint: str) -> None:
    """Runs the commands of a hint."""
    check_hint(hint)
    for words in split_hint(hint):
        if words[0] == "rm":
            path = Path(words[-1])
            shutil.rmtree(path) if words[1] == "-r" else path.unlink()
            continue
        assert words[:3] == ["geojepa", "--workspace", str(workspace.root)], hint
        done = invoke(workspace, *words[3:])
        assert done.exit_code == 0, f"{hint}\n{done.output}\n{done.exception!r}"


def made(workspace: Workspace) -> list[Artifact]:
    return [artifact for artifact in workspace.everything() if artifact.kind != "source"]


def identity(artifact: Artifact) -> str:
    """Returns what a rebuilt artifact shares with the first one: its reference, or, for a report, its probes.

    A report states measured times, so a model that was trained again gives the report another id.
    """
    return artifact.full_ref if artifact.kind != "reports" else f"reports {artifact.params['probes']}"


def test_the_workspace_has_artifacts_of_every_kind(dotted: Workspace) -> None:
    from geojepa_cli.workspace.kinds import KINDS

    elsewhere = {
        "entity_probes",
        "exports",
        "heatmaps",
        "photos",
        "point_probes",
        "retrieval",
        "reviews",
        "sweeps",
    }  # rebuilt in the tests of their commands
    assert {artifact.kind for artifact in dotted.everything()} == set(KINDS) - elsewhere
    labels = [artifact.params for artifact in dotted.artifacts("embeddings")]
    assert any(params.get("without_shared") for params in labels)


def test_the_hint_for_a_damaged_artifact_makes_the_same_artifact(dotted: Workspace) -> None:
    before = made(dotted)
    assert len(before) > 20
    for artifact in before:
        rebuild(dotted, str(artifact.broken("damaged").hint))
        (again,) = [one for one in made(dotted) if identity(one) == identity(artifact)]
        assert not again.verify(), artifact
    assert {identity(artifact) for artifact in made(dotted)} == {identity(artifact) for artifact in before}


def test_the_hint_after_deleting_an_artifact_makes_the_same_artifact(dotted: Workspace) -> None:
    before = made(dotted)
    for artifact in before:
        hint = str(artifact.rebuild_hint())
        if str(artifact.path) in shlex.split(hint) or f"{artifact.path}/" in hint:
            continue  # the definition or configuration is in the artifact, and `broken` keeps it
        shutil.rmtree(artifact.path)
        rebuild(dotted, hint)
        assert identity(artifact) in map(identity, made(dotted)), hint
    assert {identity(artifact) for artifact in made(dotted)} >= {identity(artifact) for artifact in before}
