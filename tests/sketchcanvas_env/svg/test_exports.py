"""Masks, clips, pages, embedded data and entities as drawing tools write them."""

from __future__ import annotations

import base64
import warnings

import numpy as np
import pytest

from sketchcanvas_env.sketches.sketch import VectorSketch
from sketchcanvas_env.svg.document import MAX_BYTES, MAX_TEXT
from sketchcanvas_env.svg.reader import SvgError, read_strokes, read_svg

SVG = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
PEN = 'fill="none" stroke="#000"'
LINE = f'<path {PEN} d="M10 60L90 60"/>'


def page(body: str, attributes: str = 'viewBox="0 0 100 100"') -> bytes:
    return f"<svg {SVG} {attributes}>{body}</svg>".encode()


def lines(data: bytes) -> list[list[list[float]]]:
    """The strokes, rounded."""
    return [np.round(stroke, 3).tolist() for stroke in read_strokes(data)]


WHOLE = [[[10, 60], [90, 60]]]
FULL = '<rect width="100" height="100" fill="#fff"/>'

CUT: dict[str, tuple[str, list[list[list[float]]]]] = {
    "a mask that makes room for a label, as Excalidraw writes it": (
        f'<mask id="m">{FULL}<rect x="40" y="50" width="20" height="20" fill="#000" opacity="1"/></mask>'
        f'<g mask="url(#m)" stroke-linecap="round">{LINE}</g>',
        [[[10, 60], [40, 60]], [[60, 60], [90, 60]]],
    ),
    "a mask as Figma writes it": (
        '<mask id="m" style="mask-type:alpha" maskUnits="userSpaceOnUse" x="0" y="0" width="50" height="100">'
        f'<rect width="100" height="100" fill="#101010"/></mask><g mask="url(#m)">{LINE}</g>',
        [[[10, 60], [50, 60]]],
    ),
    "a line inside its own edge, as Figma writes it": (
        f'<mask id="m" fill="white"><path d="M10 60L90 60L50 90z"/></mask><path {PEN} d="M10 60L90 60" '
        'stroke-width="4" mask="url(#m)"/>',
        WHOLE,
    ),
    "a line outside its own edge, as Figma writes it": (
        '<mask id="m" maskUnits="userSpaceOnUse" x="0" y="0" width="100" height="100" fill="black">'
        f'<rect fill="white" width="100" height="100"/><path d="M10 60L90 60L50 90z"/></mask>'
        f'<path {PEN} d="M10 60L90 60" stroke-width="4" mask="url(#m)"/>',
        WHOLE,
    ),
    "a mask that is dark where nobody draws": (
        f'<mask id="m">{FULL}<circle cx="50" cy="20" r="9" fill="black"/></mask><g mask="url(#m)">{LINE}</g>',
        WHOLE,
    ),
    "a mask of half a black": (
        f'<mask id="m">{FULL}<rect width="50" height="99" fill-opacity=".5"/></mask><g mask="url(#m)">{LINE}</g>',
        WHOLE,
    ),
    "a mask of grey": ('<mask id="m"><rect width="50" height="99" fill="#999"/></mask>'
                       f'<g mask="url(#m)">{LINE}</g>', [[[10, 60], [50, 60]]]),
    "a mask inside a root without fill": (
        f'<g fill="none"><mask id="m"><rect width="50" height="99"/><path fill="#fff" d="M0 0H30V99H0z"/></mask></g>'
        f'<g mask="url(#m)">{LINE}</g>',
        [[[10, 60], [30, 60]]],
    ),
    "a clip of an even-odd path": (
        '<clipPath id="c"><path clip-rule="evenodd" d="M0 0H100V100H0zM30 30H70V70H30z"/></clipPath>'
        f'<g clip-path="url(#c)">{LINE}</g>',
        [[[10, 60], [30, 60]], [[70, 60], [90, 60]]],
    ),
    "a clip of a path around itself": (
        f'<clipPath id="c"><path d="M0 0H100V100H0zM30 30H70V70H30z"/></clipPath><g clip-path="url(#c)">{LINE}</g>',
        WHOLE,
    ),
    "a clip with a clip": (
        '<clipPath id="d"><rect width="60" height="100"/></clipPath>'
        '<clipPath id="c" clip-path="url(#d)"><rect x="20" width="60" height="100"/></clipPath>'
        f'<g clip-path="url(#c)">{LINE}</g>',
        [[[20, 60], [60, 60]]],
    ),
    "a fill that its clip ends": (
        '<clipPath id="c"><rect x="20" y="20" width="60" height="60"/></clipPath>'
        '<path clip-path="url(#c)" d="M-50 -50H50V150H-50z"/>',
        [[[50, 20], [50, 80]], [[50, 80], [20, 80], [20, 20], [50, 20]]],
    ),
    "a fill that goes on behind its page": (
        '<clipPath id="c"><rect width="100" height="100"/></clipPath>'
        '<path clip-path="url(#c)" d="M-50 50H150V150H-50z"/>',
        [[[0, 50], [100, 50]]],
    ),
    "a white card with round corners": (
        '<clipPath id="c"><rect width="100" height="100" rx="20"/></clipPath>'
        f'<g clip-path="url(#c)"><path d="M0 0h100v100H0z" fill="white"/>{LINE}</g>',
        WHOLE,
    ),
    "off the page": (f'{LINE}<path {PEN} d="M400 400l5 5"/>', WHOLE),
    "across the edge of the page": (f'<path {PEN} d="M-50 60H150"/>', [[[-1, 60], [101, 60]]]),
    "all off the page": (f'<path {PEN} d="M400 400l5 5"/>', [[[400, 400], [405, 405]]]),
    "a picture beside it": ('<image width="9" height="9" href="a.png"/>' + LINE, WHOLE),
    "an empty flowRoot": (
        '<flowRoot><flowRegion><rect width="9" height="9"/></flowRegion><flowPara/></flowRoot>' + LINE,
        WHOLE,
    ),
    "HTML": (
        '<foreignObject width="9" height="9"><p xmlns="http://www.w3.org/1999/xhtml"><svg/></p></foreignObject>' + LINE,
        WHOLE,
    ),
    "a font of SVG": ('<defs><font><glyph d="M0 0"/></font></defs><text>a</text>' + LINE, WHOLE),
    "a switch as draw.io writes it": (
        '<switch><foreignObject requiredFeatures="http://www.w3.org/TR/SVG11/feature#Extensibility"><p '
        'xmlns="http://www.w3.org/1999/xhtml">label</p></foreignObject><image href="data:,"/></switch>' + LINE,
        WHOLE,
    ),
    "fonts by import": ("<style>@import url('https://fonts.googleapis.com/css2?family=Inter');</style>" + LINE, WHOLE),
    "media without anything drawn": (
        "<style>@media (min-width: 9px){text{font-size:9px}} @supports (a:b){.a{cursor:help}}</style>" + LINE,
        WHOLE,
    ),
    "another element's namespace": ('<x:g xmlns:x="a"><path d="M0 0L9 9"/></x:g>' + LINE, WHOLE),
}  # fmt: skip


@pytest.mark.parametrize("name", CUT)
def test_visible_parts_by_hand(name: str) -> None:
    body, wanted = CUT[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert lines(page(body)) == wanted


def test_a_mark_off_the_page_does_not_shrink_the_drawing() -> None:
    drawing, with_mark = (read_svg(page(LINE + mark)) for mark in ("", f'<path {PEN} d="M400 400l5 5"/>'))
    assert [s.tolist() for s in drawing.strokes] == [s.tolist() for s in with_mark.strokes]


def test_the_page_is_the_visible_part_of_a_wide_picture() -> None:
    """The viewBox lies in the middle of a picture that is wider."""
    wide = f'<path {PEN} d="M-40 50H140"/>'
    assert lines(page(wide, 'viewBox="0 0 100 100" width="200" height="100"')) == [[[-40, 50], [140, 50]]]
    [stroke] = read_svg(page(wide, 'viewBox="0 0 100 100" width="200" height="100"'), keep_place=True).strokes
    np.testing.assert_allclose(stroke, [[0.05, 0.5], [0.95, 0.5]], atol=1e-6)
    stretched = 'viewBox="0 0 100 100" width="200" height="100" preserveAspectRatio="none"'
    assert lines(page(f'<path {PEN} d="M10 10V90"/>', stretched)) == [[[10, 5], [10, 45]]]


def test_keep_place_needs_strokes_on_the_page() -> None:
    with pytest.raises(SvgError, match="nothing of the drawing lies on its page"):
        read_svg(page(f'<path {PEN} d="M400 400l5 5"/>'), keep_place=True)


def test_pictures_are_left_out_with_a_warning() -> None:
    with pytest.warns(UserWarning, match="2 <image> left out"):
        assert read_svg(page('<image href="a.png"/><g><image href="b.png"/></g>' + LINE)).n_strokes == 1


@pytest.mark.parametrize("size", [900_000, 6_000_000])
def test_embedded_fonts_and_pictures_do_not_count(size: int) -> None:
    payload = base64.b64encode(np.random.default_rng(0).bytes(size)).decode()
    font = f'<style>@font-face{{font-family:A;src:url("data:font/woff2;base64,{payload}")}}</style>'
    assert lines(page(font + LINE)) == WHOLE
    picture = f'<image href="data:image/png;base64,{payload}"/>'
    assert lines(page(picture + LINE)) == WHOLE
    assert lines(page(LINE, f'viewBox="0 0 100 100" content="data:image/png,{payload}"')) == WHOLE


def test_other_embedded_bytes_count_towards_the_limit() -> None:
    for spare, message in ((MAX_BYTES, f"larger than {MAX_BYTES}"), (MAX_TEXT, "without its embedded fonts")):
        with pytest.raises(SvgError, match=message):
            read_strokes(page(LINE + " " * spare))


ILLUSTRATOR = """<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd" [
  <!ENTITY ns_svg "http://www.w3.org/2000/svg">
  <!ENTITY ns_extend "http://ns.adobe.com/Extensibility/1.0/">
  <!ENTITY st0 "fill:none;stroke:#000000;">
  <!ATTLIST svg xmlns:x CDATA #FIXED "http://ns.adobe.com/Extensibility/1.0/" a CDATA #IMPLIED>
]>
<svg xmlns="&ns_svg;" xmlns:i="&ns_extend;" viewBox="0 0 100 100"><switch>
<foreignObject requiredExtensions="&ns_extend;" width="1" height="1"><i:pgfRef/>
</foreignObject><g><x:sfw/><path style="&st0;" d="M10 60L90 60"/></g></switch></svg>"""


def test_plain_entities_are_read() -> None:
    assert lines(ILLUSTRATOR.encode()) == WHOLE
    assert lines(b"<!DOCTYPE svg []>" + page(LINE)) == WHOLE
    assert lines(b'<!DOCTYPE svg SYSTEM "a.dtd" [<!ENTITY a "b">]>' + page(LINE)) == WHOLE


@pytest.mark.parametrize(
    ("declaration", "message"),
    [
        ('<!ENTITY a SYSTEM "file:///etc/passwd">', "entities are refused"),
        ('<!ENTITY % a "b">', "entities are refused"),
        ('<!ENTITY a "b"><!ENTITY c "&a;">', "entities are refused"),
        ('<!ENTITY a "&#60;path/>">', "entities are refused"),
        (f'<!ENTITY a "{"b" * 1_001}">', "entities are refused"),
        ("".join(f'<!ENTITY a{i} "b">' for i in range(101)), "entities are refused"),
        ('<!ATTLIST path d CDATA "M0 0L9 9">', "default attributes"),
    ],
)
def test_other_declarations_are_refused(declaration: str, message: str) -> None:
    with pytest.raises(SvgError, match=message):
        read_strokes(f"<!DOCTYPE svg [{declaration}]>".encode() + page(LINE))


def test_entities_that_expand_too_much_are_refused() -> None:
    declaration = f'<!DOCTYPE svg [<!ENTITY a "{"b" * 1_000}">]>'
    with pytest.raises(SvgError, match="expand to more than"):
        read_strokes(declaration.encode() + page(f"<desc>{'&a;' * 2_000}</desc>{LINE}"))
    hidden = f'<?xml version="1.0" encoding="utf-16"?>{declaration}' + page(LINE).decode()
    with pytest.raises(SvgError, match="in a UTF-8 document"):
        read_strokes(hidden.encode("utf-16"))


def test_keep_place_stays_on_the_canvas() -> None:
    sketch = read_svg(page(f'<path {PEN} d="M-50 60H150"/>'), keep_place=True)
    assert isinstance(sketch, VectorSketch)
    np.testing.assert_allclose(sketch.strokes[0], [[0, 0.6], [1, 0.6]], atol=1e-6)
