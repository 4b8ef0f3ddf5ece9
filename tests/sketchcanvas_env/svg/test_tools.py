"""SVG files as drawing tools write them: read as CairoSVG draws them, or refused."""

from __future__ import annotations

import io

import cairosvg
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import distance_transform_edt
from tinycss2.color4 import parse_color

from sketchcanvas_env.sketches.raster import rasterise
from sketchcanvas_env.svg.reader import SvgError, read_strokes, read_svg

SVG = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
PEN = 'fill="none" stroke="#000" stroke-width="1.25"'
"""Line width of the rasteriser on a page of side 100."""
SEEN = f'<path {PEN} d="M10 60L90 60"/>'
"""A stroke in every file, so that files with invisible shapes are not empty."""


def page(body: str, attributes: str = 'viewBox="0 0 100 100"') -> bytes:
    return f"<svg {SVG} {attributes}>{body}</svg>".encode()


def sheet(rules: str, body: str, root: str = "") -> bytes:
    return page(f"<defs><style>{rules}</style></defs>{body}{SEEN}", f'viewBox="0 0 100 100" {root}')


LINE = 'd="M10 10L90 20"'
CIRCLE = f'<circle {PEN} cx="50" cy="50" r="35"/>'

LIKE_CAIROSVG: dict[str, bytes] = {
    # shapes and lengths
    "rect with no rx": page(f'<rect {PEN} x="20" y="30" width="40" height="20" rx="0" ry="8"/>'),
    "rect with no ry": page(f'<rect {PEN} x="20" y="30" width="40" height="20" rx="8" ry="0"/>'),
    "rect with ry only": page(f'<rect {PEN} x="20" y="30" width="40" height="20" ry="8"/>'),
    "rect with auto": page(f'<rect {PEN} x="20" y="30" width="40" height="20"/>'),
    "mm": page(f'<circle {PEN} cx="10mm" cy="12mm" r="5mm"/>'),
    "cm, in": page(f'<circle {PEN} cx="1cm" cy="0.5in" r=".2in"/>'),
    "pt, pc": page(f'<circle {PEN} cx="40pt" cy="3pc" r="10pt"/>'),
    "percent": page(f'<line {PEN} x1="5%" y1="50%" x2="90%" y2="80%"/>'),
    "percent of a radius": page(f'<circle {PEN} cx="50%" cy="50" r="20%"/>'),
    "width and height for a viewBox": page(CIRCLE, 'width="100px" height="100"'),
    "millimetres for a viewBox": page(f'<circle {PEN} cx="50" cy="50" r="20"/>', 'width="40mm" height="40mm"'),
    "no transform": page(f'<path {PEN} transform="none" {LINE}/>'),
    "no path": page(f'<path {PEN} d="none"/>{SEEN}'),
    # what cannot be seen
    "display": page(f'<path {PEN} {LINE} display="none"/>{SEEN}'),
    "display in a style": page(f'<path {PEN} {LINE} style="display : none"/>{SEEN}'),
    "display inline in a group without": page(f'<g display="none"><path {PEN} {LINE} display="inline"/></g>{SEEN}'),
    "visibility": page(f'<path {PEN} {LINE} visibility="hidden"/>{SEEN}'),
    "visible in a hidden group": page(f'<g visibility="hidden"><path {PEN} {LINE} visibility="visible"/></g>{SEEN}'),
    "opacity": page(f'<path {PEN} {LINE} opacity="0"/>{SEEN}'),
    "opacity in a group of none": page(f'<g opacity="0"><path {PEN} {LINE} opacity="1"/></g>{SEEN}'),
    "opacity of a group": page(f'<g style="opacity:0.0"><path {PEN} {LINE} opacity="1"/></g>{SEEN}'),
    "stroke-opacity": page(f'<path {PEN} {LINE} stroke-opacity="0"/>{SEEN}'),
    "stroke-width": page(f'<path fill="none" stroke="#000" stroke-width="0" {LINE}/>{SEEN}'),
    "stroke-width in a style": page(f'<path {PEN} {LINE} style="stroke-width:0px"/>{SEEN}'),
    "fill-opacity": page(f'<rect width="90" height="30" fill-opacity="0"/>{SEEN}'),
    "transparent": page(f'<rect width="90" height="30" fill="transparent"/>{SEEN}'),
    "rgba without alpha": page(f'<rect width="90" height="30" style="fill:rgba(9,9,9,0)"/>{SEEN}'),
    "important": page(f'<path style="fill:none!important" fill="#000" d="M10 10H90V40z"/>{SEEN}'),
    "inherited by name": page(f'<g stroke="none"><path fill="none" stroke="inherit" {LINE}/></g>{SEEN}'),
    # backgrounds
    "white rect": page(f'<rect width="100" height="100" fill="#fff"/>{SEEN}'),
    "white rect in percent": page(f'<rect width="100%" height="100%" fill="#fff"/>{SEEN}'),
    "white rect larger than the page": page(f'<rect x="-9" y="-9" width="120" height="120" fill="#fff"/>{SEEN}'),
    "white path": page(f'<path d="M0 0H100V100H0z" fill="#fff"/>{SEEN}'),
    "white rect without a viewBox": page(
        f'<rect width="100" height="100" fill="#fff"/>{SEEN}', 'width="100" height="100"'
    ),
    # style sheets
    "class": sheet(".a{stroke:#000}", f'<path class="b a" {LINE}/>', 'fill="none"'),
    "class that hides": sheet(".h{display:none}", f'<path class="h" {PEN} {LINE}/>'),
    "class at the root": page(f'<style type="text/css">.a{{fill:none;stroke:#000}}</style><path class="a" {LINE}/>'),
    "CDATA and comments": sheet("/* x */ <![CDATA[ .a /* y */ { fill : none } ]]>", f'<path class="a" {LINE}/>'),
    "element": sheet("path{stroke:#000;fill:none}", f"<path {LINE}/>"),
    "identifier": sheet("#a{opacity:0}", f'<path id="a" {PEN} {LINE}/>'),
    "list of selectors": sheet("circle, .x, path#a{visibility:hidden}", f'<path id="a" {PEN} {LINE}/>'),
    "class before element": sheet(".a{stroke:none}path{stroke:#000}", f'<path class="a" fill="none" {LINE}/>'),
    "later before earlier": sheet(".a{stroke:#000}.b{stroke:none}", f'<path class="b a" fill="none" {LINE}/>'),
    "style before class": sheet(".a{stroke:#000}", f'<path class="a" fill="none" style="stroke:none" {LINE}/>'),
    "important class": sheet(".a{stroke:none!important}", f'<path class="a" fill="none" style="stroke:red" {LINE}/>'),
    "class before attribute": sheet(".a{stroke:none}", f'<path class="a" {PEN} {LINE}/>'),
    "class of a group": sheet(".a{fill:none;stroke:#000}", f'<g class="a"><path {LINE}/></g>'),
    "font": sheet("@font-face{font-family:a;src:url(a.woff)}.a{display:none}", f'<path class="a" {PEN} {LINE}/>'),
    "dark mode": sheet(
        "@media (prefers-color-scheme: dark) { .a{display:none} }", f'<path class="a" {PEN} {LINE}/>{SEEN}'
    ),
    "hover": sheet(".a:hover{display:none}", f'<path class="a" {PEN} {LINE}/>'),
    "hover of a group": sheet("g:hover .a, .b{display:none}", f'<g><path class="a" {PEN} {LINE}/></g>'),
    # elements around shapes
    "link": page(f'<a href="x" transform="rotate(9)"><path {PEN} {LINE}/></a>'),
    "switch": page(f'<switch><foreignObject requiredExtensions="x"/><g>{SEEN}</g><path {PEN} {LINE}/></switch>'),
    "skipped": page(
        '<linearGradient id="g"><stop offset="0"/></linearGradient><radialGradient id="r"/><filter id="f"/>'
        f'<mask id="m"><path {PEN} {LINE}/></mask><pattern id="p"><path {PEN} {LINE}/></pattern>'
        f'<clipPath id="c"><path {PEN} {LINE}/></clipPath><marker id="k"><path {PEN} {LINE}/></marker>'
        f'<symbol id="s"><path {PEN} {LINE}/></symbol>{SEEN}'
    ),
    "use": page(f'<defs><path id="a" d="M0 0L30 10"/></defs><use {PEN} href="#a" x="50" y="40"/>'),
    "use of a group": page(
        f'<g id="a" transform="scale(.5)"><path {PEN} d="M0 0L30 10"/></g><use xlink:href="#a" x="50" y="40"/>'
    ),
    "use of a use": page(
        f'<defs><g id="a"><path {PEN} d="M0 0L30 10"/></g><g id="b"><use href="#a"/><use href="#a" y="20"/></g></defs>'
        '<use href="#b" x="50" transform="rotate(10)"/>'
    ),
    "use of a symbol": page(f'<symbol id="a"><path {PEN} d="M0 0L30 10"/></symbol><use href="#a" x="50" y="40"/>'),
    # clips
    "clip": page(f'<clipPath id="c"><rect width="50" height="100"/></clipPath><g clip-path="url(#c)">{CIRCLE}</g>'),
    "clip around all": page(f'<defs><clipPath id="c"><path d="M0 0h100v100H0z"/></clipPath></defs>'
                            f'<g clip-path="url(#c)">{CIRCLE}</g>'),
    "clip away": page(
        f'<clipPath id="c"><rect width="9" height="9"/></clipPath><g clip-path="url(#c)">{CIRCLE}</g>{SEEN}'
    ),
    "turned clip": page(
        '<clipPath id="c" transform="rotate(20)"><rect x="45" y="-20" width="60" height="90"/></clipPath>'
        f'<g transform="translate(9 0)" style="clip-path:url(#c)">{CIRCLE}{SEEN}</g>'
    ),
    "clips around clips": page(
        '<clipPath id="c"><rect width="60" height="100"/></clipPath>'
        '<clipPath id="d"><path d="M0 0L99 99L0 99z"/></clipPath>'
        f'<g clip-path="url(#c)"><g clip-path="url(#d)">{CIRCLE}{SEEN}</g></g>'
    ),
    "round clip": page(f'<clipPath id="c"><circle cx="50" cy="50" r="30"/></clipPath><g clip-path="url(#c)">'
                       f'{SEEN}<path {PEN} {LINE}/><path {PEN} d="M30 10V90"/></g>'),
    "clip with round corners": page('<clipPath id="c"><rect x="10" y="10" width="80" height="80" rx="30"/></clipPath>'
                                    f'<g clip-path="url(#c)"><path {PEN} d="M0 50H100M40 0V100M0 0L100 100"/></g>'),
    "clip of a star": page('<clipPath id="c"><path d="M50 0L80 90L0 35H100L20 90z"/></clipPath>'
                           f'<g clip-path="url(#c)">{SEEN}<path {PEN} d="M0 50H100M50 0V100"/></g>'),
    "clip of two shapes": page(
        '<clipPath id="c"><rect width="30" height="99"/><rect x="50" width="30" height="50"/></clipPath>'
        f'<g clip-path="url(#c)">{SEEN}<path {PEN} d="M0 30H100"/></g>'
    ),
    # nested pages
    "nested": page(f'<svg x="20" y="10" width="50" height="50" viewBox="0 0 100 100">{CIRCLE}</svg>{SEEN}'),
    "nested and cut": page(f'<svg x="20" y="10" width="50" height="30">{CIRCLE}</svg>{SEEN}'),
    "nested, wide": page(f'<svg y="50" width="100" height="50" viewBox="0 0 100 100">{CIRCLE}</svg>{SEEN}'),
    "nested at its right": page(
        '<svg y="50" width="100" height="50" viewBox="0 0 100 100" preserveAspectRatio="xMaxYMin">'
        f'{CIRCLE}</svg>{SEEN}'
    ),
    "nested and stretched": page(
        '<svg width="100" height="50" viewBox="0 0 100 100" preserveAspectRatio="none">'
        f'<path {PEN} d="M10 10H90V90H10z"/></svg>{SEEN}'
    ),
    "symbol of its own size": page(
        f'<symbol id="s" viewBox="0 0 100 100">{CIRCLE}</symbol><use href="#s" x="30" y="20" width="40" height="60"/>'
        f'<use href="#s" x="-20" width="50" height="50"/>'
    ),
    "off the page": page(f'{CIRCLE}<path {PEN} d="M400 400l5 5M-50 50H30"/>'),
    "origin of a turn": page(f'<path {PEN} {LINE} transform-origin="50 50" transform="rotate(9)"/>'),
    "origin of a shift": page(f'<path {PEN} {LINE} transform-origin="50% 50%" transform="translate(3 9)"/>'),
    # whole files
    "document type": b'<?xml version="1.0"?><!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN"\n'
    b'"http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">' + page(SEEN),
    "Graphviz": b'<?xml version="1.0" encoding="UTF-8" standalone="no"?>\n'
    b'<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">'
    + page(
        '<g id="graph0" class="graph" transform="scale(1 1) rotate(0) translate(4 112)"><title>G</title>'
        '<polygon fill="white" stroke="transparent" points="-4,4 -4,-112 58,-112 58,4 -4,4"/>'
        '<g id="node1" class="node"><a xlink:title="a"><ellipse fill="none" stroke="black" cx="27" cy="-90" rx="27" '
        'ry="18"/></a></g><path fill="none" stroke="black" d="M27,-71.7C27,-63.98 27,-54.71 27,-46.11"/></g>',
        'width="62pt" height="116pt" viewBox="0.00 0.00 62.00 116.00"',
    ),
    "potrace": b'<?xml version="1.0" standalone="no"?><!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 20010904//EN"\n'
    b' "http://www.w3.org/TR/2001/REC-SVG-20010904/DTD/svg10.dtd">'
    + page(
        '<metadata>Created by potrace 1.16</metadata><g transform="translate(0,100) scale(0.1,-0.1)" fill="#000000" '
        'stroke="none"><path d="M200 500 l0 -10 400 0 c100 10 200 5 210 10 l0 10 -610 0z"/></g>',
        'width="100pt" height="100pt" viewBox="0 0 100 100" preserveAspectRatio="xMidYMid meet"',
    ),
    "Excalidraw": page(
        '<metadata/><defs><style class="style-fonts">@font-face{font-family:"Virgil";src:url("data:font/woff2;base64,'
        'd09GMg=="); }</style></defs><rect x="0" y="0" width="100" height="100" fill="#ffffff"></rect>'
        '<g stroke-linecap="round" transform="translate(10 10) rotate(0 40 30)">'
        '<path d="M0.7 -0.4 C20 10, 50 20, 80 1" stroke="#1e1e1e" stroke-width="2" fill="none"></path></g>'
        '<mask></mask>',
        'version="1.1" viewBox="0 0 100 100" width="100" height="100"',
    ),
    "Figma": page(
        f'<g clip-path="url(#clip0_1_2)"><rect width="100" height="100" fill="white"/>{CIRCLE}</g>'
        '<defs><clipPath id="clip0_1_2"><rect width="100" height="100" fill="white"/></clipPath></defs>',
        'width="100" height="100" viewBox="0 0 100 100" fill="none"',
    ),
    "Illustrator": page(
        '<defs><style>.cls-1,.cls-2{fill:none;}.cls-2{stroke:#000;stroke-miterlimit:10;}</style></defs>'
        f'<g data-name="Layer 2"><rect class="cls-1" width="80" height="80"/><path class="cls-2" {LINE}/></g>'
    ),
}  # fmt: skip


def drawn_by_cairosvg(data: bytes) -> NDArray[np.bool_]:
    png = cairosvg.svg2png(data, output_width=256, output_height=256, background_color="white")
    return np.asarray(np.asarray(Image.open(io.BytesIO(png)).convert("L")) < 160)


@pytest.mark.parametrize("name", LIKE_CAIROSVG)
def test_lines_lie_where_cairosvg_draws_them(name: str) -> None:
    data = LIKE_CAIROSVG[name]
    # A page that is not square is drawn in the middle of one that is, by both.
    ours, theirs = rasterise(read_svg(data, keep_place=True), 256) < 128, drawn_by_cairosvg(data)
    far = max(distance_transform_edt(~theirs)[ours].max(), distance_transform_edt(~ours)[theirs].max())
    assert far < 2.3  # half the width of a line, around a corner: the lines themselves are nearer


def test_percentages_of_a_page_that_is_not_square_by_hand() -> None:
    """CairoSVG takes percentages of the picture instead."""
    body = f'<line {PEN} x1="5%" y1="50%" x2="90%" y2="80%"/><circle {PEN} cx="50%" cy="50%" r="10%"/>'
    line, circle = read_strokes(page(body, 'viewBox="0 0 100 60"'))
    np.testing.assert_allclose(line, [[5, 30], [90, 48]])
    np.testing.assert_allclose(np.hypot(*(circle - [50, 30]).T), 0.1 * np.hypot(100, 60) / np.sqrt(2))


def test_matplotlib() -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3, 3))
    axes = figure.add_axes((0.1, 0.1, 0.8, 0.8))
    axes.plot([0, 1, 2, 3], [0, 9, 1, 4], color="black")
    axes.set_ylim(2, 8)  # cuts the line at both ends
    axes.set_axis_off()
    stream = io.BytesIO()
    figure.savefig(stream, format="svg")
    strokes = read_strokes(stream.getvalue())
    assert [len(stroke) for stroke in strokes] == [2, 2, 2]  # the page's background is none of them
    ys = np.concatenate(strokes)[:, 1]
    np.testing.assert_allclose([ys.min(), ys.max()], [0.1 * 216, 0.9 * 216], atol=0.01)
    stream = io.BytesIO()
    axes.set_axis_on()
    figure.savefig(stream, format="svg")
    assert len(read_strokes(stream.getvalue())) > 20  # ticks are used, digits outlined


BACKGROUNDS = {
    "not all of the page": ('<rect width="100" height="90" fill="#fff"/>', 2),
    "with a stroke": ('<rect width="100" height="100" fill="#fff" stroke="#000"/>', 2),
    "with round corners": ('<rect width="100" height="100" rx="20" fill="#fff"/>', 2),
    "a triangle as large": ('<path d="M-200 100L50 -200L300 100z"/>', 2),
    "with a hole": ('<path d="M0 0H100V100H0zM30 30H60V60H30z"/>', 3),
    "a little more than the page": ('<rect x="-1" y="-1" width="102" height="102" fill="red"/>', 1),
    "under a transform": ('<rect width="10" height="10" transform="scale(10)"/>', 1),
}


@pytest.mark.parametrize("name", BACKGROUNDS)
def test_a_background_is_a_rectangle_that_covers_the_page(name: str) -> None:
    body, strokes = BACKGROUNDS[name]
    assert len(read_strokes(page(body + SEEN))) == strokes


def test_a_background_alone_is_refused() -> None:
    with pytest.raises(SvgError, match="no visible stroke"):
        read_svg(page('<rect width="100" height="100" fill="#fff"/>'))


def test_a_few_hundred_classes_are_read_as_cairosvg_reads_them() -> None:
    """As Illustrator writes them: properties that classes share in lists, and some of their own."""
    shared = ",".join(f".cls-{i}" for i in range(300))
    rules = (
        shared
        + "{fill:none;stroke-miterlimit:10;isolation:isolate}"
        + "".join(f".cls-{i}{{stroke:#{i:06x};stroke-width:{1.25 if i % 3 else 0}px;}}" for i in range(300))
    )
    lines = "".join(f'<path class="cls-{i}" d="M10 {i / 4 + 10:g}h80"/>' for i in range(0, 300, 8))
    data = page(f"<style>{rules}</style>{lines}")
    assert len(rules) < 1 << 14
    assert len(read_strokes(data)) == sum(bool(i % 3) for i in range(0, 300, 8))
    ours = rasterise(read_svg(data, keep_place=True), 256) < 128
    assert distance_transform_edt(~drawn_by_cairosvg(data))[ours].max() < 2.3


@pytest.mark.parametrize("rule", [".a{fill:none}", ".cls-12{fill:#fff;}\n", ".b { stroke: red; }\n", "#c{opacity:.5}"])
def test_any_style_sheet_of_16_kb_is_within_the_limits(rule: str) -> None:
    class_rule = "path{fill:none;stroke:#000}"
    rules = class_rule + rule * (((1 << 14) - len(class_rule)) // len(rule))
    assert len(read_strokes(page(f"<style>{rules}</style><path {LINE}/>"))) == 1


NUMBERS = ("0", "0.0", ".0", "0%", "-1", "1e-999", "none", "1", "0.05", "50%", ".5")


@pytest.mark.parametrize("function", ["rgb", "rgba", "RGBA", "hsl", "hsla", "hwb", "lab", "oklch", "color"])
@pytest.mark.parametrize("first", ["0", "50%", "9deg", "none", "srgb 1"])
def test_transparent_colours_are_those_of_the_parser(function: str, first: str) -> None:
    ends = ["", "/", ",,", " /**/", *(sign + number for sign in (",", ", ", "/", " / ") for number in NUMBERS)]
    for end in ends:
        for between in (",", " ", " , "):
            colour = f"{function}({between.join((first, '10%', '0'))}{end})"
            clear = getattr(parse_color(colour), "alpha", 1) == 0
            shape = f'<path {LINE} stroke="{colour}" fill="none"/>'
            assert len(read_strokes(page(shape + SEEN))) == 2 - clear, colour


@pytest.mark.parametrize(
    "colour", ["#0000", "#00000000", "#fff0", "#1230", "#ffff", "#12345610", "#000", "#100000", "TRANSPARENT",
               "transp\\61rent", "transparent/**/", "currentColor", "url(#a)", "rgba(0,0,0,0/*/1", "rgba(0,0,0,0) x"],
)  # fmt: skip
def test_short_transparent_colours_are_those_of_the_parser(colour: str) -> None:
    clear = getattr(parse_color(colour), "alpha", 1) == 0
    assert len(read_strokes(page(f'<path {LINE} stroke="{colour}" fill="none"/>{SEEN}'))) == 2 - clear


def test_invalid_colours_count_as_visible() -> None:
    assert len(read_strokes(page(f'<path {LINE} stroke="color()" fill="none"/>{SEEN}'))) == 2


REFUSED = {
    "a transform in a style": (f'<path {PEN} {LINE} style="transform:translate(9px,9px)"/>', "'transform' in a style"),
    "a turn in a style": (f'<g style="rotate: 9deg">{SEEN}</g>', "'rotate' in a style"),
    "an origin in its own box": (
        f'<path {PEN} {LINE} style="transform-box:fill-box;transform-origin:50% 50%" transform="rotate(9)"/>',
        "'transform-origin' with a 'transform-box'",
    ),
    "a radius in a style": (f'<circle {PEN} r="9" style="r: 5px"/>', "'r' in a style"),
    "a path in a style sheet": ("<style>path{d:path('M0 0L9 9')}</style>" + SEEN, "'d' in a style"),
    "a mask of a gradient": (
        f'<mask id="m"><rect width="90" height="90" fill="url(#g)"/></mask><g mask="url(#m)">{SEEN}</g>',
        "<g>: a mask of gradients",
    ),
    "a mask of strokes": (f'<mask id="m">{CIRCLE}</mask><g mask="url(#m)">{SEEN}</g>', "<g>: a mask of strokes"),
    "a mask of a picture": (
        f'<mask id="m"><image href="a.png"/></mask><g mask="url(#m)">{SEEN}</g>',
        "<g>: <image> in a mask",
    ),
    "a mask in boxes": (
        '<mask id="m" maskContentUnits="objectBoundingBox"><rect width="1" height="1"/></mask>'
        f'<g mask="url(#m)">{SEEN}</g>',
        "only a mask in the user's space",
    ),
    "half a mask": (
        f'<mask id="m" width="50%"><rect width="99" height="99" fill="#fff"/></mask><g mask="url(#m)">{SEEN}</g>',
        "smaller than what it masks",
    ),
    "letters as a clip": (
        f'<clipPath id="c"><text>A</text></clipPath><g clip-path="url(#c)">{SEEN}</g>',
        "<text> in a clip-path",
    ),
    "a clip in boxes": (
        '<clipPath id="c" clipPathUnits="objectBoundingBox"><rect width="1" height="1"/></clipPath>'
        f'<g clip-path="url(#c)">{SEEN}</g>',
        "in the user's space",
    ),
    "a clip of CSS": (f'<g style="clip-path:inset(9px)">{SEEN}</g>', "names no <clipPath>"),
    "a descendant": ("<style>g path{fill:none}</style>" + SEEN, "the selector 'g path'"),
    "an attribute": ("<style>[d]{fill:none}</style>" + SEEN, "the selector '\\[d\\]'"),
    "a place among others": ("<style>path:first-child{fill:none}</style>" + SEEN, "the selector"),
    "some media": ("<style>@media (width > 9px){path{fill:none}}</style>" + SEEN, "'@media' in a style sheet"),
    "a sheet for some media": ("<style media='(width > 9px)'>path{fill:none}</style>" + SEEN, "for some media only"),
    "an unknown element alone": (f'<author id="a">{SEEN}</author>', "<author id='a'> is not read, and there is no"),
    "a style sheet from elsewhere": ("<style>@import url(https://a.example/a.css);</style>" + SEEN, "'@import' in a"),
    "what is supported": ("<style>@supports (r:1px){path{fill:none}}</style>" + SEEN, "'@supports' in a style sheet"),
    "a picture alone": ('<image width="90" height="90" href="data:image/png;base64,iVBO="/>', "<image> is not read"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_unsupported_files_are_refused(name: str) -> None:
    body, message = REFUSED[name]
    with pytest.raises(SvgError, match=message):
        read_svg(page(body))


@pytest.mark.parametrize(
    "body",
    [
        f"<style>g path{{stroke-linecap:round}} [d]{{cursor:help}}</style>{SEEN}",  # rules about nothing that is read
        f'<g transform-origin="50 50">{SEEN}</g>',  # of no transform
        f'<g style="transform:none;clip-path:none;mask:none;width:9px">{SEEN}</g>',
        f'<text x="9" y="9">text</text>{SEEN}',
        f'<author>{SEEN}</author><namedview id="base"/>{SEEN}<pth d="M0 0L9 9"/>',  # as browsers: nothing of them
        f"<style media='print'>path{{display:none}}</style>{SEEN}",
        f'<switch><text>text</text>{SEEN}</switch>{SEEN}',
    ],
)  # fmt: skip
def test_rules_that_change_no_stroke_are_ignored(body: str) -> None:
    assert len(read_strokes(page(body))) == 1


def test_each_use_counts_towards_the_limits() -> None:
    group = f'<g id="a">{SEEN * 50}</g>'
    assert len(read_strokes(page(group + '<use href="#a"/>' * 90))) == 50 * 91
    with pytest.raises(SvgError, match="more than 5000 elements, as often as they are used"):
        read_svg(page(group + '<use href="#a"/>' * 110))
