"""The areas of the native binary against those of `osmium export`, a third source next to the tests' own oracle.

libosmium puts rings together for both, so this is no oracle for broken rings. It is one for what surrounds them: roles,
which closed ways are areas, absent members, versions, and clipping, since every area is compared as the sum of its
pieces. Areas are compared in square degrees, because `osmium export` knows straight lines between coordinates only.

`pytest -m "" -rP tests/real/test_areas_osmium.py` prints the classes of differences by extract.
"""

from __future__ import annotations

import json
import math
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import osmium
import pytest
import shapely
from osm_entities import RING_ROLES, is_area, is_kept
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry
from tiles_reader import Piece, run_tiler

SOME = ("osm/harrisburg", "osm/virgin-islands", "osm-more/gibraltar")
EVERY = ("osm/baltimore-harbor", "osm/columbus", "osm/helsinki-center", "osm/honolulu", "osm/liechtenstein")
EVERY += ("osm/new-york-lower", "osm/state-college", "osm-more/bayreuth-north", "osm-more/copenhagen")
EVERY += ("osm-more/maldives", "osm-more/monaco-menton", "osm-more/potsdam", "osm-more/yuba-county-ca")
SAMPLES = [pytest.param(name, id=name) for name in SOME]
SAMPLES += [pytest.param(name, id=name, marks=pytest.mark.slow) for name in EVERY]
UNIT = 1e-7  # degrees; vertices are rounded to it
SIDE = 2**16

pytestmark = pytest.mark.skipif(shutil.which("osmium") is None, reason="needs osmium-tool")


class Source:
    """Tags, references and members of an extract, from which an area may differ."""

    def __init__(self, path: Path) -> None:
        self.nodes: set[int] = set()
        self.places: dict[int, tuple[float, float]] = {}
        self.refs: dict[int, list[int]] = {}
        self.tags: dict[str, dict[str, str]] = {}
        self.members: dict[int, list[tuple[str, int, str]]] = {}
        for item in osmium.FileProcessor(path):
            if item.is_node():
                self.places[item.id] = (item.location.x, item.location.y)
            elif item.is_way():
                self.refs[item.id] = [node.ref for node in item.nodes]
                self.tags[f"way/{item.id}"] = {tag.k: tag.v for tag in item.tags}
            else:
                self.members[item.id] = [(member.type, member.ref, member.role) for member in item.members]
                self.tags[f"relation/{item.id}"] = {tag.k: tag.v for tag in item.tags}

    def complete(self, way: int) -> bool:
        return way in self.refs and all(ref in self.places for ref in self.refs[way])

    def is_area(self, ref: str) -> bool:
        """Returns whether the rules make an area of it, if its rings are whole."""
        tags = self.tags.get(ref, {})
        if not any(is_kept(key) for key in tags):
            return False
        if ref.startswith("relation"):
            return tags.get("type") in ("multipolygon", "boundary")
        return len(self.refs[int(ref.removeprefix("way/"))]) >= 4 and is_area(tags)

    def reason(self, ref: str) -> str | None:
        """Why `osmium export` may have another area or none: it closes ways by positions, uses members of every role,
        builds nothing of incomplete objects, and repairs no ring. None where there is no reason."""
        kind, number = ref.split("/")
        if kind == "way":
            refs = self.refs[int(number)]
            if refs[0] != refs[-1]:
                return "ways that end at one position with two nodes"
            if not self.complete(int(number)):
                return "way with absent nodes"
            ring = shapely.Polygon([self.places[node] for node in refs])
            return None if ring.is_valid else "ring that touches or crosses itself"
        ways = [(member, role) for kind, member, role in self.members[int(number)] if kind == "w"]
        if any(role.strip().lower() not in RING_ROLES for _, role in ways):
            return "members that are no rings"
        return None if all(self.complete(way) for way, _ in ways) else "absent members or nodes"


def exported(path: Path, folder: Path) -> Iterator[tuple[str, BaseGeometry]]:
    """The areas of `osmium export`: of every closed way, and of every multipolygon and boundary."""
    config = folder / "config.json"
    config.write_text(json.dumps({"linear_tags": True, "area_tags": True}))
    ordered = folder / "sorted.osm.pbf"
    subprocess.run(["osmium", "sort", path, "-o", ordered], check=True, capture_output=True)
    command = ["osmium", "export", ordered, "-c", config, "--add-unique-id=type_id", "--geometry-types=polygon", "-n"]
    command += ["-f", "geojsonseq", "-x", "print_record_separator=false", "-o", folder / "areas.geojsonseq"]
    subprocess.run(command, check=True, capture_output=True)
    with (folder / "areas.geojsonseq").open() as lines:
        for line in lines:
            feature = json.loads(line)
            number = int(feature["id"][1:])  # twice the id, and one more for a relation
            yield f"{'relation' if number % 2 else 'way'}/{number // 2}", shape(feature["geometry"])


def square_degrees(place: tuple[int, int], piece: Piece) -> float:
    if piece.covers_tile:
        north, south = (
            math.degrees(math.atan(math.sinh(math.pi * (1 - 2 * y / SIDE)))) for y in (place[1], place[1] + 1)
        )
        return (north - south) * 360 / SIDE
    return float(piece.geometry().area)


@pytest.mark.parametrize("name", SAMPLES)
def test_areas_are_those_of_osmium_export(name: str, shared: Path, tmp_path: Path) -> None:
    (path,) = (shared / name).parent.glob(f"{Path(name).name}.osm*")
    source = Source(path)
    tiles, _ = run_tiler(path, tmp_path / "tiles.h5")
    found: dict[str, float] = defaultdict(float)
    for place, piece in tiles.all_pieces():
        if piece.kind == "area":
            found[piece.ref] += square_degrees(place, piece)
    classes: dict[str, list[str]] = defaultdict(list)
    wrong, equal = [], 0
    expected = {ref: area for ref, area in exported(path, tmp_path) if source.is_area(ref)}
    for ref in found.keys() | expected.keys():
        area = expected.get(ref)
        same = area is not None and abs(found[ref] - area.area) <= UNIT * area.length
        equal += same
        reason = None if same else source.reason(ref)
        if reason is not None:
            classes[reason].append(ref)
        elif not same:
            wrong.append(f"{ref}: {found[ref]}, expected {area and area.area}")
    print(name, equal, "areas are equal;", {reason: (len(refs), refs[:3]) for reason, refs in classes.items()})
    assert wrong == []
    assert equal > 500
