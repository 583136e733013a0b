"""Brings one file from a server: goes on where a connection broke, tries again with back-off, and compares the length
and the MD5 that the server publishes, so that the file is either whole or not there."""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import httpx

from geojepa_cli import console
from geojepa_cli.errors import BusyError, DataError, GeojepaError

PARTIAL = ".partial"
STATE = ".partial.json"  # of which version of the file the partial one is
OFFLINE_HINT = "geojepa fetch --pbf FILE --name NAME"
MD5_BYTES = 1 << 16  # more than any file of MD5s has
TRANSIENT = {408, 425, 429, 500, 502, 503, 504}
_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")

Report = Callable[[int, int | None], None]


class Patience(NamedTuple):
    """How long a server is borne with.

    Attributes:
        tries: in a row that brought not one byte.
        pause_s: before the second try; doubles from try to try.
        longest_pause_s: limits that, and what the server asks for by `Retry-After`.
        timeout_s: without a byte on an open connection.
    """

    tries: int = 6
    pause_s: float = 1.0
    longest_pause_s: float = 30.0
    timeout_s: float = 30.0


class RemoteFile(NamedTuple):
    """What the server says of a file, each None where it does not."""

    bytes: int | None
    modified: str | None


class Page(NamedTuple):
    """A small answer, whole.

    Attributes:
        code: of HTTP.
        headers: of the answer.
        content: unpacked, where it was packed.
    """

    code: int
    headers: httpx.Headers
    content: bytes


class OfflineError(GeojepaError):
    """The server cannot be reached, or does not answer as it should."""


class _BrokenError(Exception):
    """A try that failed in a way that another one may mend."""

    def __init__(self, message: str, wait_s: float | None = None) -> None:
        super().__init__(message)
        self.wait_s = wait_s


class _OtherVersionError(Exception):
    """What is at hand and what the server has are not of one version."""


def ask(url: str, patience: Patience = Patience()) -> RemoteFile:
    """Size and date of a file on the server, without loading it.

    Raises:
        OfflineError: the server cannot be reached, or refuses.
    """
    with client(patience) as http, reaching(url):
        answer = http.head(url)
        answer.raise_for_status()
    length = answer.headers.get("content-length")
    return RemoteFile(int(length) if length else None, answer.headers.get("last-modified"))


def download(url: str, target: Path, meter: Report | None = None, patience: Patience = Patience()) -> None:
    """Loads a file, going on with what an earlier run left, and compares it with the MD5 at `<url>.md5`.

    Args:
        url: of the file.
        target: is there only when the whole file is; until then `<target>.partial`. One that is there already and has
            the server's MD5 is kept.
        meter: called with (bytes done, bytes in all).
        patience: with the server.

    Raises:
        OfflineError: the server cannot be reached, or the connection broke too often; what was loaded is kept.
        DataError: the file differs from its MD5 or its length, and is removed; or the disk has no room for it.
        BusyError: another process loads the same file.
    """
    with client(patience) as http, _alone(target) as file:
        expected = _md5_beside(http, url, patience)
        if expected is None:
            console.warn(f"`{url}.md5` is not there: only the length of the download is checked")
        elif target.is_file() and _md5(target) == expected:
            _forget(target)
            return
        load = _Load(http, url, target, file, expected, meter)
        went_on = _bring(load, patience)
        if expected is not None and (got := _md5(load.partial)) != expected:
            # The server may have changed file and MD5 since, or what an earlier run left may have been another's.
            expected = load.expected = _md5_beside(http, url, patience)
            if went_on and got != expected:
                load.begin_anew()
                _bring(load, patience)
                got = _md5(load.partial)
            if expected is not None and got != expected:
                _forget(target)
                raise DataError(
                    f"`{url}` has MD5 {got}, the server says {expected}; the download is removed",
                    hint="run this again in an hour: the server may be changing the file",
                )
        load.partial.rename(target)
        _forget(target)


@contextmanager
def reaching(url: str) -> Iterator[None]:
    """Failures of the network and of the server as one kind of error."""
    try:
        yield
    except httpx.HTTPStatusError as error:
        code = error.response.status_code
        raise OfflineError(f"`{url}` answered {code} {error.response.reason_phrase}", hint=OFFLINE_HINT) from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise OfflineError(f"`{url}` cannot be reached: {told(error)}", hint=OFFLINE_HINT) from error


def get_page(
    http: httpx.Client, url: str, patience: Patience, most_bytes: int, headers: Mapping[str, str] | None = None
) -> Page:
    """A small file; a server that is busy or breaks off is asked again, one that is not there or refuses is not.

    Raises:
        OfflineError: the server cannot be reached, or sends more than `most_bytes`.
    """
    failed = 0
    while True:
        try:
            with reaching(url):
                return _page(http, url, most_bytes, headers)
        except _BrokenError as error:
            failed += 1
            if failed >= patience.tries:
                raise OfflineError(f"`{url}` cannot be reached: {error}", hint=OFFLINE_HINT) from error
            _pause(failed, error.wait_s, patience)


def client(patience: Patience) -> httpx.Client:
    """A client that follows redirects and asks for files as they are: ranges count bytes of the file, not of a packed
    form of it."""
    timeout = httpx.Timeout(patience.timeout_s, connect=min(10.0, patience.timeout_s))
    return httpx.Client(follow_redirects=True, timeout=timeout, headers={"Accept-Encoding": "identity"})


class _Load:
    """One file on its way: what of it is here, and of which version that is."""

    def __init__(
        self, http: httpx.Client, url: str, target: Path, file: IO[bytes], expected: str | None, meter: Report | None
    ) -> None:
        self.http, self.url, self.file, self.expected, self.meter = http, url, file, expected, meter
        self.partial = target.with_name(target.name + PARTIAL)
        self.state_file = target.with_name(target.name + STATE)
        self.total: int | None = None
        self.state = self._read_state()
        self.done = self.partial.stat().st_size
        if self.done and not self._same_version():
            self.begin_anew()

    def begin_anew(self) -> None:
        """Forgets what is here."""
        self.file.truncate(0)
        self.done, self.total, self.state = 0, None, {}
        self.state_file.unlink(missing_ok=True)

    def try_once(self) -> None:
        """Asks for what is missing, and writes what comes.

        Raises:
            _BrokenError: the connection broke, or the server is busy.
            _OtherVersionError: the file on the server is no longer the one begun.
            httpx.HTTPStatusError: the server refuses for good.
        """
        headers = {"Range": f"bytes={self.done}-"} if self.done else {}
        if self.done and (validator := self.state.get("validator")):
            headers["If-Range"] = validator
        try:
            with self.http.stream("GET", self.url, headers=headers) as answer:
                if self._begin(answer):
                    for chunk in answer.iter_raw():
                        self._take(chunk)
        except httpx.UnsupportedProtocol:
            raise  # a redirect that leads nowhere does so again
        except httpx.TransportError as error:
            raise _BrokenError(told(error)) from error
        finally:
            self.file.flush()
        if self.total is not None and self.done < self.total:
            raise _BrokenError(f"the server sent {self.done:,} of {self.total:,} bytes")

    def _begin(self, answer: httpx.Response) -> bool:
        """Whether bytes follow that belong behind those at hand."""
        code, stated = answer.status_code, _content_range(answer)
        if code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE and self.done:
            if stated is None or stated[1] != self.done:
                raise _OtherVersionError
            self.total = self.done  # all of it is here already
            return False
        if code in TRANSIENT:
            raise _BrokenError(f"it answered {code} {answer.reason_phrase}", retry_after(answer))
        answer.raise_for_status()
        if code == httpx.codes.PARTIAL_CONTENT:
            known = self.state.get("validator")
            if stated is None or stated[0] != self.done or (known and _validator(answer, known) != known):
                raise _OtherVersionError
            total = stated[1]
        else:
            if self.done:
                self.begin_anew()  # the server knows no ranges, or has another version, and sends it whole
            length = answer.headers.get("content-length", "")
            total = int(length) if length.isdecimal() else None
        if self.total is not None and total is not None and total != self.total:
            raise _OtherVersionError
        self.total = total if total is not None else self.total
        self._check_room()
        self._write_state(answer)
        return True

    def _take(self, chunk: bytes) -> None:
        self.file.write(chunk)
        self.done += len(chunk)
        if self.total is not None and self.done > self.total:
            raise _OtherVersionError
        if self.meter is not None:
            self.meter(self.done, self.total)

    def _check_room(self) -> None:
        needed, free = (self.total or 0) - self.done, shutil.disk_usage(self.partial.parent).free
        if needed > free:
            raise DataError(
                f"`{self.url}` needs {needed:,} bytes more, the disk of `{self.partial.parent}` has {free:,}",
                hint="geojepa --workspace DIR … on a larger disk, or `geojepa artifacts --prune`",
            )

    def _same_version(self) -> bool:
        """Whether the partial file may be gone on with; at the end the MD5 tells for sure, where there is one."""
        if self.state.get("url") not in (None, self.url):
            return False
        if self.expected is not None:
            return self.state.get("md5") in (None, self.expected)
        return bool(self.state.get("validator"))

    def _read_state(self) -> dict[str, Any]:
        try:
            state = json.loads(self.state_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return state if isinstance(state, dict) else {}

    def _write_state(self, answer: httpx.Response) -> None:
        state = {"url": self.url, "md5": self.expected, "validator": _validator(answer)}
        if state != self.state:
            self.state = state
            self.state_file.write_text(json.dumps(state), encoding="utf-8")


def _bring(load: _Load, patience: Patience) -> bool:
    """Tries until the file is whole; whether a part of it is of an earlier run or another connection."""
    failed, anew, went_on = 0, 0, load.done > 0
    while True:
        before = load.done
        try:
            with reaching(load.url):
                load.try_once()
            return went_on
        except _OtherVersionError:
            anew += 1
            load.begin_anew()
            if anew >= patience.tries:
                raise DataError(
                    f"`{load.url}`: the length or version that the server states changes from answer to answer",
                    hint="run this again in an hour: the server may be changing the file",
                ) from None
        except _BrokenError as error:
            failed = 1 if load.done > before else failed + 1
            if failed >= patience.tries:
                raise _given_up(load, error) from error
            console.note(f"`{load.url}`: {error}; trying again at byte {load.done:,}")
            _pause(failed, error.wait_s, patience)
        went_on = went_on or load.done > 0


def _given_up(load: _Load, error: _BrokenError) -> OfflineError:
    if load.done:
        of = f" of {load.total:,}" if load.total is not None else ""
        hint = f"run this again: {load.done:,}{of} bytes are kept, and it goes on from there"
        return OfflineError(f"`{load.url}` broke off again and again: {error}", hint=hint)
    return OfflineError(f"`{load.url}` cannot be reached: {error}", hint=OFFLINE_HINT)


def _page(http: httpx.Client, url: str, most_bytes: int, headers: Mapping[str, str] | None) -> Page:
    content = bytearray()
    try:
        with http.stream("GET", url, headers=headers) as answer:
            if answer.status_code in TRANSIENT:
                raise _BrokenError(f"it answered {answer.status_code} {answer.reason_phrase}", retry_after(answer))
            for chunk in answer.iter_bytes():
                content += chunk
                if len(content) > most_bytes:
                    raise OfflineError(f"`{url}` sends more than {most_bytes:,} bytes", hint=OFFLINE_HINT)
    except (httpx.ConnectError, httpx.UnsupportedProtocol):
        raise  # which waiting does not mend
    except httpx.TransportError as error:
        raise _BrokenError(told(error)) from error
    return Page(answer.status_code, answer.headers, bytes(content))


def _pause(failed: int, asked_s: float | None, patience: Patience) -> None:
    wait_s = patience.pause_s * 2 ** (failed - 1) if asked_s is None else asked_s
    time.sleep(min(wait_s, patience.longest_pause_s))


def _md5_beside(http: httpx.Client, url: str, patience: Patience) -> str | None:
    """The published MD5, or None where the server has none."""
    page = get_page(http, f"{url}.md5", patience, MD5_BYTES)
    match = re.match(rb"\s*([0-9a-fA-F]{32})\b", page.content) if page.code == httpx.codes.OK else None
    return match[1].decode().lower() if match else None


def _validator(answer: httpx.Response, like: str | None = None) -> str | None:
    """What tells one version of the file from another: a strong ETag, else the date.

    Args:
        answer: of the server.
        like: a validator of an earlier answer; the same kind is looked at.
    """
    etag: str | None = answer.headers.get("etag")
    modified: str | None = answer.headers.get("last-modified")
    if like is not None:
        return (etag if like.startswith('"') else modified) or like  # an answer may leave it out
    return etag if etag and etag.startswith('"') else modified


def _content_range(answer: httpx.Response) -> tuple[int | None, int | None] | None:
    """Start and total of `Content-Range`, None where there is none."""
    match = _CONTENT_RANGE.fullmatch(answer.headers.get("content-range", ""))
    if match is None:
        return None
    return int(match[1]) if match[1] else None, int(match[3]) if match[3] != "*" else None


def retry_after(answer: httpx.Response) -> float | None:
    text = answer.headers.get("retry-after", "")
    return float(text) if text.isdecimal() else None


@contextmanager
def _alone(target: Path) -> Iterator[IO[bytes]]:
    """The partial file, open for appending and locked: two runs must not write into it by turns."""
    partial = target.with_name(target.name + PARTIAL)
    with partial.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = f"`{partial}` is being loaded by another process"
            raise BusyError(message, hint="wait for it to end, then run this again") from None
        try:
            yield file
        finally:
            if partial.exists() and partial.stat().st_size == 0:
                _forget(target)


def _forget(target: Path) -> None:
    for suffix in (PARTIAL, STATE):
        target.with_name(target.name + suffix).unlink(missing_ok=True)


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def told(error: Exception) -> str:
    """The words of a network error, without its number."""
    text = str(error) or type(error).__name__
    return re.sub(r"^\[Errno -?\d+\] ", "", text).lower()
