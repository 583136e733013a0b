"""Bodies of requests to the explorer's server: read only if the request is allowed."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from explorer_pages import served, synthetic_api

from geojepa_cli.pages.explorer.server import ExplorerServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExplorerServer]:
    with served(synthetic_api(tmp_path_factory.mktemp("explorer"))) as running:
        yield running


@pytest.mark.parametrize(
    ("path", "host", "status"),
    [("/wrong/api/search", "127.0.0.1", b"403"), ("/{token}/api/search", "evil.example", b"421")],
)
def test_the_body_of_a_refused_request_is_not_awaited(
    server: ExplorerServer, path: str, host: str, status: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        head = f"POST {path.format(token=server.token)} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1000\r\n"
        connection.sendall(f"{head}Content-Type: application/json\r\n\r\n".encode())
        assert connection.recv(100).split()[1] == status  # the body was not sent
