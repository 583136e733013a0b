"""HTTP server of the explorer. It listens on the loopback interface, unless another address is given."""

from __future__ import annotations

import errno
import hmac
import ipaddress
import secrets
import threading
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from geojepa_cli import __version__, console, hints
from geojepa_cli.errors import GeojepaError
from geojepa_cli.pages.explorer.api import JSON, Api, Response, failure
from geojepa_cli.pages.explorer.requests import MAX_BYTES

IDLE_S = 30.0  # a connection without a request is closed after this time


class ExplorerServer:
    """Serves the page and its data in threads, from `start` until `stop`. It is a context manager that does both.

    The port is bound at once, so that a wrong one is found before the data are opened.

    Every request must have the server's random token as the first part of its path, and a `Host` header that names an
    IP address, `localhost` or the given host. The second check stops pages of other sites whose name resolves to this
    machine (DNS rebinding).

    Attributes:
        api: answers the requests. It must be set before `start`.
        host: address that the server listens on.
        port: port that the server listens on.
        token: random part of the URL.
    """

    api: Api

    def __init__(self, host: str = "127.0.0.1", port: int = 0, token: str | None = None) -> None:
        """Binds the port.

        Args:
            host: address to listen on. `0.0.0.0` and `::` listen on all interfaces.
            port: port to listen on; 0 for a free one.
            token: random text in the URL. Default: a new one.

        Raises:
            GeojepaError: the address or port cannot be used.
        """
        self.host = host
        self.token = token or secrets.token_urlsafe(24)
        handler = type("Handler", (_Handler,), {"explorer": self})
        server = _Server6 if ":" in host else _Server
        try:
            self._server = server((host, port), handler)
        except (OSError, OverflowError, UnicodeError) as error:
            reason = (getattr(error, "strerror", None) or str(error)).lower()
            busy = isinstance(error, OSError) and error.errno in (errno.EADDRINUSE, errno.EACCES)
            hint = hints.again(port=0) if busy else hints.again(host="127.0.0.1")
            raise GeojepaError(f"cannot listen on host `{host}`, port {port}: {reason}", hint) from None
        self.port = int(self._server.server_address[1])
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Address of the page, with the token."""
        shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)  # noqa: S104 - shown, not bound
        shown = f"[{shown}]" if ":" in shown and not shown.startswith("[") else shown
        return f"http://{shown}:{self.port}/{self.token}/"

    def start(self) -> ExplorerServer:
        """Serves in another thread."""
        self._thread = threading.Thread(target=self._server.serve_forever, name="explorer", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stops the server and closes its port. Requests in progress are not waited for."""
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._thread = None
        self._server.server_close()

    def __enter__(self) -> ExplorerServer:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def allows_host(self, header: str | None) -> bool:
        """Returns True if a `Host` header names an IP address, `localhost`, or the host that was given."""
        try:
            name = urlsplit(f"//{header or ''}").hostname
        except ValueError:  # a bracket without its partner
            return False
        if name is None:
            return False
        if name in ("localhost", self.host.lower()):
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or not ipaddress.ip_address(str(self._server.server_address[0])).is_loopback

    def policy(self) -> str:
        """Returns the content security policy of the page: it loads nothing from elsewhere, except the base map."""
        basemap = urlsplit(self.api.about.basemap or "")
        other = f" {basemap.scheme}://{basemap.netloc}" if basemap.netloc else ""
        return (
            f"default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; connect-src 'self'{other}; "
            f"img-src 'self' data: blob:{other}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignores connections that the browser closes."""


class _Server6(_Server):
    import socket

    address_family = socket.AF_INET6


class _Handler(BaseHTTPRequestHandler):
    explorer: ExplorerServer
    protocol_version = "HTTP/1.1"
    server_version = f"geojepa/{__version__}"
    sys_version = ""
    timeout = IDLE_S

    def do_GET(self) -> None:
        """Answers a GET request."""
        self._answer(self._target(), None)

    def do_HEAD(self) -> None:
        """Answers a HEAD request."""
        self._answer(self._target(), None)

    def do_POST(self) -> None:
        """Answers a POST request. Its body is read only after everything else has been checked."""
        target = self._target()
        if target is None:
            return
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdecimal():
            self._refuse(411, "a request needs its length")
        elif int(length[:12]) > MAX_BYTES or len(length) > 12:
            self._refuse(413, f"a request has at most {MAX_BYTES} bytes")
        elif self.headers.get_content_type() != JSON:
            self._refuse(415, f"a request needs the content type `{JSON}`")
        else:
            self._answer(target, self.rfile.read(int(length)))

    def _refuse(self, status: int, message: str) -> None:
        self.close_connection = True  # the body is not read
        self._send(failure(status, message))

    def _target(self) -> tuple[str, str] | None:
        """Returns path and query of a request with the right host and token. Otherwise answers, and returns None."""
        if not self.explorer.allows_host(self.headers.get("Host")):
            self._refuse(421, "the `Host` header of the request names another machine")
            return None
        target, _, query = self.path.partition("?")
        _, _, rest = target.partition("/")
        token, slash, path = rest.partition("/")
        if not hmac.compare_digest(token.encode("utf-8", "replace"), self.explorer.token.encode()):
            self._refuse(403, "the token in the address is wrong: open the address that `geojepa explore` printed")
            return None
        if not slash:
            self._redirect(f"/{token}/")
            return None
        return path, query

    def _answer(self, target: tuple[str, str] | None, body: bytes | None) -> None:
        """Answers a request for a path and query whose body is `body`; None for a GET request."""
        if target is None:
            return
        path, query = target
        try:
            api = self.explorer.api
            response = api.get(path, query) if body is None else api.post(path, body)
        except Exception:  # one failed request must not stop the server
            console.warn(f"request `{path}` failed: {traceback.format_exc(limit=-3)}")
            response = failure(500, "the server failed; its terminal has the reason")
        self._send(response)

    def _redirect(self, location: str) -> None:
        self.close_connection = self.command == "POST"  # its body is not read
        self.send_response(308)
        self.send_header("Location", location)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, response: Response) -> None:
        self.send_response(response.status)
        headers = {
            "Content-Type": response.type,
            "Content-Length": str(len(response.body)),
            "Cache-Control": "private, max-age=86400" if response.lasting else "no-store",
            "Content-Security-Policy": self.explorer.policy(),
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin",
        }
        for name, value in headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)

    def log_message(self, format: str, *args: object) -> None:
        """Prints nothing: the address contains the token."""
