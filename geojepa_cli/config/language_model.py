"""Language models that `probe` asks for the labels of tiles: their names, addresses and prices."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from geojepa_cli import hints
from geojepa_cli.errors import UsageError
from geojepa_cli.hints import Option

PREFIX = "llm:"  # of the names of language models in `--model`
ZERO_SHOT = "zero-shot"  # name of the head of a language model, which sees no labels
TILES = 400
MAX_TILES = 1_000_000
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class LanguageModel:
    """A language model that reads images, at an OpenAI-compatible API for chat completions.

    Attributes:
        name: name of the model at the API, such as `gpt-4o`.
        base_url: address of the API. Requests go to `BASE_URL/chat/completions`, and nowhere else.
        api_key_env: name of the environment variable with the API key. None: no key is sent. The key is never stored.
        max_cost: maximum cost in USD of all requests of a run. None: no limit.
        price_in: price in USD of a million tokens sent. None: unknown.
        price_out: price in USD of a million tokens received. None: unknown.
        tiles: number of test tiles to ask about.

    Raises:
        UsageError: a value is not valid.
    """

    name: str
    base_url: str
    api_key_env: str | None = None
    max_cost: float | None = None
    price_in: float | None = None
    price_out: float | None = None
    tiles: int = TILES

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip() or not self.name.isprintable():
            raise UsageError("`--model llm:` needs the name of a model", hints.again(model=f"{PREFIX}NAME"))
        _check_url(self.base_url)
        if self.api_key_env is not None and not _VARIABLE.fullmatch(str(self.api_key_env)):
            message = "`--api-key-env` expects the name of an environment variable, not the key"
            raise UsageError(message, hints.again(api_key_env="OPENAI_API_KEY"))
        for option, value in (("max_cost", self.max_cost), ("price_in", self.price_in), ("price_out", self.price_out)):
            if value is not None and not (_is_number(value) and 0 <= value < math.inf):
                flag = f"--{option.replace('_', '-')}"
                raise UsageError(f"`{flag} {value}`: expected an amount in USD, 0 or more", hints.again(**{option: 1}))
        if self.max_cost is not None and (self.price_in is None or self.price_out is None):
            message = "`--max-cost` needs the prices of a million tokens: `--price-in` and `--price-out`"
            raise UsageError(message, hints.again(price_in=2.5, price_out=10).noting("with the prices of the model"))
        if isinstance(self.tiles, bool) or not isinstance(self.tiles, int) or not 1 <= self.tiles <= MAX_TILES:
            raise UsageError(f"`--tiles {self.tiles}`: expected 1 to {MAX_TILES:,}", hints.again(tiles=TILES))

    @property
    def ref(self) -> str:
        """Name of the model in `--model` and in tables, such as `llm:gpt-4o`."""
        return f"{PREFIX}{self.name}"

    @property
    def options(self) -> tuple[Option, ...]:
        """Command-line options that select this model, such as `--model` and `--base-url`."""
        given = {"model": self.ref, "base_url": self.base_url, "api_key_env": self.api_key_env}
        numbers = {"max_cost": self.max_cost, "price_in": self.price_in, "price_out": self.price_out}
        tiles = None if self.tiles == TILES else self.tiles
        return hints.as_options({**given, **numbers, "tiles": tiles})

    def cost(self, tokens_in: int, tokens_out: int) -> float | None:
        """Returns the cost in USD of tokens sent and tokens received, or None if a price is unknown."""
        if self.price_in is None or self.price_out is None:
            return None
        return (tokens_in * self.price_in + tokens_out * self.price_out) / 1e6


def language_model(given: str | LanguageModel, accepted: bool) -> LanguageModel:
    """Returns `given` if it is a `LanguageModel` and the command accepts language models.

    Args:
        given: a language model. A name such as `llm:gpt-4o` is an error, because it lacks the address of the API.
        accepted: False if the command needs embeddings, which a language model does not compute.

    Raises:
        UsageError: the command needs embeddings, or `given` is a name.
    """
    if not accepted:
        probed = hints.run("probe", task="max_speed", model=f"{PREFIX}NAME", base_url="URL")
        raise UsageError("a language model computes no embeddings, but this command needs them", probed)
    return LanguageModel(given.removeprefix(PREFIX), "") if isinstance(given, str) else given


def with_language_models(
    names: Sequence[str] | None,
    base_url: str | None,
    api_key_env: str | None,
    max_cost: float | None,
    price_in: float | None,
    price_out: float | None,
    tiles: int | None,
) -> list[str | LanguageModel] | None:
    """Replaces names such as `llm:gpt-4o` in a list of models by `LanguageModel` objects with the given options.

    Raises:
        UsageError: an option is invalid or missing, or an option is given but the list has no language model.
    """
    given = {"--base-url": base_url, "--api-key-env": api_key_env, "--max-cost": max_cost}
    given |= {"--price-in": price_in, "--price-out": price_out, "--tiles": tiles}
    if not any(name.startswith(PREFIX) for name in names or ()):
        for option, value in given.items():
            if value is not None:
                example = hints.again(model=f"{PREFIX}NAME", base_url=base_url or "URL")
                raise UsageError(f"`{option}` requires a language model: `--model {PREFIX}NAME`", example)
        return None if names is None else list(names)
    options = (api_key_env, max_cost, price_in, price_out, TILES if tiles is None else tiles)
    return [
        LanguageModel(name.removeprefix(PREFIX), base_url or "", *options) if name.startswith(PREFIX) else name
        for name in names or ()
    ]


def _check_url(url: object) -> None:
    """Checks the address of an API. A user, a query and a fragment are not allowed, because they may be secrets.

    Raises:
        UsageError: the address is missing, is not an HTTP address, or has a user, a query or a fragment.
    """
    example = hints.again(base_url="http://localhost:8000/v1").noting("with the address of the API")
    if not isinstance(url, str) or not url:
        raise UsageError("a language model needs `--base-url`, the address of an OpenAI-compatible API", example)
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = False
    if not valid or not url.isascii() or not url.isprintable() or " " in url:
        raise UsageError("`--base-url` is not an HTTP address; expected for example `http://host:8000/v1`", example)
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        message = "`--base-url` must not contain a user, a query or a fragment; to give a key, use `--api-key-env`"
        raise UsageError(message, example)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
