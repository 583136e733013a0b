"""Checks of the argument `alpha`, and models that use it. `models.alpha` has the formula."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from geojepa_cli import hints
from geojepa_cli.config.modality import sees_only_images
from geojepa_cli.errors import UsageError
from geojepa_cli.hints import Hint
from geojepa_cli.stages.arguments import elements_of, wrong_type
from geojepa_cli.stages.embedded_view import check_entity_vectors
from geojepa_cli.stages.embedding_model import Model

if TYPE_CHECKING:
    from geojepa_cli.models.base import Embedder

CURVE = (0.0, 0.25, 0.5, 0.75, 1.0)  # default weights of a curve
EXAMPLE = 0.5
MAX_ALPHAS = 21
_EXPECTED = "a number from 0 (as the model sees the entity in its tile) to 1 (the entity alone)"


def check_alpha(alpha: Any) -> float:
    """Checks the weight of the entity alone, and converts it to `float`.

    Raises:
        UsageError: `alpha` is not a number from 0 to 1.
    """
    if isinstance(alpha, bool) or not isinstance(alpha, numbers.Real):
        raise wrong_type("alpha", alpha, _EXPECTED, str(EXAMPLE))
    if not 0 <= float(alpha) <= 1:
        raise UsageError(f"`--alpha {alpha}`: expected {_EXPECTED}", hints.again(alpha=EXAMPLE))
    return abs(float(alpha))  # of -0.0 too


def check_alphas(alpha: float | Sequence[float] | None) -> tuple[float, ...]:
    """Returns the weights of a curve, in ascending order, without duplicates. They include 0. Empty for None.

    Raises:
        UsageError: a weight is not a number from 0 to 1, or there are too many weights.
    """
    if alpha is None:
        return ()
    elements = elements_of(alpha)
    given: list[Any] = [alpha] if elements is None else elements
    if not given:
        raise wrong_type("alpha", alpha, "at least one number from 0 to 1", str(EXAMPLE))
    found = tuple(sorted({0.0, *(check_alpha(one) for one in given)}))
    if len(found) > MAX_ALPHAS:
        message = f"`--alpha` is given {len(found) - 1} times: expected at most {MAX_ALPHAS - 1} different numbers"
        raise UsageError(message, hints.again(alpha=[f"{one:g}" for one in CURVE[1:]]))
    return found


def check_alpha_of(model: Model, alpha: Any) -> float:
    """Checks the weight of the entity alone for a model, and converts it to `float`.

    Raises:
        UsageError: `alpha` is not a number from 0 to 1, or the model has no vectors of entities, in their tiles and
            alone.
    """
    found = check_alpha(alpha)
    if found:
        check_entity_vectors(model)
        check_alone(model, hints.again(alpha=0))
    return found


def check_alone(model: Model, instead: Hint | None = None) -> None:
    """Checks that a model has vectors of entities that are alone in a tile.

    Args:
        model: model to check.
        instead: command that needs no such vectors, for the error message. Default: with the model `tagpool`.

    Raises:
        UsageError: the model reads entities from images only.
    """
    if sees_only_images(model.needs()):
        message = f"`{model.name}` reads entities from images, so it has no vector of an entity alone"
        raise UsageError(message, instead or hints.again(model="tagpool"))


def with_alpha(embedder: Embedder, alpha: float) -> Embedder:
    """Returns a model whose vectors of entities have the weight `alpha`. With 0, returns the given model."""
    from geojepa_cli.models.alpha import AlphaEmbedder

    return AlphaEmbedder(embedder, alpha) if alpha else embedder
