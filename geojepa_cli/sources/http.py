"""HTTP functions that all sources use. They handle retries, timeouts, errors and the headers of range requests."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

import httpx

from geojepa_cli import hints
from geojepa_cli.errors import GeojepaError
from geojepa_cli.hints import Hint

T = TypeVar("T")

LOCAL_FILE = hints.run("fetch", pbf="FILE", name="NAME")  # works without a network
TRANSIENT_STATUS = {408, 425, 429, 500, 502, 503, 504}
_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


class RetryPolicy(NamedTuple):
    """Retry and timeout policy.

    Attributes:
        attempts: maximum number of failed attempts in a row. The count restarts after an attempt that received bytes.
        pause_s: pause after the first failed attempt, in seconds. Each further pause is twice as long.
        max_pause_s: maximum pause in seconds, also if the server requests a longer one with `Retry-After`.
        timeout_s: maximum time to wait for the next bytes of a response, in seconds.
    """

    attempts: int = 6
    pause_s: float = 1.0
    max_pause_s: float = 30.0
    timeout_s: float = 30.0


class Page(NamedTuple):
    """A small HTTP response with its complete body.

    Attributes:
        status: HTTP status code.
        headers: response headers.
        content: decompressed body.
    """

    status: int
    headers: httpx.Headers
    content: bytes


class ContentRange(NamedTuple):
    """A `Content-Range` header: first byte, end (excluded) and size of the file. A missing value is None."""

    start: int | None
    end: int | None
    total: int | None


class OfflineError(GeojepaError):
    """The server cannot be reached, or its response cannot be used."""


class TransientError(Exception):
    """A failed request that may succeed if it is repeated.

    Attributes:
        wait_s: pause in seconds that the server requests; None if it requests none.
    """

    def __init__(self, message: str, wait_s: float | None = None) -> None:
        super().__init__(message)
        self.wait_s = wait_s


def make_client(policy: RetryPolicy) -> httpx.Client:
    """Returns an HTTP client that follows redirects.

    The client requests uncompressed bodies, because byte ranges refer to the uncompressed file.
    """
    timeout = httpx.Timeout(policy.timeout_s, connect=min(10.0, policy.timeout_s))
    return httpx.Client(follow_redirects=True, timeout=timeout, headers={"Accept-Encoding": "identity"})


def retry(
    attempt: Callable[[], T],
    policy: RetryPolicy,
    bytes_received: Callable[[], int] = lambda: 0,
    on_failure: Callable[[TransientError], None] = lambda error: None,
) -> T:
    """Calls a function until it succeeds, with growing pauses between the attempts. Returns the function's result.

    Args:
        attempt: function to call. If it raises `TransientError`, it is called again. Other errors are not caught.
        policy: maximum number of attempts, and length of the pauses.
        bytes_received: function that returns the number of bytes received so far. After a failed attempt that received
            bytes, the count of failures restarts at one.
        on_failure: function that is called with the error before each pause.

    Raises:
        TransientError: `policy.attempts` attempts in a row failed.
    """
    failures = 0
    while True:
        before = bytes_received()
        try:
            return attempt()
        except TransientError as error:
            failures = 1 if bytes_received() > before else failures + 1
            if failures >= policy.attempts:
                raise
            on_failure(error)
            wait_s = policy.pause_s * 2 ** (failures - 1) if error.wait_s is None else error.wait_s
            time.sleep(min(wait_s, policy.max_pause_s))


@contextmanager
def offline_errors(url: str, hint: Hint = LOCAL_FILE) -> Iterator[None]:
    """Converts network errors and HTTP error statuses that are raised in a `with` block to `OfflineError`."""
    try:
        yield
    except httpx.HTTPStatusError as error:
        raise refused(url, error.response.status_code, hint) from error
    except (httpx.HTTPError, httpx.InvalidURL, TransientError) as error:
        raise OfflineError(f"`{url}` cannot be reached: {describe_error(error)}", hint) from error


def refused(url: str, status: int, hint: Hint = LOCAL_FILE) -> OfflineError:
    """Returns the error for an HTTP response with an error status."""
    return OfflineError(f"`{url}` answered {status} {httpx.codes.get_reason_phrase(status)}", hint)


def check_busy(response: httpx.Response) -> None:
    """Checks that the status of a response is not a temporary failure.

    Raises:
        TransientError: according to the status, the server is busy or temporarily unavailable.
    """
    if response.status_code in TRANSIENT_STATUS:
        message = f"the server answered {response.status_code} {response.reason_phrase}"
        raise TransientError(message, _retry_after(response))


def fetch_page(
    http: httpx.Client,
    url: str,
    policy: RetryPolicy,
    max_bytes: int,
    headers: Mapping[str, str] | None = None,
) -> Page:
    """Fetches a small file.

    The request is repeated if the server is busy or if an open connection fails. It is not repeated if no connection
    can be opened.

    Raises:
        OfflineError: the server cannot be reached, or sends more than `max_bytes`.
    """

    def attempt() -> Page:
        content = bytearray()
        try:
            with http.stream("GET", url, headers=headers) as response:
                check_busy(response)
                for chunk in response.iter_bytes():
                    content += chunk
                    if len(content) > max_bytes:
                        raise OfflineError(f"`{url}` sends more than {max_bytes:,} bytes", LOCAL_FILE)
        except (httpx.ConnectError, httpx.UnsupportedProtocol):
            raise  # a repetition would not help
        except httpx.TransportError as error:
            raise TransientError(describe_error(error)) from error
        return Page(response.status_code, response.headers, bytes(content))

    with offline_errors(url):
        return retry(attempt, policy)


def parse_content_range(response: httpx.Response) -> ContentRange | None:
    """Returns the `Content-Range` header of a response; None if it is missing or malformed."""
    match = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
    if match is None:
        return None
    start, last, total = match.groups()
    return ContentRange(
        int(start) if start else None, int(last) + 1 if last else None, int(total) if total != "*" else None
    )


def read_body(response: httpx.Response, expected: int) -> bytes:
    """Reads a response body of known length. Stops after the expected length, because a server may never stop sending.

    Raises:
        TransientError: the body is longer or shorter than expected.
    """
    data = bytearray()
    for chunk in response.iter_bytes():
        data += chunk
        if len(data) > expected:
            raise TransientError(f"the server sends more than the {expected:,} bytes that were requested")
    if len(data) < expected:
        raise TransientError(f"the server sent {len(data):,} of {expected:,} bytes")
    return bytes(data)


def describe_error(error: Exception) -> str:
    """Returns the message of a network error in lower case, without the error number."""
    text = str(error) or type(error).__name__
    return re.sub(r"^\[Errno -?\d+\] ", "", text).lower()


def _retry_after(response: httpx.Response) -> float | None:
    text = response.headers.get("retry-after", "")
    return float(text) if text.isdecimal() else None
