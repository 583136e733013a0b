"""Runs `geojepa` in child processes, which have everything imported that this process has."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from geojepa_cli import app


class Done(NamedTuple):
    """Exit code and output of a command."""

    code: int
    error: str


def run_here(workspace: Path, arguments: list[str]) -> int:
    """Runs a command in this process and returns its exit code."""
    sys.argv = ["geojepa", "--workspace", str(workspace), *arguments]
    try:
        app.main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0


def run_forked(workspace: Path, arguments: list[str]) -> Done:
    """Runs a command in a child process that has everything imported already; a crash of the child is its exit code."""
    output = workspace.parent / "stderr"
    gc.freeze()  # a collection in the child would copy the pages of all objects
    child = os.fork()
    if child == 0:
        with output.open("w") as file, contextlib.redirect_stderr(file), contextlib.redirect_stdout(io.StringIO()):
            code = run_here(workspace, arguments)
        os._exit(code)
    gc.unfreeze()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return Done(code, output.read_text())


def hint_of(done: Done) -> str:
    """The hint of an error, without line breaks."""
    return done.error.rpartition("hint: ")[2].strip()


@contextlib.contextmanager
def restored(workspace: Path) -> Iterator[None]:
    """Undoes everything that happens in the workspace; files are links, so that a damaged one must be replaced."""
    kept = workspace.with_name("kept")
    shutil.copytree(workspace, kept, copy_function=os.link)
    try:
        yield
    finally:
        shutil.rmtree(workspace)
        kept.rename(workspace)
