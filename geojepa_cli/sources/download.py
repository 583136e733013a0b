"""Downloads one large file. Resumes partial downloads, and checks the length and MD5 that the server publishes.

Received bytes are written to `<target>.partial`. `<target>.partial.json` records the version of the file on the server.
The file gets its final name only when it is complete.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import httpx

from geojepa_cli import console, hints
from geojepa_cli.errors import DataError
from geojepa_cli.sources.http import (
    LOCAL_FILE,
    OfflineError,
    RetryPolicy,
    TransientError,
    check_busy,
    describe_error,
    fetch_page,
    make_client,
    offline_errors,
    parse_content_range,
    retry,
)
from geojepa_cli.sources.partial import is_same_file, locked_file, partial_of, remove_partial, state_of

MAX_MD5_BYTES = 1 << 16  # far more than a file with an MD5 needs
_CHANGING = hints.again().noting("in an hour: the server may be replacing the file")

Report = Callable[[int, int | None], None]


class RemoteFile(NamedTuple):
    """Size in bytes and modification date of a file on a server. A value is None if the server does not state it."""

    bytes: int | None
    modified: str | None


class _OtherVersionError(Exception):
    """The partial download and the file on the server are different versions."""


def fetch_metadata(url: str, policy: RetryPolicy = RetryPolicy()) -> RemoteFile:
    """Returns the size and modification date of a file on a server, without downloading it.

    Raises:
        OfflineError: the server cannot be reached, or answers with an error status.
    """
    with make_client(policy) as http, offline_errors(url):
        response = http.head(url)
        response.raise_for_status()
    length = response.headers.get("content-length", "")
    return RemoteFile(int(length) if length.isdecimal() else None, response.headers.get("last-modified"))


@contextmanager
def downloaded(
    url: str, target: Path, meter: Report | None = None, policy: RetryPolicy = RetryPolicy()
) -> Iterator[Path]:
    """Context manager that downloads a file, or resumes its download. The file is locked until the `with` block ends.

    Yields `target`. If `<url>.md5` exists, the MD5 of the download must match it. A complete file at `target` with this
    MD5 is not downloaded again.

    Args:
        url: URL of the file.
        target: path of the complete file.
        meter: function that is called with (bytes received, size of the file).
        policy: retries and timeouts.

    Raises:
        OfflineError: the server cannot be reached, or the connection failed too often. The partial file is kept.
        DataError: the disk has too little space; or the download does not match the published MD5 or length, and was
            removed.
        BusyError: another process downloads or uses the same file.
    """
    with locked_file(partial_of(target), "ab") as file:
        try:
            with make_client(policy) as http:
                _download(http, url, target, file, meter, policy)
        finally:
            if is_same_file(file, partial_of(target)) and partial_of(target).stat().st_size == 0:
                remove_partial(target)
        with contextlib.nullcontext() if is_same_file(file, target) else locked_file(target, "rb"):
            yield target


def _download(
    http: httpx.Client, url: str, target: Path, file: IO[bytes], meter: Report | None, policy: RetryPolicy
) -> None:
    expected = _published_md5(http, url, policy)
    if expected is None:
        console.warn(f"`{url}.md5` does not exist: only the length of the download is checked")
    elif target.is_file() and _md5(target) == expected:
        remove_partial(target)
        return
    transfer = _Transfer(http, url, target, file, expected, meter)
    resumed = _complete(transfer, policy)
    if expected is not None and (found := _md5(transfer.partial)) != expected:
        # The server may have replaced the file and its MD5, or the partial file may be of an older version.
        expected = transfer.expected = _published_md5(http, url, policy)
        if resumed and found != expected:
            transfer.restart()
            _complete(transfer, policy)
            found = _md5(transfer.partial)
        if expected is not None and found != expected:
            remove_partial(target)
            raise DataError(f"`{url}` has MD5 {found}, expected {expected}; the download was removed", _CHANGING)
    transfer.partial.rename(target)
    remove_partial(target)


class _Transfer:
    """State of a download: the bytes received so far, and the version of the file on the server.

    Attributes:
        done: number of bytes received so far, which is the size of the partial file.
        total: size of the file in bytes; None while it is unknown.
        expected: published MD5; None if the server publishes none.
    """

    def __init__(
        self, http: httpx.Client, url: str, target: Path, file: IO[bytes], expected: str | None, meter: Report | None
    ) -> None:
        self.http, self.url, self.file, self.expected, self.meter = http, url, file, expected, meter
        self.partial = partial_of(target)
        self._state_file = state_of(target)
        self.total: int | None = None
        self._state = self._read_state()
        self.done = self.partial.stat().st_size
        if self.done and not self._can_resume():
            self.restart()

    def restart(self) -> None:
        """Discards the bytes received so far."""
        self.file.truncate(0)
        self.done, self.total, self._state = 0, None, {}
        self._state_file.unlink(missing_ok=True)

    def receive(self) -> None:
        """Requests the missing bytes and appends them to the partial file.

        Raises:
            TransientError: the connection failed, or the server is busy.
            _OtherVersionError: the file on the server has changed.
            httpx.HTTPStatusError: the server answers with an error status that is not temporary.
        """
        headers = {"Range": f"bytes={self.done}-"} if self.done else {}
        if self.done and (validator := self._state.get("validator")):
            headers["If-Range"] = validator
        try:
            with self.http.stream("GET", self.url, headers=headers) as response:
                if self._begin(response):
                    for chunk in response.iter_raw():
                        self._append(chunk)
        except httpx.UnsupportedProtocol:
            raise  # a repetition would get the same redirect
        except httpx.TransportError as error:
            raise TransientError(describe_error(error)) from error
        finally:
            self.file.flush()
        if self.total is not None and self.done < self.total:
            raise TransientError(f"the server sent {self.done:,} of {self.total:,} bytes")

    def _begin(self, response: httpx.Response) -> bool:
        """Compares a response with the partial file. Returns True if bytes must be read, False if none are missing."""
        status, stated = response.status_code, parse_content_range(response)
        if status == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE and self.done:
            if stated is None or stated.total != self.done:
                raise _OtherVersionError
            self.total = self.done  # the partial file is complete
            return False
        check_busy(response)
        response.raise_for_status()
        if status == httpx.codes.PARTIAL_CONTENT:
            known = self._state.get("validator")
            if stated is None or stated.start != self.done or (known and _validator(response, known) != known):
                raise _OtherVersionError
            total = stated.total
        else:
            if self.done:
                self.restart()  # the server ignores ranges or has another version, and sends the whole file
            length = response.headers.get("content-length", "")
            total = int(length) if length.isdecimal() else None
        if self.total is not None and total is not None and total != self.total:
            raise _OtherVersionError
        self.total = total if total is not None else self.total
        self._check_disk()
        self._write_state(response)
        return True

    def _append(self, chunk: bytes) -> None:
        self.file.write(chunk)
        self.done += len(chunk)
        if self.total is not None and self.done > self.total:
            raise _OtherVersionError
        if self.meter is not None:
            self.meter(self.done, self.total)

    def _check_disk(self) -> None:
        needed, free = (self.total or 0) - self.done, shutil.disk_usage(self.partial.parent).free
        if needed > free:
            message = f"`{self.url}` needs {needed:,} more bytes, the disk of `{self.partial.parent}` has {free:,}"
            raise DataError(message, hints.run("artifacts", prune=True).or_else(hints.Hint(workspace="DIR")))

    def _can_resume(self) -> bool:
        """Returns True if the download may continue at the end of the partial file.

        The partial file must come from the same URL and have the same published MD5. If the server publishes no MD5,
        an ETag or modification date must be recorded for the partial file. `_begin` compares it with the response.
        """
        if self._state.get("url") not in (None, self.url):
            return False
        if self.expected is not None:
            return self._state.get("md5") in (None, self.expected)
        return bool(self._state.get("validator"))

    def _read_state(self) -> dict[str, Any]:
        try:
            state = json.loads(self._state_file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        texts = isinstance(state, dict) and all(value is None or isinstance(value, str) for value in state.values())
        return state if texts else {}

    def _write_state(self, response: httpx.Response) -> None:
        state = {"url": self.url, "md5": self.expected, "validator": _validator(response)}
        if state != self._state:
            self._state = state
            self._state_file.write_text(json.dumps(state), encoding="utf-8")


def _complete(transfer: _Transfer, policy: RetryPolicy) -> bool:
    """Receives bytes until the file is complete. Returns True if the bytes came in several responses or runs."""
    resumed = transfer.done > 0

    def report(error: TransientError) -> None:
        nonlocal resumed
        resumed = resumed or transfer.done > 0
        console.note(f"`{transfer.url}`: {error}; trying again at byte {transfer.done:,}")

    for _ in range(policy.attempts):
        try:
            with offline_errors(transfer.url):
                try:
                    retry(transfer.receive, policy, lambda: transfer.done, report)
                except TransientError as error:
                    raise _gave_up(transfer, error) from error
            return resumed
        except _OtherVersionError:
            transfer.restart()
    message = f"`{transfer.url}` changes while it is downloaded: its responses differ in length or version"
    raise DataError(message, _CHANGING)


def _gave_up(transfer: _Transfer, error: TransientError) -> OfflineError:
    if not transfer.done:
        return OfflineError(f"`{transfer.url}` cannot be reached: {error}", LOCAL_FILE)
    of = f" of {transfer.total:,}" if transfer.total is not None else ""
    hint = hints.again().noting(f"{transfer.done:,}{of} bytes are kept, and the download resumes from there")
    return OfflineError(f"the download of `{transfer.url}` was interrupted too often: {error}", hint)


def _published_md5(http: httpx.Client, url: str, policy: RetryPolicy) -> str | None:
    """Returns the MD5 that the server publishes for a file; None if it publishes none."""
    page = fetch_page(http, f"{url}.md5", policy, MAX_MD5_BYTES)
    match = re.match(rb"\s*([0-9a-fA-F]{32})\b", page.content) if page.status == httpx.codes.OK else None
    return match[1].decode().lower() if match else None


def _validator(response: httpx.Response, like: str | None = None) -> str | None:
    """Returns the header value that identifies a file's version: the strong ETag, or else the modification date.

    Args:
        response: response of the server.
        like: value that was returned for an earlier response. If given, the header from which this value was taken
            (ETag or modification date) is read again, so that the two values can be compared.
    """
    etag: str | None = response.headers.get("etag")
    modified: str | None = response.headers.get("last-modified")
    if like is not None:
        return (etag if like.startswith('"') else modified) or like  # a response may lack the header
    return etag if etag and etag.startswith('"') else modified


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
