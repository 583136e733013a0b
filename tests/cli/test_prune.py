"""`artifacts --prune` after several probes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from commandline import call, invoke
from synthetic_workspace import add_region
from workspace_artifacts import publish

from geojepa_cli.errors import UsageError
from geojepa_cli.stages import prune
from geojepa_cli.stages.tasks import build_tasks
from geojepa_cli.workspace.manifest import MANIFEST
from geojepa_cli.workspace.prune import describe_variant, plan_pruning
from geojepa_cli.workspace.workspace import Workspace


def test_prune_keeps_the_newest_of_every_variant(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "workspace")
    region = add_region(workspace, "town", 5, 40, mean_entities=60.0)
    build_tasks(workspace, region, ["building_count"])
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


def test_prune_keeps_a_probe_without_shared_entities_and_its_vectors(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "workspace")
    region = add_region(workspace, "town", 5, 40, mean_entities=60.0)
    build_tasks(workspace, region, ["building_count"])
    for more in (["--without-shared"], []):
        probe = ("probe", "--task", "building_count", "--head", "linear", "--model", "tagpool")
        assert invoke(workspace, *probe, *more).exception is None
    labels = {describe_variant(artifact) for artifact in workspace.artifacts("embeddings")}
    assert labels == {"", "building_count, without shared"}  # plain vectors are those of all tiles
    assert prune(workspace).artifacts == ()
    assert len(workspace.artifacts("probes")) == len(workspace.artifacts("embeddings")) == 2


def test_prune_from_python_deletes_old_versions_and_returns_them(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "workspace")
    old, new = publish(workspace, zoom=1), publish(workspace, zoom=2)
    for time, artifact in enumerate((old, new), start=1):
        os.utime(artifact.path / MANIFEST, (time, time))
    plan = plan_pruning(workspace)
    assert plan.artifacts == (old,) and plan.bytes == old.size and old.path.exists()
    assert prune(workspace) == plan
    assert workspace.everything() == [new]


@pytest.mark.parametrize(
    ("kind", "files", "useless_file"),
    [
        ("models", ["checkpoint.safetensors", "metrics.jsonl"], "metrics.jsonl"),
        ("embeddings", ["chunks/000000.safetensors"], "chunks/000000.safetensors.tmp"),
        ("images", ["images.pixels", "images.jsonl"], "images.jsonl"),
    ],
)
def test_prune_keeps_what_a_run_can_be_resumed_from_unless_it_is_asked_to_delete_it(
    tmp_path: Path, kind: str, files: list[str], useless_file: str
) -> None:
    workspace = Workspace(tmp_path / "workspace")
    unfinished, useless = (workspace.root / kind / f"{name}@0123456789ab.partial" for name in ("run", "half"))
    for path in (*(unfinished / file for file in files), useless / useless_file):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"data")
    done = invoke(workspace, "artifacts", "--prune", "--yes")
    assert done.exception is None and f"kept: {kind}/{unfinished.name}" in done.stdout
    assert "`--unfinished` deletes it too" in done.stdout
    assert all((unfinished / file).exists() for file in files) and not useless.exists()
    answer = json.loads(invoke(workspace, "artifacts", "--prune", "--json").stdout)["result"]
    assert answer["kept"] == [f"{kind}/{unfinished.name}"] and answer["leftovers"] == []
    size = sum((unfinished / file).stat().st_size for file in files)
    done = invoke(workspace, "artifacts", "--prune", "--unfinished", "--yes", "--json")
    answer = json.loads(done.stdout)["result"]
    assert answer["kept"] == [] and answer["bytes"] == size and answer["removed"]
    assert not unfinished.exists()


@pytest.mark.parametrize(
    ("options", "says", "hint"),
    [
        (
            ["--lineage", "models/tiny", "--verify"],
            "`--lineage` cannot be combined with `--verify`",
            "geojepa artifacts --lineage models/tiny  # or: geojepa artifacts --verify",
        ),
        (["--verify", "--prune"], "`--verify` cannot be combined with `--prune`", "geojepa artifacts --prune"),
        (["--lineage", "", "--prune"], "`--lineage` cannot be combined with `--prune`", "geojepa artifacts --prune"),
        (["--yes", "--unfinished"], "`--unfinished` requires `--prune`", "--prune --unfinished --yes"),
        (["--verify", "--yes"], "`--yes` requires `--prune`", "geojepa artifacts --prune --yes"),
        (["--lineage", ""], "unknown kind of artifact ``", "geojepa artifacts"),
    ],
)
def test_options_of_artifacts_that_would_be_ignored_are_refused(
    tmp_path: Path, options: list[str], says: str, hint: str
) -> None:
    done = call("artifacts", *options, cwd=tmp_path)
    assert done.returncode in (1, 2) and says in done.stderr and hint in done.stderr, done.stderr
    assert done.stdout == ""
