"""Command-line app. Converts errors to messages and exit codes."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from geojepa_cli import __version__, console, hints
from geojepa_cli.commands.artifacts import artifacts
from geojepa_cli.commands.build_tasks import build_tasks
from geojepa_cli.commands.demo import demo
from geojepa_cli.commands.doctor import doctor
from geojepa_cli.commands.embed import embed
from geojepa_cli.commands.examples import command_name, help_text
from geojepa_cli.commands.explore import explore
from geojepa_cli.commands.export import export
from geojepa_cli.commands.fetch import fetch
from geojepa_cli.commands.heatmap import heatmap
from geojepa_cli.commands.knn import knn
from geojepa_cli.commands.parse_errors import describe_parse_error, flags_of, unknown_command
from geojepa_cli.commands.pretrain import pretrain
from geojepa_cli.commands.probe import probe
from geojepa_cli.commands.probe_entities import probe_entities
from geojepa_cli.commands.process import process
from geojepa_cli.commands.report import report
from geojepa_cli.commands.review import review
from geojepa_cli.commands.sweep import sweep
from geojepa_cli.commands.tile import tile
from geojepa_cli.errors import GeojepaError, OtherRankError, io_error
from geojepa_cli.hints import Hint, Invocation


class _PlainHelp:
    """Removes `<bool>` from the output of `--help`. Some versions of typer print it after the names of flags."""

    get_params: Any

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Writes the output of `--help` to `formatter`."""
        for param in _switches(self.get_params(ctx)):
            param.metavar = ""
        super().format_help(ctx, formatter)  # type: ignore[misc]


class _Command(_PlainHelp, TyperCommand):
    """A command of `geojepa`."""


class _Group(_PlainHelp, TyperGroup):
    """The program `geojepa`, as the typer group of all its commands."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Finds the command that the first argument names.

        Returns the name of the command, the command object, and the remaining arguments. Raises `UsageError` if no
        command has this name.
        """
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            raise unknown_command(args[0], self.list_commands(ctx), hints.running() or Invocation())
        return super().resolve_command(ctx, args)


def _switches(params: Iterable[Any]) -> Iterable[Any]:
    return [param for param in params if getattr(param, "is_flag", False) or getattr(param, "is_bool_flag", False)]


app = typer.Typer(
    cls=_Group,
    help="Embeddings of map tiles and map entities from OpenStreetMap and aerial imagery.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_PREPARE = (fetch, tile, process, build_tasks, pretrain)
_USE = (embed, probe, probe_entities, knn, heatmap, explore, review, export, demo, report, sweep)
for _command in (*_PREPARE, *_USE, artifacts, doctor):
    app.command(name=command_name(_command), cls=_Command, help=help_text(_command))(_command)

BUG = 70  # EX_SOFTWARE of sysexits.h
INTERRUPTED = 130  # 128 + SIGINT
# depending on its version, typer uses its own copy of click or the installed click
PARSE_ERROR: type[Exception] = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")


def _version(wanted: bool) -> None:
    if wanted:
        console.print_line(f"geojepa {__version__}")
        raise typer.Exit


@app.callback()
def globals_(
    ctx: typer.Context,
    workspace: Annotated[
        Path | None,
        typer.Option(
            envvar=hints.WORKSPACE_VARIABLE, help="Directory that contains the artifacts. Default: `workspace/`."
        ),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Print the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Reads the options that come before the command, such as `--workspace`."""
    ctx.obj = workspace or Path(hints.DEFAULT_WORKSPACE)


def main() -> NoReturn:
    """Runs the command line and exits.

    Exit codes: 0 for success, 1 for data and I/O errors, 2 for usage errors, 70 for bugs, 130 for Ctrl-C.
    """
    debug = "--debug" in sys.argv[1:]
    group = typer.main.get_command(app)
    with hints.invocation(Invocation.parse(sys.argv[1:], flags_of(group))):
        try:
            code = group.main(standalone_mode=False)
        except Exception as error:
            _end(*_describe(error, group), debug)
        except KeyboardInterrupt:
            _end(INTERRUPTED, *_interrupted(), debug)
        if code == INTERRUPTED:  # typer returns this code after Ctrl-C
            _end(INTERRUPTED, *_interrupted(), debug)
    sys.exit(code if isinstance(code, int) else 0)


def _end(code: int, message: str, hint: Hint | None, debug: bool) -> NoReturn:
    if debug:
        traceback.print_exc()
    if message:
        console.error(message, hint)
    sys.exit(code)


def _describe(error: Exception, group: Any) -> tuple[int, str, Hint | None]:
    """Returns the exit code, message and hint for an exception."""
    if isinstance(error, OtherRankError):
        return error.exit_code, "", None
    if isinstance(error, GeojepaError):
        return error.exit_code, error.message, error.hint
    if isinstance(error, PARSE_ERROR):
        if type(error).__name__ == "NoArgsIsHelpError":
            console.note(error.ctx.get_help())  # type: ignore[attr-defined]
            return 2, "", None
        return 2, *describe_parse_error(error, hints.running() or Invocation(), group)
    if isinstance(error, typer.Abort):
        return 1, "aborted", None
    if _is_out_of_memory(error):
        return 1, "not enough memory", hints.again(threads=1)
    if isinstance(error, BrokenPipeError):  # the program that reads the output, such as `head`, has exited
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1, "", None
    if isinstance(error, OSError):
        error = io_error(error)
        return error.exit_code, error.message, error.hint
    what = f"{type(error).__name__}: {error}".rstrip(": ")
    words = [word for word in sys.argv[1:] if word != "--debug"]
    return BUG, f"this is a bug of geojepa: {what}", hints.shell("geojepa", "--debug", *words)


def _interrupted() -> tuple[str, Hint]:
    return "interrupted; finished artifacts are kept", hints.again().noting("to resume")


def _is_out_of_memory(error: Exception) -> bool:
    """Returns True for out-of-memory errors. On the CPU, torch raises a plain `RuntimeError` for them."""
    phrases = ("can't allocate memory", "out of memory")
    known = isinstance(error, RuntimeError) and any(phrase in str(error) for phrase in phrases)
    return isinstance(error, MemoryError) or known
