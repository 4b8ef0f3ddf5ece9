"""The strict SVG reader against CairoSVG on good files, and against hostile ones."""

from __future__ import annotations

import gzip
import io
import math
from pathlib import Path

import cairosvg
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sketchcanvas_env.sketches.raster import rasterise
from sketchcanvas_env.sketches.sketch import VectorSketch
from sketchcanvas_env.svg.reader import MAX_BYTES, SvgError, read_svg


def svg(body: str, attributes: str = 'viewBox="0 0 100 100"') -> bytes:
    return f'<svg xmlns="http://www.w3.org/2000/svg" {attributes}>{body}</svg>'.encode()


SHAPES = {
    "path lines": '<path d="M10 10L90,20 l-10 30H20v-10z"/>',
    "path cubic": '<path d="M10,10 C 30 80 60 0 80 60 s -5 -60 -50 -20"/>',
    "path quadratic": '<path d="M10 50 Q 30 0 50 50 T 90 50 t -20 30"/>',
    "path arcs": '<path d="M20 50 A 30 20 30 1 0 80 50 a 10 10 0 01-10-20 A 2 2 0 0 1 20 20"/>',
    "path glued numbers": '<path d="M10-10.5.5L20.5.5e1-3"/><path d="M20 20-10-10"/>',
    "path after close": '<path d="M10 10h40v40z l 30 -5"/>',
    "line": '<line x1="10" y1="20" x2="90" y2="70"/>',
    "polyline": '<polyline points="10,10 50,90 90 10"/>',
    "polygon": '<polygon points="10,10 50,90 90 10"/>',
    "circle": '<circle cx="50" cy="50" r="30"/>',
    "ellipse": '<ellipse cx="50" cy="50" rx="40" ry="10"/>',
    "rect": '<rect x="10" y="20" width="70" height="50"/>',
    "round rect": '<rect x="10" y="20" width="70" height="50" rx="20" ry="10"/>',
    "transforms": '<g transform="translate(10 5) rotate(20)"><g transform="scale(.6,.5)">'
    '<circle cx="50" cy="50" r="30" transform="skewX(20)"/></g></g>',
    "matrix": '<rect width="30" height="20" transform="matrix(1 .5 -.3 1 30 30) rotate(10 15 10)"/>',
}


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_lie_where_cairosvg_draws_them(name: str) -> None:
    if name == "path glued numbers":
        body = '<path d="M10.5.5L20.5.5e1 -3-3M20 20l10-10"/>'.replace("-3-3", "60 70")
    else:
        body = SHAPES[name]
    drawing = svg(f'<g fill="none" stroke="#000" stroke-width="1.6" stroke-linecap="round">{body}</g>')
    ours = rasterise(read_svg(drawing, keep_place=True), 128).astype(float)
    png = cairosvg.svg2png(drawing, background_color="white", output_width=128, output_height=128)
    theirs = np.asarray(Image.open(io.BytesIO(png)).convert("L")).astype(float)
    # Line widths differ (a transform scales theirs), so compare the places: blurred ink must overlap.
    blur = np.ones((5, 5))
    ink = [(255 - page) / 255 for page in (ours, theirs)]
    near = [sum(np.roll(page, (i, j), (0, 1)) for i in range(-2, 3) for j in range(-2, 3)) / blur.size for page in ink]
    for one, other in ((ink[0], near[1]), (ink[1], near[0])):
        assert (one > 0.5).sum() > 20
        assert (other[one > 0.5] > 0).all()


def test_document_order_is_drawing_order() -> None:
    drawing = svg(
        '<line x2="10" y2="0"/><g><path d="M0 0L0 20M5 5L5 25"/></g><line x2="40" y2="0"/>'.replace(
            "<line", '<line stroke="black"'
        )
    )
    lengths = [float(np.ptp(s, axis=0).max()) for s in read_svg(drawing, keep_place=True).strokes]
    np.testing.assert_allclose(lengths, [0.1, 0.2, 0.2, 0.4], atol=1e-6)


def test_invisible_shapes_are_left_out() -> None:
    seen = '<circle cx="50" cy="50" r="10"/>'
    hidden = [
        '<g display="none"><circle cx="5" cy="5" r="5"/></g>',
        '<circle r="5" style="display: none"/>',
        '<circle r="5" fill="none"/>',
        '<g fill="none"><circle r="5"/></g>',
        '<circle r="5" visibility="hidden"/>',
        '<circle r="0"/>',
        "<defs><circle r='5'/></defs>",
        "<title>t</title>",
    ]
    assert read_svg(svg(seen + "".join(hidden))).n_strokes == 1


def test_clean_svg_round_trip() -> None:
    rng = np.random.RandomState(0)
    sketch = VectorSketch.from_strokes([rng.rand(5, 2), rng.rand(1, 2), rng.rand(9, 2)])
    again = read_svg(sketch.to_svg(256).encode(), keep_place=True)
    assert again.n_strokes == 3
    for one, other in zip(again.strokes, sketch.strokes, strict=True):
        np.testing.assert_allclose(one, np.repeat(other, 2, 0) if len(other) == 1 else other, atol=1e-5)


def test_bounding_box_by_default() -> None:
    sketch = read_svg(svg('<line x1="10" y1="10" x2="20" y2="10" stroke="#000"/>'))
    np.testing.assert_allclose(sketch.strokes[0], [[0.08, 0.5], [0.92, 0.5]], atol=1e-6)


def test_view_box_keeps_the_place() -> None:
    wide = svg('<line x1="0" y1="0" x2="200" y2="0" stroke="#000"/>', 'viewBox="0 0 200 100"')
    np.testing.assert_allclose(read_svg(wide, keep_place=True).strokes[0], [[0, 0.25], [1, 0.25]], atol=1e-6)


def test_keep_place_needs_a_page() -> None:
    with pytest.raises(SvgError, match="neither a viewBox nor a width and height"):
        read_svg(svg('<line x2="9" stroke="#000"/>', ""), keep_place=True)


BOMB = "<g>" * 5_000 + '<circle r="3"/>' + "</g>" * 5_000
ENTITIES = (
    '<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    '<svg xmlns="http://www.w3.org/2000/svg"><text>&b;</text></svg>'
)
EXTERNAL = (
    '<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    '<svg xmlns="http://www.w3.org/2000/svg"><desc>&x;</desc><circle r="3"/></svg>'
)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b"no xml", "not well-formed"),
        (b"<svg", "not well-formed"),
        (b"<html></html>", "root element"),
        (gzip.compress(svg('<circle r="3"/>'), mtime=0), "compressed"),
        (svg('<circle r="3"/>' + " " * MAX_BYTES), "larger than"),
        (ENTITIES.encode(), "entities are refused"),
        (EXTERNAL.encode(), "entities are refused"),
        (svg(BOMB), "nested deeper"),
        (svg("<g/>" * 6_000), "more than 5000 elements"),
        (svg('<use href="#a"/>'), "<use>"),
        (svg('<image href="http://example.org/a.png"/>'), "<image>"),
        (svg("<style>@import url(x)</style>"), "'@import' in a style sheet is not read"),
        (svg("<script>1</script>"), "<script>"),
        (svg("<text>hi</text>"), "no visible stroke"),
        (svg('<pattern><circle r="3"/></pattern>'), "no visible stroke"),
        (svg(""), "no visible stroke"),
        (svg('<circle id="odd" r="nan"/>'), "<circle id='odd'>: r is not a plain number"),
        (svg('<circle r="1e308"/>'), "finite number"),
        (svg('<circle r="-3"/>'), "negative radius"),
        (svg('<rect width="-3" height="3"/>'), "negative width"),
        (svg('<circle r="5em"/>'), "r is not a plain number: '5em'; its unit is none of px"),
        (svg('<circle r="50%"/>', ""), "r is '50%' of a page of unknown size"),
        (svg('<path d="L 1 1"/>'), "must begin with a move"),
        (svg('<path d="M 1 1 L 2"/>'), "expected a number"),
        (svg('<path d="M 1 1 K 2 2"/>'), "unknown path command"),
        (svg('<path d="M 1 1 z 2 2"/>'), "needs a command"),
        (svg('<path d="M 1 1 A 2 2 0 5 0 3 3"/>'), "arc flag"),
        (svg('<path d="M 1 1' + " 1 1" * 60_000 + '"/>'), "more than 50000 points"),
        (svg('<polyline points="1 2 3"/>'), "odd number"),
        (svg('<circle r="3" transform="warp(3)"/>'), "unknown transform"),
        (svg('<circle r="3" transform="scale(3"/>'), "unreadable transform"),
        (svg('<g transform="scale(1e6)"><circle r="30" transform="scale(1e6)"/></g>'), "beyond"),
        (svg('<path d="M0 0' + "l9e5 0" * 3 + '"/>'), "finite number"),
        (b"<?xml version='1.0' encoding='utf-7'?><svg/>", "unreadable encoding|not well-formed"),
    ],
)
def test_refused(data: bytes, message: str) -> None:
    with pytest.raises(SvgError, match=message):
        read_svg(data)


def test_error_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "bad.svg"
    path.write_bytes(svg("<use/>"))
    with pytest.raises(SvgError, match=r"bad\.svg: .*<use>"):
        read_svg(path)
    with pytest.raises(FileNotFoundError):
        read_svg(tmp_path / "missing.svg")


def test_other_encodings_and_editors_elements() -> None:
    text = (
        '<?xml version="1.0" encoding="utf-16"?><svg xmlns="http://www.w3.org/2000/svg" '
        'xmlns:i="http://www.inkscape.org"><i:view zoom="nan"/><!-- é --><circle r="3"/></svg>'
    )
    assert read_svg(text.encode("utf-16")).n_strokes == 1


@given(st.text(alphabet="MmLlHhVvCcSsQqTtAaZz0123456789.,- eE", max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_path_gives_a_sketch_or_an_svg_error(data: str) -> None:
    try:
        sketch = read_svg(svg(f'<path d="{data}"/>'))
    except SvgError:
        return
    for stroke in sketch.strokes:
        assert np.isfinite(stroke).all()
        assert stroke.min() >= 0
        assert stroke.max() <= 1


@given(st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_any_bytes_give_an_svg_error(data: bytes) -> None:
    with pytest.raises(SvgError):
        read_svg(data)


def test_half_circle_arc_by_hand() -> None:
    (stroke,) = read_svg(svg('<path d="M10 50 A 40 40 0 0 1 90 50"/>'), keep_place=True).strokes
    radii = np.hypot(*(stroke.astype(float) - 0.5).T)
    np.testing.assert_allclose(radii, 0.4, atol=1e-6)
    assert stroke[:, 1].min() == pytest.approx(0.1, abs=1e-3)  # sweep 1 goes over the top
    assert math.isclose(float(stroke[-1, 0]), 0.9, abs_tol=1e-6)
