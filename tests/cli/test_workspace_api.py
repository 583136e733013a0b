"""Python functions for whole workspaces, and the plan of `fetch`."""

from __future__ import annotations

from pathlib import Path

import pytest
from commandline import call
from workspace_artifacts import publish

from geojepa_cli import Workspace, stages
from geojepa_cli.errors import UsageError
from geojepa_cli.sources.extract import sha256_of
from geojepa_cli.stages.source_plan import FilePlan

MAP = '<osm version="0.6"><node id="1" version="1" lat="1" lon="2"><tag k="amenity" v="cafe"/></node></osm>'


def test_verify_returns_the_damaged_artifacts_with_the_command_that_rebuilds_them(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "ws")
    whole, changed = publish(workspace), publish(workspace, "tiles", a=1)
    assert stages.artifacts(workspace) == [whole, changed]
    assert stages.verify(workspace) == []
    (changed.path / "data").write_bytes(b'{"a": 2}')
    (damage,) = stages.verify(workspace)
    assert damage.ref == changed.full_ref and damage.reasons == ("data",)
    assert f"geojepa --workspace {tmp_path / 'ws'} tile" in str(damage.hint)


def test_the_plan_of_fetch_describes_the_file_and_publishes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "town.osm"
    path.write_text(MAP)
    workspace = Workspace(tmp_path / "ws")
    plan = stages.plan_fetch(workspace, pbf=path, name="town")
    assert isinstance(plan, FilePlan) and plan.imagery is None
    assert (plan.name, plan.extract.bytes, plan.extract.sha256) == ("town", len(MAP), sha256_of(path))
    assert not workspace.root.exists()
    (source,) = stages.fetch(workspace, pbf=path, name="town")
    assert source.params["map"] == plan.extract.sha256
    with pytest.raises(UsageError, match="exactly one of `--region` and `--pbf`"):
        stages.plan_fetch(workspace)


def test_a_wrong_number_of_steps_has_the_message_of_all_integer_options(tmp_path: Path) -> None:
    done = call("demo", "--size", "small", "--steps", "0", cwd=tmp_path)
    assert done.returncode == 2 and "`--steps 0`: expected 1 to" in done.stderr
    assert "hint: geojepa demo --size small --steps 100" in done.stderr
    assert not (tmp_path / "workspace").exists()
