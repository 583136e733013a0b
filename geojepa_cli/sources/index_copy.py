"""Fetches a small text file from a server and keeps a copy of it.

The copy is used if the file on the server has not changed, or if the server cannot be reached.
"""

from __future__ import annotations

import contextlib
import email.utils
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import httpx

from geojepa_cli import console
from geojepa_cli.errors import BusyError, DataError
from geojepa_cli.sources.http import OfflineError, RetryPolicy, fetch_page, make_client, refused
from geojepa_cli.sources.partial import locked_file, partial_of

_MAX_BYTES = 1 << 28  # far more than the size of Geofabrik's index with geometries


def fetch_text(url: str, folder: Path | None, policy: RetryPolicy, check: Callable[[str], None]) -> str:
    """Returns the text at a URL. If an earlier call stored a copy and the server has no newer text, uses the copy.

    Args:
        url: URL of the file.
        folder: folder for the copy; None to keep no copy. The copy gets the modification time that the server states.
        policy: retries and timeouts.
        check: function that raises `DataError` for an invalid text. An invalid text is not stored.

    Raises:
        OfflineError: the server cannot be reached, and there is no copy.
    """
    copy = folder / f"index-{hashlib.sha256(url.encode()).hexdigest()[:12]}.json" if folder else None
    stored = _read_copy(copy, check) if copy else None
    modified = copy.stat().st_mtime if copy and stored is not None else None
    headers = {} if modified is None else {"If-Modified-Since": email.utils.formatdate(modified, usegmt=True)}
    try:
        with make_client(policy) as http:
            page = fetch_page(http, url, policy, _MAX_BYTES, headers)
        if page.status >= httpx.codes.BAD_REQUEST:
            raise refused(url, page.status)
    except OfflineError as error:
        if stored is None:
            raise
        console.note(f"{error.message}; using the stored copy from {email.utils.formatdate(modified, usegmt=True)}")
        return stored
    if page.status == httpx.codes.NOT_MODIFIED and stored is not None:
        return stored
    text = page.content.decode("utf-8", "replace")
    if copy is not None and copy.parent.is_dir() and _passes(check, text):
        _write_copy(text, page.headers.get("last-modified", ""), copy)
    return text


def _read_copy(copy: Path, check: Callable[[str], None]) -> str | None:
    """Returns the text of the stored copy; None if the copy does not exist or its text is invalid."""
    try:
        text = copy.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    return text if _passes(check, text) else None


def _write_copy(text: str, modified: str, copy: Path) -> None:
    """Replaces the stored copy atomically. Does nothing if another process is replacing the copy."""
    with contextlib.suppress(BusyError), locked_file(partial_of(copy), "ab") as file:
        file.truncate(0)
        file.write(text.encode())
        file.flush()
        with contextlib.suppress(ValueError, TypeError, OverflowError):
            date = email.utils.parsedate_to_datetime(modified).timestamp()
            os.utime(partial_of(copy), (date, date))
        partial_of(copy).replace(copy)


def _passes(check: Callable[[str], None], text: str) -> bool:
    try:
        check(text)
    except DataError:
        return False
    return True
