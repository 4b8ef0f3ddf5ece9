"""Runs the app until it is interrupted, or while a block of code runs."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from threading import Thread
from time import monotonic, sleep

import uvicorn
from starlette.types import ASGIApp

from agents.web.connections import MAX_CONNECTIONS, GuardedProtocol

ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Hosts that stand for all addresses of this machine -> an address that a browser can open."""

_START_SECONDS = 30.0


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
        _server(app).run(sockets=[listening])


@contextmanager
def running(app: ASGIApp) -> Iterator[str]:
    """Answer at a free port of this machine, in a thread, while the block runs.

    Yields:
        The page's address.
    """
    server = _server(app)
    with closing(listen("127.0.0.1", 0)) as listening:
        thread = Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            end = monotonic() + _START_SECONDS
            while not server.started:
                if not thread.is_alive() or monotonic() > end:
                    raise RuntimeError("the server did not start")
                sleep(0.01)
            yield url_of(listening)
        finally:
            server.should_exit = True
            thread.join()


def _server(app: ASGIApp) -> uvicorn.Server:
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
