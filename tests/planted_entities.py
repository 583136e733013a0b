"""Stores and workspaces with planted entities: buildings whose class is decided by one known thing, or by nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from synthetic_store import write_columns, write_synthetic_features

from geojepa_cli.grid import ground_size
from geojepa_cli.store import schema
from geojepa_cli.store.reader import RegionStore
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace

Decides = Literal["shape", "neighbours", "nothing"]
CLASSES = ("house", "church", "garage")
TREES = ("tree", "rock", "peak")  # decide the class in the mode `neighbours`
VOCAB = sorted([("building", one) for one in (*CLASSES, "yes")] + [("natural", one) for one in TREES])
BUILDINGS, OTHERS = 6, 4  # of each tile
TASK = """
name: planted
title: planted class
key: building
kinds: [area]
ignore: ["yes"]
min_examples: 20
"""


def write_planted(
    path: Path,
    decides: Decides,
    seed: int = 0,
    groups: int = 12,
    corner: tuple[int, int] = (4500, 6400),
    value_of: Callable[[int, str], str] = lambda number, name: name,
    first_id: int = 1,
    trees: bool = True,
) -> Path:
    """Writes a `processed.h5` with two tiles in each of `groups` zoom-14 tiles, and `BUILDINGS` buildings in each tile.

    A building has no tag but `building=*`. In the mode `shape`, its class decides the sides of its rectangle. In the
    mode `neighbours`, all buildings of a tile have one class, and its points have the tag that belongs to this class.

    Args:
        value_of: value of `building=*` of the building with a given number and class; changes nothing else.
        first_id: id of the first OSM element.
        trees: False to give the points random tags in the mode `neighbours`, too.
    """
    rng = np.random.default_rng(seed)
    columns: dict[str, list[Any]] = {name: [0] if c.csr else [] for name, c in schema.COLUMNS.items()}
    number = 0
    for tile in range(2 * groups):
        x, y = 4 * (corner[0] + tile // 2) + tile % 2, 4 * corner[1]
        for name, value in zip(("z", "x", "y", "east_m", "north_m"), (16, x, y, *ground_size(16, x, y)), strict=True):
            columns[f"tile/{name}"].append(value)
        of_tile = int(rng.integers(len(CLASSES)))
        tree = of_tile if decides == "neighbours" and trees else int(rng.integers(len(CLASSES)))
        for place in range(BUILDINGS + OTHERS):
            if place < BUILDINGS:
                label = of_tile if decides == "neighbours" else int(rng.integers(len(CLASSES)))
                size = label if decides == "shape" else int(rng.integers(len(CLASSES)))
                side = (0.01, 0.03, 0.09)[size] * rng.uniform(0.8, 1.2)
                tag = ("building", value_of(number, CLASSES[label]))
                _add(columns, rng, first_id + number, 1, 2, side, tag)
            else:
                _add(columns, rng, first_id + number, 0, 0, 0.0, ("natural", TREES[tree]))
            number += 1
        columns["tile/pieces"].append(len(columns["piece/object"]))
    _finish(columns)
    return write_columns(path, columns)


def add_planted(workspace: Workspace, name: str, decides: Decides, seed: int = 0, **changes: Any) -> Artifact:
    """Publishes a planted region up to `features/`. Returns the processed artifact."""
    with workspace.build("source", name, {"seed": seed}) as build:
        source = build.existing or build.publish(attribution=["© OpenStreetMap contributors, ODbL 1.0"])
    with workspace.build("tiles", name, {"zoom": 16, "seed": seed}, [source]) as build:
        tiles = build.existing or build.publish()
    with workspace.build("processed", name, {"seed": seed}, [tiles]) as build:
        write_planted(build.partial / "processed.h5", decides, seed, **changes)
        processed = build.publish()
    region = RegionStore(processed.file("processed.h5"), name)
    with workspace.build("features", name, {"seed": seed}, [processed]) as build:
        write_synthetic_features(build.partial / "tags.h5", region.n_vocab, 7, width=16)
        build.publish()
    return processed


def _add(
    columns: dict[str, list[Any]],
    rng: np.random.Generator,
    osm_id: int,
    osm_type: int,
    kind: int,
    side: float,
    tag: tuple[str, str],
) -> None:
    """Adds an OSM element with one piece: a point, or a rectangle whose second side is 1.5 times the first."""
    columns["piece/object"].append(len(columns["object/osm_id"]))
    for name, value in (("osm_type", osm_type), ("osm_id", osm_id), ("version", 1), ("kind", kind), ("token", 0)):
        columns[f"object/{name}"].append(value)
    columns["object/absent_members"].append(0)
    columns["tag/vocab"].append(VOCAB.index(tag))
    columns["object/tags"].append(len(columns["tag/vocab"]))
    columns["object/members"].append(0)
    centre, turn = rng.uniform(0.2, 0.8, 2), rng.uniform(0, np.pi)
    along = np.array([np.cos(turn), np.sin(turn)]) * side / 2
    columns["piece/covers_tile"].append(0)
    columns["piece/area_m2"].append(float((side * 480) ** 2 * 1.5))
    columns["piece/length_m"].append(float(side * 480 * 5))
    columns["piece/box_centre"].append(np.rint(centre * 49152 + 8192))
    columns["piece/box_side"].append([*along.tolist(), 1.5])
    across = np.array([-along[1], along[0]]) * 1.5
    corners = [centre] if kind == 0 else [centre - along - across, centre + along - across, centre + along + across]
    columns["part/role"].append(2 if kind == 2 else 0)
    columns["node/xy"].extend(np.rint(np.array(corners) * 49152 + 8192).tolist())
    columns["part/nodes"].append(len(columns["node/xy"]))
    columns["piece/parts"].append(len(columns["part/role"]))
    columns["piece/edges"].append(0)


def _finish(columns: dict[str, list[Any]]) -> None:
    for name, texts in {
        "role/text": ["", "inner", "outer"],
        "vocab/key": [key for key, _ in VOCAB],
        "vocab/value": [value for _, value in VOCAB],
    }.items():
        encoded = [text.encode() for text in texts]
        columns[name] = [0, *np.cumsum([len(one) for one in encoded], dtype=int).tolist()]
        columns[f"{name}_utf8"] = list(b"".join(encoded))
    columns["vocab/count"] = np.bincount(columns["tag/vocab"], minlength=len(VOCAB)).tolist()
    # elements are sorted by type and id in a file
    keys = list(zip(columns["object/osm_type"], columns["object/osm_id"], strict=True))
    order = sorted(range(len(keys)), key=lambda row: keys[row])
    place = {old: new for new, old in enumerate(order)}
    columns["piece/object"] = [place[old] for old in columns["piece/object"]]
    for name in ("osm_type", "osm_id", "version", "kind", "token", "absent_members"):
        columns[f"object/{name}"] = [columns[f"object/{name}"][old] for old in order]
    columns["tag/vocab"] = [columns["tag/vocab"][old] for old in order]  # every element has one tag
