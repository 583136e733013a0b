"""Kinds of `geojepa probe`, and the options that belong to each of them."""

from __future__ import annotations

import typer

from geojepa_cli import hints
from geojepa_cli.commands import options
from geojepa_cli.errors import UsageError
from geojepa_cli.hints import Hint
from geojepa_cli.stages.point_probes import ENTITY_IMAGE, OFFSET

HEADS, RETRIEVAL = "heads", "retrieval"
_OF_LANGUAGE_MODELS = ("base_url", "api_key_env", "max_cost", "price_in", "price_out")
_ONLY_HEADS = ("head", "seeds", "labels", "fold", "embeddings", "without_shared", *_OF_LANGUAGE_MODELS)
_ONLY_RETRIEVAL = ("space", "k")
_NOT_AT_POINTS = (*_ONLY_HEADS, *_ONLY_RETRIEVAL, "task", "masked")
_WITHOUT = {HEADS: _ONLY_RETRIEVAL, RETRIEVAL: (*_ONLY_HEADS, "tiles")}
_WITHOUT |= {ENTITY_IMAGE: _NOT_AT_POINTS, OFFSET: (*_NOT_AT_POINTS, "retrieval")}


def find_kind(ctx: typer.Context, what: str | None) -> str:
    """Returns the kind of probe that the command line selects.

    Args:
        ctx: the running command.
        what: argument of the command; None for none.

    Raises:
        UsageError: an option or argument belongs to another kind, or the argument is unknown.
    """
    retrieval, offset = bool(ctx.params["retrieval"]), bool(ctx.params["offset"])
    if what is not None and what != ENTITY_IMAGE:
        message = f"unexpected argument `{what}`: expected `{ENTITY_IMAGE}` with `--retrieval`, or `--task {what}`"
        raise UsageError(message, hints.run("probe", task=what))
    if what is not None and not (retrieval or offset):
        raise UsageError(f"`{what}` requires `--retrieval`", hints.again(retrieval=True))
    if what is not None and offset:
        raise UsageError(f"`{what}` cannot be combined with `--offset`", hints.run("probe", offset=True))
    kind = OFFSET if offset else what or (RETRIEVAL if retrieval else HEADS)
    for param in ctx.command.params:
        if param.name in _WITHOUT[kind] and options.is_given(ctx, param.name):
            raise _misplaced(param.opts[0], kind)
    return kind


def _misplaced(option: str, kind: str) -> UsageError:
    """Returns the error for an option that belongs to another kind of probe."""
    if kind == HEADS:
        return UsageError(f"`{option}` requires `--retrieval`", hints.again(retrieval=True))
    if kind == RETRIEVAL and option != "--tiles":
        message = f"`{option}` cannot be combined with `--retrieval`, which trains no heads"
        return UsageError(message, hints.instead(("--retrieval", None)))
    name = f"`{kind}`" if kind == ENTITY_IMAGE else f"`--{kind}`"
    return UsageError(f"`{option}` cannot be combined with {name}", Hint(dropped=(option,)))
