"""The Typer app, and the only place where an error becomes a message and an exit code."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from geojepa_cli import __version__, console
from geojepa_cli.commands import options
from geojepa_cli.commands.artifacts import artifacts
from geojepa_cli.commands.build_tasks import build_tasks
from geojepa_cli.commands.demo import demo
from geojepa_cli.commands.doctor import doctor
from geojepa_cli.commands.embed import embed
from geojepa_cli.commands.fetch import fetch
from geojepa_cli.commands.knn import knn
from geojepa_cli.commands.pretrain import pretrain
from geojepa_cli.commands.probe import probe
from geojepa_cli.commands.process import process
from geojepa_cli.commands.report import report
from geojepa_cli.commands.tile import tile
from geojepa_cli.errors import GeojepaError

app = typer.Typer(
    help="Embeddings of map tiles and map entities from OpenStreetMap and aerial imagery.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command in (fetch, tile, process, build_tasks, pretrain, embed, probe, knn, demo, report, artifacts, doctor):
    app.command(name=_command.__name__.replace("_", "-"))(_command)

INTERRUPTED = ("interrupted", "the same command goes on; artifacts that were finished are kept")


def _version(wanted: bool) -> None:
    if wanted:
        console.say(f"geojepa {__version__}")
        raise typer.Exit


@app.callback()
def globals_(
    ctx: typer.Context,
    workspace: Annotated[
        Path | None,
        typer.Option(envvar=options.WORKSPACE_VARIABLE, help="Directory of the artifacts. Default: `workspace/`."),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options that come before the command."""
    ctx.obj = workspace or options.DEFAULT_WORKSPACE


def main() -> NoReturn:
    """Runs the command line; exit code 0, 1 for data and I/O, 2 for usage, 130 when interrupted."""
    debug = "--debug" in sys.argv[1:]
    try:
        app()
    except GeojepaError as error:
        _report(error.message, error.hint, debug)
        sys.exit(error.exit_code)
    except OSError as error:
        _report(*_told(error), debug)
        sys.exit(1)
    except KeyboardInterrupt:
        _report(*INTERRUPTED, debug)
        sys.exit(130)
    except SystemExit as end:
        if end.code == 130:  # what typer makes of Ctrl-C, without a word
            _report(*INTERRUPTED, debug)
        raise
    sys.exit(0)


def _report(message: str, hint: str | None, debug: bool) -> None:
    if debug:
        traceback.print_exc()
    console.error(message, hint)


def _told(error: OSError) -> tuple[str, str | None]:
    """An I/O error of the system as message and hint."""
    where = f" at `{error.filename}`" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"no space left on the disk{where}", "geojepa --workspace DIR …, or `geojepa artifacts --prune`"
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return (
            f"{os.strerror(error.errno).lower()}{where}",
            "geojepa --workspace DIR … with a directory you can write to",
        )
    if error.errno in (errno.ENOTDIR, errno.EEXIST, errno.ENOENT):
        return f"{os.strerror(error.errno).lower()}{where}", "geojepa --workspace DIR … with another directory"
    return f"{error.strerror or error}{where}", None
