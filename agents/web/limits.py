"""What a request, a client, and all clients together may cost. Nobody who sends something is trusted."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from functools import partial
from math import ceil
from time import monotonic
from typing import Any, ParamSpec, TypeVar

import anyio
import anyio.to_thread
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

P = ParamSpec("P")
T = TypeVar("T")

LIGHT = 0.05
"""Share of a request's price that one pays for which nothing is computed: a page, a photo."""

MAX_CLIENTS = 10_000
"""Clients whose spending is remembered; beyond, the one that was silent longest is forgotten."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy: a browser loads nothing from another host, and no script that stands in the page."""

HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Sent with every answer."""


@dataclass(frozen=True)
class Limits:
    """What is allowed; the defaults suit a page that some people share."""

    rate: float = 10.0  # requests that compute, a second for each client, in the long run
    burst: float = 20.0  # of them at once
    threads: int = 2  # searches at the same time
    waiting: int = 32  # searches that may wait for a thread; more are turned away
    body_bytes: int = 1 << 20  # of a request
    body_seconds: float = 10.0  # until all of a request must have come

    def __post_init__(self) -> None:
        """Refuse what would let nobody in.

        Raises:
            ValueError: it says what is wrong.
        """
        if not (self.rate > 0.0 and self.burst >= 1.0):
            raise ValueError(f"rate must be above 0 and burst at least 1, got {self.rate} and {self.burst}")
        if self.threads < 1 or self.waiting < 0 or self.body_bytes < 1 or not self.body_seconds > 0.0:
            raise ValueError(f"threads, body_bytes and body_seconds must be above 0, waiting at least 0: {self}")


class TokenBuckets:
    """Each client has a bucket of tokens that fills steadily; a request takes some out."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = monotonic) -> None:
        """Full buckets for everybody.

        Args:
            rate: tokens a second.
            burst: tokens that a full bucket holds.
            clock: seconds that never go back.
        """
        self._rate, self._burst, self._clock = rate, burst, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, and when there were so many

    def __len__(self) -> int:
        """Clients that are remembered."""
        return len(self._buckets)

    def take(self, client: str, price: float = 1.0) -> float:
        """Take `price` tokens, or none where there are fewer.

        Returns:
            Seconds until there will be enough; 0.0 if the tokens were taken.
        """
        now = self._clock()
        tokens, since = self._buckets.pop(client, (self._burst, now))
        tokens = min(self._burst, tokens + (now - since) * self._rate)
        wait = max(0.0, (price - tokens) / self._rate)
        self._buckets[client] = (tokens if wait else tokens - price, now)
        if len(self._buckets) > MAX_CLIENTS:
            self._buckets.popitem(last=False)
        return wait


class RateLimit:
    """Middleware: 429 for a client that asks too often."""

    def __init__(self, app: ASGIApp, buckets: TokenBuckets) -> None:
        """`buckets` hold what each client, known by its address, may still ask."""
        self._app, self._buckets = app, buckets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] == "http":
            client = scope.get("client")
            wait = self._buckets.take(client[0] if client else "", LIGHT if scope["method"] == "GET" else 1.0)
            if wait:
                answer = refusal(429, "too many requests: draw on in a moment", {"Retry-After": str(ceil(wait))})
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)


class BodyLimit:
    """Middleware: 413 for a body that is too large, as soon as that is known and never all of it in memory."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        """`most` is in bytes."""
        self._app, self._most = app, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through while it is small."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        message = f"larger than {self._most:,} bytes"
        said = Headers(scope=scope).get("content-length", "0")
        if not said.isascii() or not said.isdecimal() or len(said) > 15 or int(said) > self._most:
            await refusal(413, message)(scope, receive, send)
            return
        come = 0

        async def counted() -> Message:
            nonlocal come
            part = await receive()
            come += len(part.get("body", b""))
            if come > self._most:
                raise HTTPException(413, message)
            return part

        await self._app(scope, counted, send)


class SafeHeaders:
    """Middleware: `HEADERS` on every answer."""

    def __init__(self, app: ASGIApp) -> None:
        """The rest of the app."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add them when the answer starts."""

        async def with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self._app(scope, receive, with_headers)


class Workers:
    """Threads that compute, so that who waits for nothing is not kept waiting."""

    def __init__(self, threads: int, waiting: int) -> None:
        """So many at work, so many in the queue."""
        self._limiter = anyio.CapacityLimiter(threads)
        self._free = threads + waiting

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The value of a function, called in a thread.

        Raises:
            HTTPException: 503, the queue is full.
        """
        # Counted here: the limiter knows of those who wait only once they have come so far.
        if not self._free:
            raise HTTPException(503, "the server is busy: draw on in a moment", {"Retry-After": "1"})
        self._free -= 1
        try:
            return await anyio.to_thread.run_sync(partial(function, *args, **kwargs), limiter=self._limiter)
        finally:
            self._free += 1


async def body_of(request: Request, media_type: str, seconds: float) -> bytes:
    """The whole body of a request.

    Only a page of our own origin may send these media types: a browser asks first when a foreign one tries.

    Raises:
        HTTPException: 415, another media type; 408, it takes too long; 413, see `BodyLimit`.
    """
    said = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if said != media_type:
        raise HTTPException(415, f"the content type must be {media_type}, not {said[:100] or 'missing'}")
    try:
        with anyio.fail_after(seconds):
            return await request.body()
    except TimeoutError:
        raise HTTPException(408, f"the request did not come within {seconds:g} seconds") from None


def refusal(status: int, message: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """An error, said plainly."""
    return JSONResponse({"error": message}, status, headers)
