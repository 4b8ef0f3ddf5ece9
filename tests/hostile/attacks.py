"""Files that mean harm, one function each: what they do, to which reader, and the reason that it must give.

Small ones that a person can read lie in `corpus/`, as do the fuzzer's finds; the others are made here.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sketchcanvas_env.data.file_dataset import MAX_PHOTO_BYTES
from sketchcanvas_env.data.jpeg import MAX_SCANS
from sketchcanvas_env.data.photos import MAX_COEFFICIENTS, MAX_PIXELS
from sketchcanvas_env.svg.reader import MAX_BYTES
from sketchcanvas_env.svg.style import MAX_PIECES, MAX_STYLE, pieces
from tests.hostile.readers import EXPORTS, READERS, svg, write

CORPUS = Path(__file__).parent / "corpus"


@dataclass(frozen=True)
class Attack:
    """A hostile file.

    Attributes:
        reader: key of `READERS`.
        make: writes the file into a folder and returns its path.
        reason: regular expression of what the error must say; None where the part that means harm is left out unread,
            and the file may be read without it.
        seconds: of the processor at most, a guard: the aim is 0.1, and a machine may be slower and busy.
    """

    reader: str
    make: Callable[[Path], Path]
    reason: str | None
    seconds: float = 2.0


def _file(reader: str, data: bytes | Callable[[], bytes], reason: str | None) -> Attack:
    return Attack(
        reader, lambda folder: write(READERS[reader], folder, data if isinstance(data, bytes) else data()), reason
    )


def _card(reader: str, change: Callable[[dict[str, Any]], bytes | dict[str, Any]], reason: str) -> Attack:
    """A good weights file beside a bad card."""

    def make(folder: Path) -> Path:
        card = READERS[reader].good()[1]
        assert card is not None
        changed = change(json.loads(card))
        return write(
            READERS[reader], folder, card=changed if isinstance(changed, bytes) else json.dumps(changed).encode()
        )

    return Attack(reader, make, reason)


# ---------------------------------------------------------------------------------------------------------------- SVG

_DOT = '<circle r="3"/>'
_FULL = MAX_BYTES - 200


def _filled(piece: str, around: str = "{}") -> bytes:
    """An SVG as large as is read, full of one piece."""
    room = (_FULL - len(around)) // len(piece)
    return svg(around.format(piece * room))


def _billion_laughs() -> bytes:
    lines = "".join(f'<!ENTITY a{i} "' + f"&a{i - 1};" * 10 + '">' for i in range(1, 10))
    return f'<!DOCTYPE svg [<!ENTITY a0 "lol">{lines}]><svg><desc>&a9;</desc></svg>'.encode()


def _quadratic_blowup() -> bytes:
    return f'<!DOCTYPE svg [<!ENTITY a "{"a" * 300_000}">]><svg><desc>{"&a;" * 200_000}</desc></svg>'.encode()


def _nested_use() -> bytes:
    levels = "".join(f'<g id="l{i}">' + f'<use href="#l{i - 1}"/>' * 10 + "</g>" for i in range(1, 20))
    return svg(f'<g id="l0">{_DOT}</g>{levels}')


def _nested_patterns() -> bytes:
    patterns = "".join(
        f'<pattern id="p{i}" width="1" height="1"><rect width="9" height="9" fill="url(#p{i - 1})"/></pattern>'
        for i in range(1, 20)
    )
    return svg(f'{patterns}<rect width="9" height="9" fill="url(#p19)"/>')


def _distinct(count: int, form: str) -> str:
    return "".join(form.format(f"{i:x}") for i in range(count))


def _utf7() -> bytes:
    return b'<?xml version="1.0" encoding="utf-7"?>+ADw-svg xmlns="http://www.w3.org/2000/svg"/+AD4-'


def _sheet(text: str, body: str = _DOT) -> bytes:
    return svg(f"<style>{text}</style>{body}")


def _full(piece: str, before: str = "") -> str:
    """As much style as is read, full of one piece."""
    count = (MAX_PIECES - pieces(before)) * 1_000 // (pieces(1_000 * piece) - pieces(""))
    return before + piece * min(count, (MAX_STYLE - len(before)) // len(piece))


def _full_sheet(piece: str, body: str = _DOT, before: str = "") -> bytes:
    """A style sheet as large as is read, full of one piece."""
    return _sheet(_full(piece, before), body)


def _clipped(levels: int, piece: str, count: int = 4_000) -> bytes:
    """Shapes under clips around one another, no two the same."""
    clips = "".join(f'<clipPath id="c{i}"><rect x="{i}" width="90" height="90"/></clipPath>' for i in range(levels))
    around = "".join(f'<g clip-path="url(#c{i})">' for i in range(levels))
    return svg(clips + around + piece * count + "</g>" * levels)


SVG: dict[str, tuple[bytes | Callable[[], bytes], str | None]] = {
    "empty": (b"", "empty"),
    "blanks": (b" \n\t", "empty"),
    "gzip": (lambda: gzip.compress(svg(_DOT)), "compressed"),
    "gzip bomb": (lambda: gzip.compress(bytes(64 << 20)), "compressed"),
    "billion laughs": (_billion_laughs, "entities are refused"),
    "quadratic blowup": (_quadratic_blowup, "entities are refused"),
    "parameter entities": (
        b"<!DOCTYPE s [<!ENTITY % a \"<!ENTITY b 'c'>\">%a;]><svg>&b;</svg>",
        "entities are refused",
    ),
    # Nobody reads the external one: the watch would see it.
    "external DTD": (b'<!DOCTYPE svg SYSTEM "http://127.0.0.1:9/evil.dtd"><svg/>', "no visible stroke"),
    "an entity of an external DTD": (
        b'<!DOCTYPE svg SYSTEM "http://127.0.0.1:9/evil.dtd"><svg>&' + b"a" * 100_000 + b";</svg>",
        "undefined entity",
    ),
    "nested use": (_nested_use, "more than 5000"),
    "use of itself": (svg('<g id="a"><use href="#a"/></g>'), "more than 5000 elements, as often"),
    "use of the root": (svg('<use href="#a"/>', 'id="a"'), "a nested <svg> is not read"),
    "many uses of many points": (
        lambda: svg(f'<path id="a" d="M1 1{"c1 1 2 3 4 5" * 900}"/>' + '<use href="#a"/>' * 4_900),
        "more than 50000 points",
    ),
    "many uses of many blanks": (
        lambda: svg(f'<g id="a" transform="scale(1){" " * 500_000}"/>' + '<use href="#a"/>' * 4_900),
        "more than 1048576 characters, as often",
    ),
    "many uses of many digits": (
        lambda: svg(f'<g id="a" opacity="{"1" * 500_000}"/>' + '<use href="#a"/>' * 4_900),
        "more than 1048576 characters, as often",
    ),
    "a use of nothing": (svg('<use href="#nowhere"/>'), "nothing in this file is called"),
    "a clip of itself": (
        svg(f'<clipPath id="c"><g clip-path="url(#c)">{_DOT}</g></clipPath><g clip-path="url(#c)">{_DOT}</g>'),
        "a clip-path in a clip-path is not read",
    ),
    "a clip that uses what it clips": (
        svg(
            '<clipPath id="c"><use href="#a"/></clipPath><g id="a" clip-path="url(#c)"><rect width="3" height="3"/></g>'
        ),
        "a clip-path in a clip-path is not read",
    ),
    "a clip from elsewhere": (svg(f'<g clip-path="url(file:///etc/passwd#a)">{_DOT}</g>'), "names no <clipPath>"),
    "a clip of many corners": (
        lambda: svg(f'<clipPath id="c"><path d="M0 0{"l1 1" * 40_000}z"/></clipPath><g clip-path="url(#c)">{_DOT}</g>'),
        "not one convex polygon",
    ),
    "a clip as a megabyte of blanks": (lambda: _filled(" ", f'<g clip-path="url( {{}}">{_DOT}</g>'), "names no <clip"),
    "clips around clips": (lambda: _clipped(30, _DOT), "more than 32 edges"),
    "many shapes under clips": (lambda: _clipped(4, '<path d="M1 1L9 9"/>'), None),
    "many points under clips": (
        lambda: _clipped(4, f'<path d="M1 1{"L50 1L-50 1" * 20_000}"/>', 1),
        "more than 5000",
    ),
    "a thousand masks": (lambda: svg(f'<g mask="url(#m)">{_DOT}</g>' * 1_000), "a mask is not read"),
    "nested patterns": (_nested_patterns, None),
    "30,000 pixels of image": (svg('<image width="30000" height="30000" href="a.png"/>'), "<image> is not read"),
    "filter of 30,000 pixels": (svg('<filter id="f"><feTurbulence/></filter>'), "no visible"),
    "5,000 nested groups": (lambda: svg("<g>" * 5_000 + _DOT + "</g>" * 5_000), "nested deeper"),
    "100,000 open groups": (lambda: svg("<g>" * 100_000), "nested deeper"),
    "a megabyte of elements": (lambda: _filled("<g/>"), "more than 5000 elements"),
    "a megabyte of elements in defs": (lambda: _filled("<g/>", "<defs>{}</defs>" + _DOT), "more than 5000 elements"),
    "depth in metadata": (
        lambda: svg("<metadata>" + "<a>" * 100_000 + "</a>" * 100_000 + "</metadata>" + _DOT),
        "nested deeper",
    ),
    "more than a megabyte": (lambda: svg(_DOT + " " * MAX_BYTES), "larger than"),
    "a megabyte path of lines": (lambda: _filled("1 1 ", '<path d="M1 1 {}"/>'), "more than 50000 points"),
    "a megabyte path of curves": (lambda: _filled("c1 1 2 3 4 5", '<path d="M1 1 {}"/>'), "more than 50000 points"),
    "a megabyte path of arcs": (lambda: _filled("a9 9 0 01 2 3", '<path d="M1 1 {}"/>'), "points|finite number"),
    "a megabyte path of closes": (lambda: _filled("z", '<path d="M1 1 {}"/>'), "more than 50000"),
    "a megabyte path of moves": (lambda: _filled("M1 1", '<path d="{}"/>'), "more than 5000 moves"),
    "a megabyte path of moves and curves": (lambda: _filled("M1 1c1 1 2 3 4 5", '<path d="{}"/>'), "more than 50000"),
    "a megabyte of unseen paths": (
        lambda: _filled('<path fill="none" d="M1 1' + "c1 1 2 3 4 5" * 80 + '"/>', "{}" + _DOT),
        "more than 50000",
    ),
    "unseen circles": (lambda: svg('<circle fill="none" r="1"/>' * 4_900 + _DOT), "more than 50000 points"),
    "a megabyte of points": (lambda: _filled("1 ", '<polyline points="{}"/>'), "more than 100000 numbers"),
    "a megabyte of viewBox": (lambda: svg(_DOT, f'viewBox="{"1 " * 500_000}"'), "viewBox"),
    "a megabyte of transforms": (lambda: _filled("rotate(1)", f'<g transform="{{}} ">{_DOT}</g>'), "more than 5000 tr"),
    "transforms spread out": (
        lambda: _filled('<g transform="' + "rotate(1)" * 100 + '"/>', "{}" + _DOT),
        "more than 5000 transforms",
    ),
    "a megabyte in a transform": (lambda: _filled("1 ", f'<g transform="matrix({{}})">{_DOT}</g>'), "transform"),
    "a megabyte of digits": (lambda: _filled("1", '<circle r="{}x"/>'), "not a plain number"),
    "a megabyte of blanks in a number": (lambda: _filled(" ", '<circle r="1{}x"/>'), "not a plain number"),
    "a megabyte of letters in a transform": (lambda: _filled("a", f'<g transform="{{}}">{_DOT}</g>'), "unreadable tr"),
    "a megabyte of identifier": (lambda: _filled("a", '<use id="{}"/>'), "nothing in this file is called"),
    "a megabyte of tag": (lambda: f"<{'a' * 1_000_000}/>".encode(), "not <svg>|longer"),
    "a megabyte of command": (lambda: _filled("k", '<path d="M1 1{}"/>'), "unknown path command"),
    # A parser that knows namespaces writes the whole URI in front of every name.
    "a namespace bomb of elements": (
        lambda: svg(_distinct(4_900, "<a:b{}/>"), f'xmlns:a="{"u" * 900_000}"'),
        "longer than",
    ),
    "a namespace bomb of attributes": (
        lambda: svg("<g" + _distinct(50_000, ' a:b{}=""') + "/>", f'xmlns:a="{"u" * 400_000}"'),
        "longer than|attributes",
    ),
    "a megabyte of attributes": (lambda: svg("<g" + _distinct(80_000, ' a{}=""') + "/>"), "attributes"),
    "NaN": (svg('<circle r="nan"/>'), "not a plain number"),
    "NaN in a path": (svg('<path d="M nan nan L 1 1"/>'), "path data|unknown path command"),
    "infinity": (svg('<path d="M 1 1 L 1e999 1"/>'), "not a finite number"),
    "1e308": (svg('<path d="M 1e308 1e308 L -1e308 1"/>'), "not a finite number"),
    "1e308 in a viewBox": (svg(_DOT, 'viewBox="0 0 1e308 1e308"'), "not a finite number"),
    "1e308 by transforms": (
        svg(f'<g transform="{"scale(1e6)" * 60}">{_DOT}</g>'),
        "beyond 1e[+]06 after its transforms",
    ),
    "a huge exponent": (svg(f'<circle r="1e{"9" * 9_000}"/>'), "not a finite number"),
    "script": (svg("<script>fetch('http://127.0.0.1:9/')</script>"), "<script> is not read"),
    "an event": (svg('<g onload="alert(1)"/>'), "no visible stroke"),
    "a foreign object": (svg("<foreignObject><html/></foreignObject>"), "<foreignObject> is not read"),
    "an external style sheet": (
        b'<?xml-stylesheet href="http://127.0.0.1:9/a.css"?>' + svg("<style>@import url(file:///etc/passwd)</style>"),
        "'@import' in a style sheet is not read",
    ),
    "an external image": (svg('<image href="http://127.0.0.1:9/a.png"/>'), "<image> is not read"),
    "an image of a file": (svg('<image href="file:///etc/passwd"/>'), "<image> is not read"),
    "an external use": (svg('<use href="file:///etc/passwd#a"/>'), "nothing in this file is called"),
    "an external fill": (svg('<rect width="3" height="3" fill="none" stroke="none"/>'), "no visible stroke"),
    "XInclude": (
        svg('<x:include xmlns:x="http://www.w3.org/2001/XInclude" href="file:///etc/passwd" parse="text"/>'),
        "no visible stroke",
    ),
    "UTF-7": (_utf7, "unreadable encoding|not well-formed"),
    "UTF-16 that says it is UTF-8": (
        ('<?xml version="1.0" encoding="utf-8"?>' + svg(_DOT).decode()).encode("utf-16"),
        "not well-formed",
    ),
    "UTF-32": (lambda: svg(_DOT).decode().encode("utf-32"), "not well-formed|unreadable"),
    "latin-1 that says it is UTF-8": (
        '<?xml version="1.0" encoding="utf-8"?><svg><desc>\xe9</desc></svg>'.encode("latin-1"),
        "not well-formed",
    ),
    "an encoding that is none": (b'<?xml version="1.0" encoding="rot13"?><svg/>', "unreadable encoding|not well"),
    "an encoding that is a module": (b'<?xml version="1.0" encoding="os.path"?><svg/>', "unreadable encoding|not well"),
    "a nul byte": (svg("\0" + _DOT), "not well-formed"),
    "a folder's listing": (b"<html><body>404</body></html>", "root element"),
}

STYLES: dict[str, tuple[bytes | Callable[[], bytes], str | None]] = {
    "a megabyte of style": (lambda: _filled(";", '<circle r="3" style="{}fill:none"/>'), "characters of style"),
    "much style": (lambda: svg(f'<circle r="3" style="{_full(";", "fill:none")}"/>'), "no visible stroke"),
    "more style than is read": (
        lambda: svg(f'<circle r="3" style="{";" * MAX_PIECES}fill:none"/>'),
        "more than 16384 words and signs of style",
    ),
    "deep style": (lambda: svg(f'<circle r="3" style="{_full("(", "fill:")}"/>'), "nested too deep"),
    "many different styles": (
        lambda: svg(_distinct(4_900, '<g style="a:{}; fill: none"/>') + _DOT),
        "more than 16384 words and signs of style",
    ),
    "many different empty styles": (lambda: svg(_distinct(4_900, '<g style=";{}"/>') + _DOT), "more than 16384"),
    "a number of many digits in a style": (
        svg(f'<g style="fill:{"1" * 5_000}"/>'),
        "a style with a number of too many",
    ),
    "a number of many digits in a style sheet": (_sheet(f"a{{fill:{'1' * 5_000}}}"), "a style sheet with a number of"),
    "many style sheets": (lambda: svg("<style>a:hover{r:1}</style>" * 4_900 + _DOT), "more than 16384 words"),
    "a megabyte of style sheet": (lambda: _filled("a{}", "<style>{}</style>" + _DOT), "characters of style"),
    "many empty rules": (lambda: _full_sheet("a{}"), None),
    "many rules": (lambda: _full_sheet("*{fill:red}"), "more than 2000 selectors"),
    "many selectors": (lambda: _full_sheet("a,", before="b{fill:red}"), None),
    "many selectors of a rule": (
        lambda: _sheet("a," * (MAX_PIECES // 2 - 100) + "b{fill:red}"),
        "more than 2000 selectors",
    ),
    "a rule of many declarations": (lambda: _full_sheet("fill:red;", before="*{", body="<g/>" * 4_900), "no visible"),
    "a long value for many": (
        lambda: _sheet(f"*{{visibility:{'a' * (MAX_STYLE - 100)}}}", "<g/>" * 4_900),
        "no visible stroke",
    ),
    "rules for everything": (
        lambda: _sheet("*{fill:red}" * 2_000, _distinct(4_900, '<g id="{}"/>')),
        "no vis",
    ),
    "rules of many classes": (
        lambda: _sheet(
            "".join(f".a{'.b' * 6}.c{i}{{fill:red}}" for i in range(700)),
            _distinct(4_900, '<g class="a b c0 {}' + " d" * 90 + '"/>'),
        ),
        "no visible stroke",
    ),
    "rules for elements of all sorts": (
        lambda: _sheet(
            ".a{fill:red}" * 990 + "".join(f".b{i}{{fill:red}}" for i in range(7)),
            "".join(
                f'<g id="{i}" class="a {" ".join(f"b{bit}" for bit in range(7) if i >> bit & 1)}"/>'
                for i in range(4_900)
            ),
        ),
        "rules are to be tried more than 65536 times",
    ),
    "rules, styles and colours for elements of all sorts": (
        lambda: _sheet(
            _full("a:hover{r:1}", "".join(f".a{i:x}{{fill:red}}" for i in range(990)))[:-600],
            _distinct(4_900, '<g id="{}" class="a1 a2 a3" style="fill:red" fill="rgb(1,1,1,0)"/>') + _DOT,
        ),
        None,
    ),
    "rules of eight classes": (
        lambda: _sheet(
            ",".join(f".a.b.c.d.e.f.g.h{i:x}" for i in range(840)) + "{fill:red;stroke:red}",
            "".join(f'<g id="{i}" class="a b c d e f g h{i % 840:x}"/>' for i in range(4_900)) + _DOT,
        ),
        None,
    ),
    "many identifiers": (
        lambda: _sheet(
            "".join(f"#a{i:x},.b{i:x}{{fill:red}}" for i in range(480)),
            _distinct(4_900, '<g id="a{}" class="' + " ".join(f"b{i:x}" for i in range(40)) + '"/>') + _DOT,
        ),
        None,
    ),
    "a selector of many parts": (
        lambda: _sheet(f"{'.a' * (MAX_PIECES // 2 - 100)}{{fill:none}}"),
        "the selector '[.]a",
    ),
    "a selector of many levels": (lambda: _sheet(f"{_full('a>')[:-200]}a{{fill:none}}"), "the selector 'a>"),
    "a selector of many others": (lambda: _sheet(f"{_full('a,', ':is(')[:-200]}a){{fill:none}}"), "the selector ':is"),
    "many selectors that are never met": (lambda: _full_sheet("a:hover{fill:red}"), None),
    "deep blocks in a style sheet": (lambda: _full_sheet("{"), None),
    "deep blocks in a rule": (lambda: _full_sheet("(", before="a{fill:"), "nested too deep"),
    "deep media": (lambda: _sheet(f"@media {'(' * 8_000}{')' * 8_000}{{}}"), "nested too deep"),
    "deep selectors": (lambda: _sheet(":is(" * 5_000 + "{fill:none}"), None),
    "deep selectors, closed": (lambda: _sheet(f"{':is(' * 4_000}a{')' * 4_000}{{fill:none}}"), "nested too deep"),
    "a selector that takes ages": (lambda: _sheet("g " * 40 + "{fill:none}", "<g>" * 30 + "</g>" * 30), "not read"),
    "code in a selector": (lambda: _sheet("""a[href="'+__import__('os').system('true')+'"]{fill:none}"""), "not read"),
    "a control sequence in a selector": (_sheet(r"a\1b [x]{fill:none}"), "not read"),
    "a control sequence in a rule": (_sheet(r"@\1b x{}"), "not read"),
    "quotes without end": (lambda: _full_sheet('"'), None),
    "comments without end": (lambda: _full_sheet("/*"), None),
    "many addresses": (lambda: _full_sheet("url("), None),
    "an imported style sheet": (_sheet("@import 'http://127.0.0.1:9/a.css';"), "'@import' in a style sheet"),
    "a font from elsewhere": (_sheet("@font-face{font-family:a;src:url(http://127.0.0.1:9/a.ttf)}"), None),
    "brackets as a colour": (lambda: svg(_distinct(4_900, '<g fill="' + "(" * 50 + '{}"/>') + _DOT), "more than 16384"),
    "signs as colours": (
        lambda: svg(_distinct(4_900, '<g fill="rgba({0}' + "!" * 50 + '" stroke="hsl({0}' + "/" * 50 + '"/>') + _DOT),
        "more than 16384 words",
    ),
}


def _svg_entity_of_a_file(folder: Path) -> Path:
    secret = folder.parent / "secret.txt"
    secret.write_text("secret")
    text = f'<!DOCTYPE svg [<!ENTITY x SYSTEM "{secret.as_uri()}">]><svg><desc>&x;</desc>{_DOT}</svg>'
    return write(READERS["svg"], folder, text.encode())


# ---------------------------------------------------------------------------------------------------------------- PNG


def chunk(name: bytes, content: bytes) -> bytes:
    """A PNG chunk with its length and checksum."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(
    size: tuple[int, int], rows: bytes, extra: bytes = b"", colour: int = 0, depth: int = 8, interlace: int = 0
) -> bytes:
    """A PNG file that claims a size, whatever its rows hold; `extra` chunks stand before them."""
    header = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, interlace)
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


_ROWS = bytes(9 * 8)  # of 8 x 8 grey pixels
_LARGEST = (4096, MAX_PIXELS["PNG"] // 4096)
_TURNED = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x112, 3, 1, 6, 0, 0)
_INFLATES = zlib.compress(bytes(64 << 20), 9)


def _as(kind: str) -> bytes:
    body = io.BytesIO()
    Image.new("RGB", (8, 8)).save(body, format=kind)
    return body.getvalue()


PNG: dict[str, tuple[bytes | Callable[[], bytes], str | None]] = {
    "empty": (b"", "not a PNG"),
    "signature alone": (b"\x89PNG\r\n\x1a\n", "not a PNG"),
    "30,000 x 30,000": (lambda: png((30_000, 30_000), bytes(1 << 20)), "30000 x 30000 pixels; at most"),
    "2^31 pixels wide": (lambda: png((2**31 - 1, 1), _ROWS), "2147483647 x 1 pixels; at most"),
    "2^32 pixels wide": (lambda: png((2**32 - 1, 2**32 - 1), _ROWS), "pixels; at most"),
    "no pixels": (lambda: png((0, 8), _ROWS), "damaged PNG"),
    "a bomb in iCCP": (lambda: png((8, 8), _ROWS, chunk(b"iCCP", b"a\0\0" + _INFLATES)), None),
    "a bomb in zTXt": (lambda: png((8, 8), _ROWS, chunk(b"zTXt", b"a\0\0" + _INFLATES)), None),
    "many bombs in zTXt": (
        lambda: png((8, 8), _ROWS, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1_000_000), 9)) * 100),
        None,
    ),
    "a bomb in iTXt": (lambda: png((8, 8), _ROWS, chunk(b"iTXt", b"a\0\1\0\0\0" + _INFLATES)), None),
    "a bomb in IDAT": (lambda: png((8, 8), bytes(256 << 20)), None),
    "500,000 empty chunks": (lambda: png((8, 8), _ROWS, chunk(b"tEXt", b"") * 500_000), "chunks"),
    "500,000 pieces of IDAT": (lambda: png((8, 8), b"", chunk(b"IDAT", b"") * 500_000), "chunks"),
    "100,000 frames": (
        lambda: png((8, 8), _ROWS, chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))),
        None,
    ),
    "a chunk longer than the file": (
        lambda: png((8, 8), _ROWS).replace(b"\0\0\0\0IEND", b"\xff\xff\xff\xffIEND"),
        "damaged PNG",
    ),
    "no header": (lambda: b"\x89PNG\r\n\x1a\n" + chunk(b"IDAT", bytes(99)) + bytes(30), "damaged PNG"),
    "two headers": (lambda: png((8, 8), _ROWS)[:33] + png((30_000, 30_000), _ROWS)[8:], "damaged PNG|30000 x 30000"),
    "cut short": (lambda: png((8, 8), _ROWS)[:-20], "damaged PNG"),
    "no rows": (lambda: png((8, 8), b""), "damaged PNG"),
    "a wrong checksum": (lambda: png((8, 8), _ROWS)[:-1] + b"\0", "damaged PNG"),
    "a colour type that is none": (lambda: png((8, 8), _ROWS, colour=7), "damaged PNG"),
    "JPEG": (lambda: _as("JPEG"), "not a PNG"),
    "WebP": (lambda: _as("WEBP"), "not a PNG"),
    "the largest, 16 bits a channel": (
        lambda: png(_LARGEST, bytes(_LARGEST[1] * (1 + 8 * _LARGEST[0])), colour=6, depth=16),
        None,
    ),
    "the largest of 16 bits of grey, one of them transparent": (
        lambda: png(_LARGEST, bytes(_LARGEST[1] * (1 + 2 * _LARGEST[0])), chunk(b"tRNS", bytes(2)), depth=16),
        None,
    ),
    "the largest, one colour transparent, turned, and as long a file as is read": (
        lambda: png(
            _LARGEST,
            bytes(_LARGEST[1] * (1 + 3 * _LARGEST[0])),
            chunk(b"tRNS", bytes(6)) + chunk(b"eXIf", _TURNED) + chunk(b"tEXt", bytes(MAX_PHOTO_BYTES - (1 << 20))),
            colour=2,
        ),
        None,
    ),
    "the largest, interlaced": (
        lambda: png(_LARGEST, bytes(_LARGEST[1] * 8 * _LARGEST[0] + 2 * _LARGEST[1]), colour=6, depth=16, interlace=1),
        None,
    ),
    "the thinnest": (
        lambda: png((65_535, MAX_PIXELS["PNG"] // 65_535), bytes(MAX_PIXELS["PNG"] * 4 + 65_535), colour=6),
        None,
    ),
    "EXIF of 2^32 entries": (
        lambda: png((8, 8), _ROWS, chunk(b"eXIf", b"MM\0*\0\0\0\x08\xff\xff" + b"\xff" * 2**20)),
        None,
    ),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%id) (w) file\n", "not a PNG"),
    "SVG": (svg(_DOT), "not a PNG"),
}


def _jpeg(size: tuple[int, int], mode: str = "RGB", **how: Any) -> bytes:
    body = io.BytesIO()
    Image.new(mode, size).save(body, format="JPEG", **how)
    return body.getvalue()


def _claiming(data: bytes, size: tuple[int, int]) -> bytes:
    """A JPEG file that claims a size, whatever its scans hold."""
    at = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2")) + 5
    return data[:at] + struct.pack(">HH", size[1], size[0]) + data[at + 4 :]


def _of_scans(count: int, size: tuple[int, int] = (4096, MAX_COEFFICIENTS // 3 // 4096)) -> bytes:
    """A progressive JPEG file as long and as large as is read, of `count` scans: its last comes again and again."""
    data = _claiming(_jpeg((64, 64), progressive=True, subsampling=0), size)
    last = data.rindex(b"\xff\xda")
    more = data[last:-2] * (count - data.count(b"\xff\xda"))
    return data[:-2] + more + bytes(MAX_PHOTO_BYTES - len(data) - len(more)) + data[-2:]


def _filled_jpeg(segment: bytes, claims: tuple[int, int] = (8, 8)) -> bytes:
    """A JPEG file as long as is read, full of one segment in front of its picture."""
    data = _claiming(_jpeg((8, 8)), claims)
    return data[:2] + segment * ((MAX_PHOTO_BYTES - len(data)) // len(segment)) + data[2:]


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, 2 + len(body)) + body


def _two_frames() -> bytes:
    data = _jpeg((8, 8))
    at = data.index(b"\xff\xc0")
    return data[:at] + data[at : at + 19] + data[at:]


def _of_coding(marker: int) -> bytes:
    return _jpeg((8, 8)).replace(b"\xff\xc0", bytes([0xFF, marker]), 1)


JPEG: dict[str, tuple[bytes | Callable[[], bytes], str | None]] = {
    "empty": (b"\xff\xd8", "unreadable JPEG"),
    "65,500 x 65,500": (lambda: _claiming(_jpeg((8, 8)), (65_500, 65_500)), "65500 x 65500 pixels"),
    "the largest in one scan": (lambda: _claiming(_jpeg((8, 8)), (8192, 8192)), None),
    "the longest in one scan": (lambda: _claiming(_jpeg((8, 8)), (65_500, 1_000)), None),
    "the longest of four colours": (lambda: _claiming(_jpeg((8, 8), mode="CMYK"), (500, 65_500)), None),
    "progressive, 8,192 x 8,192": (
        lambda: _claiming(_jpeg((8, 8), progressive=True), (8192, 8192)),
        "8192 x 8192 pixels in a progressive JPEG file, 100,663,296 coefficients; at most 48,234,496",
    ),
    "the largest that is progressive": (lambda: _of_scans(10), None),
    "the longest that is progressive": (lambda: _of_scans(10, (65_500, MAX_COEFFICIENTS // 3 // 65_500)), None),
    "as many scans as are read": (lambda: _of_scans(MAX_SCANS), None),
    "one scan more": (lambda: _of_scans(MAX_SCANS + 1), "more than 50 scans"),
    "100,000 scans": (lambda: _of_scans(100_000), "more than 50 scans"),
    "arithmetic coding": (lambda: _of_coding(0xC9), "its coding .0xC9. is neither"),
    "lossless coding": (lambda: _of_coding(0xC3), "its coding .0xC3. is neither"),
    "two frames": (_two_frames, "2 frames"),
    "no segments": (lambda: b"\xff\xd8" + b"\xff" * MAX_PHOTO_BYTES, "unreadable JPEG"),
    "nothing between its segments": (lambda: b"\xff\xd8\xff" + bytes(MAX_PHOTO_BYTES), "unreadable JPEG"),
    "filling": (lambda: _jpeg((8, 8))[:-2] + b"\xff" * MAX_PHOTO_BYTES, "bytes of filling"),
    "empty comments": (lambda: _filled_jpeg(_segment(0xFE, b"")), "more than 10,000 segments"),
    "many resources of Photoshop": (
        lambda: _filled_jpeg(_segment(0xED, b"Photoshop 3.0\0" + (b"8BIM" + bytes(8)) * 5_000)),
        None,
    ),
    "many EXIF": (lambda: _filled_jpeg(_segment(0xE1, b"Exif\0\0" + _TURNED + bytes(60_000))), None),
    "many tables": (lambda: _filled_jpeg(_segment(0xDB, bytes([0, *[1] * 64]) * 1_000)), "bytes of tables"),
    "EXIF without an end": (
        lambda: _jpeg((8, 8), exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x01\x12\0\x03" * 9_000),
        None,
    ),
    "an SVG": (svg(_DOT), "neither a PNG nor a JPEG"),
}


def _link(target: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        outside = folder.parent / "outside.png"
        outside.write_bytes(READERS["png"].good()[0])
        path = folder / "hostile.png"
        path.symlink_to(target.format(outside=outside))
        return path

    return make


def _pipe(folder: Path) -> Path:
    path = folder / "hostile.png"
    os.mkfifo(path)
    return path


# ---------------------------------------------------------------------------------------------------- pickle and npz


_PICKLE: dict[str, tuple[bytes | Callable[[], bytes], str]] = {
    "os.system": (b"cposix\nsystem\n(S'touch hostile-ran'\ntR.", r"global posix\.system"),
    "eval": (b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x041+1 \x85R.", r"global builtins\.eval"),
    "numpy.load": (b"\x80\x03cnumpy\nload\nX\x0b\0\0\0/etc/passwd\x85R.", r"global numpy\.load"),
    "numpy's f2py": (b"\x80\x03cnumpy.f2py.crackfortran\ngetlincoef\n)R.", "global numpy.f2py"),
    "a subprocess": (b"\x80\x03csubprocess\nPopen\nX\x02\0\0\0id\x85R.", r"global subprocess\.Popen"),
    "a socket": (b"\x80\x03csocket\nsocket\n)R.", r"global socket\.socket"),
    "a memo bomb": (
        lambda: b"\x80\x03)" + b"".join(b"r" + struct.pack("<I", i) for i in range(2**21)) + b".",
        "more o",
    ),
    "a memo far out": (b"\x80\x03}r\xff\xff\xff\xffj\xff\xff\xff\xff.", "two|holds no dictionary"),
    "a stack bomb": (lambda: b"\x80\x03" + b"(" * (8 << 20) + b".", "more opcodes"),
    "nested tuples": (lambda: b"\x80\x03)" + b"\x85" * (8 << 20) + b".", "more opcodes"),
    "bytes of 2^62": (b"\x80\x04}\x8e" + struct.pack("<Q", 2**62) + b"x.", "expected"),
    "a frame of 2^62": (b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b"].", "EMPTY_LIST|frame"),
    "a long integer": (lambda: b"\x80\x02\x8b" + struct.pack("<i", 8 << 20) + b"\xff" * (8 << 20) + b".", "LONG4 has"),
    "a decimal integer": (lambda: b"L" + b"9" * (8 << 20) + b"L\n.", "limit|LONG has"),
    "an escape that is none": (b"S'\\q'\n.", "STRING has no place|escape"),
    "a text of surrogates": (b"V\\ud800\n.", "UNICODE has no place"),
    "a megabyte of name": (lambda: b"c" + b"a" * (1 << 20) + b"\nb\n.", "global a"),
    "a megabyte of key": (lambda: b"\x80\x03}X" + struct.pack("<I", 1 << 20) + b"k" * (1 << 20) + b"Ns.", "'kkk"),
}


def npy(shape: str, dtype: str, body: bytes = b"") -> bytes:
    """An .npy file with a header of our own."""
    header = f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + body


def npz(
    changes: dict[str, bytes | None],
    extra: dict[str, bytes] | None = None,
    method: int = zipfile.ZIP_DEFLATED,
    reader: str = "table",
) -> bytes:
    """The good archive of a reader with members replaced (None: left out) or added."""
    body = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(READERS[reader].good()[0])) as old,
        zipfile.ZipFile(body, "w", method, compresslevel=9 if method == zipfile.ZIP_DEFLATED else None) as new,
    ):
        for name in old.namelist():
            content = changes.get(name, old.read(name))
            if content is not None:
                new.writestr(name, content)
        for name, content in (extra or {}).items():
            new.writestr(name, content)
    return body.getvalue()


def _header(reader: str, **changes: Any) -> bytes:
    with zipfile.ZipFile(io.BytesIO(READERS[reader].good()[0])) as archive:
        stored = json.loads(str(np.load(io.BytesIO(archive.read("header.npy")))))
    return header_npy(json.dumps({**stored, **changes}))


def header_npy(text: str) -> bytes:
    """The member `header.npy` of an archive."""
    return npy("()", f"'<U{len(text)}'", text.encode("utf-32-le"))


def _many_members() -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        for i in range(20_000):
            archive.writestr(f"{i}", b"")
    return body.getvalue()


def _lying_sizes(reader: str, member: str, claimed: int) -> bytes:
    """A member whose directory entry claims another size than it unpacks to."""
    data = bytearray(npz({member: bytes(4 << 20)}, reader=reader))
    at = data.rindex(b"PK\x01\x02", 0, data.rindex(member.encode()))
    data[at + 24 : at + 28] = struct.pack("<I", claimed)
    return bytes(data)


def _encrypted(reader: str) -> bytes:
    data = bytearray(npz({}, reader=reader))
    at = data.rindex(b"PK\x01\x02")
    data[at + 8] |= 1
    return bytes(data)


def _overlapping(reader: str) -> bytes:
    """Two entries of the directory that share one place in the file."""
    data = bytearray(npz({}, reader=reader))
    first = data.index(b"PK\x01\x02")
    second = data.index(b"PK\x01\x02", first + 4)
    data[second + 42 : second + 46] = data[first + 42 : first + 46]
    return bytes(data)


_OBJECT = b"\x80\x03cposix\nsystem\nX\x12\0\0\0touch hostile-ran  \x85R."


def _archive(reader: str, ranks: str, text: str) -> dict[str, tuple[bytes | Callable[[], bytes], str]]:
    """What harms any reader of archives.

    Args:
        reader: key of `READERS`.
        ranks: name of a member that holds (n, k) int32.
        text: name of one that holds strings.
    """

    def with_ranks(shape: str, dtype: str = "'<i4'", body: bytes = b"") -> bytes:
        return npz({ranks: npy(shape, dtype, body)}, reader=reader)

    def with_text(shape: str, dtype: str, body: bytes = b"") -> bytes:
        return npz({text: npy(shape, dtype, body)}, reader=reader)

    def with_header(member: bytes) -> bytes:
        return npz({"header.npy": member}, reader=reader)

    return {
        "empty": (b"", "not a usable"),
        "no zip": (b"PK" + bytes(100), "not a usable"),
        "objects": (lambda: with_ranks("(1, 1)", "'|O'", _OBJECT), "dtype object"),
        "objects in a record": (lambda: with_ranks("(1,)", "[('a', '|O')]", _OBJECT), "ranks: dtype"),
        "a pickle": (lambda: npz({ranks: _OBJECT}, reader=reader), "magic"),
        "a header that calls": (lambda: with_ranks("__import__('os').system('id')"), "malformed node"),
        "a header of shapes": (lambda: with_ranks("(" * 2_000 + ")" * 2_000), "not a usable"),
        "a header that is huge": (lambda: with_ranks("(" + "1," * 30_000 + ")"), "not a usable"),
        "a shape of terabytes": (lambda: with_ranks(f"({2**40}, 4)"), "byte"),
        "a shape beyond 64 bits": (lambda: with_ranks(f"({2**80}, {2**80})"), "bytes follow"),
        "a negative shape": (lambda: with_ranks("(-1, -4)", body=bytes(16)), "not a usable"),
        "a wide string": (lambda: with_text("(1,)", f"'<U{2**40}'"), "not a usable"),
        "a string of no width": (lambda: with_text(f"({2**60},)", "'<U0'"), "bytes follow"),
        "letters that are none": (lambda: with_text("(1,)", "'<U1'", b"\xff" * 4), "not a usable"),
        "times": (lambda: with_ranks("(1, 1)", "'<M8[s]'", bytes(8)), "dtype datetime64"),
        "a zip bomb": (lambda: with_ranks(f"({16 << 20}, 4)", body=bytes(256 << 20)), "unpacks to"),
        "a zip bomb of strings": (lambda: with_text(f"({50 << 20},)", "'<U1'", bytes(200 << 20)), "unpacks"),
        "a bomb that hides its size": (lambda: _lying_sizes(reader, ranks, 1_000), "not a usable"),
        "a size of 4 GB": (lambda: _lying_sizes(reader, ranks, 0xFFFFFFFE), "unpacks to"),
        "20,000 members": (_many_members, "more members than"),
        "a name that slips out": (lambda: npz({}, {"../../evil.npy": b"x"}, reader=reader), "'../../evil.npy'"),
        "an absolute name": (lambda: npz({}, {"/etc/cron.d/evil.npy": b"x"}, reader=reader), "'/etc/cron.d/evil.npy'"),
        "a long name": (lambda: npz({}, {"a" * 60_000: b"x"}, reader=reader), "missing, unknown or repeated"),
        "LZMA": (lambda: npz({}, method=zipfile.ZIP_LZMA, reader=reader), "compressed in a way"),
        "bzip2": (lambda: npz({}, method=zipfile.ZIP_BZIP2, reader=reader), "compressed in a way"),
        "encrypted": (lambda: _encrypted(reader), "not a usable"),
        "members that overlap": (lambda: _overlapping(reader), "not a usable"),
        "a deep header": (lambda: with_header(header_npy('{"a":' * 50_000)), "not a usable"),
        "a header of digits": (lambda: with_header(header_npy("9" * 100_000)), "not a usable"),
        "a deep meta": (lambda: with_header(header_npy("[" * 50_000 + "]" * 50_000)), "not a usable"),
        "another format": (lambda: with_header(_header(reader, format=10**400)), "not a usable"),
    }


TABLE: dict[str, tuple[bytes | Callable[[], bytes], str]] = {
    **_archive("table", "ranks.npy", "photos.npy"),
    "NaN": (
        lambda: npz({"flops.npy": npy("(4,)", "'<f8'", struct.pack("<4d", 1, 2, 3, float("nan")))}),
        "flops must be finite",
    ),
    "NaN in meta": (
        lambda: npz({"header.npy": _header("table", meta={"a": float("nan"), "latency": {"machine": "m"}})}),
        "JSON-able",
    ),
    "a gallery of text": (lambda: npz({"header.npy": _header("table", gallery_size={"train": "9"})}), "gallery_size"),
    "a gallery of 10^400": (
        lambda: npz({"header.npy": _header("table", gallery_size=dict.fromkeys(("train", "val", "test"), 10**400))}),
        "not a usable",
    ),
    "a margin of 10^400": (
        lambda: npz({"header.npy": _header("table", meta={"triplet_margin": 10**400})}),
        "not a usable|margin",
    ),
}


def _arrays(reader: str, **changes: Any) -> Callable[[], bytes]:
    """A good archive with some of its arrays replaced, by functions of what they were."""

    def make() -> bytes:
        with np.load(io.BytesIO(READERS[reader].good()[0])) as old:
            made = {f"{name}.npy": _npy_of(change(old[name])) for name, change in changes.items()}
        return npz(made, reader=reader)

    return make


def _npy_of(array: Any) -> bytes:
    body = io.BytesIO()
    np.lib.format.write_array(body, np.asarray(array))
    return body.getvalue()


def _set(place: tuple[int, ...], value: Any, dtype: str | None = None) -> Callable[[Any], Any]:
    """An array with another number in one place, and of another type where one is named."""

    def change(array: Any) -> Any:
        array = array.astype(dtype or array.dtype)
        array[place] = value
        return array

    return change


def _shaped(*shape: int) -> Callable[[Any], Any]:
    """Zeros of another shape and the same type."""
    return lambda array: np.zeros(shape, array.dtype)


def _beside(reader: str) -> dict[str, tuple[bytes | Callable[[], bytes], str | None]]:
    """What harms the reader of looks and that of prefixes."""

    def with_header(**changes: Any) -> Callable[[], bytes]:
        return lambda: npz({"header.npy": _header(reader, **changes)}, reader=reader)

    return {
        "NaN among distances": (_arrays(reader, distances=_set((0, 0, 0), np.nan)), "distances must be finite"),
        "infinite distances": (_arrays(reader, distances=_set((0, 0, 4), np.inf)), "distances must be finite"),
        "distances of 1e308": (_arrays(reader, distances=_set((0, 0, 4), 1e308, "f8")), "distances must be finite"),
        "falling distances": (_arrays(reader, distances=_set((0, 0, 4), 0.0)), "distances must not fall"),
        "complex distances": (_arrays(reader, distances=lambda a: a.astype("c8")), "distances: dtype complex64"),
        "no hash": (with_header(outcomes_hash=None), "outcomes_hash must be"),
        "a hash of a list": (with_header(outcomes_hash=["a"]), "outcomes_hash must be"),
        "another table's hash": (with_header(outcomes_hash="b" * 64), "another outcome table"),
        "a terminal's commands for a hash": (with_header(outcomes_hash="\x1b]0;evil\x07"), "outcomes_hash must be"),
        "a megabyte of hash": (with_header(outcomes_hash="a" * 1_000_000), "another outcome table"),
        "a field too many": (with_header(evil=1), "nothing else"),
        "meta of a list": (with_header(meta=[1]), "objects meta"),
        "NaN in meta": (with_header(meta={"a": float("nan")}), "JSON"),
    }


LOOKS: dict[str, tuple[bytes | Callable[[], bytes], str | None]] = {
    **_archive("looks", "fused_ranks.npy", "header.npy"),
    **_beside("looks"),
    "no canvas": (_arrays("looks", distances=lambda a: a[:, :0]), "no sketch or no canvas"),
    "no sketch": (
        _arrays("looks", distances=_shaped(0, 4, 5), fused_ranks=_shaped(0, 11), fused_triplet=_shaped(0, 11)),
        "no sketch or no canvas",
    ),
    "a number for distances": (_arrays("looks", distances=_shaped()), "distances must have shape"),
    "distances of 30 axes": (_arrays("looks", distances=_shaped(*[1] * 30)), "distances must have shape"),
    "a canvas too many": (_arrays("looks", distances=lambda a: a[:, [0, 1, 2, 3, 3]]), "shape of the table's top"),
    "a hundred thousand canvases": (
        _arrays("looks", distances=_shaped(1, 100_000, 5), fused_ranks=_shaped(1, 11), fused_triplet=_shaped(1, 11)),
        "fused_ranks must not be below 1",
    ),
    "a million sets": (
        lambda: _many_sets(1_000_000),
        "fused_of must hold",
    ),
    "a set of canvases that are none": (_arrays("looks", fused_of=_set((10,), 2**62 + 1)), "fused_of must hold"),
    "a set below zero": (_arrays("looks", fused_of=_set((0,), -5)), "fused_of must hold"),
    "a set of one": (_arrays("looks", fused_of=_set((0,), 2)), "fused_of must hold"),
    "a set twice": (_arrays("looks", fused_of=lambda a: a[[0, 0, *range(2, 11)]]), "fused_of must hold"),
    "rank zero": (_arrays("looks", fused_ranks=_set((0, 0), 0)), "fused_ranks must not be below"),
    "rank 2^40": (_arrays("looks", fused_ranks=_set((0, 0), 2**40, "i8")), "does not fit int32"),
    "a rank behind the gallery": (_arrays("looks", fused_ranks=_set((0, 0), 10**6)), "size of the split's gallery"),
    "ranks of truth": (_arrays("looks", fused_ranks=lambda a: a > 0), "fused_ranks: dtype bool"),
    "a triplet loss of infinity": (_arrays("looks", fused_triplet=_set((0, 0), np.inf)), "fused_triplet must be"),
    "a triplet loss of 1e30": (_arrays("looks", fused_triplet=_set((0, 0), 1e30)), "fused_triplet must not be above"),
}

PREFIXES: dict[str, tuple[bytes | Callable[[], bytes], str | None]] = {
    **_archive("prefixes", "ranks.npy", "header.npy"),
    **_beside("prefixes"),
    "no sketch": (_arrays("prefixes", strokes=_shaped(0)), "strokes must be"),
    "strokes in a table": (_arrays("prefixes", strokes=lambda a: a[:, None]), "strokes must be"),
    "no strokes": (_arrays("prefixes", strokes=_set((0,), 0)), "strokes must be"),
    "strokes below zero": (_arrays("prefixes", strokes=_set((0,), -(2**31))), "strokes must be"),
    "2^62 strokes": (_arrays("prefixes", strokes=_set((0,), 2**62, "i8")), "does not fit int32"),
    "four million sketches": (
        _arrays("prefixes", strokes=lambda a: np.ones(4_000_000, a.dtype)),
        "must have shape",
    ),
    "a stroke too many": (_arrays("prefixes", strokes=lambda a: a + np.eye(1, len(a), dtype=a.dtype)[0]), "shape"),
    "no canvas": (
        _arrays(
            "prefixes",
            canvases=lambda a: a[:0],
            **dict.fromkeys(("ranks", "triplet", "top", "distances"), lambda a: a[:, :0]),
        ),
        "canvases is empty",
    ),
    "canvases that fall": (_arrays("prefixes", canvases=lambda a: a[::-1]), "rise"),
    "a canvas of zero": (_arrays("prefixes", canvases=_set((0,), 0)), "above zero"),
    "a canvas that the table lacks": (_arrays("prefixes", canvases=_set((3,), 2**62)), str(2**62)),
    "a canvas of 2^63": (_arrays("prefixes", canvases=_set((3,), 2**63, "u8")), "canvases: dtype uint64"),
    "canvases of fractions": (_arrays("prefixes", canvases=lambda a: a + 0.5), "canvases: dtype float64"),
    "fifty thousand canvases": (
        _arrays(
            "prefixes",
            canvases=_shaped(50_000),
            strokes=lambda a: a[:1] * 0 + 1,
            ranks=_shaped(1, 50_000),
            triplet=_shaped(1, 50_000),
            top=_shaped(1, 50_000, 5),
            distances=_shaped(1, 50_000, 5),
        ),
        "rise",
    ),
    "a number for ranks": (_arrays("prefixes", ranks=_shaped()), "ranks must have shape"),
    "rank zero": (_arrays("prefixes", ranks=_set((0, 0), 0)), "ranks must not be below"),
    "a rank behind the gallery": (_arrays("prefixes", ranks=_set((0, 0), 2**31 - 1)), "ranks"),
    "a photo that there is not": (_arrays("prefixes", top=_set((0, 0, 0), 2**31 - 1)), "top"),
    "a photo before the first": (_arrays("prefixes", top=_set((0, 0, 0), -(2**31))), "distances must be 2"),
    "a triplet loss of NaN": (_arrays("prefixes", triplet=_set((0, 0), np.nan)), "triplet must be finite"),
    "a triplet loss of 1e30": (_arrays("prefixes", triplet=_set((0, 0), 1e30)), "triplet"),
}


def _many_sets(count: int) -> bytes:
    """Looks that fuse many sets of 62 canvases; the last of them is none."""
    sets = np.arange(count, dtype=np.int64) * 4 + 3
    sets[-1] = 2**62
    changes = {
        "distances": np.zeros((1, 62, 5), np.float32),
        "fused_of": sets,
        "fused_ranks": np.ones((1, count), np.int32),
        "fused_triplet": np.zeros((1, count), np.float32),
    }
    return npz({f"{name}.npy": _npy_of(array) for name, array in changes.items()}, reader="looks")


# -------------------------------------------------------------------------------------------------------- safetensors


def tensors(header: bytes | dict[str, Any], body: bytes = b"", size: int | None = None) -> bytes:
    """A safetensors file with a header of our own."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + body


def _one(dtype: str, shape: list[int], ends: tuple[int, int]) -> dict[str, Any]:
    return {"w": {"dtype": dtype, "shape": shape, "data_offsets": list(ends)}}


SAFETENSORS: dict[str, tuple[bytes | Callable[[], bytes], str]] = {
    "empty": (b"", ""),
    "a header of 2^63 bytes": (tensors(b"{}", size=2**63), ""),
    "a header longer than the file": (tensors(b"{}", size=10_000), ""),
    "a header that is no JSON": (tensors(b"{x"), ""),
    "a header that is deep": (lambda: tensors(b'{"a":' * 100_000), ""),
    "a header of blanks": (lambda: tensors(b"{}" + b" " * (8 << 20)), ""),
    "100,000 tensors of nothing": (
        lambda: tensors({f"t{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(100_000)}),
        "",
    ),
    "a tensor of terabytes": (tensors(_one("F32", [2**40], (0, 2**42))), ""),
    "a shape that overflows": (tensors(_one("F32", [2**33, 2**33], (0, 4)), bytes(4)), ""),
    "offsets that overlap": (
        tensors(
            {
                "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
                "b": {"dtype": "F32", "shape": [1], "data_offsets": [2, 6]},
            },
            bytes(6),
        ),
        "",
    ),
    "offsets that run backwards": (tensors(_one("F32", [1], (4, 0)), bytes(4)), ""),
    "a name twice": (
        tensors(
            b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"w":{"dtype":"F32","shape":[1],'
            b'"data_offsets":[4,8]}}',
            bytes(8),
        ),
        "",
    ),
    "bytes that no tensor owns": (tensors(_one("F32", [1], (0, 4)), bytes(400)), ""),
    "a type that is none": (tensors(_one("F99", [1], (0, 4)), bytes(4)), ""),
    "a pickle": (_OBJECT, ""),
}
"""For each of the four readers; the reason is the library's, so only the file's name is asked for."""


def good_tensors(reader: str) -> dict[str, Any]:
    """The tensors of the good file of a reader."""
    from safetensors.torch import load

    return load(READERS[reader].good()[0])


def _retyped(reader: str, dtype: str) -> bytes:
    """All tensors of a good file in another type."""
    import torch
    from safetensors.torch import save

    kind = getattr(torch, dtype)
    return save({name: tensor.float().to(kind) for name, tensor in good_tensors(reader).items()})


def _spoiled(reader: str, value: float) -> bytes:
    from safetensors.torch import save

    state = good_tensors(reader)
    name = sorted(name for name, tensor in state.items() if tensor.is_floating_point())[0]
    state[name].view(-1)[0] = value
    return save(state)


def _huge_weights(folder: Path, reader: str) -> Path:
    """A weights file of 8 GB that takes no room on the disk."""
    path = write(READERS[reader], folder)
    os.truncate(path, 8 << 30)
    return path


_CARDS: dict[str, tuple[Callable[[dict[str, Any]], bytes | dict[str, Any]], str]] = {
    "empty": (lambda card: b"", "JSON"),
    "no text": (lambda card: b"\xff\xfe\xfd", "JSON"),
    "deep lists": (lambda card: b"[" * 100_000, "JSON"),
    "deep objects": (lambda card: b'{"a":' * 100_000, "JSON"),
    "deep in a field": (lambda card: json.dumps(card).encode()[:-1] + b',"x":' + b"[" * 90_000, "JSON"),
    "huge": (lambda card: json.dumps({**card, "x": "y" * (20 << 20)}).encode(), "larger than|too large"),
    "a number of 100,000 digits": (lambda card: b'{"format": ' + b"1" * 100_000 + b"}", "JSON"),
    "a list": (lambda card: b"[]", "card"),
    "null": (lambda card: b"null", "card"),
    "another format": (lambda card: {**card, "format": 10**400}, "format"),
}

_STUDENT_CONFIGS: dict[str, tuple[dict[str, Any], str]] = {
    "a backbone of no kind": ({"backbone": ["a"]}, "unhashable|backbone"),
    "a backbone from the network": ({"backbone": "hf-hub:evil/model"}, "unknown backbone"),
    "10,000 canvases": ({"canvases": list(range(32, 10_032))}, "canvases"),
    "canvases of text": ({"canvases": "abc"}, "canvas|int"),
    "a canvas of infinity": ({"canvases": [float("inf")]}, "infinity|canvas"),
    "a canvas of a million": ({"canvases": [10**6]}, "canvas"),
    "a head of a billion": ({"heads": [{"stride": 32, "grid": 1, "dim": 10**9, "share": 1.0}]}, "dim"),
    "a grid of a billion": ({"heads": [{"stride": 32, "grid": 10**9, "dim": 1, "share": 1.0}]}, "grid"),
    "a head of half a unit": ({"heads": [{"stride": 32, "grid": 1, "dim": 1.5, "share": 1.0}]}, "dim|heads"),
    "a share of NaN": ({"heads": [{"stride": 32, "grid": 1, "dim": 4, "share": float("nan")}]}, "share"),
    "heads that are none": ({"heads": 3}, "heads|iterable"),
    "photos of a million": ({"photo_side": 10**6}, "photo_side"),
    "photos of NaN": ({"photo_side": float("nan")}, "photo_side"),
    "a setting too many": ({"evil": 1}, "unknown student settings"),
}


def _with_config(changes: dict[str, Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda card: {**card, "config": {**card["config"], **changes}}


def _with(changes: dict[str, Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda card: {**card, **changes}


_SELECTOR_CARDS: dict[str, tuple[dict[str, Any], str]] = {
    "100,000 canvases": ({"canvases": list(range(1, 100_001))}, "canvases"),
    "a network of a list": ({"selector": [1]}, "damaged"),
    "a network of no name": ({"selector": {"name": ["a"], "n_actions": 4}}, "damaged"),
    "a wide network": ({"selector": {"name": "stats", "n_actions": 4, "n_stats": 19, "hidden": 10**9}}, "damaged"),
    "a network of infinity": ({"selector": {"name": "stats", "n_actions": float("inf"), "n_stats": 3}}, "damaged"),
    "a config of a list": ({"config": []}, "damaged"),
    "a config of a text": ({"config": "env"}, "damaged"),
    "an environment of a list": ({"config": {"env": [1]}}, "damaged"),
    "canvases of a number": ({"canvases": 3}, "damaged"),
    "points of 10^400": ({"max_points": 10**400}, "max_points"),
}

_INDEX_CARDS: dict[str, tuple[dict[str, Any], str]] = {
    "10^400 photos": ({"photos": 10**400}, "'photos'"),
    "half a photo": ({"photos": 2.5}, "'photos'"),
    "a dimension of infinity": ({"dim": float("inf")}, "'dim'"),
    "a billion skipped": ({"skipped": 10**9}, "'skipped'"),
    "a student of a list": ({"student": ["a"]}, "'student'"),
    "a data set that is a path": ({"kind": "dataset", "source": "../../etc:test"}, "no split"),
}


def _index_of(**changes: str) -> Callable[[], bytes]:
    """A good index with other texts in it."""

    def make() -> bytes:
        import torch
        from safetensors.torch import save

        texts = {name: torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8) for name, text in changes.items()}
        return save({**good_tensors("index"), **texts})

    return make


_INDEXES: dict[str, tuple[Callable[[], bytes], str]] = {
    "a name that slips out": (_index_of(ids="a\nb\n../../etc/passwd"), "no path below"),
    "an absolute name": (_index_of(ids="a\nb\n/etc/passwd"), "no path below"),
    "a terminal's commands": (_index_of(ids="a\nb\n\x1b]0;evil\x07"), "cannot be printed"),
    "a name twice": (_index_of(ids="a\nb\na"), "a name of its own"),
    "a long name": (_index_of(ids="a\nb\n" + "c" * 3_000), "longer than"),
    "a megabyte of lines": (_index_of(ids="\n" * (1 << 20)), "larger than"),
}

_CHECKPOINT_STATES: dict[str, tuple[str | None, str]] = {
    "none": (None, "not a checkpoint"),
    "no JSON": ("{", "not a checkpoint"),
    "deep": ("[" * 100_000, "not a checkpoint"),
    "a list": ("[]", "not a checkpoint"),
    "no config": ("{}", "not a checkpoint"),
    "a config of a list": ('{"config": [1]}', "not a checkpoint"),
    "a number of 100,000 digits": ("9" * 100_000, "not a checkpoint"),
}


def _checkpoint_state(state: str | None) -> bytes:
    metadata = {"format": "sketchcanvas-checkpoint-1"} | ({} if state is None else {"state": state})
    return tensors({"__metadata__": metadata, **_one("F32", [1], (0, 4))}, bytes(4))


# --------------------------------------------------------------------------------------------------------------- ONNX


def _graph(nodes: list[Any], constants: list[Any] | None = None, shape: tuple[int, ...] = (1, 2)) -> bytes:
    """A model of "x", (1, 2) float32, that gives "y"; none of ours takes that."""
    from onnx import TensorProto, helper

    takes, gives = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in (("x", (1, 2)), ("y", shape))
    )
    graph = helper.make_graph(nodes, "g", [takes], [gives], constants or [])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    data: bytes = made.SerializeToString()
    return data


def _outside(location: str, offset: int = 0, length: int = 8) -> Callable[[], bytes]:
    """A model whose constant lies in a file."""

    def make() -> bytes:
        from onnx import TensorProto, helper

        constant = TensorProto(name="w", data_type=TensorProto.UINT8, dims=[length], data_location=1)
        for key, value in (("location", location), ("offset", offset), ("length", length)):
            constant.external_data.add(key=key, value=str(value))
        nodes = [
            helper.make_node("Cast", ["w"], ["c"], to=TensorProto.FLOAT),
            helper.make_node("ReduceSum", ["x"], ["s"], keepdims=0),
            helper.make_node("Add", ["c", "s"], ["y"]),
        ]
        return _graph(nodes, [constant], (length,))

    return make


def _product_of_constants() -> bytes:
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Expand", ["z", "s"], ["a"]),
        helper.make_node("MatMul", ["a", "a"], ["b"]),
        helper.make_node("ReduceSum", ["b"], ["r"], keepdims=0),
        helper.make_node("Add", ["x", "r"], ["y"]),
    ]
    constants = [("z", TensorProto.FLOAT, [1], [1.0]), ("s", TensorProto.INT64, [2], [8_000, 8_000])]
    return _graph(nodes, [helper.make_tensor(*each) for each in constants])


def _doubled_constant() -> bytes:
    from onnx import TensorProto, helper

    doubled = [helper.make_node("Concat", [f"a{i}"] * 2, [f"a{i + 1}"], axis=0) for i in range(30)]
    rest = [helper.make_node("ReduceSum", ["a30"], ["r"], keepdims=0), helper.make_node("Add", ["x", "r"], ["y"])]
    return _graph(doubled + rest, [helper.make_tensor("a0", TensorProto.FLOAT, [1], [1.0])])


def _nested_branches() -> bytes:
    """Thirty levels, nearly as deep as a protocol buffer may be; the other branches are missing."""
    from onnx import TensorProto, helper

    inner = helper.make_node("Identity", ["x"], ["y"])
    for _ in range(30):
        gives = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
        inner = helper.make_node("If", ["t"], ["y"], then_branch=helper.make_graph([inner], "b", [], [gives]))
    return _graph([inner], [helper.make_tensor("t", TensorProto.BOOL, [], [True])])


def _operator(name: str, domain: str = "") -> Callable[[], bytes]:
    def make() -> bytes:
        from onnx import helper

        return _graph([helper.make_node(name, ["x"], ["y"], domain=domain)])

    return make


def _answering(reader: str, kind: str, value: Any) -> Callable[[], bytes]:
    """A good graph whose output is replaced by a constant of another kind, whatever it says about its shape."""

    def make() -> bytes:
        import onnx
        from onnx import helper

        model = onnx.load_from_string(READERS[reader].good()[0])
        told = model.graph.output[0]
        constant = onnx.numpy_helper.from_array(np.array(value), "c")
        del model.graph.node[:], model.graph.initializer[:]
        model.graph.node.append(helper.make_node("Constant", [], [told.name], value=constant))
        told.type.tensor_type.elem_type = getattr(onnx.TensorProto, kind)
        data: bytes = model.SerializeToString()
        return data

    return make


def _stumbling(reader: str) -> bytes:
    """A good graph that looks for the millionth row of its input on the way out."""
    import onnx
    from onnx import TensorProto, helper

    model = onnx.load_from_string(READERS[reader].good()[0])
    told, takes = model.graph.output[0], model.graph.input[0]
    del model.graph.node[:], model.graph.initializer[:]
    for name, values in (("i", [10**6]), ("n", [-1]), ("shape", [1, 4])):
        model.graph.initializer.append(helper.make_tensor(name, TensorProto.INT64, [len(values)], values))
    model.graph.node.extend(
        [
            helper.make_node("Cast", [takes.name], ["f"], to=TensorProto.FLOAT),
            helper.make_node("Reshape", ["f", "n"], ["flat"]),
            helper.make_node("Shape", ["flat"], ["len"]),
            helper.make_node("Mul", ["len", "i"], ["far"]),
            helper.make_node("Gather", ["flat", "far"], ["none"], axis=0),
            helper.make_node("Expand", ["none", "shape"], [told.name]),
        ]
    )
    data: bytes = model.SerializeToString()
    return data


def _graphs(reader: str) -> dict[str, tuple[bytes | Callable[[], bytes], str]]:
    dim = 4  # of the good student's embeddings, and canvases of the good selector
    other = "does not take what|its graph turns"
    return {
        "empty": (b"", "no graph"),
        "text": (b"a cat", "no graph"),
        "a pickle": (_OBJECT, "no graph"),
        "cut short": (lambda: READERS[reader].good()[0][:-100], "no graph"),
        "a length beyond the file": (b"\x08\x08\x3a\xff\xff\xff\xff\x07", "no graph"),
        "100,000 levels": (lambda: _levels(100_000), "no graph"),
        "a file of the working folder": (_outside("README.md"), "no graph"),
        "a file of a folder below": (_outside("tests/helpers.py"), "no graph"),
        "a file of a folder above": (_outside("../../../../../../etc/passwd"), "no graph"),
        "an absolute file": (_outside("/etc/passwd"), "no graph"),
        "a device": (_outside("/dev/zero", length=1 << 20), "no graph"),
        "memory behind the weights": (_outside("student.bin", 1 << 40), "no graph"),
        "weights that are too long": (_outside("student.bin", 0, 1 << 30), "no graph"),
        "weights before the first": (_outside("student.bin", -64), "no graph"),
        "an operator that is none": (_operator("Evil"), "no graph"),
        "an operator of a terminal's commands": (_operator("\x1b]0;evil\x07"), "no graph"),
        "an operator of a stranger": (_operator("Evil", "com.evil"), "no graph"),
        "a product of large constants": (_product_of_constants, other),
        "a constant that doubles": (_doubled_constant, other),
        "nested branches": (_nested_branches, "no graph"),
        "another network": (_operator("Identity"), other),
        "an answer of text": (_answering(reader, "STRING", [["a"] * dim]), "something else than float32|no graph"),
        "an answer of integers": (_answering(reader, "INT64", [[1] * dim]), "something else than float32|no graph"),
        "an answer of another shape": (_answering(reader, "FLOAT", np.zeros((3, dim + 1), "f4")), "graph|give"),
        "a row too many": (_answering(reader, "FLOAT", np.zeros((2, dim), "f4")), "something else than|graph"),
        "NaN": (_answering(reader, "FLOAT", np.full((1, dim), np.nan, "f4")), "NaN or infinity"),
        "infinity": (_answering(reader, "FLOAT", np.full((1, dim), np.inf, "f4")), "NaN or infinity"),
        "stumbling": (lambda: _stumbling(reader), "cannot be run"),
    }


def _levels(count: int) -> bytes:
    """A protocol buffer in a protocol buffer ...; lengths are right as far as anybody looks."""
    data = b""
    for _ in range(200):
        data = b"\x3a" + _varint(len(data)) + data
    return data + b"\x3a\xff\xff\xff\x7f" * (count - 200)


def _varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


_EXPORT_CARDS: dict[str, tuple[dict[str, Any], str]] = {
    "no files": ({"files": {}}, "names no files"),
    "files of a list": ({"files": ["a"]}, "names no files"),
    "a file above": ({"files": {"../secret.txt": "a"}}, "no name of a file beside it"),
    "a file of the machine": ({"files": {"/etc/passwd": "a"}}, "no name of a file beside it"),
    "a hidden file": ({"files": {".secret": "a"}}, "no name of a file beside it"),
    "a hash of a number": ({"files": {"a.onnx": 1}}, "is no text"),
    "weights of a list": ({"weights": ["a"]}, "weights is no text"),
    "weights of a stranger": ({"weights": "/etc/passwd"}, "does not vouch"),
    "canvases of a number": ({"canvases": 3}, "damaged"),
    "canvases that fall": ({"canvases": [64, 32]}, "damaged"),
}

_EXPORTED_STUDENT_CARDS: dict[str, tuple[dict[str, Any], str]] = {
    **_EXPORT_CARDS,
    "10,000 canvases": ({"canvases": [{"side": 9, "file": "student-32.onnx", "flops": 1.0}] * 10_000}, "damaged"),
    "a graph of a stranger": ({"canvases": [{"side": 32, "file": "../a", "flops": 1.0}]}, "does not vouch"),
    "FLOPs of NaN": ({"canvases": [{"side": 32, "file": "student-32.onnx", "flops": float("nan")}]}, "damaged"),
    "FLOPs of infinity": ({"canvases": [{"side": 32, "file": "student-32.onnx", "flops": 1e999}]}, "damaged"),
    "FLOPs below zero": ({"canvases": [{"side": 32, "file": "student-32.onnx", "flops": -1}]}, "damaged"),
    "a dimension of 10^400": ({"dim": 10**400}, "does not give what its card says"),
    "a dimension below zero": ({"dim": -4}, "does not give what its card says"),
    "a dimension of infinity": ({"dim": float("inf")}, "damaged"),
    "photos of 10^9": ({"photo": {"side": 10**9, "file": "student-photo.onnx"}}, "damaged"),
    "photos of a list": ({"photo": [1]}, "damaged"),
    "no source": ({"source": None}, "damaged"),
    "another precision": ({"precision": ["int8"]}, "damaged"),
}

_EXPORTED_SELECTOR_CARDS: dict[str, tuple[dict[str, Any], str]] = {
    **_EXPORT_CARDS,
    "a canvas too many": ({"canvases": [16, 32, 64, 128, 256]}, "damaged"),
    "10,000 canvases": ({"canvases": list(range(10_000))}, "damaged"),
    "points of 10^400": ({"max_points": 10**400}, "damaged"),
    "points of infinity": ({"max_points": float("inf")}, "damaged"),
    "what it reads is a list": ({"reads": [["stats"]]}, "damaged"),
    "it reads secrets": ({"reads": ["secrets"]}, "damaged"),
    "FLOPs of NaN": ({"flops": [float("nan")] * 40}, "damaged"),
    "FLOPs of text": ({"flops": ["a"] * 40}, "damaged"),
    "FLOPs in FLOPs": ({"flops": [[1.0], [1.0, 2.0]]}, "damaged"),
    "FLOPs of 10^400": ({"flops": [10**400] * 40}, "damaged"),
}


def _cascade_with(**changes: Any) -> dict[str, Any]:
    return {"cascade": {"ranking": "last", "costs": [1.0, 3.0, 12.0], **changes}}


_EXPORTED_CASCADE_CARDS: dict[str, tuple[dict[str, Any], str]] = {
    **_EXPORTED_SELECTOR_CARDS,
    "1,000 canvases": ({"canvases": list(range(1, 1_001))}, "at most 8 canvases"),
    "it is told a tradeoff": ({"reads": ["stats", "looks", "last", "tradeoff"]}, "damaged"),
    "it does not see what is shown": ({"reads": ["stats"]}, "its graph turns"),
    "a cascade of a list": ({"cascade": [1]}, "damaged"),
    "a cascade of nothing": ({"cascade": None}, "damaged"),
    "a cascade of text": ({"cascade": "evil"}, "damaged"),
    "a ranking of a list": (_cascade_with(ranking=["last"]), "unknown ranking"),
    "a ranking of a megabyte": (_cascade_with(ranking="a" * 1_000_000), "unknown ranking"),
    "a ranking of a terminal's commands": (_cascade_with(ranking="\x1b]0;evil\x07"), "unknown ranking"),
    "costs of a number": (_cascade_with(costs=3), "costs must be 3 numbers"),
    "a cost too many": (_cascade_with(costs=[1.0] * 4), "costs must be 3 numbers"),
    "costs of text": (_cascade_with(costs=["a"] * 3), "costs must be 3 numbers"),
    "costs of lists": (_cascade_with(costs=[[1.0]] * 3), "costs must be 3 numbers"),
    "costs of NaN": (_cascade_with(costs=[float("nan")] * 3), "finite numbers above zero"),
    "costs of infinity": (_cascade_with(costs=[1.0, 2.0, float("inf")]), "finite numbers above zero"),
    "costs of both infinities": (_cascade_with(costs=[1.0, float("-inf"), float("inf")]), "damaged"),
    "costs of nothing": (_cascade_with(costs=[0.0] * 3), "finite numbers above zero"),
    "costs below zero": (_cascade_with(costs=[1.0, 2.0, -3.0]), "finite numbers above zero"),
    "costs of 10^400": (_cascade_with(costs=[10**400] * 3), "too large to be added up"),
    "costs that add up to infinity": (_cascade_with(costs=[1.5e308] * 3), "too large to be added up"),
}


# ------------------------------------------------------------------------------------------------------- all together


def _all() -> dict[str, Attack]:
    found: dict[str, Attack] = {}
    for reader, cases in (
        ("svg", SVG),
        ("png", PNG),
        ("jpeg", JPEG),
        ("pickle", _PICKLE),
        ("table", TABLE),
        ("looks", LOOKS),
        ("prefixes", PREFIXES),
    ):
        found |= {f"{reader}: {name}": _file(reader, data, reason) for name, (data, reason) in cases.items()}
    found |= {
        f"svg: {name}": replace(_file("svg", data, reason), seconds=0.5) for name, (data, reason) in STYLES.items()
    }
    for reader in ("student", "selector", "index", "checkpoint"):
        found |= {f"{reader}: {name}": _file(reader, data, reason) for name, (data, reason) in SAFETENSORS.items()}
    for reader in EXPORTS:
        found |= {f"{reader}: {name}": _file(reader, data, reason) for name, (data, reason) in _graphs(reader).items()}
        found[f"{reader}: 8 GB"] = Attack(reader, lambda f, r=reader: _huge_weights(f, r), "larger than")
    for reader in ("student", "selector", "index", *EXPORTS):
        found |= {f"{reader} card: {name}": _card(reader, make, reason) for name, (make, reason) in _CARDS.items()}
    for reader in ("student", "selector", "index"):
        for value in ("nan", "inf"):
            found[f"{reader}: {value}"] = _file(
                reader, lambda r=reader, v=value: _spoiled(r, float(v)), "NaN or infinity"
            )
        for kind in ("bool", "int64", "complex64", "float8_e4m3fn", "float64"):
            found[f"{reader}: weights of {kind}"] = _file(
                reader, lambda r=reader, k=kind: _retyped(r, k), f"{kind}|larger than|F8_E4M3"
            )
        found[f"{reader}: weights of 8 GB"] = Attack(reader, lambda f, r=reader: _huge_weights(f, r), "larger than")
    found |= {
        f"student card: {name}": _card("student", _with_config(changes), reason)
        for name, (changes, reason) in _STUDENT_CONFIGS.items()
    }
    found |= {
        f"selector card: {name}": _card("selector", _with(changes), reason)
        for name, (changes, reason) in _SELECTOR_CARDS.items()
    }
    found |= {
        f"{reader} card: {name}": _card(reader, _with(changes), reason)
        for reader, cases in (
            ("index", _INDEX_CARDS),
            ("onnxstudent", _EXPORTED_STUDENT_CARDS),
            ("onnxselector", _EXPORTED_SELECTOR_CARDS),
            ("onnxcascade", _EXPORTED_CASCADE_CARDS),
        )
        for name, (changes, reason) in cases.items()
    }
    found |= {f"index: {name}": _file("index", data, reason) for name, (data, reason) in _INDEXES.items()}
    found |= {
        f"checkpoint state: {name}": _file("checkpoint", _checkpoint_state(state), reason)
        for name, (state, reason) in _CHECKPOINT_STATES.items()
    }
    found |= {
        "svg: an entity of a file": Attack("svg", _svg_entity_of_a_file, "entities are refused"),
        "png: a link out": Attack("png", _link("{outside}"), "a link that leads out of"),
        "png: a relative link out": Attack("png", _link("../outside.png"), "a link that leads out of"),
        "png: a link to itself": Attack("png", _link("hostile.png"), "not a plain file"),
        "png: a link to a device": Attack("png", _link("/dev/zero"), "a link that leads out of"),
        "png: a pipe": Attack("png", _pipe, "not a plain file"),
    }
    return found


ATTACKS = _all()
