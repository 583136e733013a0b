"""Terminal output: results on stdout (as text or JSON), progress and warnings on stderr.

All output goes through this module. Only `app` and the commands print results; other modules print warnings.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from rich.box import SIMPLE_HEAD
from rich.console import Console as RichConsole
from rich.console import OverflowMethod
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from geojepa_cli import hints
from geojepa_cli.hints import Hint

JSON_SCHEMA = 1
PLAIN_INTERVAL_S = 5.0

PLAIN_WIDTH = 140  # width of tables that are written to a file or a pipe

# characters to escape: control characters that a terminal or browser would execute (C0 except tab and newline, DEL,
# C1, bidirectional overrides), and lone surrogates, which cannot be encoded
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

_NUMBER = re.compile(r"[-–]?|[-−+]?[\d,]*\.?\d+(e[-+]?\d+)?( ?%| [^\W\d]+)?\*?")

_out = RichConsole(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else PLAIN_WIDTH)
_err = RichConsole(stderr=True, highlight=False, soft_wrap=True)
_only_errors = False  # set in all processes of a `torchrun` but the first


def print_only_errors() -> None:
    """Makes this process print nothing but errors from now on."""
    global _only_errors
    _only_errors = True


def printable(text: str) -> str:
    """Returns text with control characters escaped, such as `\\x1b`. Texts in OpenStreetMap may contain them."""
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


def counted(count: int, singular: str, plural: str | None = None) -> str:
    """Returns a number and its noun in singular or plural: `1 tile`, `2,000 tiles`."""
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"


def to_json(value: Any, indent: int | None = None) -> str:
    """Returns a value as JSON. Control characters are escaped, because they could change the state of the terminal."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _shown(text: str) -> str:
    return escape(printable(text))


class Meter(Protocol):
    """Interface of the progress displays: a bar, or plain lines."""

    def update(self, done: float, total: float | None = None, description: str | None = None) -> None:
        """Updates the progress display.

        Args:
            done: amount of work finished so far.
            total: total amount of work; None to keep the previous value.
            description: text in front of the bar or the numbers; None to keep the previous text.
        """


class _RichMeter:
    def __init__(self, progress: Progress, description: str, total: float | None) -> None:
        self._progress = progress
        self._task = progress.add_task(description, total=total)

    def update(self, done: float, total: float | None = None, description: str | None = None) -> None:
        changes: dict[str, Any] = {"completed": done}
        if total is not None:
            changes["total"] = total
        if description is not None:
            changes["description"] = _shown(description)
        self._progress.update(self._task, **changes)


class _PlainMeter:
    """Progress display used when stderr is not a terminal. Prints at most one line every five seconds."""

    def __init__(self, description: str, total: float | None) -> None:
        self._description, self._total, self._started = description, total, time.monotonic()
        self._last = self._started

    def update(self, done: float, total: float | None = None, description: str | None = None) -> None:
        self._total = total if total is not None else self._total
        self._description = description if description is not None else self._description
        now = time.monotonic()
        if _only_errors or now - self._last < PLAIN_INTERVAL_S:
            return
        self._last = now
        of = f" of {self._total:,.0f}" if self._total is not None else ""
        print(
            f"{printable(self._description)}: {done:,.0f}{of} ({now - self._started:.0f} s)",
            file=sys.stderr,
            flush=True,
        )


@contextmanager
def progress(description: str, total: float | None = None) -> Iterator[Meter]:
    """Shows progress on stderr: as a bar on a terminal (removed at the end), otherwise as plain lines."""
    if _only_errors or not _err.is_terminal:
        yield _PlainMeter(description, total)
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=_err, transient=True) as bars:
        yield _RichMeter(bars, _shown(description), total)


def note(message: str) -> None:
    """Prints a line of information on stderr."""
    if not _only_errors:
        _err.print(_shown(message))


def warn(message: str, hint: Hint | None = None) -> None:
    """Prints a warning on stderr, followed by a hint on how to fix the problem. The running command continues."""
    if _only_errors:
        return
    _err.print(f"[yellow]warning:[/yellow] {_shown(message)}")
    if hint is not None:
        _err.print(f"  to fix it: {_shown(str(hint.completed(hints.running())))}")


def error(message: str, hint: Hint | None = None) -> None:
    """Prints an error on stderr, followed by a blank line and a hint on how to fix the problem."""
    _err.print(f"[bold red]error:[/bold red] {_shown(message)}")
    if hint is not None:
        _err.print(f"\n[cyan]hint:[/cyan] {_shown(str(hint.completed(hints.running())))}")


def print_line(text: str = "") -> None:
    """Prints a line of a command's result on stdout."""
    if not _only_errors:
        _out.print(_shown(text))


def print_text(text: str) -> None:
    """Prints the text of a file, such as CSV, on stdout, without changing it."""
    if not _only_errors:
        print(text, end="", flush=True)


def table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    caption: str | None = None,
    red: Sequence[str] = (),
    compact: bool = False,
) -> None:
    """Prints a table on stdout. Columns of numbers are right-aligned. Cells whose text is one of `red` are red.

    A compact table has no lines between its columns, so that more of them fit on a terminal.
    """
    if _only_errors:
        return
    view = Table(title=_shown(title), title_justify="left", caption=caption and _shown(caption), caption_justify="left")
    view.show_header = any(columns)
    if compact:
        view.box, view.padding, view.pad_edge = SIMPLE_HEAD, (0, 1, 0, 0), False
    for index, name in enumerate(columns):
        numeric = bool(rows) and all(_is_number(row[index]) for row in rows)
        overflow: OverflowMethod = "fold" if compact else "ellipsis"
        view.add_column(_shown(name), justify="right" if numeric else "left", overflow=overflow)
    for row in rows:
        cells = [(str(cell), _shown(str(cell))) for cell in row]
        view.add_row(*(f"[bold red]{shown}[/]" if text in red else shown for text, shown in cells))
    _out.print(view)


def emit_json(command: str, artifact: str | Sequence[str] | None, result: object) -> None:
    """Prints the result of a command as a JSON object with the keys `schema`, `command`, `artifact` and `result`."""
    answer = {"schema": JSON_SCHEMA, "command": command, "artifact": artifact, "result": result}
    if not _only_errors:
        print(to_json(answer), flush=True)


def emit_json_each(command: str, made: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """Prints the results of a command that made one or several artifacts, as one JSON object.

    Args:
        command: name of the command.
        made: one pair (`name@id`, result) for each artifact. If there are several pairs, the keys `artifact` and
            `result` of the JSON object contain lists.
    """
    if len(made) == 1:
        emit_json(command, *made[0])
    else:
        emit_json(command, [ref for ref, _ in made], [result for _, result in made])


def _is_number(cell: object) -> bool:
    """Returns True if a table cell is a number (with or without unit or `*`), empty, or a dash for a missing number."""
    return _NUMBER.fullmatch(str(cell).strip()) is not None
