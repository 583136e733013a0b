"""The Typer app, and the only place where an error becomes a message and an exit code."""

from __future__ import annotations

import errno
import os
import re
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from geojepa_cli import __version__, console, hints
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
from geojepa_cli.errors import GeojepaError, nearest


def _without_types(params: Iterable[Any]) -> None:
    """Switches take no value: some versions of typer show `<bool>` beside them."""
    for param in params:
        if getattr(param, "is_flag", False) or getattr(param, "is_bool_flag", False):
            param.metavar = ""


class _Command(TyperCommand):
    """A command."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Its `--help`."""
        _without_types(self.get_params(ctx))
        super().format_help(ctx, formatter)


class _Group(TyperGroup):
    """All commands."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Its `--help`."""
        _without_types(self.get_params(ctx))
        super().format_help(ctx, formatter)


app = typer.Typer(
    cls=_Group,
    help="Embeddings of map tiles and map entities from OpenStreetMap and aerial imagery.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command in (fetch, tile, process, build_tasks, pretrain, embed, probe, knn, demo, report, artifacts, doctor):
    app.command(name=_command.__name__.replace("_", "-"), cls=_Command)(_command)

BUG = 70  # EX_SOFTWARE of sysexits.h
COMMANDS = [info.name for info in app.registered_commands if info.name]
# typer brings a click of its own, or takes the one that is installed
REFUSED: type[Exception] = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")
NO_MEMORY = ("not enough memory", "--threads 1")
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
    """Runs the command line; exit code 0, 1 for data and I/O, 2 for usage, 70 for a bug, 130 when interrupted."""
    debug = "--debug" in sys.argv[1:]
    try:
        code = app(standalone_mode=False)
    except GeojepaError as error:
        _end(error.exit_code, error.message, error.hint, debug)
    except REFUSED as error:
        _end(2, *_refused(error), debug)
    except typer.Abort:
        _end(1, "aborted", None, debug)
    except MemoryError:
        _end(1, *NO_MEMORY, debug)
    except OSError as error:
        _end(1, *_told(error), debug)
    except KeyboardInterrupt:
        _end(130, *INTERRUPTED, debug)
    except Exception as error:
        if _is_out_of_memory(error):
            _end(1, *NO_MEMORY, debug)
        _end(BUG, *_bug(error), debug)
    if code == 130:  # what typer makes of Ctrl-C, without a word
        _end(130, *INTERRUPTED, debug)
    sys.exit(code if isinstance(code, int) else 0)


def _end(code: int, message: str, hint: str | None, debug: bool) -> NoReturn:
    if debug:
        traceback.print_exc()
    if message:
        console.error(message, hint)
    sys.exit(code)


def _refused(error: Any) -> tuple[str, str | None]:
    """A command line that does not parse, as message and hint; help that was asked for by no arguments is shown."""
    context = error.ctx
    if type(error).__name__ == "NoArgsIsHelpError":
        console.note(context.get_help())
        return "", None
    message = re.sub(r"'([^']*)'", r"`\1`", error.format_message()).rstrip(".")
    message = message[:1].lower() + message[1:]
    name = context.info_name if context is not None and context.parent is not None else None
    if name is None:
        command = nearest(_first_word(message), COMMANDS)
        return message, hints.paste("geojepa", *([command] if command else []), "--help")
    default = getattr(error.param, "default", None) if getattr(error, "param", None) else None
    if isinstance(default, int | float | str) and not isinstance(default, bool):
        return message, hints.paste(error.param.opts[0], str(default))
    example = re.search(r"Example: (geojepa .*)", context.command.help or "")
    if type(error).__name__ == "MissingParameter" and example:
        return message, example[1].strip()
    return message, f"geojepa {name} --help"


def _first_word(message: str) -> str:
    """What stands first in back-ticks."""
    found = re.search(r"`([^`]*)`", message)
    return found[1] if found else ""


def _bug(error: Exception) -> tuple[str, str]:
    what = f"{type(error).__name__}: {error}".rstrip(": ")
    return f"this is a bug of geojepa: {what}", hints.paste("geojepa", "--debug", *sys.argv[1:])


def _is_out_of_memory(error: Exception) -> bool:
    """Torch has no type of its own for it on CPU."""
    return isinstance(error, RuntimeError) and bool(re.search("can't allocate memory|out of memory", str(error)))


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
