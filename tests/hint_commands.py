"""Checks that a hint is a command line which exists."""

from __future__ import annotations

import re
import shlex
import subprocess
from typing import Any

import typer

from geojepa_cli.app import app

OTHER_PROGRAMS = {"rm", "pip", "python", "unset", "osmium", "gdalwarp", "gdal_translate", "gdalinfo", "gunzip"}
GROUP: Any = typer.main.get_command(app)


def option_names(command: str | None) -> set[str]:
    """The options of a command of geojepa; those before the command for None."""
    found = GROUP if command is None else GROUP.commands[command]
    return {name for param in found.params for name in [*param.opts, *param.secondary_opts]} | {"--help"}


def split_hint(text: str) -> list[list[str]]:
    """The commands of a hint as words: those joined by `&&`, then those after `or:` in the comment."""
    commands, _, comment = text.partition("  # ")
    found = [shlex.split(part) for part in commands.split(" && ")]
    otherwise = re.search(r"(?:^|; )or: (.*)", comment)
    return found + (split_hint(otherwise[1]) if otherwise else [])


def check_hint(text: str) -> None:
    """Fails where a shell cannot parse a hint, or where it is not made of commands whose options exist."""
    # through a file descriptor, because a hint may repeat a value with a null byte, which no argument can hold
    parsed = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True)
    assert parsed.returncode == 0 and "\n" not in text, f"{parsed.stderr}: {text}"
    for words in split_hint(text):
        assert words, text
        if words[0] == "geojepa":
            check_command(words[1:], text)
        else:
            assert words[0] in OTHER_PROGRAMS, f"not a command: {text}"


def check_command(words: list[str], text: str) -> None:
    """Fails where the words after `geojepa` do not parse."""
    command, known = None, option_names(None)
    values, arguments = iter(words), 0
    for word in values:
        name = word.partition("=")[0]
        if not word.startswith("-"):
            if command is not None:
                arguments += 1
                assert arguments <= _arguments_of(command), f"`{word}` is left over: {text}"
                continue
            assert word in GROUP.commands, f"no command `{word}`: {text}"
            command, known = word, option_names(word)
            continue
        assert name in known, f"no option `{name}` of `{command}`: {text}"
        if "=" not in word and _takes_value(command, name):
            assert next(values, None) is not None, f"`{name}` has no value: {text}"


def _arguments_of(command: str) -> int:
    return sum(param.param_type_name == "argument" for param in GROUP.commands[command].params)


def _takes_value(command: str | None, name: str) -> bool:
    found = GROUP if command is None else GROUP.commands[command]
    return any(name in param.opts and not param.is_flag for param in found.params)
