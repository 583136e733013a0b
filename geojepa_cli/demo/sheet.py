"""OSM nodes, ways and relations of the demo city, and the counts from which the correct labels are computed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from geojepa_cli.demo.answers import CLEARANCE, Ledger, Point, cell_of, cells_of_line
from geojepa_cli.demo.plan import Rect

Tags = dict[str, str]


@dataclass
class Node:
    """An OSM node at (x, y) on the plan. A node that is only a vertex of ways has no tags."""

    id: int
    x: float
    y: float
    tags: Tags


@dataclass
class Way:
    """An OSM way. `nodes` are node ids in order; a closed way repeats the first node id at the end."""

    id: int
    nodes: list[int]
    tags: Tags


@dataclass
class Relation:
    """An OSM relation. Each member is (type, id, role); the type is `n` for a node and `w` for a way."""

    id: int
    members: list[tuple[str, int, str]]
    tags: Tags


@dataclass
class Sheet:
    """All OSM elements of the demo city, with methods that add elements.

    The ids of nodes, of ways and of relations each start at 1.
    """

    nodes: list[Node] = field(default_factory=list)
    ways: list[Way] = field(default_factory=list)
    relations: list[Relation] = field(default_factory=list)
    ledger: Ledger = field(default_factory=Ledger)

    def node(self, x: float, y: float, tags: Tags | None = None) -> int:
        self.nodes.append(Node(len(self.nodes) + 1, x, y, dict(tags or {})))
        return len(self.nodes)

    def way(self, nodes: Sequence[int], tags: Tags) -> int:
        self.ways.append(Way(len(self.ways) + 1, list(nodes), tags))
        return len(self.ways)

    def relation(self, members: Iterable[tuple[str, int, str]], tags: Tags) -> int:
        self.relations.append(Relation(len(self.relations) + 1, list(members), tags))
        return len(self.relations)

    def line(self, points: Iterable[Point], tags: Tags) -> int:
        return self.way([self.node(*point) for point in points], tags)

    def ring(self, points: Iterable[Point], tags: Tags) -> int:
        nodes = [self.node(*point) for point in points]
        return self.way([*nodes, nodes[0]], tags)

    def rect(self, rect: Rect, tags: Tags) -> int:
        return self.ring(corners(rect), tags)

    def multipolygon(self, outer: Sequence[Sequence[Point]], inner: Sequence[Sequence[Point]], tags: Tags) -> int:
        members = [("w", self.ring(ring, {}), "outer") for ring in outer]
        members += [("w", self.ring(ring, {}), "inner") for ring in inner]
        return self.relation(members, {"type": "multipolygon", **tags})

    def points(self, nodes: Iterable[int]) -> list[Point]:
        return [(self.nodes[node - 1].x, self.nodes[node - 1].y) for node in nodes]

    # The following methods also count the elements in `ledger`, because the labels of the five tasks depend on them.

    def building(self, outline: Sequence[Point], tags: Tags, courtyard: Sequence[Point] = ()) -> None:
        """Adds a building, which must lie inside one tile. A building with a courtyard becomes a multipolygon.

        Raises:
            ValueError: the building lies in several tiles or too close to a tile border.
        """
        cells = {cell_of(point) for point in outline}
        if len(cells) != 1:
            raise ValueError(f"the building at {outline[0]} is in {len(cells)} tiles, expected one")
        if courtyard:
            self.multipolygon([outline], [courtyard], tags)
        else:
            self.ring(outline, tags)
        self.ledger.building(cells.pop())

    def road(self, nodes: Sequence[int], tags: Tags, mph: int | None = None, bridge: bool = False) -> int:
        """Adds a road for cars, with a `maxspeed` tag if `mph` is given."""
        return self._highway(nodes, tags, mph, bridge, for_cars=True)

    def path(self, nodes: Sequence[int], tags: Tags, bridge: bool = False) -> int:
        """Adds a highway that is not for cars: a path for pedestrians or bicycles, or a track."""
        return self._highway(nodes, tags, None, bridge, for_cars=False)

    def rail(self, nodes: Sequence[int], tags: Tags, bridge: bool) -> int:
        if bridge:
            self.ledger.bridge(cells_of_line(self.points(nodes)), for_cars=False)
        return self.way(nodes, tags | ({"bridge": "yes", "layer": "1"} if bridge else {}))

    def _highway(self, nodes: Sequence[int], tags: Tags, mph: int | None, bridge: bool, for_cars: bool) -> int:
        cells = cells_of_line(self.points(nodes))
        self.ledger.highway(cells, mph)
        if mph is not None:
            tags = tags | {"maxspeed": f"{mph} mph"}
        if bridge:
            self.ledger.bridge(cells, for_cars)
            tags = tags | {"bridge": "yes", "layer": "1"}
        return self.way(nodes, tags)

    def signal(self, node: int, tags: Tags) -> None:
        """Adds traffic signals to a node of a road."""
        self._on_road(node, tags)
        self.ledger.signal([cell_of(self.points([node])[0])])

    def crossing(self, node: int, tags: Tags) -> None:
        """Adds tags to a node of a road, for example the tags of a pedestrian crossing.

        For traffic signals, use `signal` instead.
        """
        self._on_road(node, tags)

    def _on_road(self, node: int, tags: Tags) -> None:
        self.nodes[node - 1].tags.update(tags)
        if "highway" in tags:
            self.ledger.highway([cell_of(self.points([node])[0])])


def corners(rect: Rect) -> list[Point]:
    """Returns the corners of a rectangle, counter-clockwise on the map."""
    x0, y0, x1, y1 = rect
    return [(x0, y1), (x1, y1), (x1, y0), (x0, y0)]


def clear(value: float) -> float:
    """Moves a coordinate (in tiles) away from the nearest tile border, if the coordinate is too close to the border."""
    off = value - round(value)
    return value if abs(off) > 3 * CLEARANCE else round(value) + (4 if off >= 0 else -4) * CLEARANCE
