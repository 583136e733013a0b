"""`artifacts --prune` after several probes."""

from __future__ import annotations

from pathlib import Path

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
