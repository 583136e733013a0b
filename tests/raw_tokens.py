"""Test oracles: a slow, plain reader of `processed.h5` and of the five tasks, written without the package.

Tokens are dictionaries of raw tags; labels and masks follow the table "Tasks" of the thesis (appendix C, table 36)
and docs/adr/0004-tasks.md word by word.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import h5py

Tags = dict[str, str]
CAR_ROADS = ("motorway", "trunk", "primary", "secondary", "tertiary", "unclassified", "residential", "service")
CAR_HIGHWAYS = {*CAR_ROADS, *(f"{road}_link" for road in CAR_ROADS)}
TASKS = ("traffic_signals", "building_count", "bridge", "car_bridge", "max_speed")


@dataclass
class Token:
    """An entity in a tile."""

    tags: Tags
    kind: int
    piece: int
    ref: tuple[int, int]
    members: list[Tags]  # of a relation: the tags of its members that are objects


def raw_tiles(path: Path) -> list[tuple[str, list[Token]]]:
    """Returns the name and the tokens of every tile, in file order."""
    with h5py.File(path, "r") as file:
        column = {name: file[name][...].tolist() for name in _numeric(file)}
        keys, values = _strings(file, "vocab/key"), _strings(file, "vocab/value")

    def tags_of(row: int) -> Tags:
        first, last = column["object/tags"][row], column["object/tags"][row + 1]
        return {keys[v]: values[v] for v in column["tag/vocab"][first:last]}

    members_of: dict[int, list[int]] = defaultdict(list)
    for relation, member in zip(column["member/relation"], column["member/object"], strict=True):
        members_of[relation].append(member)
    tiles = []
    for tile, (z, x, y) in enumerate(zip(column["tile/z"], column["tile/x"], column["tile/y"], strict=True)):
        tokens = []
        for piece in range(column["tile/pieces"][tile], column["tile/pieces"][tile + 1]):
            row = column["piece/object"][piece]
            tags = tags_of(row)
            if column["object/token"][row] == 0 and not column["piece/covers_tile"][piece] and tags:
                ref = (column["object/osm_type"][row], column["object/osm_id"][row])
                members = [tags_of(m) for m in members_of[row]]
                tokens.append(Token(tags, column["object/kind"][row], piece, ref, members))
        tiles.append((f"{z}_{x}_{y}", tokens))
    return tiles


def has_signal(tags: Tags) -> bool:
    """Returns True for `traffic_signals=*`, `*=traffic_signals` and `crossing:signals=*`."""
    return "traffic_signals" in tags.values() or "traffic_signals" in tags or "crossing:signals" in tags


def has_bridge(tags: Tags) -> bool:
    """Returns True for `bridge=*` and `*=bridge`."""
    return "bridge" in tags or "bridge" in tags.values()


def is_building(tags: Tags) -> bool:
    """Returns True for `building=*`."""
    return "building" in tags


def slow_label(task: str, entities: list[Tags]) -> float:
    """Returns the label of a tile with these entities; NaN if the task leaves it out."""
    if task == "traffic_signals":
        return sum(has_signal(tags) for tags in entities)
    if task == "building_count":
        return sum(is_building(tags) for tags in entities)
    if task == "bridge":
        return float(any(has_bridge(tags) for tags in entities))
    if task == "car_bridge":
        return float(any(has_bridge(tags) and tags.get("highway") in CAR_HIGHWAYS for tags in entities))
    if not any("highway" in tags for tags in entities):
        return -100.0
    speeds = [slow_speed(tags["maxspeed"]) for tags in entities if "maxspeed" in tags]
    return max((speed for speed in speeds if not math.isnan(speed)), default=math.nan)


def slow_speed(value: str) -> float:
    """Returns km/h of the plain forms (`35 mph`, `50`, `50;30`) and of `RU:urban`; NaN for other values."""
    if value == "RU:urban":
        return 60.0
    speeds = []
    for item in value.split(";"):
        number = item.strip().lower().removesuffix("mph").strip()
        if number.replace(".", "", 1).isdigit():
            speeds.append(float(number) * (1.609344 if item.strip().lower().endswith("mph") else 1.0))
    return max(speeds, default=math.nan)


def leaks(task: str, key: str, value: str) -> bool:
    """Returns True for a tag that every mask has to hide at least."""
    if task == "traffic_signals":
        return key in ("traffic_signals", "crossing:signals") or "traffic_signals" in (value, key.split(":")[0])
    if task == "building_count":
        return key in ("building", "building:part") or key.startswith("building:")
    if task in ("bridge", "car_bridge"):
        return key in ("bridge", "layer") or value == "bridge" or key.startswith("bridge:")
    return "maxspeed" in key


def goes_whole(task: str, tags: Tags) -> bool:
    """Returns True for an entity that the masked variant must not show."""
    if task == "building_count":
        return "building" in tags or "building:part" in tags
    return all(leaks(task, key, value) for key, value in tags.items())


def spans_hidden(task: str, token: Token) -> bool:
    """Returns True for an entity with the geometry of a member that the masked variant must not show."""
    return token.kind == 3 and any(member and goes_whole(task, member) for member in token.members)


def _numeric(file: h5py.File) -> list[str]:
    wanted: list[str] = []
    file.visititems(lambda name, item: wanted.append(name) if isinstance(item, h5py.Dataset) else None)
    tables = ("tile/", "object/", "piece/object", "piece/covers_tile", "tag/", "member/object", "member/relation")
    return [name for name in wanted if name.startswith(tables)]


def _strings(file: h5py.File, name: str) -> list[str]:
    offsets, text = file[name][...].tolist(), file[f"{name}_utf8"][...].tobytes()
    return [text[a:b].decode() for a, b in pairwise(offsets)]
