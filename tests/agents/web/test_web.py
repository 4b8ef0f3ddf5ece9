"""The page's server: its answers, its refusals, and its limits."""

from __future__ import annotations

import io
import json
import re
import signal
import socket
import subprocess
import sys
import threading
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from time import perf_counter, process_time
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx2 as httpx
import numpy as np
import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient
from typer.testing import CliRunner

from agents.cli import app as cli
from agents.search.parts import FixedCanvas
from agents.search.pipeline import Pipeline
from agents.web import app as module
from agents.web import connections, messages
from agents.web.app import create_app
from agents.web.limits import HEADERS, Limits
from agents.web.server import listen
from sketchcanvas_env.sketches.raster import rasterise
from sketchcanvas_env.sketches.sketch import VectorSketch
from tests.agents.search.test_pipeline import ByStrokes, Cascade, Cells, Told, photo_index
from tests.agents.web.serving import running
from tests.helpers import toy_sketch

STROKES = [[[0.1, 0.1], [0.4, 0.2]], [[0.2, 0.4], [0.3, 0.3], [0.2, 0.2]]]
HOME = "http://127.0.0.1"
FREE = Limits()

MakeClient = Callable[..., TestClient]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "secret place" / "pictures"
    folder.mkdir(parents=True)
    for i in range(12):
        Image.new("RGB", (40, 20), (20 * i, 0, 0)).save(folder / f"p{i}.png")
    return folder


@pytest.fixture
def pipeline(pictures: Path) -> Pipeline:
    return Pipeline(photo_index(source=str(pictures)), Cells(), ByStrokes(), Told)


@pytest.fixture
def client(pipeline: Pipeline) -> TestClient:
    return TestClient(create_app(pipeline, FREE), HOME)


def test_page_and_its_files_come_with_headers_that_keep_a_browser_at_home(client: TestClient) -> None:
    for path, kind in (("/", "text/html"), ("/page.css", "text/css"), ("/page.js", "text/javascript")):
        answer = client.get(path)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(kind)
        assert answer.text == (Path(module.__file__).parent / (path[1:] or "page.html")).read_text(encoding="utf-8")
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
        assert "set-cookie" not in answer.headers
        # No names of other hosts, except a namespace, which is not loaded.
        assert set(
            re.findall(r"(?:https?:)?//[a-z][\w.]+", re.sub(r"^\s*//.*|\s// .*", "", answer.text, flags=re.M))
        ) <= {"http://www.w3.org"}
    assert "default-src 'none'" in HEADERS["Content-Security-Policy"]
    assert "unsafe" not in HEADERS["Content-Security-Policy"]


def test_start_says_what_the_page_must_know(client: TestClient) -> None:
    start = client.get("/api/start").json()
    assert start["index"] == {"name": "pictures", "photos": 12}
    assert start["fixed_canvas"] == 64
    assert start["tradeoff"] is True
    levels = [example["level"] for example in start["examples"]]
    assert sorted(levels) == sorted(list(range(4)) * module.EXAMPLES)
    for example in start["examples"]:
        assert client.post("/api/search", json={"strokes": example["strokes"]}).status_code == 200


def test_the_folder_of_the_pictures_is_not_revealed(client: TestClient) -> None:
    assert "secret" not in client.get("/api/start").text


def test_a_selector_that_takes_no_tradeoff_is_known(pictures: Path) -> None:
    fixed = Pipeline(photo_index(source=str(pictures)), Cells(), FixedCanvas(32))
    client = TestClient(create_app(fixed, FREE), HOME)
    assert client.get("/api/start").json()["tradeoff"] is False
    answer = client.post("/api/search", json={"strokes": STROKES, "tradeoff": 0.5})
    assert answer.status_code == 400
    assert "tradeoff" in answer.json()["error"]


def test_search_says_what_the_pipeline_found(client: TestClient, pipeline: Pipeline) -> None:
    sketch = VectorSketch.from_strokes(STROKES).normalised()
    wanted = pipeline.search(sketch, top=messages.TOP)
    got = client.post("/api/search", json={"strokes": STROKES}).json()
    assert got["canvas"] == wanted.canvas == 32
    assert [(hit["photo"], hit["distance"]) for hit in got["hits"]] == [(h.photo, h.distance) for h in wanted.hits]
    assert [hit["label"] for hit in got["hits"]] == [hit.photo for hit in wanted.hits]
    assert got["gflops"] == wanted.gflops + wanted.selector_gflops
    assert got["fixed_gflops"] == wanted.fixed_gflops
    assert set(got["milliseconds"]) == {"selector", "raster", "student", "rank", "total"}
    assert [look["canvas"] for look in got["looks"]] == [32]
    with Image.open(io.BytesIO(b64decode(got["raster"]))) as raster:
        np.testing.assert_array_equal(np.array(raster), rasterise(sketch, 32))


def test_the_fixed_canvas_is_timed_for_a_drawing_by_a_search_of_it(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int]] = []
    embed = Cells.embed_rasters
    monkeypatch.setattr(
        Cells, "embed_rasters", lambda self, rasters: seen.append(rasters.shape) or embed(self, rasters)
    )
    got = client.post("/api/fixed", json={"strokes": STROKES}).json()
    assert list(got) == ["milliseconds"]
    assert got["milliseconds"] > 0
    assert seen == [(1, 64, 64)]
    assert client.post("/api/fixed", json={"strokes": []}).status_code == 400


def test_place_and_size_on_the_board_do_not_matter(client: TestClient) -> None:
    small = [[[0.5 + x / 4, 0.7 + y / 4] for x, y in stroke] for stroke in STROKES]
    first, second = (client.post("/api/search", json={"strokes": strokes}).json() for strokes in (STROKES, small))
    assert [hit["photo"] for hit in first["hits"]] == [hit["photo"] for hit in second["hits"]]
    assert first["hits"][0]["distance"] == pytest.approx(second["hits"][0]["distance"], abs=1e-3)


def test_tradeoff_reaches_the_selector(client: TestClient) -> None:
    for tradeoff, canvas in ((None, 32), (0, 64), (0.4, 64), (0.6, 16), (1, 16)):
        assert client.post("/api/search", json={"strokes": STROKES, "tradeoff": tradeoff}).json()["canvas"] == canvas


def test_looks_of_a_cascade_are_shown(pictures: Path) -> None:
    cascade = Pipeline(photo_index(source=str(pictures)), Cells(), Cascade(16, 64, None))
    got = TestClient(create_app(cascade, FREE), HOME).post("/api/search", json={"strokes": STROKES}).json()
    assert [look["canvas"] for look in got["looks"]] == [16, 64]
    assert got["canvas"] == 64
    assert got["looks"][1]["first"] == got["hits"][0]["label"]


DEEP = "[" * 4_000 + "]" * 4_000
BAD_SEARCHES = {
    "nothing": ("", "not JSON"),
    "no JSON": ("{strokes}", "not JSON"),
    "depth": (DEEP, "not JSON"),
    "depth in strokes": ('{"strokes": ' + DEEP, "not JSON"),
    "encoding": (b"\xff\xfe\x00", "not JSON in UTF-8"),
    "UTF-16": (json.dumps({"strokes": STROKES}).encode("utf-16"), "not JSON in UTF-8"),
    "UTF-16 without a mark": (json.dumps({"strokes": STROKES}).encode("utf-16-le"), "not JSON"),
    "UTF-32": (json.dumps({"strokes": STROKES}).encode("utf-32"), "not JSON in UTF-8"),
    "UTF-8 with a mark": (json.dumps({"strokes": STROKES}).encode("utf-8-sig"), "not JSON"),
    "surrogates in UTF-8": (b'{"strokes": "\xed\xa0\x80"}', "not JSON in UTF-8"),
    "strokes twice": ('{"strokes": [[[0, 0]]], "strokes": [[[1, 1]]]}', "two fields of one name"),
    "strokes twice, once in disguise": (
        '{"strokes": [[[0, 0]]], "\\u0073trokes": [[[1, 1]]]}',
        "two fields of one name",
    ),
    "two requests": ('{"strokes": [[[0, 0]]]}{}', "not JSON"),
    "a list": ("[]", "must be an object"),
    "no strokes": ("{}", "must be an object"),
    "an unknown field": (json.dumps({"strokes": STROKES, "top": 10**9}), "must be an object"),
    "strokes by number": ('{"strokes": {"0": [[0, 0]]}}', "list of strokes"),
    "strokes as text": ('{"strokes": "M0 0"}', "list of strokes"),
    "an empty drawing": ('{"strokes": []}', "at least one"),
    "an empty stroke": ('{"strokes": [[[0, 0]], []]}', "stroke 1"),
    "a stroke as text": ('{"strokes": [[[0, 0]], "ab"]}', "stroke 1"),
    "three coordinates": ('{"strokes": [[[0, 0, 0]]]}', "stroke 0"),
    "a point as text": ('{"strokes": [["01"]]}', "stroke 0"),
    "NaN": ('{"strokes": [[[0, NaN]]]}', "stroke 0"),
    "infinity": ('{"strokes": [[[0, 1e999]]]}', "stroke 0"),
    "1e308": ('{"strokes": [[[0, 1e308]]]}', "stroke 0"),
    "below zero": ('{"strokes": [[[0, -0.1]]]}', "stroke 0"),
    "a large integer": ('{"strokes": [[[0, 1' + "0" * 4_000 + "]]]}", "stroke 0"),
    "a huge integer": ('{"strokes": [[[0, 1' + "0" * 100_000 + "]]]}", "not JSON"),
    "truth": ('{"strokes": [[[0, true]]]}', "stroke 0"),
    "null": ('{"strokes": [[[0, null]]]}', "stroke 0"),
    "lists in a point, as deep as JSON is read": (
        '{"strokes": ' + "[" * 900 + "]" * 900 + "}",
        "stroke 0",
    ),
    "340,000 empty strokes": ('{"strokes": [' + "[]," * 340_000 + "[]]}", "400 strokes"),
    "170,000 points": ('{"strokes": [[' + "[0,0]," * 170_000 + "[0,0]]]}", "4,000 points"),
    "80,000 fields": ("{" + ",".join(f'"{i}":0' for i in range(80_000)) + "}", "must be an object"),
    "too many strokes": (json.dumps({"strokes": [[[0, 0]]] * (messages.MAX_STROKES + 1)}), "400 strokes"),
    "too many points": (json.dumps({"strokes": [[[0, 0]] * (messages.MAX_POINTS + 1)]}), "4,000 points"),
    "tradeoff above 1": (json.dumps({"strokes": STROKES, "tradeoff": 1.1}), "tradeoff"),
    "tradeoff NaN": ('{"strokes": [[[0, 0]]], "tradeoff": NaN}', "tradeoff"),
    "tradeoff 1e308": (json.dumps({"strokes": STROKES, "tradeoff": 1e308}), "tradeoff"),
    "a large tradeoff": (json.dumps({"strokes": STROKES, "tradeoff": 10**4_000}), "tradeoff"),
    "tradeoff as a list": (json.dumps({"strokes": STROKES, "tradeoff": [0.5]}), "tradeoff"),
    "tradeoff as text": (json.dumps({"strokes": STROKES, "tradeoff": "0.5"}), "tradeoff"),
    "tradeoff as truth": (json.dumps({"strokes": STROKES, "tradeoff": True}), "tradeoff"),
}


@pytest.mark.parametrize(("body", "reason"), BAD_SEARCHES.values(), ids=BAD_SEARCHES)
def test_bad_searches_are_refused_with_the_reason(
    client: TestClient, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, body: str | bytes, reason: str
) -> None:
    monkeypatch.setattr(pipeline, "search_many", None)  # nothing of it gets there
    start = process_time()
    answer = client.post("/api/search", content=body, headers={"Content-Type": "application/json"})
    assert process_time() - start < 2.0  # a guard against hanging; it takes 0.2 s at most
    assert answer.status_code == 400
    assert reason in answer.json()["error"]
    assert len(answer.text) < 500


def test_lists_are_counted_before_a_search_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "parse_json", None)
    for body in ("[]," * 340_000, "{}," * 340_000, "[" * 100_000, "[[0,0]]," * 100_000):
        with pytest.raises(ValueError, match="400 strokes and 4,000 points, this one has more"):
            messages.read_search(f'{{"strokes": [{body}'.encode())


NUMBERS = {
    "a million digits": "0." + "9" * 1_000_000,
    "a tiny number of many digits": "1e-" + "9" * 900_000,
    "zeros and an exponent": "0." + "0" * 900_000 + "1e900000",
    "the smallest double": "5e-324",
    "the smallest float": "1e-45",
    "minus zero": "-0.0",
}


@pytest.mark.parametrize("number", NUMBERS.values(), ids=NUMBERS)
def test_odd_numbers_are_read_in_time_and_drawn(number: str) -> None:
    start = process_time()
    for body in (f"[[[{number}, 0.1]]]", f"[[[{number}, 0], [0, 0]]]", f"[[[0, 0], [1, {number}]]]"):
        search = messages.read_search(f'{{"strokes": {body}}}'.encode())
        for stroke in search.sketch.strokes:
            assert ((stroke >= 0) & (stroke <= 1)).all()
        assert rasterise(search.sketch, 32).min() < 255
    assert process_time() - start < 2.0


@pytest.mark.parametrize("strokes", [messages.MAX_STROKES, 1])
def test_the_largest_drawing_is_searched_in_time(strokes: int) -> None:
    points = messages.MAX_POINTS // strokes
    x = np.linspace(0, 1, points)
    zigzag = np.stack([x, np.arange(points) % 2], axis=1).round(4)
    for drawing in (zigzag, np.random.default_rng(0).random((points, 2))):
        start = perf_counter()
        search = messages.read_search(json.dumps({"strokes": [drawing.tolist()] * strokes}).encode())
        rasterise(search.sketch, 256)
        # Fifty thousand points would take a minute; the machine may be busy.
        assert perf_counter() - start < 12


def test_svg_becomes_strokes_that_can_be_searched(client: TestClient) -> None:
    svg = '<svg xmlns="http://www.w3.org/2000/svg"><circle cx="5" cy="5" r="4"/><path d="M0 0L9 9"/></svg>'
    answer = client.post("/api/svg", content=svg, headers={"Content-Type": "image/svg+xml"})
    assert answer.status_code == 200
    strokes = answer.json()["strokes"]
    assert len(strokes) == 2
    assert client.post("/api/search", json={"strokes": strokes}).json()["canvas"] == 32


BAD_SVGS = {
    "nothing": ("", "empty"),
    "text": ("a cat", "not well-formed"),
    "an entity": ('<!DOCTYPE svg [<!ENTITY a SYSTEM "file:///etc/passwd">]><svg>&a;</svg>', "entit"),
    "a link": ('<svg xmlns="http://www.w3.org/2000/svg"><image href="/etc/passwd"/></svg>', "image"),
    "no stroke": ('<svg xmlns="http://www.w3.org/2000/svg"/>', "no visible stroke"),
    "too many strokes": ("<svg>" + '<line x2="9"/>' * 401 + "</svg>", "400 strokes"),
    "too many points": (
        f'<svg><polyline points="{" ".join(f"{i},{99 * (i % 2)}" for i in range(4_001))}"/></svg>',
        "4,000",
    ),
}


@pytest.mark.parametrize(("body", "reason"), BAD_SVGS.values(), ids=BAD_SVGS)
def test_bad_svgs_are_refused_with_the_reason(client: TestClient, body: str, reason: str) -> None:
    answer = client.post("/api/svg", content=body, headers={"Content-Type": "image/svg+xml"})
    assert answer.status_code == 400
    assert reason in answer.json()["error"]


def test_thinning_keeps_the_shape() -> None:
    for row in range(20):
        sketch = toy_sketch(row)
        thin = messages.thinned(sketch, 0.02)
        assert thin.n_strokes == sketch.n_strokes
        for before, after in zip(sketch.strokes, thin.strokes, strict=True):
            np.testing.assert_array_equal(after[[0, -1]], before[[0, -1]])
            assert len(after) <= len(before)
            gaps = np.linalg.norm(np.diff(after, axis=0), axis=1)
            assert (gaps[:-1] >= 0.02 - 1e-6).all()
            # Every removed point lies near a kept one.
            far = np.linalg.norm(before[:, None] - after[None], axis=2).min(axis=1)
            assert far.max(initial=0.0) < 0.02
    assert messages.thinned(toy_sketch(1), 0.0).n_points == toy_sketch(1).n_points


def test_what_the_page_keeps_can_be_sent_again() -> None:
    for row in range(10):
        sketch = toy_sketch(row)
        again = messages.read_search(json.dumps({"strokes": messages.strokes_json(sketch)}).encode()).sketch
        for before, after in zip(sketch.normalised().strokes, again.strokes, strict=True):
            np.testing.assert_allclose(after, before, atol=2e-3)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_what_a_foreign_page_can_send_unasked_is_refused(client: TestClient, kind: str) -> None:
    for path in ("/api/search", "/api/fixed", "/api/svg"):
        answer = client.post(path, content=json.dumps({"strokes": STROKES}), headers={"Content-Type": kind})
        assert answer.status_code == 415
        assert "content type" in answer.json()["error"]


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "localhost.", "[::2]"])
def test_only_known_hosts_are_answered(client: TestClient, host: str) -> None:
    refused = client.get("/", headers={"Host": host})
    assert refused.status_code == 400
    assert f"sketchcanvas demo --name {host or 'NAME'}" in refused.text


def test_known_hosts_may_have_ports_and_further_names(pipeline: Pipeline) -> None:
    client = TestClient(create_app(pipeline, FREE, [*module.LOOPBACK, "draw.example", "2001:db8::7"]), HOME)
    for host in ("localhost:8000", "[::1]:8000", "draw.example", "[2001:db8::7]", "LOCALHOST"):
        assert client.get("/", headers={"Host": host}).status_code == 200


def test_photos_come_from_the_index_alone(client: TestClient, pictures: Path) -> None:
    answer = client.get("/photo", params={"id": "p3.png"})
    assert answer.headers["content-type"] == "image/webp"
    with Image.open(io.BytesIO(answer.content)) as photo:
        assert photo.size == (256, 256)
        assert abs(photo.convert("RGB").getpixel((128, 128))[0] - 60) < 10  # type: ignore[index]
    Image.new("RGB", (4, 4)).save(pictures / "other.png")
    for name in ("other.png", "../pictures/p3.png", f"{pictures}/p3.png", "/etc/passwd", "", "p3.png\0"):
        missing = client.get("/photo", params={"id": name})
        assert missing.status_code == 404
        assert missing.json()["error"] == "no such photo in the index"
    (pictures / "p4.png").unlink()
    gone = client.get("/photo", params={"id": "p4.png"})
    assert gone.status_code == 404
    assert "secret" not in gone.text


def test_errors_are_json(client: TestClient) -> None:
    for answer, status in (
        (client.get("/nowhere"), 404),
        (client.get("/page.html"), 404),
        (client.get("/../app.py"), 404),
        (client.get("/api/search"), 405),
        (client.post("/api/start"), 405),
    ):
        assert answer.status_code == status
        assert answer.json()["error"]


def test_a_failure_is_told_without_its_details(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    client = TestClient(create_app(pipeline, FREE), HOME, raise_server_exceptions=False)

    def fail(*_: object) -> None:
        raise RuntimeError("the secret of the house")

    monkeypatch.setattr(pipeline, "search_many", fail)
    answer = client.post("/api/search", json={"strokes": STROKES})
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.json()["error"]


# --- limits


def ask(app: Starlette, parts: list[bytes], pause: float = 0.0, **headers: str) -> tuple[int, dict[str, Any], int]:
    """Post to /api/search part by part; (status, body, parts that were taken)."""
    sent: list[Any] = []
    taken = 0

    async def receive() -> dict[str, Any]:
        nonlocal taken
        await anyio.sleep(pause)
        taken += 1
        return {"type": "http.request", "body": parts[taken - 1], "more_body": taken < len(parts)}

    async def send(message: Any) -> None:
        sent.append(message)

    names = {"host": "127.0.0.1", "content-type": "application/json", **headers}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/api/search",
        "raw_path": b"/api/search",
        "query_string": b"",
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in names.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    anyio.run(app, scope, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"]), taken


def test_a_large_body_is_refused_before_it_has_come(pipeline: Pipeline) -> None:
    app = create_app(pipeline, Limits(body_bytes=1_000))
    small = json.dumps({"strokes": STROKES}).encode()
    assert ask(app, [small])[0] == 200
    assert ask(app, [small], content_length=str(len(small)))[0] == 200
    for length in ("1001", "9" * 30, "-1", "1e3", "²"):
        try:
            status, body, taken = ask(app, [b"x"] * 9, content_length=length)
        except UnicodeDecodeError:
            continue
        assert (status, taken) == (413, 0)
        assert "1,000 bytes" in body["error"]
    # Without a length, or with a lie: as soon as it is too much.
    for headers in ({}, {"content_length": "10"}):
        status, body, taken = ask(app, [b" " * 300] * 1_000, **headers)
        assert (status, taken) == (413, 4)
        assert "1,000 bytes" in body["error"]


def test_a_slow_body_is_not_waited_for(pipeline: Pipeline) -> None:
    app = create_app(pipeline, Limits(body_seconds=0.2))
    status, body, taken = ask(app, [b" "] * 100, pause=0.03)
    assert status == 408
    assert taken < 20
    assert "0.2 seconds" in body["error"]


@pytest.mark.parametrize("wrong", [{"batch": 0}, {"threads": 0}, {"waiting": -1}, {"body_seconds": 0}])
def test_limits_that_refuse_every_request_are_errors(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Limits(**wrong)


class Gate:
    """A search that waits until it is released."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._search = pipeline.search_many
        self.open = threading.Event()
        self.inside = 0
        self.most = 0
        self._lock = threading.Lock()

    def __call__(self, *arguments: Any) -> Any:
        with self._lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        assert self.open.wait(10)
        with self._lock:
            self.inside -= 1
        return self._search(*arguments)


def test_a_slow_search_holds_up_nobody_and_a_full_queue_says_so(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = create_app(pipeline, Limits(threads=2, waiting=3, batch=1))
    gate = Gate(pipeline)
    monkeypatch.setattr(pipeline, "search_many", gate)
    codes: list[int] = []

    async def search(client: httpx.AsyncClient) -> None:
        answer = await client.post("/api/search", json={"strokes": STROKES})
        codes.append(answer.status_code)
        if answer.status_code == 503:
            assert answer.headers["retry-after"] == "1"
            assert "busy" in answer.json()["error"]

    async def crowd() -> None:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url=HOME) as client, anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(search, client)
            with anyio.fail_after(15):
                while len(codes) < 3 or gate.inside < 2:
                    await anyio.sleep(0.01)
                # All threads are busy, and the page is still served.
                assert (await client.get("/")).status_code == 200
                assert (await client.get("/photo", params={"id": "p1.png"})).status_code == 200
            assert codes == [503] * 3
            gate.open.set()

    anyio.run(crowd)
    assert sorted(codes) == [200] * 5 + [503] * 3
    assert gate.most == 2


# --- the server


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=rf"cannot listen at 127\.0\.0\.1, port {port}: "):
            listen("127.0.0.1", port)


def test_a_server_that_ends_frees_its_port(pipeline: Pipeline) -> None:
    with running(create_app(pipeline)) as url:
        assert httpx.get(url).status_code == 200
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


HALF_HEAD = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-"
HALF_BODY = (
    b"POST /api/search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b'Content-Length: 100000\r\n\r\n{"strokes": '
)


@pytest.mark.parametrize("sent", [b"", HALF_HEAD, HALF_BODY], ids=["idle", "half a head", "half a body"])
@pytest.mark.parametrize(("per_address", "in_all"), [(8, 100), (100, 8)], ids=["one address", "in all"])
def test_waiting_connections_do_not_block_others(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, sent: bytes, per_address: int, in_all: int
) -> None:
    monkeypatch.setattr(connections, "PER_ADDRESS", per_address)
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", in_all)
    with running(create_app(pipeline, FREE)) as url, ExitStack() as held:
        place = urlsplit(url)
        for _ in range(40):
            waiting = held.enter_context(socket.create_connection((place.hostname, place.port)))
            waiting.sendall(sent)
        for _ in range(3):
            assert httpx.get(url).status_code == 200
            assert httpx.post(f"{url}api/search", json={"strokes": STROKES}).status_code == 200


@pytest.mark.parametrize(("sent", "number"), [(HALF_HEAD, 300), (HALF_BODY, 300), (b"", 1_500)])
@pytest.mark.parametrize("addresses", [1, 40])
def test_hundreds_of_waiting_connections_do_not_block_others(
    pipeline: Pipeline, sent: bytes, number: int, addresses: int
) -> None:
    """With the limits as they are; the client's end of each connection needs a file, too."""
    resource = pytest.importorskip("resource")
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < number + connections.MAX_CONNECTIONS + 200:
        pytest.skip("too few open files are allowed here")
    with running(create_app(pipeline, FREE)) as url, ExitStack() as held:
        place = (urlsplit(url).hostname, urlsplit(url).port)
        for one in range(number):
            source = (f"127.0.0.{2 + one % addresses}", 0) if addresses > 1 else None
            try:
                waiting = held.enter_context(socket.create_connection(place, source_address=source))
            except OSError:
                pytest.skip("this machine has one loopback address")
            with suppress(ConnectionError):  # room was made for others before it was sent
                waiting.sendall(sent)
            if one % 100 == 99:
                assert httpx.post(f"{url}api/search", json={"strokes": STROKES}).status_code == 200
        assert httpx.get(url).status_code == 200


def test_the_head_of_a_request_has_to_come_in_time(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEADER_SECONDS", 0.3)
    with running(create_app(pipeline, FREE)) as url:
        place = urlsplit(url)
        whole = b"GET /page.css HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        for before in (b"", whole):  # the first request, and one on a connection that has served
            with socket.create_connection((place.hostname, place.port)) as slow:
                slow.settimeout(10)
                slow.sendall(before)
                if before:
                    assert slow.recv(1 << 20).startswith(b"HTTP/1.1 200")
                slow.sendall(HALF_HEAD)
                ended = b""
                with suppress(ConnectionResetError):
                    while part := slow.recv(1 << 20):
                        ended += part
                assert b"HTTP/1.1" not in ended


def test_a_client_that_breaks_off_leaves_no_traceback(pipeline: Pipeline, caplog: pytest.LogCaptureFixture) -> None:
    with running(create_app(pipeline, FREE)) as url:
        place = urlsplit(url)
        for sent in (HALF_BODY, HALF_HEAD):
            with socket.create_connection((place.hostname, place.port)) as broken:
                broken.sendall(sent)
        assert httpx.get(url).status_code == 200
    assert caplog.records == []


def test_real_connections_are_answered_and_ended(pipeline: Pipeline) -> None:
    with running(create_app(pipeline, FREE)) as url, httpx.Client(base_url=url) as client:
        assert client.get("/").text.startswith("<!doctype html>")
        assert "server" not in client.get("/").headers
        big = client.post("/api/search", content=b" " * (2 << 20), headers={"Content-Type": "application/json"})
        assert big.status_code == 413
        assert client.get("/").status_code == 200


# --- names, and the command


@pytest.fixture
def demo() -> Iterator[subprocess.Popen[str]]:
    code = "from agents.cli import main; main()"
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code, "demo", "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
        env={"PATH": "", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])},
    ) as process:
        yield process
        process.kill()


def test_who_lets_others_in_is_told_which_names_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No browser uses the host name 0.0.0.0."""
    monkeypatch.setattr("agents.web.server.serve", lambda app, listening: listening.close())
    for names, said in ((), "under no name yet"), (("--name", "sketch.local"), "under sketch.local;"):
        result = CliRunner().invoke(cli, ["demo", "--host", "0.0.0.0", "--port", "0", *names])
        assert result.exit_code == 0, result.output
        assert said in " ".join(result.stderr.split())
        assert "--name" in result.stderr
        assert "http://127.0.0.1:" in result.stderr


def test_the_command_serves_the_shipped_index_until_it_is_interrupted(demo: subprocess.Popen[str]) -> None:
    assert demo.stderr is not None
    line = demo.stderr.readline()
    match = re.fullmatch(r"Draw at (http://127\.0\.0\.1:\d+/) \(Ctrl\+C ends it\)\.\n", line)
    assert match, line + demo.stderr.read()
    with httpx.Client(base_url=match[1]) as client:
        start = client.get("/api/start").json()
        assert start["tradeoff"] is True
        assert start["fixed_canvas"] == 256
        clover = next(example for example in start["examples"] if example["label"] == "four leaf clover")
        answer = client.post("/api/search", json={"strokes": clover["strokes"]}).json()
        assert len(answer["hits"]) == messages.TOP
        assert client.get("/photo", params={"id": answer["hits"][0]["photo"]}).status_code == 200
    demo.send_signal(signal.SIGINT)
    assert demo.wait(20) == 0
    assert demo.stderr.read() == ""
