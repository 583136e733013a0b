"""Every hint written in the code names a command and options that exist."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from hint_commands import GROUP, check_hint, option_names

import geojepa_cli
from geojepa_cli.workspace.kinds import KINDS, Remains

PACKAGE = Path(geojepa_cli.__file__).parent
BUILDERS = ("run", "again", "adding")


def calls() -> Iterator[tuple[str, ast.Call]]:
    """Every call of `hints.run`, `hints.again` and `.adding`, with its place."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in BUILDERS:
                owner = node.func.value
                if node.func.attr == "adding" or (isinstance(owner, ast.Name) and owner.id == "hints"):
                    yield f"{path.relative_to(PACKAGE)}:{node.lineno}", node


def test_every_hint_in_the_code_names_a_command_and_options_that_exist() -> None:
    everywhere = set().union(*(option_names(name) for name in GROUP.commands))
    seen = 0
    for place, call in calls():
        assert isinstance(call.func, ast.Attribute)
        first = call.args[0] if call.args else None
        command = first.value if isinstance(first, ast.Constant) else None
        if call.func.attr == "run" and isinstance(first, ast.Constant):
            assert command in GROUP.commands, f"{place}: no command `{command}`"
        known = option_names(str(command)) if command else everywhere
        for keyword in call.keywords:
            if keyword.arg is not None:
                option = "--" + keyword.arg.strip("_").replace("_", "-")
                assert option in known, f"{place}: `{command or 'no command'}` has no option `{option}`"
                seen += 1
    assert seen > 40


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_rebuild_hint_of_every_kind_is_a_command_whatever_is_known(kind: str) -> None:
    names = ("r", "m.r", "r.bridge", "16_1_2.m", "way-3.m")
    params = ({}, {"tile": "16_1_2", "html": True}, {"task": "bridge", "masked": True}, {"entity": "way/3", "seed": 4})
    for name in names:
        for values in params:
            inputs = ("source/a@0123456789ab", "source/b@0123456789ab", "processed/r@0123456789ab")
            for known in ((), inputs):
                check_hint(str(KINDS[kind].rebuild(Remains(name, values, known))))
