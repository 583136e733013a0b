"""Models that read images at points, and the zoom-14 groups of tiles in which they are tested."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geojepa_cli.config.modality import Modality
from geojepa_cli.models.gair.gair import Gair
from geojepa_cli.models.gair.readings import EntityPoints, entity_points
from geojepa_cli.store.batch import OSM_TYPES, TileBatch
from geojepa_cli.store.store import TileStore
from geojepa_cli.store.view import View

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Vectors = NDArray[np.float32]
Progress = Callable[[int], None]

FIRST_WEIGHTS = "first weights"
NEEDS = frozenset({Modality.IMAGE, Modality.NODES, Modality.TAGS})


class PointModel(NamedTuple):
    """A model to test.

    Attributes:
        label: name of the model in tables.
        module: model with its trained weights.
        first: the same model with the weights before training.
        tag_table: text embedding of every distinct tag of the dataset, on the model's device. [V, E]
    """

    label: str
    module: Gair
    first: Gair
    tag_table: Tensor


class Row(NamedTuple):
    """Row of a table: a model, and a way in which it is read (`models.gair.readings`), or `first weights`."""

    model: str
    reading: str


@dataclass(frozen=True)
class Dataset:
    """Tested tiles and entities, and where the models compute.

    Attributes:
        store: dataset with images.
        view: selection of tiles and entities.
        tag_hashes: result of `hash_tags` for the tags of the dataset. int64 [V]
        device: device of the models.
    """

    store: TileStore
    view: View
    tag_hashes: Tensor
    device: torch.device


class Group(NamedTuple):
    """The tiles of a zoom-14 group, and the points of their entities.

    Attributes:
        number: number of the group in the dataset.
        batch: tiles of the group, on the device of the models.
        points: points of the n entities.
        sets: set of tags of each entity, int64 [n].
        tile: index of the tile of each entity in the batch, int64 [n].
    """

    number: int
    batch: TileBatch
    points: EntityPoints
    sets: Ints
    tile: Ints

    def by_tile(self) -> list[Ints]:
        """Returns the entities of each tile that has entities with different tags."""
        own = [np.flatnonzero(self.tile == one) for one in np.unique(self.tile)]
        return [rows for rows in own if len(np.unique(self.sets[rows])) > 1]

    def together(self) -> list[Ints]:
        """Returns all entities as one list, unless all have equal tags."""
        return [np.arange(len(self.sets))] if len(np.unique(self.sets)) > 1 else []

    def tokens(self, module: Gair, image: int) -> Tensor:
        """Returns the tokens of one image of the batch. [1, P, D]"""
        assert self.batch.images is not None
        tokens: Tensor = module.overhead(self.batch.images[image : image + 1])
        return tokens


def read_groups(data: Dataset, progress: Progress) -> Iterator[Group]:
    """Yields the zoom-14 groups of a selection one after the other.

    Args:
        data: selection of tiles and entities.
        progress: function that is called with the number of finished tiles.
    """
    done, tiles = 0, data.view.tiles
    groups = data.store.groups[tiles]
    for number in np.unique(groups).tolist():
        rows = tiles[groups == number]
        batch = data.store.read(data.view, rows, NEEDS).to(data.device)
        points = entity_points(batch, data.tag_hashes)
        if len(points.entity):
            yield Group(number, batch, points, points.sets.cpu().numpy(), points.tile.cpu().numpy())
        done += len(rows)
        progress(done)


@dataclass
class Figures:
    """Figures of the queries of one search.

    Attributes:
        groups: zoom-14 group of each query, in parts, int64 [q] each.
        entities: name of each query's entity, such as `way/123`, and of its tile, in parts.
        values: figures of the queries for each row of the table, in parts, float64 [q, figures] each. None stands for a
            random order.
    """

    groups: list[Ints] = field(default_factory=list)
    entities: list[tuple[str, str]] = field(default_factory=list)
    values: dict[Row | None, list[Floats]] = field(default_factory=dict)

    def add_queries(self, group: Group, queries: Ints) -> None:
        """Appends queries: indices of entities of a group, int64 [q]."""
        self.groups.append(np.full(len(queries), group.number))
        rows = group.points.entity.cpu().numpy()[queries]
        ids, types = (column.cpu().numpy()[rows] for column in (group.batch.osm_id, group.batch.osm_type))
        names = [f"{OSM_TYPES[kind]}/{number}" for kind, number in zip(types.tolist(), ids.tolist(), strict=True)]
        zxy = group.batch.tile_zxy.cpu().numpy()[group.tile[queries]]
        self.entities += zip(names, ("_".join(map(str, one)) for one in zxy.tolist()), strict=True)

    def add(self, row: Row | None, values: Floats) -> None:
        """Appends the figures of the queries that were appended last."""
        self.values.setdefault(row, []).append(values)

    def of(self, row: Row | None) -> Floats:
        """Returns the figures of all queries, [queries, figures]."""
        return np.concatenate(self.values[row])

    @property
    def all_groups(self) -> Ints:
        """Zoom-14 group of each query, int64 [queries]."""
        return np.concatenate([np.empty(0, np.int64), *self.groups])
