"""The kinds of artifact, what may name one, and the command that makes one anew."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from geojepa_cli.errors import UsageError

# kind -> (schema of its files, command that makes it)
KINDS: dict[str, tuple[int, str]] = {
    "source": (1, "geojepa fetch --pbf FILE --name {name}"),
    "tiles": (1, "geojepa tile --region {name}"),
    "images": (1, "geojepa tile --region {name}"),
    "processed": (1, "geojepa process --region {name}"),
    "features": (1, "geojepa process --region {name}"),
    "tasks": (1, "geojepa build-tasks --region {first}"),
    "models": (1, "geojepa pretrain --config tiny.yaml --name {name}"),
    "embeddings": (1, "geojepa embed --model {first} --region {rest}"),
    "probes": (1, "geojepa probe --task {first}"),
    "neighbours": (1, "geojepa knn --tile TILE"),
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")


def check_name(name: str) -> None:
    """UsageError where `name` cannot name an artifact (it becomes a directory, and `@` parts it from its id)."""
    if not _NAME.fullmatch(name) or name.endswith(".partial") or len(name) > 150:
        raise UsageError(
            f"`{name}` is not a name",
            hint="use letters, digits, `-`, `_`, `.` and `+`, beginning with a letter or digit",
        )


def legal_name(text: str) -> str:
    """A name like the text that an artifact can have; `NAME` where nothing is left of it."""
    kept = re.sub(r"[^A-Za-z0-9_.+-]+", "-", text).lstrip("_.+-").rstrip("-.")[:100]
    return kept.removesuffix(".partial") or "NAME"


def tile_command(name: str, sources: Sequence[str], *options: str) -> str:
    """The command that makes the tiles of a region out of those of its sources."""
    regions = [word for source in sources for word in ("--region", source)]
    merge = ["--merge", name] if len(sources) > 1 else []
    return shlex.join(["geojepa", "tile", *regions, *merge, *options])


def remake_hint(kind: str, name: str, params: Mapping[str, Any] | None = None, inputs: Sequence[str] = ()) -> str:
    """The command that makes an artifact of this kind and name, with these parameters and inputs where known."""
    if kind == "tiles" and len(inputs) > 1:
        return tile_command(name, [ref.partition("/")[2].partition("@")[0] for ref in inputs])
    first, _, rest = name.partition(".")
    words = {"first": shlex.quote(first), "rest": shlex.quote(rest or "R")}
    hint = KINDS[kind][1].format(name=legal_name(name) if kind in ("source", "models") else shlex.quote(name), **words)
    known = params or {}
    if kind == "embeddings" and known.get("task"):
        hint += f" --task {shlex.quote(known['task'])}"
    if kind in ("embeddings", "probes") and known.get("masked"):
        hint += " --masked"
    if kind == "probes":
        models = [model.partition("@")[0] for model in known.get("models", [rest] if rest else [])]
        hint += "".join(f" --model {shlex.quote(model)}" for model in models)
    if kind == "neighbours":
        query = [f"--{key} {shlex.quote(known[key])}" for key in ("tile", "entity") if known.get(key)]
        hint = hint.replace("--tile TILE", query[0] if query else f"--tile {shlex.quote(first)}")
        hint += " --html" if known.get("html") else ""
    return hint
