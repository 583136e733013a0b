"""A query: weighted parts, each of which yields a vector in the search space. Their combination is searched."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from geojepa_cli import hints
from geojepa_cli.config.limits import EntityLimits
from geojepa_cli.errors import DataError, UsageError
from geojepa_cli.grid import TileId
from geojepa_cli.search.neighbours import Hit, Level, SearchRegion
from geojepa_cli.search.space import SearchSpace
from geojepa_cli.store.reader import RegionStore

Unit = NDArray[np.float64]
Scores = NDArray[np.float64]
ScoreKind = Literal["cosine", "text", "blend"]
# Weight of the parts that results must not resemble, as in Rocchio's formula.
UNLIKE = 0.5


@dataclass(frozen=True)
class Source:
    """Data from which query parts yield their vectors.

    Attributes:
        regions: regions from which the query comes, with their embeddings. They may differ from the searched regions.
        level: `tile` to search tiles, `entity` to search entities.
        space: search space of the searched regions; None if no part yields a vector.
        searched: regions to search.
    """

    regions: Sequence[SearchRegion]
    level: Level
    space: SearchSpace | None
    searched: Sequence[SearchRegion] = ()

    def unit(self, vector: NDArray[np.floating]) -> NDArray[np.float64]:
        """Maps a model's vector [D] to a unit vector in the search space; zeros if it has no direction. float64 [D]"""
        if self.space is None:
            raise ValueError("a query part with a vector needs a search space")
        found = self.space.transform(vector[None])[0]
        norm = float(np.linalg.norm(found))
        return np.asarray(found / norm) if norm > 0 else found

    def unit_of_other_view(
        self, vector: NDArray[np.floating], own_mean: Callable[[], NDArray[np.float64] | None]
    ) -> NDArray[np.float64]:
        """Maps a vector of another view, such as a photo or a location, to a unit vector in the search space.

        Vectors of another view have another mean than the searched ones. In a space that subtracts the mean of the
        searched vectors, the vector would be compared with the difference of the two means. So its own mean is
        subtracted instead.

        Args:
            vector: the model's vector. [D]
            own_mean: function that returns the mean of vectors of this view, or None if it is not known. It is only
                called if a mean is subtracted. float64 [D]
        """
        mean = None if self.space is None else self.space.mean
        own = None if mean is None else own_mean()
        if mean is None:
            return self.unit(vector)
        return self.unit(vector + mean - (0.0 if own is None else own))


@dataclass(frozen=True)
class Example:
    """A resolved query part.

    Attributes:
        unit: unit vector in the search space, or zeros; None for a part that yields scores. float64 [D]
        hit: vector of the tile or entity that the part names, in the regions of the `Source`; None if the part names
            neither, such as a text.
        tile: tile that the part names, or that contains its entity; None if there is none.
        tiles: tiles of an area that the part names.
        element: type and id of the OSM element that the part names, or None.
        places: positions (longitude, latitude) in degrees from which the distance of results is measured: the centre of
            a tile, of each tile of an area, or of each drawn entity. Empty if the part has no place, such as a text.
        tags: tags `key=value` of the part, with counts, to explain results.
        scores: score of each searched vector, for a part that yields scores and no vector, such as a text. One array
            per searched region, float64 [n]. None: the part yields a vector.
        note: remark on how the part was understood, such as the distance to the nearest tile; empty if there is none.
        warning: reason why results may not be what the user expects; empty if there is none.
        read_from: `image` or `location`, from which the vector of a point was computed; empty for other parts.
        matching: for a part that yields scores, a function from the number of a searched region and a row of a vector
            to the tags of this result that match the part.
    """

    unit: Unit | None
    hit: Hit | None = None
    tile: TileId | None = None
    element: tuple[int, int] | None = None
    places: tuple[tuple[float, float], ...] = ()
    tags: Mapping[str, int] = field(default_factory=dict)
    scores: Sequence[Scores] | None = None
    note: str = ""
    matching: Callable[[int, int], Sequence[str]] | None = None
    tiles: tuple[TileId, ...] = ()
    warning: str = ""
    read_from: str = ""


@dataclass(frozen=True)
class Term:
    """A weighted part of a query: a vector, or scores of all searched vectors.

    Attributes:
        weight: weight, 0 or more.
        unit: unit vector in the search space, or zeros; None if the part yields scores. float64 [D]
        scores: score of each searched vector, per region, float64 [n]; None if the part yields a vector.
        unlike: True if results must not resemble the part.
    """

    weight: float
    unit: Unit | None = None
    scores: Sequence[Scores] | None = None
    unlike: bool = False


@dataclass(frozen=True)
class Blend:
    """A combined query: the score of a vector is `share` · cosine to `unit` + its value in `added`.

    Attributes:
        kind: kind of the scores. `cosine`; `text`: similarities of words and tags; or `blend`: sums of standardised
            cosines and text scores.
        unit: unit vector in the search space; None if no part yields a vector. float64 [D]
        share: factor of the cosine.
        added: value to add for each searched vector, per region, float64 [n]; None for the kind `cosine`.
    """

    kind: ScoreKind
    unit: Unit | None
    share: float = 1.0
    added: Sequence[Scores] | None = None


class QueryPart(Protocol):
    """One part of a query. Each kind of part is a class in a file in `search/parts/`.

    Attributes:
        option: option of `geojepa knn` that gives the part, such as `--tile`.
        text: value of the option, as typed.
        weight: positive weight.
        unlike: True if results must not resemble the part.
        level: `tile` or `entity`; None if the part can be used to search either.
        has_place: True if distances to the part can be measured.
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
    @property
    def has_place(self) -> bool: ...

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


def terms_of(parts: Sequence[QueryPart], examples: Sequence[Example]) -> list[Term]:
    """Returns resolved parts of a query as weighted terms."""
    return [Term(part.weight, one.unit, one.scores, part.unlike) for part, one in zip(parts, examples, strict=True)]


def combine(terms: Sequence[Term]) -> Unit:
    """Returns the unit vector that is searched (after Rocchio 1971). float64 [D]

    With the unit vectors u of the parts and their weights w, it is the direction of

        Σ_like w · u / Σ_like w − 0.5 / n_unlike · Σ_unlike w · u

    The first sums are over the parts that results shall resemble, the last is over the n parts that they must not
    resemble. Rocchio weighs the query itself and examples differently; here, both are parts. Terms without a vector are
    ignored.

    Raises:
        DataError: the sum is zero, for example because a tile has no input for the model.
    """
    wanted = [(term.weight, term.unit) for term in terms if term.unit is not None and not term.unlike]
    avoided = [(term.weight, term.unit) for term in terms if term.unit is not None and term.unlike]
    total = np.zeros_like(next(unit for _, unit in (*wanted, *avoided)))
    for weight, unit in wanted:
        total += weight * unit / sum(w for w, _ in wanted)
    for weight, unit in avoided:
        total -= UNLIKE / len(avoided) * weight * unit
    norm = float(np.linalg.norm(total))
    if norm < 1e-9:
        message = "the query has no direction in the search space: the model has no input for it, or its vector is the "
        message += "mean of all vectors, or parts of the query cancel each other"
        raise DataError(message, hints.again(space="raw"))
    return np.asarray(total / norm)


def blend(terms: Sequence[Term], cosines: Callable[[Unit], Sequence[NDArray[np.floating]]]) -> Blend:
    """Combines terms with vectors, and terms with scores, such as texts.

    The vectors are combined by `combine`. If there are other terms, cosines c and scores s are standardised first,
    because their spreads differ: z(x) = (x − mean) / standard deviation, over all searched vectors. With the weights of
    the same formula, the score is

        share · z(c) + Σ_like w · z(s) / Σ_like w − 0.5 / n_unlike · Σ_unlike w · z(s)

    `share` is the part of the sum of weights that belongs to vectors: of Σ_like w or, if results shall resemble none of
    the vectors, 0.5 / n_unlike · Σ_unlike w. The scores of a single text are not standardised.

    Args:
        terms: terms of the query.
        cosines: function from a unit vector to the cosine of each searched vector, per region.

    Raises:
        DataError: the combined vector is zero.
    """
    vectors = [term for term in terms if term.unit is not None]
    scored = [term for term in terms if term.scores is not None]
    if not scored:
        return Blend("cosine", combine(terms))
    if len(terms) == 1 and scored[0].scores is not None:
        return Blend("text", None, 0.0, scored[0].scores)
    liked = sum(term.weight for term in terms if not term.unlike)
    avoided = sum(term.unlike for term in terms)

    def factor(term: Term) -> float:
        return -UNLIKE / avoided * term.weight if term.unlike else term.weight / liked

    added: list[Scores] = []
    for term in scored:
        mean, spread = mean_and_spread(term.scores or ())
        parts = [factor(term) * (one - mean) / spread for one in term.scores or ()]
        added = [np.asarray(a + b) for a, b in zip(added, parts, strict=True)] if added else parts
    if not vectors:
        return Blend("text", None, 0.0, added)
    unit = combine(vectors)
    share = sum(factor(term) for term in vectors if not term.unlike) or -sum(factor(term) for term in vectors)
    mean, spread = mean_and_spread(cosines(unit))
    return Blend("blend", unit, share / spread, [np.asarray(one - share * mean / spread) for one in added])


def mean_and_spread(scores: Sequence[NDArray[np.floating]]) -> tuple[float, float]:
    """Returns mean and standard deviation of all scores, with 6 digits. The deviation of equal scores is given as 1."""
    total = np.concatenate([np.asarray(one, np.float64) for one in scores])
    mean, spread = (float(f"{value:.6g}") for value in (total.mean(), total.std())) if len(total) else (0.0, 0.0)
    return mean, spread if spread > 1e-9 else 1.0
