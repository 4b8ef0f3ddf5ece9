"""The page's server in a thread, for tests and for the picture of the page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from threading import Thread
from time import monotonic, sleep

from starlette.types import ASGIApp

from agents.web.server import listen, server_of, url_of

_START_SECONDS = 30.0


@contextmanager
def running(app: ASGIApp) -> Iterator[str]:
    """Answer at a free port of this machine, in a thread, while the block runs.

    Yields:
        The page's address.
    """
    server = server_of(app)
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
