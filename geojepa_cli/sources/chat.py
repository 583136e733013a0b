"""Client of an OpenAI-compatible endpoint for chat completions. All requests go to one address, without redirects."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import httpx

from geojepa_cli import hints
from geojepa_cli.sources.http import (
    OfflineError,
    RetryPolicy,
    TransientError,
    check_busy,
    describe_error,
    offline_errors,
    refused,
    retry,
)

POLICY = RetryPolicy(attempts=5, pause_s=2.0, max_pause_s=60.0, timeout_s=120.0)
MAX_BYTES = 16 * 2**20  # of a response
_FILTERED = ("content_filter", "content_policy_violation", "ResponsibleAIPolicyViolation")
Message = dict[str, Any]


class Reply(NamedTuple):
    """Reply of a language model.

    Attributes:
        text: text of the answer; empty if there is none.
        refusal: reason that the model or the endpoint gives for refusing to answer; None if the model answers.
        tokens_in, tokens_out: number of tokens of the request and of the reply; None if the endpoint does not state it.
    """

    text: str
    refusal: str | None
    tokens_in: int | None
    tokens_out: int | None


class SlowReplyError(Exception):
    """The endpoint did not answer in time, in any attempt."""


class _SlowAttempt(TransientError):
    """The endpoint did not answer in time, in one attempt."""


class ChatClient:
    """Client of one endpoint.

    Args:
        base_url: address of the API; requests go to `BASE_URL/chat/completions`.
        key: API key; None to send no key. The key is removed from error messages.
        policy: retry and timeout policy.
    """

    def __init__(self, base_url: str, key: str | None, policy: RetryPolicy = POLICY) -> None:
        self.url = f"{base_url.rstrip('/')}/chat/completions"
        self._key, self._policy = key, policy
        timeout = httpx.Timeout(policy.timeout_s, connect=min(10.0, policy.timeout_s))
        self._http = httpx.Client(follow_redirects=False, timeout=timeout)

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def ask(self, model: str, messages: Sequence[Message]) -> Reply:
        """Sends a conversation to the language model, and returns the reply.

        The request is repeated if the endpoint is busy (429 and other temporary failures), is slow, or closes the
        connection. It is not repeated if no connection can be opened.

        Args:
            model: name of the model at the endpoint.
            messages: messages of the conversation, as the API expects them.

        Raises:
            SlowReplyError: the endpoint did not answer in time, in any attempt.
            OfflineError: the endpoint cannot be reached, is busy, or rejects the request.
        """
        body = {"model": model, "messages": list(messages)}
        headers = {} if self._key is None else {"Authorization": f"Bearer {self._key}"}
        response: tuple[int, bytes] | None = None
        later = hints.again().noting("later; answers so far are kept")
        with offline_errors(self.url, later), contextlib.suppress(_SlowAttempt):
            response = retry(lambda: self._post(body, headers), self._policy)
        if response is None:
            raise SlowReplyError(f"`{self.url}` did not answer in {self._policy.timeout_s:g} s")
        return self._read(*response)

    def _post(self, body: dict[str, Any], headers: dict[str, str]) -> tuple[int, bytes]:
        content = bytearray()
        try:
            with self._http.stream("POST", self.url, json=body, headers=headers) as response:
                check_busy(response)
                for chunk in response.iter_bytes():
                    content += chunk
                    if len(content) > MAX_BYTES:
                        raise OfflineError(f"`{self.url}` sends more than {MAX_BYTES:,} bytes", hints.again())
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol):
            raise  # a repetition would not help
        except httpx.TimeoutException as error:
            raise _SlowAttempt(f"no answer in {self._policy.timeout_s:g} s") from error
        except httpx.TransportError as error:
            raise TransientError(describe_error(error)) from error
        return response.status_code, bytes(content)

    def _read(self, status: int, content: bytes) -> Reply:
        """Extracts the reply of the language model from an HTTP response.

        Raises:
            OfflineError: the response has an error status, or is not a chat completion.
        """
        try:
            found = json.loads(content)
        except (ValueError, RecursionError):
            found = None
        error = found.get("error") if isinstance(found, dict) else None
        if status == httpx.codes.BAD_REQUEST and isinstance(error, dict) and _is_filtered(error):
            return Reply("", self._shown(error.get("message")) or "content filter", None, None)
        if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            hint = hints.again(api_key_env="OPENAI_API_KEY").noting("the variable with the key of this endpoint")
            raise refused(self.url, status, hint)
        if status != httpx.codes.OK:
            reason = self._shown(error.get("message") if isinstance(error, dict) else None)
            base = refused(self.url, status).message
            raise OfflineError(f"{base}: {reason}" if reason else base, hints.again(base_url="URL"))
        try:
            choice = found["choices"][0]
            message = choice["message"]
            text, refusal = _text(message.get("content")), message.get("refusal")
        except (TypeError, KeyError, IndexError, AttributeError):
            what = f"the response of `{self.url}` is not a chat completion"
            raise OfflineError(what, hints.again(base_url="URL")) from None
        if refusal is None and choice.get("finish_reason") == "content_filter":
            refusal = "content filter"
        usage = found.get("usage")
        counts = [_count(usage, name) for name in ("prompt_tokens", "completion_tokens")]
        return Reply(text, None if refusal is None else self._shown(refusal) or "refused", counts[0], counts[1])

    def _shown(self, text: object) -> str:
        """Returns the first 200 characters of a text from the endpoint, on one line. The API key is removed."""
        words = " ".join(str(text).split()) if isinstance(text, str) else ""
        return (words.replace(self._key, "…") if self._key else words)[:200]


def _is_filtered(error: dict[str, Any]) -> bool:
    inner = error.get("innererror")
    codes = [error.get("code"), error.get("type"), inner.get("code") if isinstance(inner, dict) else None]
    return any(code in _FILTERED for code in codes)


def _text(content: object) -> str:
    """Returns the text of a chat message. If the content is a list of parts, the texts of the parts are joined."""
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _count(usage: object, name: str) -> int | None:
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
