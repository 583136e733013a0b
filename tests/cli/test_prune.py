"""`artifacts --prune` after several probes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commandline import invoke
from synthetic_workspace import add_region

from geojepa_cli.errors import UsageError
from geojepa_cli.stages.tasks import build_region, find_specs
from geojepa_cli.workspace.workspace import Workspace


def test_prune_keeps_the_newest_of_every_variant(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "workspace")
    region = add_region(workspace, "town", 5, 40, mean_entities=60.0)
    build_region(workspace, region, find_specs(["building_count"]))
    probe = ("probe", "--task", "building_count", "--head", "linear")
    for arguments in ((*probe, "--masked"), probe, (*probe, "--seed", "1")):
        assert invoke(workspace, *arguments).exception is None
    masked, _, newer = workspace.artifacts("probes")
    unanswered = invoke(workspace, "artifacts", "--prune")
    assert isinstance(unanswered.exception, UsageError) and "--yes" in str(unanswered.exception.hint)
    assert len(workspace.artifacts("probes")) == 3
    assert invoke(workspace, "artifacts", "--prune", "--yes").exception is None
    assert [artifact.ref for artifact in workspace.artifacts("probes")] == [masked.ref, newer.ref]
    assert len(workspace.artifacts("embeddings")) == 2  # the masked and the plain vectors


@pytest.mark.parametrize(
    ("kind", "file"),
    [("models", "checkpoint.safetensors"), ("embeddings", "chunks/000000.safetensors"), ("images", "images.pixels")],
)
def test_prune_keeps_what_a_run_can_be_resumed_from_unless_it_is_asked_to_delete_it(
    tmp_path: Path, kind: str, file: str
) -> None:
    workspace = Workspace(tmp_path / "workspace")
    unfinished, useless = (workspace.root / kind / f"{name}@0123456789ab.partial" for name in ("run", "half"))
    for path in (unfinished / file, useless / "weights"):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"data")
    done = invoke(workspace, "artifacts", "--prune", "--yes")
    assert done.exception is None and f"kept: {kind}/{unfinished.name}" in done.stdout
    assert "`--unfinished` deletes it too" in done.stdout
    assert (unfinished / file).exists() and not useless.exists()
    answer = json.loads(invoke(workspace, "artifacts", "--prune", "--json").stdout)["result"]
    assert answer["kept"] == [f"{kind}/{unfinished.name}"] and answer["leftovers"] == []
    done = invoke(workspace, "artifacts", "--prune", "--unfinished", "--yes")
    assert done.exception is None and "kept" not in done.stdout
    assert not unfinished.exists()
