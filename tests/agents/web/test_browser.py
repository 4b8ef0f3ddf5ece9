"""The page in a real browser, used by mouse, touch and keyboard."""

from __future__ import annotations

import io
import json
import re
import socket
from base64 import b64decode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from agents.search.pipeline import Pipeline
from agents.web.app import create_app
from agents.web.limits import Limits, refusal
from agents.web.messages import TOP
from sketchcanvas_env.svg.reader import MAX_BYTES
from tests.agents.web.serving import running
from tests.tools.screenshot import BROWSERS, SECONDS, browser, find_browser, take, wait_for_answer, wait_for_fixed

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Request, Route

pytestmark = pytest.mark.skipif(find_browser() is None, reason=f"no browser: none of {', '.join(BROWSERS)} on the PATH")

# "gone" if the browser got an answer from there.
OUTWARD = """(url) => fetch(url, {mode: "no-cors", signal: AbortSignal.timeout(20000)})
    .then(() => "gone", () => "kept")"""

# Contrast of every text with what is behind it, by the rule of WCAG 2: [ratio, text] below 4.5.
FAINT_TEXTS = """() => {
    const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const light = (colour) => {
        const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        const [r, g, b] = numbers(colour).map((v) => linear(v / 255));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (element) => {
        for (; element; element = element.parentElement) {
            const colour = getComputedStyle(element).backgroundColor;
            if ((numbers(colour)[3] ?? 1) === 1) return colour;
        }
        throw new Error("nothing behind");
    };
    const found = [];
    let seen = 0;
    for (const element of document.body.querySelectorAll("*")) {
        const texts = [...element.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE);
        const text = texts.map((node) => node.data.trim()).join("");
        if (!text || !element.getClientRects().length || element.disabled || element.closest("noscript")) continue;
        seen += 1;
        const [high, low] = [light(getComputedStyle(element).color), light(behind(element))].sort((a, b) => b - a);
        const ratio = (high + 0.05) / (low + 0.05);
        if (ratio < 4.5) found.push([ratio, text]);
    }
    return [seen, found];
}"""


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return Pipeline.load()


@pytest.fixture(scope="module")
def url(pipeline: Pipeline) -> Iterator[str]:
    with running(create_app(pipeline, Limits())) as address:
        yield address


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


@dataclass
class Seen:
    """Requests, errors and messages of a page."""

    requests: list[str] = field(default_factory=list)
    searches: list[dict[str, Any]] = field(default_factory=list)
    fixed: list[dict[str, Any]] = field(default_factory=list)  # drawings that the fixed canvas was timed for
    complaints: list[str] = field(default_factory=list)
    under_way: int = 0
    most_under_way: int = 0

    def begin(self, request: Request) -> None:
        self.requests.append(request.url)
        if request.url.endswith("/api/fixed"):
            self.fixed.append(json.loads(request.post_data or "null"))
        if request.url.endswith("/api/search"):
            self.searches.append(json.loads(request.post_data or "null"))
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)

    def end(self, request: Request) -> None:
        self.under_way -= request.url.endswith("/api/search")


OpenPage = Callable[..., "tuple[Page, Seen]"]


@pytest.fixture
def open_page(chromium: Browser, url: str) -> Iterator[OpenPage]:
    """Opens a page in a fresh profile; checks at the end that it used only its host and logged no error."""
    opened: list[tuple[Any, Seen]] = []

    def open_one(address: str = url, errors: bool = False, **settings: Any) -> tuple[Page, Seen]:
        context = chromium.new_context(**{"viewport": {"width": 1200, "height": 900}, **settings})
        context.set_default_timeout(1e3 * SECONDS)
        page, seen = context.new_page(), Seen()
        page.on("request", seen.begin)
        page.on("requestfinished", seen.end)
        page.on("requestfailed", seen.end)
        page.on("pageerror", lambda error: seen.complaints.append(str(error)))
        page.on(
            "console", lambda line: seen.complaints.append(line.text) if line.type == "error" and not errors else None
        )
        page.goto(address)
        page.wait_for_selector("#examples button")
        opened.append((context, seen))
        seen.requests.append(address)
        return page, seen

    yield open_one
    for context, seen in opened:
        assert not context.cookies()
        context.close()
        homes = {name for name in seen.requests if not name.startswith("data:")}
        assert len({name.split("/")[2] for name in homes}) == 1, homes
        assert seen.complaints == []


def draw(page: Page, *points: tuple[float, float]) -> None:
    """One stroke with the mouse; shares of the board."""
    box = page.locator("#board").bounding_box()
    assert box is not None
    for number, (x, y) in enumerate(points):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=1 if number == 0 else 5)
        if number == 0:
            page.mouse.down()
    page.mouse.up()


def ink(page: Page) -> int:
    """Dark pixels of the board."""
    with Image.open(io.BytesIO(page.locator("#board").screenshot())) as picture:
        pixels = np.array(picture.convert("L"))
    return int((pixels[8:-8, 8:-8] < 64).sum())


def canvas_of(page: Page) -> int:
    side: int = page.evaluate("document.querySelector('#raster').naturalWidth")
    return side


def until(page: Page, done: Callable[[], bool]) -> None:
    """Let the page run until `done`, however slow the machine is."""
    end = monotonic() + SECONDS
    while not done():
        assert monotonic() < end
        page.wait_for_timeout(20)


def refused_at_first(page: Page, path: str, times: int) -> list[int]:
    """The first requests to `path` are answered as a server answers one that asks too often.

    Returns:
        The statuses that the page was given, to be read later.
    """
    given: list[int] = []

    def answer(route: Route) -> None:
        if len(given) < times:
            given.append(429)
            wait = {"Retry-After": "1", "Content-Type": "application/json"}
            route.fulfill(status=429, headers=wait, body=bytes(refusal(429, "too many requests").body))
        else:
            response = route.fetch()
            given.append(response.status)
            route.fulfill(response=response)

    page.route(f"**/{path}", answer)
    return given


def rested(page: Page, canvas: int) -> None:
    """Wait until the page shows the canvas."""
    said = f"document.querySelector('#status').textContent.includes('. {canvas} \\u00d7 {canvas} pixels, ')"
    page.wait_for_function(f"() => {said}", timeout=1e3 * SECONDS)


def test_a_drawing_finds_photos_while_it_grows(open_page: OpenPage, pipeline: Pipeline) -> None:
    page, seen = open_page()
    assert page.locator("#answer").is_hidden()
    draw(page, (0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.2, 0.8), (0.2, 0.2))
    page.wait_for_selector("#answer li:nth-child(12)")
    draw(page, (0.4, 0.4), (0.6, 0.6))
    until(page, lambda: len(seen.searches[-1]["strokes"]) == 2)
    wait_for_answer(page)
    assert page.locator("#answer li").count() == TOP
    # Strokes are sent as thinned vectors, and the answer is the pipeline's.
    last = seen.searches[-1]
    assert [len(last["strokes"]), last["tradeoff"]] == [2, None]
    assert last["strokes"][0][0] == pytest.approx([0.2, 0.2], abs=0.01)
    assert ink(page) > 500
    canvas = canvas_of(page)
    assert canvas in (32, 64, 128, 256)
    texts = page.locator("#spent").inner_text()
    assert f"{canvas} \u00d7 {canvas} pixels" in texts
    gflops = pipeline.student.flops(canvas) / 1e9
    assert f"{gflops:.3g} GFLOPs" in texts
    assert "of a fixed 256 (0.783 GFLOPs)" in texts
    rested(page, canvas)
    names = [image.get_attribute("alt") for image in page.locator("#answer img").all()]
    assert len(set(names)) == TOP
    assert all(names)


def test_the_raster_is_shown_at_its_true_pixels(open_page: OpenPage) -> None:
    page, _ = open_page()
    page.get_by_label("Example: four leaf clover").first.click()
    wait_for_answer(page)
    raster = page.locator("#raster")
    canvas, shown = canvas_of(page), raster.bounding_box()
    assert shown is not None
    assert shown["width"] == shown["height"] == 256 // canvas * canvas
    assert raster.evaluate("(image) => getComputedStyle(image).imageRendering") == "pixelated"
    source = raster.get_attribute("src")
    assert source is not None
    with Image.open(io.BytesIO(b64decode(source.partition(",")[2]))) as picture:
        sent = np.array(picture)
    assert sent.shape == (canvas, canvas)
    # On the screen each pixel is a square of one colour.
    # (The browser moves pictures to whole pixels of the screen.)
    clip = {"x": round(shown["x"]), "y": round(shown["y"]), "width": shown["width"], "height": shown["height"]}
    with Image.open(io.BytesIO(page.screenshot(clip=clip))) as picture:  # type: ignore[arg-type]
        pixels = np.array(picture.convert("L"))
    factor = 256 // canvas
    np.testing.assert_array_equal(pixels, sent.repeat(factor, axis=0).repeat(factor, axis=1))
    # Bars are as long as the shares that are written below them.
    share = page.evaluate(
        "document.querySelector('#gflops-bar').getBoundingClientRect().width / "
        "document.querySelector('#gflops-bar').parentElement.getBoundingClientRect().width"
    )
    said = float(page.locator("#gflops-fixed").inner_text().partition(" %")[0]) / 100
    assert share == pytest.approx(said, abs=0.03)


def test_the_fixed_canvas_is_timed_once_the_drawing_rests(open_page: OpenPage) -> None:
    page, seen = open_page()
    said = page.locator("#milliseconds-fixed")
    # The page's time passes when the test says so, however slow the machine.
    page.clock.install(time=0)
    page.clock.pause_at(60_000)
    for count in range(1, 4):
        draw(page, (0.2, 0.2 * count), (0.8, 0.2 * count))
        # An answer that has arrived is not shown yet: until it is, the clock stands still.
        said.evaluate("(said) => { said.textContent = ''; }")
        with page.expect_response("**/api/search"):
            page.clock.run_for(200)
        page.wait_for_function("() => document.querySelector('#milliseconds-fixed').textContent !== ''")
        page.clock.run_for(500)
        assert said.inner_text() == "a fixed 256 is timed once the drawing rests"
    assert seen.fixed == []
    assert [len(each["strokes"]) for each in seen.searches] == [1, 2, 3]
    with page.expect_response("**/api/fixed"):
        page.clock.run_for(200)
    wait_for_fixed(page)
    page.clock.run_for(5_000)
    assert [len(each["strokes"]) for each in seen.fixed] == [3]
    own = float(page.locator("#milliseconds").inner_text().removesuffix(" ms"))
    shares = re.fullmatch(r"([\d.]+) % of a fixed 256 \(([\d.]+) ms\)", said.inner_text())
    assert shares is not None
    # Shares have two digits: 11 % may be anything from 10.5 %.
    assert own / float(shares[2]) == pytest.approx(float(shares[1]) / 100, rel=0.02, abs=0.006)
    # A drawing that has changed is compared anew.
    page.locator("#undo").click()
    with page.expect_response("**/api/search"):
        page.clock.run_for(200)
    page.wait_for_function("() => document.querySelector('#milliseconds-fixed').textContent.startsWith('a fixed')")
    with page.expect_response("**/api/fixed"):
        page.clock.run_for(700)
    wait_for_fixed(page)
    assert [len(each["strokes"]) for each in seen.fixed] == [3, 2]


def test_an_answer_for_an_older_drawing_is_not_shown(open_page: OpenPage) -> None:
    page, seen = open_page()
    held: list[Any] = []
    page.route("**/api/fixed", lambda route: held.append(route))
    draw(page, (0.2, 0.2), (0.8, 0.2))
    page.wait_for_selector("#answer")
    until(page, lambda: bool(held))
    with page.expect_response("**/api/search"):
        draw(page, (0.2, 0.8), (0.8, 0.8))
    held.pop().fulfill(json={"milliseconds": 123456.0})
    until(page, lambda: bool(held))
    assert page.locator("#milliseconds-fixed").inner_text() == "a fixed 256 is timed once the drawing rests"
    # A server that is busy, or gone, leaves that as it is.
    held.pop().fulfill(status=204)
    page.wait_for_timeout(300)
    assert page.locator("#milliseconds-fixed").inner_text() == "a fixed 256 is timed once the drawing rests"
    assert page.get_by_role("alert").inner_text() == ""
    assert len(seen.fixed) == 2


def test_one_search_at_a_time(open_page: OpenPage) -> None:
    page, seen = open_page()
    rng = np.random.default_rng(0)
    for _ in range(12):
        draw(page, *[(float(x), float(y)) for x, y in rng.uniform(0.1, 0.9, (3, 2))])
    # The last one holds the whole drawing.
    until(page, lambda: bool(seen.searches) and len(seen.searches[-1]["strokes"]) == 12)
    wait_for_answer(page)
    assert seen.most_under_way == 1
    assert 1 <= len(seen.searches) < 40


def test_undo_clear_and_undo_again(open_page: OpenPage) -> None:
    page, seen = open_page()
    undo, clear = page.locator("#undo"), page.locator("#clear")
    assert undo.is_disabled()
    assert clear.is_disabled()
    draw(page, (0.2, 0.2), (0.8, 0.3))
    draw(page, (0.2, 0.8), (0.8, 0.7))
    both = ink(page)
    undo.click()
    until(page, lambda: ink(page) < both)
    one = ink(page)
    assert one > 0
    clear.click()
    until(page, lambda: ink(page) == 0)
    page.wait_for_selector("#answer", state="hidden")
    page.get_by_role("status").get_by_text("Draw a stroke").wait_for()
    before = len(seen.searches)
    page.keyboard.press("Control+z")
    until(page, lambda: ink(page) == one)
    wait_for_answer(page)
    assert [len(search["strokes"]) for search in seen.searches[before:]] == [1]
    undo.click()
    page.wait_for_selector("#answer", state="hidden")
    assert undo.is_disabled()


def test_the_slider_tells_the_selector(open_page: OpenPage) -> None:
    page, seen = open_page()
    page.get_by_label("Example: skier, level 1").click()
    wait_for_answer(page)
    own = canvas_of(page)
    assert "default selector" in page.locator("#tradeoff-said").inner_text()
    slider = page.get_by_role("slider", name="Trade-off")
    slider.focus()
    page.keyboard.press("Home")
    rested(page, 256)
    page.keyboard.press("End")
    rested(page, 32)
    assert [search["tradeoff"] for search in seen.searches][-2:] == [0, 1]
    assert "1.00" in page.locator("#tradeoff-said").inner_text()
    page.get_by_role("button", name="Back to the default selector").click()
    rested(page, own)
    assert seen.searches[-1]["tradeoff"] is None


@pytest.mark.parametrize("width", [360, 1200])
def test_the_slider_stays_under_the_pointer(open_page: OpenPage, width: int) -> None:
    page, _ = open_page(viewport={"width": width, "height": 900})
    slider = page.get_by_role("slider", name="Trade-off")
    button = page.get_by_role("button", name="Back to the default selector")
    slider.scroll_into_view_if_needed()
    before = slider.bounding_box()
    assert before is not None
    middle = before["y"] + before["height"] / 2
    for share in (0.2, 0.8):
        page.mouse.click(before["x"] + share * before["width"], middle)
        assert slider.bounding_box() == before
        assert float(slider.input_value()) == pytest.approx(share, abs=0.06)
        assert button.is_visible()
    button.click()
    assert not button.is_visible()
    assert slider.bounding_box() == before


def test_a_phone_shows_photos_beside_the_board_while_drawing(open_page: OpenPage) -> None:
    page, _ = open_page(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True, device_scale_factor=2)
    draw(page, (0.2, 0.2), (0.8, 0.8), (0.2, 0.8))
    wait_for_answer(page)
    page.wait_for_function("() => document.querySelector('#answer li') !== null")
    assert page.evaluate("scrollY") == 0
    for box in (page.locator("#board").bounding_box(), page.locator("#answer img").nth(3).bounding_box()):
        assert box is not None and box["y"] >= 0 and box["y"] + box["height"] <= 740


def test_names_of_photos_are_shown_whole(open_page: OpenPage) -> None:
    for width in (360, 1200):
        page, _ = open_page(viewport={"width": width, "height": 900})
        page.get_by_label("Example: skier, level 1").click()
        wait_for_answer(page)
        page.wait_for_selector("#answer li:nth-child(12)")
        cut = """() => [...document.querySelectorAll("#answer .name")].filter(
            (name) => name.scrollWidth > name.clientWidth || name.scrollHeight > name.clientHeight)
            .map((name) => name.textContent)"""
        assert page.evaluate(cut) == []


def test_a_file_that_is_no_svg_is_called_that(open_page: OpenPage, tmp_path: Path) -> None:
    page, seen = open_page()
    for name, content in (("cat.jpg", b"\xff\xd8\xff\xe0"), ("notes.svg", b"a cat"), ("empty.svg", b"")):
        (tmp_path / name).write_bytes(content)
        page.set_input_files("#file", tmp_path / name)
        page.get_by_role("alert").get_by_text(f"{name} was not loaded. This is no SVG.").wait_for()
    assert not [url for url in seen.requests if url.endswith("/api/svg")]


def test_a_bad_svg_is_refused_in_plain_words_and_a_good_one_is_drawn(open_page: OpenPage, tmp_path: Path) -> None:
    page, seen = open_page(errors=True)  # the browser logs the refusal
    draw(page, (0.2, 0.2), (0.8, 0.8))
    before = ink(page)
    bad = tmp_path / "cat.svg"
    bad.write_text('<svg xmlns="http://www.w3.org/2000/svg"><image href="https://example.org/cat.png"/></svg>')
    page.set_input_files("#file", bad)
    alert = page.get_by_role("alert")
    alert.get_by_text("cat.svg was not loaded.").wait_for()
    assert "<image> is not read" in alert.inner_text()
    assert ink(page) == before
    # An answer that comes later is about the drawing; the refusal is still to be read.
    with page.expect_response("**/api/search"):
        page.get_by_role("slider").press("ArrowRight")
    wait_for_answer(page)
    page.wait_for_function("() => !document.querySelector('#answer').hidden")
    assert "cat.svg was not loaded." in alert.inner_text()
    large = tmp_path / "large.svg"
    large.write_text(" " * MAX_BYTES + "<svg/>")
    page.set_input_files("#file", large)
    alert.get_by_text(f"larger than {MAX_BYTES >> 20} MiB").wait_for()
    good = tmp_path / "cross.svg"
    good.write_text('<svg xmlns="http://www.w3.org/2000/svg"><path d="M0 0L10 10M10 0L0 10"/></svg>')
    with page.expect_response("**/api/search"):
        page.set_input_files("#file", good)
    assert alert.inner_text() == ""
    assert len(seen.searches[-1]["strokes"]) == 2
    until(page, lambda: ink(page) > before)


def test_everything_can_be_done_by_keyboard(open_page: OpenPage) -> None:
    page, seen = open_page()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "board"
    outline = page.locator("#board").evaluate("(board) => getComputedStyle(board).outline")
    assert "solid" in outline
    assert "3px" in outline
    page.keyboard.press("Space")
    assert page.locator("#pen").inner_text().startswith("Pen down, 50 percent across")
    for key in ("Shift+ArrowRight", "Shift+ArrowRight", "ArrowDown", "Shift+ArrowDown", "Shift+ArrowLeft"):
        page.keyboard.press(key)
    page.keyboard.press("Space")
    assert page.locator("#pen").inner_text().startswith("Pen up, 60 percent across, 62 percent down")
    page.keyboard.press("ArrowUp")  # the pen is up: nothing is drawn
    drawn = [[[0.5, 0.5], [0.6, 0.5], [0.7, 0.5], [0.7, 0.52], [0.7, 0.62], [0.6, 0.62]]]
    until(page, lambda: bool(seen.searches) and seen.searches[-1]["strokes"] == drawn)
    wait_for_answer(page)
    page.keyboard.press("Control+z")
    page.wait_for_selector("#answer", state="hidden")
    # Everything that can be used is reached in the order in which it is read, and shows that it is.
    draw(page, (0.2, 0.2), (0.8, 0.8))
    page.keyboard.press("Tab")
    order = []
    for _ in range(6):
        order.append(page.evaluate("document.activeElement.id || document.activeElement.ariaLabel"))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        page.keyboard.press("Tab")
    assert order[:4] == ["undo", "clear", "open", "tradeoff"]
    assert order[4].startswith("Example: ")
    with page.expect_file_chooser():
        page.locator("#open").focus()
        page.keyboard.press("Enter")
    page.locator("#examples button").first.focus()
    page.keyboard.press("Enter")
    wait_for_answer(page)
    page.locator("#clear").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "board"


def test_a_phone_scrolls_one_way_and_a_finger_draws(open_page: OpenPage) -> None:
    page, seen = open_page(
        viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True, device_scale_factor=2
    )

    def fits() -> bool:
        widths = page.evaluate("[document.documentElement.scrollWidth, visualViewport.width]")
        return bool(widths == [360, 360])

    assert fits()
    box = page.locator("#board").bounding_box()
    assert box is not None
    assert box["width"] > 300
    touch = page.context.new_cdp_session(page)
    for kind, share in (("touchStart", 0.2), ("touchMove", 0.5), ("touchMove", 0.8), ("touchEnd", None)):
        spots = [] if share is None else [{"x": box["x"] + share * box["width"], "y": box["y"] + share * box["height"]}]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": spots})
    ends = pytest.approx(np.array([[0.2, 0.2], [0.8, 0.8]]), abs=0.02)
    until(page, lambda: bool(seen.searches) and np.array(seen.searches[-1]["strokes"][0])[[0, -1]] == ends)
    wait_for_answer(page)
    assert page.evaluate("scrollY") == 0
    assert len(seen.searches[-1]["strokes"]) == 1
    for tradeoff, canvas in (("0", 256), ("1", 32)):
        page.get_by_role("slider", name="Trade-off").fill(tradeoff)
        rested(page, canvas)
        assert fits()
    # Targets are large enough for fingers.
    for button in page.locator("button:visible").all():
        size = button.bounding_box()
        assert size is not None
        assert min(size["width"], size["height"]) >= 40


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_every_text_can_be_read(open_page: OpenPage, scheme: str, width: int) -> None:
    page, _ = open_page(color_scheme=scheme, viewport={"width": width, "height": 900}, reduced_motion="reduce")
    page.get_by_label("Example: ").first.click()
    wait_for_answer(page)
    page.evaluate("document.querySelector('#trouble').textContent = 'Trouble.'")
    seen, faint = page.evaluate(FAINT_TEXTS)
    assert seen > 40
    assert faint == []
    assert page.evaluate("getComputedStyle(document.querySelector('.fill')).transitionDuration") == "0s"
    assert page.evaluate("[...document.querySelectorAll('img')].every((image) => image.alt)")


def test_the_page_cannot_reach_another_host(open_page: OpenPage, url: str) -> None:
    page, seen = open_page(errors=True)  # the browser logs that it refuses
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(0.5)
        foreign = f"http://127.0.0.1:{other.getsockname()[1]}/"
        assert page.evaluate(OUTWARD, foreign) == "kept"
        page.evaluate("(url) => { new Image().src = url; }", foreign)
        page.evaluate(
            "(url) => document.body.append(Object.assign(document.createElement('script'), {src: url}))", foreign
        )
        with pytest.raises(TimeoutError):
            other.accept()
    assert page.evaluate(OUTWARD, url) == "gone"
    seen.requests[:] = [name for name in seen.requests if not name.startswith(foreign)]


def test_a_server_that_is_busy_is_asked_again(open_page: OpenPage, pipeline: Pipeline) -> None:
    with running(create_app(pipeline)) as mortal:
        page, seen = open_page(mortal, errors=True)
        given = refused_at_first(page, "api/search", 2)
        alert = page.get_by_role("alert")
        draw(page, (0.2, 0.2), (0.8, 0.2))
        alert.get_by_text("Too many requests. Asking again in 1 s.").wait_for()
        draw(page, (0.2, 0.4), (0.8, 0.4))
        page.wait_for_selector("#answer")
        assert alert.inner_text() == ""
        assert given[:3] == [429, 429, 200]
        until(page, lambda: len(seen.searches[-1]["strokes"]) == 2)
        wait_for_answer(page)
    page.unroute_all()
    draw(page, (0.5, 0.1), (0.5, 0.9))
    alert.get_by_text("The server does not answer").wait_for()


def test_a_file_waits_for_a_server_that_is_busy(open_page: OpenPage, tmp_path: Path) -> None:
    cross = tmp_path / "cross.svg"
    cross.write_text('<svg xmlns="http://www.w3.org/2000/svg"><path d="M0 0L10 10M10 0L0 10"/></svg>')
    page, _ = open_page(errors=True)
    given = refused_at_first(page, "api/svg", 1)
    page.set_input_files("#file", cross)
    page.get_by_role("alert").get_by_text("Asking again in 1 s.").wait_for()
    assert ink(page) == 0
    until(page, lambda: ink(page) > 0)
    assert given == [429, 200]
    page.wait_for_function("() => document.querySelector('#trouble').textContent === ''")


def test_the_readme_picture_is_made_by_a_command(url: str, tmp_path: Path, chromium: Browser) -> None:
    take(tmp_path / "demo.png", chromium, url)
    with Image.open(tmp_path / "demo.png") as picture:
        assert picture.width == 1200
        assert len(picture.convert("RGB").getcolors(1 << 24) or ()) > 1_000
