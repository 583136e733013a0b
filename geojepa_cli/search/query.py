"""A query: weighted parts, each of which yields a vector in the search space. Their combination is searched."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from geojepa_cli import hints
from geojepa_cli.config.limits import EntityLimits
from geojepa_cli.errors import DataError, UsageError
from geojepa_cli.grid import TileId
from geojepa_cli.search.neighbours import Hit, Level, SearchRegion
from geojepa_cli.search.space import SearchSpace
from geojepa_cli.store.reader import RegionStore

# Weight of the parts that results must not resemble, as in Rocchio's formula.
UNLIKE = 0.5


@dataclass(frozen=True)
class Source:
    """Data from which query parts yield their vectors.

    Attributes:
        regions: regions from which the query comes, with their embeddings. They may differ from the searched regions.
        level: `tile` to search tiles, `entity` to search entities.
        space: search space of the searched regions.
        searched: regions to search.
    """

    regions: Sequence[SearchRegion]
    level: Level
    space: SearchSpace
    searched: Sequence[SearchRegion] = ()

    def unit(self, vector: NDArray[np.floating]) -> NDArray[np.float64]:
        """Maps a model's vector [D] to a unit vector in the search space; zeros if it has no direction. float64 [D]"""
        found = self.space.transform(vector[None])[0]
        norm = float(np.linalg.norm(found))
        return np.asarray(found / norm) if norm > 0 else found


@dataclass(frozen=True)
class Example:
    """A resolved query part.

    Attributes:
        unit: unit vector in the search space, or zeros. float64 [D]
        hit: vector of the tile or entity that the part names, in the regions of the `Source`; None if the part names
            neither, such as a text.
        tile: tile that the part names, or that contains its entity; None if there is none.
        tiles: tiles of an area that the part names.
        element: type and id of the OSM element that the part names, or None.
        lon_lat: position in degrees, from which the distance of results is measured; None if the part has no position.
        tags: tags `key=value` of the part, with counts, to explain results.
        scores: score of each searched vector, for a part that yields scores and no vector, such as a text. One array
            per searched region, float64 [n]. None: the part yields a vector.
        note: remark on how the part was understood, such as the distance to the nearest tile; empty if there is none.
        matching: for a part that yields scores, a function from the number of a searched region and a row of a vector
            to the tags of this result that match the part.
    """

    unit: NDArray[np.float64]
    hit: Hit | None = None
    tile: TileId | None = None
    element: tuple[int, int] | None = None
    lon_lat: tuple[float, float] | None = None
    tags: Mapping[str, int] = field(default_factory=dict)
    scores: Sequence[NDArray[np.float64]] | None = None
    note: str = ""
    matching: Callable[[int, int], Sequence[str]] | None = None
    tiles: tuple[TileId, ...] = ()


@dataclass(frozen=True)
class Blend:
    """A combined query: the score of a vector is `share` · cosine to `unit` + its value in `added`.

    Attributes:
        unit: unit vector in the search space; zeros if no part yields a vector. float64 [D]
        share: weight of the cosine.
        added: weighted sum of the scores of parts that yield scores, per searched region, float64 [n]; None if there is
            no such part. Then `share` is 1.
    """

    unit: NDArray[np.float64]
    share: float = 1.0
    added: Sequence[NDArray[np.float64]] | None = None


class QueryPart(Protocol):
    """One part of a query. Each kind of part is a class in a file in `search/parts/`.

    Attributes:
        option: option of `geojepa knn` that gives the part, such as `--tile`.
        text: value of the option, as typed.
        weight: positive weight.
        unlike: True if results must not resemble the part.
        level: `tile` or `entity`; None if the part can be used to search either.
    """

    @property
    def option(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def weight(self) -> float: ...
    @property
    def unlike(self) -> bool: ...
    @property
    def level(self) -> Level | None: ...

    def params(self) -> dict[str, object]:
        """Returns all that decides the vector of the part, as JSON. It is part of the id of the result."""
        ...

    def check(self, stores: Sequence[RegionStore], limits: EntityLimits) -> None:
        """Checks that the part exists, before embeddings are computed.

        Args:
            stores: opened `processed.h5` of each region from which the query comes.
            limits: minimum and maximum number of entities in a tile.
        """
        ...

    def resolve(self, source: Source) -> Example:
        """Returns the vector of the part."""
        ...


def level_of(parts: Sequence[QueryPart]) -> Level:
    """Returns what a query searches: `entity` if its parts are entities, `tile` otherwise.

    Raises:
        UsageError: some parts are tiles and others are entities, whose vectors cannot be combined.
    """
    known: dict[Level, QueryPart] = {part.level: part for part in reversed(parts) if part.level is not None}
    if len(known) > 1:
        tile, entity = known["tile"], known["entity"]
        message = f"`{tile.option} {tile.text}` cannot be combined with `{entity.option} {entity.text}`: "
        message += "vectors of tiles and of entities differ"
        raise UsageError(message, hints.run("knn", **{tile.option.strip("-"): tile.text}))
    return next(iter(known), "tile")


def combine(parts: Sequence[QueryPart], examples: Sequence[Example]) -> NDArray[np.float64]:
    """Returns the unit vector that is searched (after Rocchio 1971). float64 [D]

    With the unit vectors u of the parts and their weights w, it is the direction of

        Σ_like w · u / Σ_like w − 0.5 / n_unlike · Σ_unlike w · u

    The first sums are over the parts that results shall resemble, the last is over the n parts that they must not
    resemble. Rocchio weighs the query itself and examples differently; here, both are parts.

    Raises:
        DataError: the sum is zero, for example because a tile has no input for the model.
    """
    wanted = [(part.weight, one.unit) for part, one in zip(parts, examples, strict=True) if not part.unlike]
    avoided = [(part.weight, one.unit) for part, one in zip(parts, examples, strict=True) if part.unlike]
    total = np.zeros_like(examples[0].unit)
    for weight, unit in wanted:
        total += weight * unit / sum(w for w, _ in wanted)
    for weight, unit in avoided:
        total -= UNLIKE / len(avoided) * weight * unit
    norm = float(np.linalg.norm(total))
    if norm < 1e-9:
        named = ", ".join(f"`{part.option} {part.text}`" for part in parts)
        message = f"the query {named} has no direction in the search space: "
        message += "the model has no input for it, or its vector is the mean of all vectors, or parts cancel each other"
        raise DataError(message, hints.again(space="raw"))
    return np.asarray(total / norm)


def blend(parts: Sequence[QueryPart], examples: Sequence[Example]) -> Blend:
    """Combines parts that yield vectors, and parts that yield scores, such as texts.

    The vectors are combined by `combine`. The scores s are added with the weights of the same formula:

        share · cos + Σ_like w · s / Σ_like w − 0.5 / n_unlike · Σ_unlike w · s

    `share` is the part of the sum of weights that belongs to vectors: of Σ_like w or, if results shall resemble none of
    the vectors, 0.5 / n_unlike · Σ_unlike w.

    Raises:
        DataError: the combined vector is zero.
    """
    pairs = list(zip(parts, examples, strict=True))
    scored = [(part, one.scores) for part, one in pairs if one.scores is not None]
    vectors = [(part, one) for part, one in pairs if one.scores is None]
    if not scored:
        return Blend(combine(parts, examples))
    liked = sum(part.weight for part in parts if not part.unlike)
    avoided = sum(part.unlike for part in parts)
    factors = {id(part): -UNLIKE / avoided * part.weight if part.unlike else part.weight / liked for part in parts}
    regions = len(scored[0][1])
    added = [
        np.sum([factors[id(part)] * scores[region] for part, scores in scored], axis=0) for region in range(regions)
    ]
    if not vectors:
        return Blend(np.zeros_like(examples[0].unit), 0.0, added)
    share = sum(factors[id(part)] for part, _ in vectors if not part.unlike)
    share = share or -sum(factors[id(part)] for part, _ in vectors)
    unit = combine([part for part, _ in vectors], [one for _, one in vectors])
    return Blend(unit, float(share), added)
