"""Closes connections that wait for their client when there are too many; uvicorn limits only their number."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_CONNECTIONS = 256
"""Open connections in all."""

PER_ADDRESS = 64
"""Open connections from one address; a browser opens six."""

HEADER_SECONDS = 10.0
"""Time for the head of a request, from its first byte or from the connection's start."""


class GuardedProtocol(H11Protocol):
    """uvicorn's HTTP protocol, which closes connections that wait too long or are too many.

    A connection waits until its client has sent a whole request. If there are too many connections, from one address or
    in all, the one that has waited longest is closed; if none waits, the new one. So a complete request is always
    answered.
    """

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        """As its base."""
        super().__init__(*arguments, **settings)
        self._head_timer: asyncio.TimerHandle | None = None
        self._since = 0.0  # time of the last data from its client, on the loop's clock

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Close another connection if there are too many, and start the clock of `HEADER_SECONDS`."""
        super().connection_made(transport)
        self._since = self.loop.time()
        others = [other for other in self.connections if isinstance(other, GuardedProtocol)]
        mine = [other for other in others if other.client and self.client and other.client[0] == self.client[0]]
        if len(mine) > PER_ADDRESS:
            _close_one_of(mine, self)
        elif len(others) > MAX_CONNECTIONS:
            _close_one_of(others, self)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """As its base; also watches the time for the head."""
        self._since = self.loop.time()
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """As its base; the time for the next request starts."""
        super().on_response_complete()
        self._since = self.loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        """As its base."""
        if self._head_timer is not None:
            self._head_timer.cancel()
        super().connection_lost(exc)

    @property
    def waits(self) -> bool:
        """Whether the client has not sent a whole request."""
        return self.cycle is None or self.cycle.response_complete or self.cycle.more_body

    def _watch(self) -> None:
        """Start the clock when a head is expected, stop it when it has come."""
        due = self.cycle is None or self.cycle.response_complete
        if due and self._head_timer is None:
            self._head_timer = self.loop.call_later(HEADER_SECONDS, self.transport.abort)
        elif not due and self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


def _close_one_of(connections: list[GuardedProtocol], newest: GuardedProtocol) -> None:
    """Close the connection that has waited longest; the newest only where no other waits."""
    waiting = [one for one in connections if one.waits and one is not newest and not one.transport.is_closing()]
    min(waiting, key=lambda one: one._since, default=newest).transport.abort()
