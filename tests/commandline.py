"""Runs `geojepa` as a user does in a new process, or faster in this one."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from hint_commands import check_hint
from typer.testing import CliRunner, Result

from geojepa_cli.app import app, main
from geojepa_cli.errors import GeojepaError
from geojepa_cli.workspace.workspace import Workspace

Run = Callable[..., str]
COMMAND = [sys.executable, "-P", "-m", "geojepa_cli"]
# settings of a training that takes a few seconds; tests add a width
TINY_TRAINING: dict[str, object] = {
    "model.depth": 1,
    "model.num_heads": 2,
    "model.predictor_dim": 16,
    "model.predictor_depth": 1,
    "model.predictor_heads": 2,
    "train.max_steps": 2,
}


def geojepa(
    *arguments: object, cwd: Path, timeout: float = 300, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Runs to the end, with any exit code."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        stdin=subprocess.DEVNULL,
        timeout=timeout,
    )


def run(*arguments: object, cwd: Path, timeout: float = 300, **environment: str) -> str:
    """Runs to the end, which must be a success; returns stdout."""
    done = geojepa(*arguments, cwd=cwd, timeout=timeout, **environment)
    assert done.returncode == 0, f"geojepa {' '.join(map(str, arguments))}\n{done.stderr}"
    return done.stdout


def invoke(workspace: Workspace, *arguments: object) -> Result:
    """Runs a command in this process, with any outcome."""
    return CliRunner().invoke(app, ["--workspace", str(workspace.root), *map(str, arguments)])


def succeed(workspace: Workspace, *arguments: object) -> Result:
    """Runs a command in this process, which must be a success."""
    done = invoke(workspace, *arguments)
    assert done.exit_code == 0, f"{done.output}\n{done.exception!r}"
    return done


def output_of(workspace: Workspace, *arguments: object) -> str:
    """Runs a command in this process, which must be a success; returns stdout."""
    return succeed(workspace, *arguments).stdout


def refused(workspace: Workspace, *arguments: object) -> GeojepaError:
    """Runs a command in this process, which must fail with a hint that is a command; returns the error."""
    error = invoke(workspace, *arguments).exception
    assert isinstance(error, GeojepaError) and error.hint is not None, error
    check_hint(str(error.hint))
    return error


def call(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs `main` in this process to the end, with any exit code: the same output, without the start of Python."""
    words, out, err = [*map(str, arguments)], io.StringIO(), io.StringIO()
    code: object = None
    with (
        contextlib.chdir(cwd),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        mock.patch.dict(os.environ, environment),
    ):
        argv, sys.argv = sys.argv, ["geojepa", *words]
        try:
            main()
        except SystemExit as end:
            code = end.code
        finally:
            sys.argv = argv
    assert isinstance(code, int)
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


def run_main(*arguments: object, cwd: Path, **environment: str) -> str:
    """Runs `main` in this process to the end, which must be a success; returns stdout."""
    done = call(*arguments, cwd=cwd, **environment)
    assert done.returncode == 0, f"geojepa {' '.join(done.args)}\n{done.stderr}"
    return done.stdout


def heed_ctrl_c() -> None:
    """For `preexec_fn`: background jobs of a shell ignore SIGINT, and so would processes that tests start in one."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def artifact_names(workspace: Path) -> list[str]:
    """`kind/name@id` of everything published, and of everything that looks like it."""
    return sorted(p.relative_to(workspace).as_posix() for p in workspace.glob("*/*@*") if not p.name.endswith(".lock"))
