"""The ASGI app: the page, its files and its requests. Nothing is stored.

GET  /                the page; /page.css and /page.js beside it
GET  /api/start       the index, limits of a drawing, the fixed canvas, examples
GET  /photo?id=NAME   a photo of the index, WebP
POST /api/search      a drawing, JSON -> canvas, raster, cost and photos (formats in `messages`)
POST /api/fixed       the same drawing -> milliseconds of its search on the fixed canvas
POST /api/svg         an SVG file -> its strokes
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agents.search.names import ALL_EMOJI, TRAINED, title_of
from agents.search.pipeline import Pipeline
from agents.web import messages
from agents.web.limits import Batches, BodyLimit, KnownHosts, Limits, SafeHeaders, body_of, refusal
from sketchcanvas_env.data import SketchDataset
from sketchcanvas_env.data import load as load_dataset
from sketchcanvas_env.data.emoji import emoji_names
from sketchcanvas_env.sketches.sketch import VectorSketch
from sketchcanvas_env.svg.reader import MAX_BYTES

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Host names of this machine, for browsers on it."""

EXAMPLES = 6
"""Photos whose sketches the page offers as examples, one for each abstraction level."""

_CACHED = 512  # photos kept as WebP, some 10 kB each
_PHOTOS_WAITING = 1_000

_UNSTORED = {"Cache-Control": "no-store"}
_FOLDER = Path(__file__).parent
_FILES = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}


def create_app(pipeline: Pipeline, limits: Limits | None = None, names: Sequence[str] = LOOPBACK) -> Starlette:
    """The app.

    Searches a few times first, to warm up and to find out whether the selector takes a tradeoff.

    Args:
        pipeline: searches for the drawings.
        limits: the defaults if None.
        names: host names that requests may use; others are refused.
    """
    limits = limits or Limits()
    known = frozenset(pipeline.index.ids)
    labels = {photo: title_of(pipeline.index, photo) for photo in pipeline.index.ids}
    start = _start(pipeline)

    @lru_cache(maxsize=_CACHED)
    def webp(name: str) -> bytes:
        return messages.webp(pipeline.index.photo(name))

    def find(bodies: list[bytes]) -> list[bytes | Exception]:
        found: list[bytes | Exception] = [ValueError("not searched")] * len(bodies)
        wanted: dict[float | None, list[tuple[int, VectorSketch]]] = {}
        for place, body in enumerate(bodies):
            try:
                search = messages.read_search(body)
                wanted.setdefault(search.tradeoff, []).append((place, search.sketch))
            except ValueError as error:
                found[place] = error
        for tradeoff, searches in wanted.items():
            try:
                answers = pipeline.search_many([sketch for _, sketch in searches], messages.TOP, tradeoff)
            except ValueError as error:
                for place, _ in searches:
                    found[place] = error
                continue
            for (place, sketch), answer in zip(searches, answers, strict=True):
                found[place] = json.dumps(messages.answer_json(answer, sketch, labels), allow_nan=False).encode()
        return found

    def call(functions: list[Callable[[], Any]]) -> list[Any]:
        return [function() for function in functions]

    finding = Batches(find, limits.threads, limits.waiting, limits.batch)
    working, painting = Batches(call, limits.threads, limits.waiting, 1), Batches(call, 1, _PHOTOS_WAITING, 1)

    # A request of its own, which the page sends after a pause in drawing, so that the fixed canvas is timed like the
    # selector's search. Right after another search, on warm caches, it took a fraction of that time.
    fixed = pipeline.at(pipeline.student.canvases[-1])

    def compare(data: bytes) -> dict[str, Any]:
        return {"milliseconds": fixed.search(messages.read_search(data).sketch, messages.TOP).milliseconds["total"]}

    def draw(data: bytes) -> dict[str, Any]:
        return {"strokes": messages.strokes_json(messages.read_drawing(data))}

    async def search(request: Request) -> Response:
        data = await body_of(request, "application/json", limits.body_seconds)
        return Response(await finding.run(data), media_type="application/json", headers=_UNSTORED)

    async def time_fixed(request: Request) -> JSONResponse:
        data = await body_of(request, "application/json", limits.body_seconds)
        return _unstored(await working.run(partial(compare, data)))

    async def svg(request: Request) -> JSONResponse:
        data = await body_of(request, "image/svg+xml", limits.body_seconds)
        return _unstored(await working.run(partial(draw, data)))

    async def about(request: Request) -> JSONResponse:
        return _unstored(start)

    async def photo(request: Request) -> Response:
        name = request.query_params.get("id", "")
        if name not in known:
            raise HTTPException(404, "no such photo in the index")
        try:
            data = await painting.run(partial(webp, name))
        except ValueError:
            raise HTTPException(404, "the photo's file is missing or cannot be read") from None
        return Response(data, media_type="image/webp", headers={"Cache-Control": "private, max-age=600"})

    return Starlette(
        routes=[
            *(_file(path, name, kind) for path, (name, kind) in _FILES.items()),
            Route("/api/start", about),
            Route("/photo", photo),
            Route("/api/search", search, methods=["POST"]),
            Route("/api/fixed", time_fixed, methods=["POST"]),
            Route("/api/svg", svg, methods=["POST"]),
        ],
        middleware=[
            Middleware(SafeHeaders),
            Middleware(KnownHosts, names=names),
            Middleware(BodyLimit, most=limits.body_bytes, paths={"/api/svg": MAX_BYTES}),
        ],
        exception_handlers={HTTPException: _refused, ValueError: _wrong, Exception: _failed},
    )


def _start(pipeline: Pipeline) -> dict[str, Any]:
    """The answer to /api/start: index, limits and examples."""
    dataset = load_dataset("emoji")
    examples = _example_rows(dataset)
    sketches = [dataset.sketch(row) for row in examples]
    first = sketches[0].normalised()
    # Load every graph before the first request.
    for canvas in pipeline.student.canvases:
        pipeline.at(canvas).search(first)
    pipeline.search(first)
    try:
        pipeline.search(first, tradeoff=0.5)
    except ValueError:
        told = False
    else:
        told = True
    source = pipeline.index.source
    return {
        # Only the folder's name: its path is private.
        "index": {"name": "emoji" if source == ALL_EMOJI else Path(source).name, "photos": len(pipeline.index)},
        "trained": TRAINED if source == ALL_EMOJI else "",
        "fixed_canvas": pipeline.student.canvases[-1],
        "tradeoff": told,
        "max_strokes": messages.MAX_STROKES,
        "max_points": messages.MAX_POINTS,
        "max_svg": MAX_BYTES,
        "spacing": messages.SPACING,
        "examples": [
            {
                "label": emoji_names()[str(dataset.photo_ids[row])],
                "level": int(dataset.level[row]),
                "strokes": messages.strokes_json(sketch),
            }
            for row, sketch in zip(examples, sketches, strict=True)
        ],
    }


def _example_rows(dataset: SketchDataset) -> list[int]:
    """Rows of the sketches of `EXAMPLES` photos, evenly spaced in the gallery of the test split."""
    gallery = dataset.gallery("test")
    places = (2 * np.arange(EXAMPLES) + 1) * len(gallery) // (2 * EXAMPLES)
    return [int(row) for photo in gallery[places] for row in np.flatnonzero(dataset.photo_ids == photo)]


def _file(path: str, name: str, media_type: str) -> Route:
    content = (_FOLDER / name).read_bytes()

    async def send(request: Request) -> Response:
        return Response(content, media_type=media_type, headers={"Cache-Control": "no-cache"})

    return Route(path, send)


def _unstored(value: Any) -> JSONResponse:
    return JSONResponse(value, headers=_UNSTORED)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return refusal(error.status_code, error.detail, error.headers)


async def _wrong(request: Request, error: Exception) -> Response:
    return refusal(400, str(error))


async def _failed(request: Request, error: Exception) -> Response:
    # Starlette raises the error again after sending this, so that the server logs it.
    return refusal(500, "the server failed; its log says why")
