"""Runs the app until it is interrupted."""

from __future__ import annotations

import socket
from contextlib import closing, suppress

import uvicorn
from starlette.types import ASGIApp

from agents.web.connections import MAX_CONNECTIONS, GuardedProtocol

ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Hosts that stand for all addresses of this machine -> an address that a browser can open."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Args:
        host: a name or an address.
        port: 0 for any that is free.

    Raises:
        OSError: the port is taken, or the host is not this machine's; the message names both.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise OSError(f"cannot listen at {host}, port {port}: {error.strerror or error}") from None


def url_of(listening: socket.socket) -> str:
    """The address for a browser on this machine."""
    host, port = listening.getsockname()[:2]
    host = ANY.get(host, host)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def serve(app: ASGIApp, listening: socket.socket) -> None:
    """Answer until the process is interrupted."""
    with suppress(KeyboardInterrupt), closing(listening):
        server_of(app).run(sockets=[listening])


def server_of(app: ASGIApp) -> uvicorn.Server:
    """A server of the app, with its limits on connections."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="warning",
            server_header=False,
            # Clients could claim any address in these headers.
            proxy_headers=False,
            ws="none",
            lifespan="off",
            http=GuardedProtocol,
            limit_concurrency=MAX_CONNECTIONS + 1,
            timeout_graceful_shutdown=5,
        )
    )
