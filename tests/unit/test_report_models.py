"""Numbers of parameters and costs of the models in a report, read from manifests and `timing.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from probe_reports import errors_of, probe_report
from safetensors.numpy import load_file

from geojepa_cli import Workspace
from geojepa_cli.export.stac_model import count_weights
from geojepa_cli.stages.report_models import ReportModels
from geojepa_cli.stages.report_probes import ReadProbe
from geojepa_cli.stages.shipped import FOLDER, open_shipped, shipped_names
from geojepa_cli.workspace.artifact import Artifact


def _add(
    workspace: Workspace,
    kind: str,
    name: str,
    params: Mapping[str, Any],
    inputs: Sequence[Artifact] = (),
    counts: Mapping[str, Any] | None = None,
    **timing: object,
) -> Artifact:
    """Publishes an artifact without files, with counts and times."""
    with workspace.build(kind, name, params, inputs) as build:
        made = build.publish(counts=counts)
    (made.path / "timing.json").write_text(json.dumps(timing))
    return made


def _probe(workspace: Workspace, maes: dict[str, float], inputs: Sequence[Artifact], **entries: object) -> ReadProbe:
    report = probe_report("x", maes)
    for score in report["scores"]:
        score["ref"] = {"net": "net@" + workspace.find("models", "net").id}.get(score["model"], score["ref"])
    artifact = _add(workspace, "probes", "x.net", {}, inputs, None, training_s={"tag-count-mlp": 30.0})
    return ReadProbe(artifact, {**report, **entries}, errors_of(report))


@pytest.fixture
def models(tmp_path: Path) -> ReportModels:
    """A trained model that reads image tokens, TagPool, a random image backbone and a model trained on labels."""
    workspace = Workspace(tmp_path / "workspace")
    region = _add(workspace, "processed", "town", {}, (), {"tiles": 100})
    counts = {"parameters": 1000, "decoder_parameters": 50, "steps": 7, "tokens_seen": 900, "tiles_seen": 60}
    net = _add(workspace, "models", "net", {}, (), counts, training_s=12.5, device="cuda", threads=2, seconds=99.0)
    tags = _add(workspace, "features", "town", {"encoder": "minilm"}, [region], seconds=1000.0)
    tokens = _add(workspace, "features", "town", {"image_encoder": "resnet50"}, [region], {"images": 80}, seconds=40.0)
    shapes = _add(workspace, "features", "town", {"geometry_encoder": "fourier"}, [region], {"pieces": 9}, seconds=50.0)
    made = [
        _add(
            workspace,
            "embeddings",
            "net.town",
            {"model": "net"},
            [region, net, tags, tokens, shapes],
            {"tiles": 20},
            seconds=10.0,
            device="cpu",
        ),
        _add(workspace, "embeddings", "tagpool.town", {"model": "tagpool"}, [region, tags], {"tiles": 30}, seconds=2.0),
        _add(
            workspace,
            "embeddings",
            "resnet50-random.town",
            {"model": "resnet50-random"},
            [region, tags, tokens],
            {"tiles": 40},
            seconds=5.0,
        ),
    ]
    maes = {"dummy": 4.0, "net": 1.0, "tagpool": 2.0, "resnet50-random": 3.0, "tag-count-mlp": 2.5, "llm:x": 3.5}
    probe = _probe(workspace, maes, made, supervised={"tag-count-mlp": {"parameters": 777, "runs": []}})
    return ReportModels(workspace, [probe])


def test_frozen_encoders_count_but_the_text_encoder_does_not(models: ReportModels) -> None:
    facts = {ref.partition("@")[0]: found for ref, found in models.facts().items()}
    assert facts == {
        "net": {"parameters": 1000, "all_parameters": 1000 + 23_508_032, "training_parameters": 50},
        "tagpool": {"parameters": 0, "all_parameters": 0, "training_parameters": None},
        "resnet50-random": {"parameters": 0, "all_parameters": 23_508_032, "training_parameters": None},
        "tag-count-mlp": {"parameters": 777, "all_parameters": 777, "training_parameters": None},
        "llm:x": {"parameters": None, "all_parameters": None, "training_parameters": None},
    }


def test_costs_are_measured_times_with_those_of_image_and_geometry_encoders(models: ReportModels) -> None:
    costs = {ref.partition("@")[0]: found for ref, found in models.costs().items()}
    assert set(costs) == {"net", "tagpool", "resnet50-random", "tag-count-mlp"}
    training = {"seconds": 12.5, "device": "cuda", "threads": 2, "steps": 7, "tokens": 900, "tiles": 60}
    assert costs["net"]["training"] == training
    assert costs["tag-count-mlp"] == {"training": {"seconds": 30.0, "tasks": 1}}
    encoders = 20 * (40.0 / 80 + 50.0 / 100)  # by image, and by tile of the region
    embedding = {"tiles": 20, "seconds": 10.0, "encoder_seconds": encoders, "device": "cpu"}
    assert costs["net"]["embedding"] == {**embedding, "tiles_per_s": float(f"{20 / (10 + encoders):.3g}")}
    assert costs["tagpool"] == {"embedding": {"tiles": 30, "seconds": 2.0, "encoder_seconds": 0.0, "tiles_per_s": 15.0}}


@pytest.mark.parametrize("broken", ["", "[]", "{", '{"seconds": "x"}', '{"seconds": 0}'])
def test_a_broken_timing_file_leaves_out_the_cost(models: ReportModels, tmp_path: Path, broken: str) -> None:
    made = Workspace(tmp_path / "workspace").find("embeddings", "tagpool.town")
    (made.path / "timing.json").write_text(broken)
    assert "tagpool" not in models.costs()


def test_the_weights_of_a_file_are_counted_without_reading_them() -> None:
    for name in shipped_names():
        path = FOLDER / name / "weights.safetensors"
        assert count_weights(path) == sum(int(np.prod(one.shape)) for one in load_file(path).values())
        assert open_shipped(name).folder == FOLDER / name
