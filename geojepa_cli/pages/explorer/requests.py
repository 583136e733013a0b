"""Requests of the page: JSON objects with limits for every value."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from geojepa_cli.errors import UsageError

MAX_BYTES = 1 << 20  # of a request
MAX_MARKS = 500
MAX_CORNERS = 1000
MAX_K = 200
MAX_TILES = 24  # whose entities are sent at once

Name = Annotated[str, Field(max_length=40)]
Degrees = Annotated[float, Field(ge=-360, le=360, allow_inf_nan=False)]
Number = Annotated[int, Field(ge=0, lt=1 << 31)]
Request = TypeVar("Request", bound=BaseModel)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TileQuery(_Strict):
    """A tile by its name."""

    kind: Literal["tile"]
    tile: Name


class EntityQuery(_Strict):
    """An OSM element such as `way/123`."""

    kind: Literal["entity"]
    entity: Name


class TextQuery(_Strict):
    """Words."""

    kind: Literal["text"]
    text: Annotated[str, Field(min_length=1, max_length=200)]


class AreaQuery(_Strict):
    """A polygon: (longitude, latitude) of each corner in degrees."""

    kind: Literal["area"]
    ring: Annotated[list[tuple[Degrees, Degrees]], Field(min_length=3, max_length=MAX_CORNERS)]


Query = Annotated[TileQuery | EntityQuery | TextQuery | AreaQuery, Field(discriminator="kind")]


class Question(_Strict):
    """A query with marks: examples of good and bad results.

    Attributes:
        query: the first query; None if there are only marks.
        good, bad: names of tiles, or OSM elements. They are elements if `query` is one, or if the first mark is one and
            `query` is none or words.
        weight: weight of the bad examples.
    """

    query: Query | None = None
    good: Annotated[list[Name], Field(max_length=MAX_MARKS)] = []
    bad: Annotated[list[Name], Field(max_length=MAX_MARKS)] = []
    weight: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] = 0.5

    @model_validator(mode="after")
    def _has_an_example(self) -> Question:
        if self.query is None and not self.good:
            raise ValueError("expected a query, or a place that is marked as good")
        return self

    @property
    def about_entities(self) -> bool:
        """True if entities are searched, False if tiles are."""
        if self.query is not None and not isinstance(self.query, TextQuery):
            return isinstance(self.query, EntityQuery)
        return any("/" in name for name in (*self.good, *self.bad)[:1])


class Search(_Strict):
    """A search for the places that are most similar to a question.

    Attributes:
        question: query and marks.
        k: number of results.
        exclude_same_group: leave out results in the zoom-14 tiles of the examples.
    """

    question: Question
    k: Annotated[int, Field(ge=1, le=MAX_K)] = 12
    exclude_same_group: bool = False


class EntityColours(_Strict):
    """A request for the colours of all entities of several tiles.

    Attributes:
        tiles: numbers of the tiles.
        question: query and marks; None for colours by principal components.
    """

    tiles: Annotated[list[Number], Field(min_length=1, max_length=MAX_TILES)]
    question: Question | None = None


def parse(kind: type[Request], body: bytes) -> Request:
    """Parses a request.

    Raises:
        UsageError: the request is not valid JSON, or a value is missing, unknown, or out of range.
    """
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"wrong request: {f'`{place}`: ' if place else ''}{first['msg']}") from None
