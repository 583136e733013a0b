"""Baseline that asks a language model with vision for the labels of tiles, without training it.

Each request has the images of up to ten tiles.
"""

from __future__ import annotations

import base64
import io
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from geojepa_cli import hints
from geojepa_cli.baselines.llm_cache import Answer, AnswerCache, Pixels
from geojepa_cli.config.language_model import LanguageModel
from geojepa_cli.errors import DataError
from geojepa_cli.evaluate.folds import Floats
from geojepa_cli.sources.chat import ChatClient, Message, Reply, SlowReplyError

IMAGES_PER_REQUEST = 10
ATTEMPTS = 3  # how often the same images are asked about, until there is a usable answer
TIME_OUT, REFUSAL, BROKEN, WRONG_NUMBER = "time-out", "refusal", "broken JSON", "wrong number of answers"

Prompt = Callable[[int], str]  # number of images -> text


class UnusableReplyError(Exception):
    """Error for a reply that does not have one number for each image.

    The text of the error is the reason, such as `refusal`.
    """


@dataclass
class Tally:
    """Counts of the requests of a run.

    Attributes:
        requests: number of requests, including those that timed out. A request that is repeated because the endpoint
            was busy counts once.
        cached: number of requests that were not needed, because an earlier run had stored the answer.
        unusable: dict from reason to the number of unusable replies.
        failed: dict from reason to the number of tiles for which no attempt gave an answer. The reason is that of the
            last attempt.
        tokens_in, tokens_out: number of tokens of the requests and replies of this run.
    """

    requests: int = 0
    cached: int = 0
    unusable: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    tokens_in: int = 0
    tokens_out: int = 0


class Questions:
    """Asks a language model about images.

    Args:
        model: language model.
        client: client of the endpoint that runs the language model.
        cache: stored answers.
        progress: function that is called repeatedly, with the number of images that were processed so far.
    """

    def __init__(
        self, model: LanguageModel, client: ChatClient, cache: AnswerCache, progress: Callable[[int], None]
    ) -> None:
        self._model, self._client, self._cache, self._progress = model, client, cache, progress
        self._dearest = 0.0  # cost of the most expensive request so far
        self.tally = Tally()

    def ask(self, prompt: Prompt, images: Sequence[Pixels]) -> Floats:
        """Asks the language model about images.

        Args:
            prompt: function that takes a number of images, and returns the question about this number of images.
            images: images, each uint8 [3, rows, columns].

        Returns:
            The answers, float64 [n]. NaN for images without a usable answer.

        Raises:
            DataError: the cost reaches the limit, or the cost is limited but the endpoint does not report token counts.
            OfflineError: the endpoint cannot be reached, is busy, or rejects a request.
        """
        found = np.full(len(images), np.nan)
        for first in range(0, len(images), IMAGES_PER_REQUEST):
            part = images[first : first + IMAGES_PER_REQUEST]
            values = self._ask(prompt(len(part)), part, int(np.isfinite(found).sum()), len(images))
            if values is not None:
                found[first : first + len(part)] = values
            self._progress(first + len(part))
        return found

    def _ask(self, prompt: str, images: Sequence[Pixels], answered: int, total: int) -> tuple[float, ...] | None:
        """Asks about the images of one request. Repeats the request if the reply is unusable.

        Returns None if no attempt gives a usable reply.
        """
        known = self._cache.find(self._model.name, prompt, images)
        if known is not None:
            self.tally.cached += 1
            return known.values
        reason = ""
        for _ in range(ATTEMPTS):
            self._check_cost(answered, total)
            try:
                reply = self._send(messages_of(prompt, images, reason))
                values = read_answers(reply, len(images))
            except UnusableReplyError as error:
                reason = str(error)
                self.tally.unusable[reason] += 1
                continue
            answer = Answer(values, reply.tokens_in, reply.tokens_out)
            self._cache.store(self._model.name, prompt, images, answer)
            return values
        self.tally.failed[reason] += len(images)
        return None

    def _send(self, messages: Sequence[Message]) -> Reply:
        self.tally.requests += 1
        try:
            reply = self._client.ask(self._model.name, messages)
        except SlowReplyError as error:
            raise UnusableReplyError(TIME_OUT) from error
        tokens = reply.tokens_in or 0, reply.tokens_out or 0
        self.tally.tokens_in += tokens[0]
        self.tally.tokens_out += tokens[1]
        self._dearest = max(self._dearest, self._model.cost(*tokens) or 0.0)
        if self._model.max_cost is not None and reply.tokens_in is None and reply.refusal is None:
            message = f"`{self._client.url}` does not say how many tokens a reply took, so `--max-cost` cannot be kept"
            raise DataError(
                message, hints.advice("leave out `--max-cost`, and limit the number of tiles with `--tiles`")
            )
        return reply

    def _check_cost(self, answered: int, total: int) -> None:
        """Raises an error if another request could exceed the cost limit.

        The cost of the next request is assumed to be that of the most expensive request so far.
        """
        limit, spent = self._model.max_cost, self._model.cost(self.tally.tokens_in, self.tally.tokens_out)
        if limit is None or spent is None or (spent < limit and spent + self._dearest <= limit):
            return
        message = f"`--max-cost {limit:g}` is reached: {spent:.4g} USD spent, {answered:,} of {total:,} tiles answered"
        raise DataError(message, hints.again(max_cost=f"{max(2 * limit, 1):g}").noting("answers so far are kept"))


def messages_of(prompt: str, images: Sequence[Pixels], reason: str = "") -> list[Message]:
    """Returns the conversation that asks about images: the question, and each image after its number.

    Args:
        prompt: question.
        images: images, each uint8 [3, rows, columns].
        reason: reason for which the last reply could not be used; empty in the first attempt.
    """
    parts: list[dict[str, Any]] = [{"type": "text", "text": prompt}]
    if reason and reason != TIME_OUT:
        parts.append({"type": "text", "text": f"An earlier answer could not be used ({reason})."})
    for number, pixels in enumerate(images, 1):
        parts.append({"type": "text", "text": f"Image {number}:"})
        parts.append({"type": "image_url", "image_url": {"url": _data_url(pixels)}})
    return [{"role": "user", "content": parts}]


def read_answers(reply: Reply, count: int) -> tuple[float, ...]:
    """Returns the numbers in a reply, one for each image.

    Args:
        reply: reply of the model.
        count: number of images.

    Raises:
        UnusableReplyError: the model refused to answer, or the reply does not contain `count` finite numbers as JSON.
    """
    if reply.refusal is not None:
        raise UnusableReplyError(REFUSAL)
    found = next(_objects(reply.text), None)
    answers = found.get("answers") if isinstance(found, dict) else found
    if not isinstance(answers, list) or not all(_is_number(one) for one in answers):
        raise UnusableReplyError(BROKEN)
    if len(answers) != count:
        raise UnusableReplyError(WRONG_NUMBER)
    return tuple(float(one) for one in answers)


def _objects(text: str) -> Iterator[object]:
    """Yields JSON objects and lists that are found in the text of a reply.

    Tries the whole text, then the text from the first `{` to the last `}`, then the text from the first `[` to the
    last `]`.
    """
    for opening, closing in (("", ""), ("{", "}"), ("[", "]")):
        first = text.find(opening)
        last = text.rfind(closing) + len(closing)
        try:
            found = json.loads(text[first:last] if opening else text)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict | list):
            yield found


def _is_number(value: object) -> bool:
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False


def _data_url(pixels: Pixels) -> str:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels[:3].transpose(1, 2, 0))).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
