# SPDX-License-Identifier: Apache-2.0
"""Who may connect to the page's server."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from urllib.request import urlopen

import pytest
from viser_client import ViserClient
from websockets.exceptions import InvalidStatus

from sac_ros.view.server import is_own_page, start_server, stop_server


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    server = start_server("127.0.0.1", 0)
    yield server.get_port()
    stop_server(server)


def test_the_page_is_served_and_may_connect(port: int) -> None:
    with urlopen(f"http://127.0.0.1:{port}", timeout=10.0) as answer:
        assert b"<html" in answer.read()
    for origin in (None, f"http://127.0.0.1:{port}"):
        ViserClient(port, origin=origin).__exit__(None, None, None)


def test_the_script_of_another_web_site_is_refused(port: int) -> None:
    with pytest.raises(InvalidStatus, match="403"):
        ViserClient(port, origin="https://example.com")


@pytest.mark.parametrize(
    ("origin", "host", "own"),
    [
        (None, "127.0.0.1:8080", True),
        ("http://127.0.0.1:8080", "127.0.0.1:8080", True),
        ("http://localhost:9000", "localhost:9000", True),
        ("http://[::1]:8080", "[::1]:8080", True),
        ("http://192.168.1.5:8080", "192.168.1.5:8080", True),
        (f"http://{socket.gethostname().lower()}:80", f"{socket.gethostname().lower()}:80", True),
        ("http://6.6.6.6", "127.0.0.1:8080", False),
        ("http://127.0.0.1:9999", "127.0.0.1:8080", False),
        ("null", "127.0.0.1:8080", False),
        ("http://evil.example:8080", "evil.example:8080", False),
    ],
)
def test_a_request_is_of_an_own_page_by_a_name_that_nobody_else_can_give(
    origin: str | None, host: str, own: bool
) -> None:
    headers = {"Host": host} | ({"Origin": origin} if origin else {})
    assert is_own_page(headers) is own
