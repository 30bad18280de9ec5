# SPDX-License-Identifier: Apache-2.0
"""The web server of the browser view: one port, for pages that it has served itself."""

from __future__ import annotations

import contextlib
import errno
import http
import ipaddress
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from io import StringIO
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sac_ros.utils.errors import ConfigurationError

if TYPE_CHECKING:
    import viser


def start_server(host: str, port: int) -> viser.ViserServer:
    """Start a viser server that refuses the scripts of other web sites.

    Args:
        host: the address to listen on.
        port: its port; 0: any free one.

    Raises:
        ConfigurationError: viser is not installed, or the address is in use or not this machine's.
    """
    try:
        # Half a second of imports, and an extra: only who opens a view needs it.
        import viser  # noqa: PLC0415
    except ImportError as error:
        raise ConfigurationError(
            "the browser view needs viser, which is not installed: pip install 'viser>=1.1'"
        ) from error
    _refuse_busy(host, port)  # viser would take the next port that is free
    # viser prints a frame around its addresses; the node has a log line for them.
    with contextlib.redirect_stdout(StringIO()), _own_pages_only():
        return viser.ViserServer(host=host, port=port, label="sac_ros", verbose=False)


def stop_server(server: viser.ViserServer) -> None:
    """Close the server and its connections."""
    with contextlib.redirect_stdout(StringIO()):
        server.stop()


def is_own_page(headers: Mapping[str, str]) -> bool:
    """Return whether a request comes from a page of this server, or from no web page at all.

    A browser lets every web site open a websocket to 127.0.0.1, and names the site in `Origin`.
    The name must be the one that this server was asked for (`Host`), and not one that its owner
    can point to this machine (DNS rebinding): an IP address, localhost, or the machine's name.
    """
    origin = headers.get("Origin")
    if origin is None:
        return True
    asked = urlsplit(f"//{headers.get('Host', '')}")
    if urlsplit(origin).netloc != asked.netloc:
        return False
    name = asked.hostname or ""
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(name)
        return True
    machine = socket.gethostname().lower()
    return name in ("localhost", machine, f"{machine}.local", socket.getfqdn().lower())


def _refuse_busy(host: str, port: int) -> None:
    try:
        socket.create_server((host, port)).close()
    except OSError as error:
        if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            raise ConfigurationError(
                f"parameter host must be an address of this machine; got {host!r}"
            ) from error
        raise ConfigurationError(
            f"port {port} of {host} cannot be served on: {os.strerror(error.errno or 0)}; choose "
            "another one, such as port:=8081"
        ) from error


@contextlib.contextmanager
def _own_pages_only() -> Iterator[None]:
    """Have a server that viser starts meanwhile check who opens its websocket.

    viser has no setting for it, so its function of the `websockets` package is replaced.
    """
    import websockets.asyncio.server as module  # noqa: PLC0415 - comes with viser

    serve = module.serve

    def checking(
        *arguments: Any, process_request: Callable[[Any, Any], Any], **options: Any
    ) -> Any:
        def check(connection: Any, request: Any) -> Any:
            if not is_own_page(request.headers):
                return connection.respond(
                    http.HTTPStatus.FORBIDDEN, "only pages of this server may connect\n"
                )
            return process_request(connection, request)

        return serve(*arguments, process_request=check, **options)

    module.serve = checking
    try:
        yield
    finally:
        module.serve = serve
