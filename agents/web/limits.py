"""Limits on the cost of one request and of all requests together; `connections` limits open connections."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import anyio
import anyio.to_thread
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

S = TypeVar("S")
T = TypeVar("T")

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy: nothing from other hosts, no inline scripts."""

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
    """Limits; the defaults suit a page that some people share."""

    threads: int = 2  # that compute at once
    waiting: int = 256  # searches that may wait for a thread; more are refused
    batch: int = 16  # searches in one batch, when several wait
    body_bytes: int = 1 << 20  # of a request, SVG files excepted
    body_seconds: float = 10.0  # until all of a request must have come

    def __post_init__(self) -> None:
        """Check the limits.

        Raises:
            ValueError: a limit that would refuse every request.
        """
        if min(self.threads, self.batch, self.body_bytes) < 1 or self.waiting < 0 or not self.body_seconds > 0.0:
            raise ValueError(f"threads, batch, body_bytes and body_seconds must be above 0, waiting at least 0: {self}")


class BodyLimit:
    """Middleware: 413 for a body that is too large, as soon as that is known; the body is never all in memory."""

    def __init__(self, app: ASGIApp, most: int, paths: Mapping[str, int] = {}) -> None:  # not changed
        """`most` is the limit in bytes; `paths` maps paths with other limits to these."""
        self._app, self._most, self._paths = app, most, paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = self._paths.get(scope["path"], self._most)
        message = f"larger than {most:,} bytes"
        said = Headers(scope=scope).get("content-length", "0")
        if not said.isascii() or not said.isdecimal() or len(said) > 15 or int(said) > most:
            await refusal(413, message)(scope, receive, send)
            return
        come = 0

        async def counted() -> Message:
            nonlocal come
            part = await receive()
            come += len(part.get("body", b""))
            if come > most:
                raise HTTPException(413, message)
            return part

        await self._app(scope, counted, send)


class KnownHosts:
    """Middleware: 400 for other host names than those allowed; the message says how to allow one.

    Against DNS rebinding, where a foreign page reaches this server by giving its own name this address.
    """

    def __init__(self, app: ASGIApp, names: Sequence[str]) -> None:
        """`names` are host names and addresses, without ports."""
        self._app = app
        self._names = {f"[{name}]" if ":" in name else name.lower() for name in names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "http":
            host = Headers(scope=scope).get("host", "").lower()
            name = host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]
            if name not in self._names:
                told = name if name.isascii() and name.isprintable() and 0 < len(name) < 100 else "NAME"
                message = f"This page does not answer to that name yet. Start it with: sketchcanvas demo --name {told}"
                await PlainTextResponse(f"{message}\n", 400)(scope, receive, send)
                return
        await self._app(scope, receive, send)


class SafeHeaders:
    """Middleware: `HEADERS` on every answer."""

    def __init__(self, app: ASGIApp) -> None:
        """`app` is the rest of the app."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add the headers when the answer starts."""

        async def with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self._app(scope, receive, with_headers)


class Batches(Generic[S, T]):
    """Threads that compute, so that the event loop stays free, each for several requests that wait."""

    def __init__(
        self, function: Callable[[list[S]], Sequence[T | Exception]], threads: int, waiting: int, most: int
    ) -> None:
        """Start with an empty queue.

        Args:
            function: from requests to an answer or error for each.
            threads: that call it.
            waiting: requests that may wait; more are refused.
            most: requests in one call.
        """
        self._function, self._most = function, most
        self._free = threads * most + waiting
        self._limiter = anyio.CapacityLimiter(threads)
        self._queue: deque[tuple[S, asyncio.Future[T]]] = deque()
        self._working: set[asyncio.Task[None]] = set()
        self._threads = threads

    async def run(self, request: S) -> T:
        """The answer to one request.

        Raises:
            HTTPException: 503, too many wait.
            Exception: the error that the function returned or raised.
        """
        if not self._free:
            raise HTTPException(503, "the server is busy: draw on in a moment", {"Retry-After": "1"})
        self._free -= 1
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._queue.append((request, answer))
        if len(self._working) < self._threads:
            task = asyncio.create_task(self._work())
            self._working.add(task)
            task.add_done_callback(self._working.discard)
        try:
            return await answer
        finally:
            self._free += 1

    async def _work(self) -> None:
        """Answer until the queue is empty."""
        while self._queue:
            share = -(-len(self._queue) // self._threads)  # or one thread would take all and the others rest
            taken = [self._queue.popleft() for _ in range(min(self._most, share))]
            try:
                answers = await anyio.to_thread.run_sync(
                    self._function, [request for request, _ in taken], limiter=self._limiter
                )
            except Exception as error:
                answers = [error] * len(taken)
            for (_, future), answer in zip(taken, answers, strict=True):
                if future.done():  # its client has gone
                    continue
                if isinstance(answer, Exception):
                    future.set_exception(answer)
                else:
                    future.set_result(answer)


async def body_of(request: Request, media_type: str, seconds: float) -> bytes:
    """The whole body of a request.

    Browsers let only pages of this origin send these media types: others need a CORS preflight, which is refused.

    Raises:
        HTTPException: 415, another media type; 408, too slow; 413, see `BodyLimit`; 400, the client has gone.
    """
    said = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if said != media_type:
        raise HTTPException(415, f"the content type must be {media_type}, not {said[:100] or 'missing'}")
    try:
        with anyio.fail_after(seconds):
            return await request.body()
    except TimeoutError:
        raise HTTPException(408, f"the request did not come within {seconds:g} seconds") from None
    except ClientDisconnect:
        raise HTTPException(400, "the request broke off") from None


def refusal(status: int, message: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """An error as JSON."""
    return JSONResponse({"error": message}, status, headers)
