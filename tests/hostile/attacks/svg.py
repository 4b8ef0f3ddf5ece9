"""SVG documents that mean harm."""

from __future__ import annotations

import gzip
from pathlib import Path

from sketchcanvas_env.svg.document import MAX_BYTES, MAX_TEXT
from sketchcanvas_env.svg.reader import MAX_CHARACTERS
from tests.hostile.attacks.attack import Attack, Content, files
from tests.hostile.readers import READERS, svg, write

DOT = '<circle r="3"/>'
_FULL = MAX_CHARACTERS - 200


def filled(piece: str, around: str = "{}") -> bytes:
    """An SVG as large as is read, full of one piece."""
    room = (_FULL - len(around)) // len(piece)
    return svg(around.format(piece * room))


def _spare(form: str, filler: str = "A") -> bytes:
    """A file as large as is read: a dot, and one piece of it full of something that is left out."""
    return svg(form.format(filler * (MAX_BYTES - 1_000)) + DOT)


def _entity(value: str, body: str) -> bytes:
    return f'<!DOCTYPE svg [<!ENTITY a "{value}">]>'.encode() + svg(body)


def _chain(tag: str, attribute: str) -> bytes:
    """2,400 clips or masks, each in the next."""
    links = "".join(f'<{tag} id="c{i}" {attribute}="url(#c{i + 1})">{DOT}</{tag}>' for i in range(2_400))
    return svg(f'{links}<g {attribute}="url(#c0)">{DOT}</g>')


def _billion_laughs() -> bytes:
    lines = "".join(f'<!ENTITY a{i} "' + f"&a{i - 1};" * 10 + '">' for i in range(1, 10))
    return f'<!DOCTYPE svg [<!ENTITY a0 "lol">{lines}]><svg><desc>&a9;</desc></svg>'.encode()


def _quadratic_blowup() -> bytes:
    return f'<!DOCTYPE svg [<!ENTITY a "{"a" * 300_000}">]><svg><desc>{"&a;" * 200_000}</desc></svg>'.encode()


def _nested_use() -> bytes:
    levels = "".join(f'<g id="l{i}">' + f'<use href="#l{i - 1}"/>' * 10 + "</g>" for i in range(1, 20))
    return svg(f'<g id="l0">{DOT}</g>{levels}')


def _nested_patterns() -> bytes:
    patterns = "".join(
        f'<pattern id="p{i}" width="1" height="1"><rect width="9" height="9" fill="url(#p{i - 1})"/></pattern>'
        for i in range(1, 20)
    )
    return svg(f'{patterns}<rect width="9" height="9" fill="url(#p19)"/>')


def distinct(count: int, form: str) -> str:
    return "".join(form.format(f"{i:x}") for i in range(count))


def _utf7() -> bytes:
    return b'<?xml version="1.0" encoding="utf-7"?>+ADw-svg xmlns="http://www.w3.org/2000/svg"/+AD4-'


def _clipped(levels: int, piece: str, count: int = 4_000) -> bytes:
    """Shapes under clips around one another, no two the same."""
    clips = "".join(f'<clipPath id="c{i}"><rect x="{i}" width="90" height="90"/></clipPath>' for i in range(levels))
    around = "".join(f'<g clip-path="url(#c{i})">' for i in range(levels))
    return svg(clips + around + piece * count + "</g>" * levels)


SVG: dict[str, tuple[Content, str | None]] = {
    "empty": (b"", "empty"),
    "blanks": (b" \n\t", "empty"),
    "gzip": (lambda: gzip.compress(svg(DOT)), "compressed"),
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
    "an entity in an attribute": (
        lambda: _entity("1" * 1_000, f'<path d="M1 1L{"&a;" * 100_000}"/>'),
        "expand to more than",
    ),
    "an entity in another encoding": (
        lambda: (
            b'<?xml version="1.0" encoding="cp037"?>'.decode()
            + _entity("1" * 1_000, f'<path d="M1 1L{"&a;" * 100_000}"/>').decode()
        ).encode("cp037"),
        "entities are refused|not well-formed",
    ),
    "an entity of an attribute list": (
        b'<!DOCTYPE svg [<!ATTLIST circle r CDATA "9">]>' + svg("<circle/>"),
        "default attributes",
    ),
    "a million namespaces by default": (
        lambda: ("<!DOCTYPE svg [" + "<!ATTLIST g xmlns:a CDATA 'b'>" * 100_000 + "]>").encode() + svg(DOT),
        "default attributes",
    ),
    "16 MiB of a font": (lambda: _spare("<style>@font-face{{src:url(data:font/woff2;base64,{})}}</style>"), None),
    "16 MiB of a picture": (lambda: _spare('<image href="data:image/png;base64,{}"/>'), None),
    "16 MiB of a comment": (lambda: _spare("<!--{}-->"), "without its embedded fonts and pictures"),
    "16 MiB of beginnings of data": (lambda: _spare("<desc>{}</desc>", "data:")[: MAX_BYTES // 5], None),
    "4 MiB of a comment": (lambda: svg(f"<!--{'A' * (MAX_TEXT - 500)}-->{DOT}"), None),
    "4 MiB of text": (lambda: svg(f"<text>{'A ' * (MAX_TEXT // 2 - 500)}</text>{DOT}"), None),
    "4 MiB of elements in HTML": (
        lambda: svg(f"<foreignObject>{'<b/>' * (MAX_TEXT // 4 - 500)}</foreignObject>{DOT}"),
        "more than 100000 elements in text",
    ),
    "4 MiB of an attribute that is left out": (lambda: svg(f'<g a="{"A" * (MAX_TEXT - 500)}"/>{DOT}'), None),
    "4 MiB of attributes": (lambda: svg("<g" + distinct(350_000, ' a{}=""') + "/>"), "attributes"),
    "4 MiB of a path": (
        lambda: svg(f'<path d="M1 1{"l1 1" * (MAX_TEXT // 4 - 500)}"/>'),
        "more than 1048576 characters",
    ),
    "clips of clips": (lambda: _chain("clipPath", "clip-path"), "a clip-path of itself, or more than 16"),
    "masks of masks": (lambda: _chain("mask", "mask"), "only a mask in the user's space that has none itself"),
    "a mask of many shapes": (
        lambda: svg(
            '<mask id="m">' + '<circle r="9" fill="#fff"/><circle r="8"/>' * 350 + "</mask>"
            '<g mask="url(#m)">' + '<path d="M1 1L9 9L0 99z"/>' * 1_000 + "</g>"
        ),
        "comparisons",
    ),
    "many clips of one shape": (
        lambda: svg(
            '<clipPath id="c"><circle r="9"/></clipPath>'
            + "".join(f'<g transform="scale({i})" clip-path="url(#c)">{DOT}</g>' for i in range(1, 1_600))
        ),
        "comparisons",
    ),
    "nested pages": (
        lambda: svg('<svg width="9" height="9">' * 40 + DOT + "</svg>" * 40),
        "more than 16 clips and masks",
    ),
    "pages of no width": (lambda: svg(f'<svg width="1e-200" height="9" viewBox="0 0 9 9">{DOT}</svg>'), None),
    "a page of no width": (lambda: svg(DOT, 'viewBox="0 0 9 9" width="1e-320" height="9"'), None),
    "nested use": (_nested_use, "more than 5000"),
    "use of itself": (svg('<g id="a"><use href="#a"/></g>'), "more than 5000 elements, as often"),
    "use of the root": (svg('<use href="#a"/>', 'id="a"'), "more than 5000 elements, as often"),
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
        svg(f'<clipPath id="c"><g clip-path="url(#c)">{DOT}</g></clipPath><g clip-path="url(#c)">{DOT}</g>'),
        "a clip-path in a clip-path is not read",
    ),
    "a clip that uses what it clips": (
        svg(
            '<clipPath id="c"><use href="#a"/></clipPath><g id="a" clip-path="url(#c)"><rect width="3" height="3"/></g>'
        ),
        "a clip-path in a clip-path is not read",
    ),
    "a clip from elsewhere": (svg(f'<g clip-path="url(file:///etc/passwd#a)">{DOT}</g>'), "names no <clipPath>"),
    "a clip of many corners": (
        lambda: svg(f'<clipPath id="c"><path d="M0 0{"l1 1" * 40_000}z"/></clipPath><g clip-path="url(#c)">{DOT}</g>'),
        "comparisons",
    ),
    "a clip as a megabyte of blanks": (lambda: filled(" ", f'<g clip-path="url( {{}}">{DOT}</g>'), "names no <clip"),
    "clips around clips": (lambda: _clipped(30, DOT), "more than 16 clips and masks"),
    "many shapes under clips": (lambda: _clipped(4, '<path d="M1 1L9 9"/>'), None),
    "many points under clips": (
        lambda: _clipped(4, f'<path d="M1 1{"L50 1L-50 1" * 20_000}"/>', 1),
        "more than 5000",
    ),
    "a thousand masks": (lambda: svg(f'<g mask="url(#m)">{DOT}</g>' * 1_000), "names no <mask>"),
    "nested patterns": (_nested_patterns, None),
    "30,000 pixels of image": (svg('<image width="30000" height="30000" href="a.png"/>'), "<image> is not read"),
    "filter of 30,000 pixels": (svg('<filter id="f"><feTurbulence/></filter>'), "no visible"),
    "5,000 nested groups": (lambda: svg("<g>" * 5_000 + DOT + "</g>" * 5_000), "nested deeper"),
    "100,000 open groups": (lambda: svg("<g>" * 100_000), "nested deeper"),
    "a megabyte of elements": (lambda: filled("<g/>"), "more than 5000 elements"),
    "a megabyte of elements in defs": (lambda: filled("<g/>", "<defs>{}</defs>" + DOT), "more than 5000 elements"),
    "depth in metadata": (
        lambda: svg("<metadata>" + "<a>" * 100_000 + "</a>" * 100_000 + "</metadata>" + DOT),
        "nested deeper",
    ),
    "more than a megabyte": (lambda: svg(DOT + " " * MAX_BYTES), "larger than"),
    "a megabyte path of lines": (lambda: filled("1 1 ", '<path d="M1 1 {}"/>'), "more than 50000 points"),
    "a megabyte path of curves": (lambda: filled("c1 1 2 3 4 5", '<path d="M1 1 {}"/>'), "more than 50000 points"),
    "a megabyte path of arcs": (lambda: filled("a9 9 0 01 2 3", '<path d="M1 1 {}"/>'), "points|finite number"),
    "a megabyte path of closes": (lambda: filled("z", '<path d="M1 1 {}"/>'), "more than 50000"),
    "a megabyte path of moves": (lambda: filled("M1 1", '<path d="{}"/>'), "more than 5000 moves"),
    "a megabyte path of moves and curves": (lambda: filled("M1 1c1 1 2 3 4 5", '<path d="{}"/>'), "more than 50000"),
    "a megabyte of unseen paths": (
        lambda: filled('<path fill="none" d="M1 1' + "c1 1 2 3 4 5" * 80 + '"/>', "{}" + DOT),
        "more than 50000",
    ),
    "unseen circles": (lambda: svg('<circle fill="none" r="1"/>' * 4_900 + DOT), "more than 50000 points"),
    "a megabyte of points": (lambda: filled("1 ", '<polyline points="{}"/>'), "more than 100000 numbers"),
    "a megabyte of viewBox": (lambda: svg(DOT, f'viewBox="{"1 " * 500_000}"'), "viewBox"),
    "a megabyte of transforms": (lambda: filled("rotate(1)", f'<g transform="{{}} ">{DOT}</g>'), "more than 5000 tr"),
    "transforms spread out": (
        lambda: filled('<g transform="' + "rotate(1)" * 100 + '"/>', "{}" + DOT),
        "more than 5000 transforms",
    ),
    "a megabyte in a transform": (lambda: filled("1 ", f'<g transform="matrix({{}})">{DOT}</g>'), "transform"),
    "a megabyte of digits": (lambda: filled("1", '<circle r="{}x"/>'), "not a plain number"),
    "a megabyte of blanks in a number": (lambda: filled(" ", '<circle r="1{}x"/>'), "not a plain number"),
    "a megabyte of letters in a transform": (lambda: filled("a", f'<g transform="{{}}">{DOT}</g>'), "unreadable tr"),
    "a megabyte of identifier": (lambda: filled("a", '<use id="{}"/>'), "nothing in this file is called"),
    "a megabyte of tag": (lambda: f"<{'a' * 1_000_000}/>".encode(), "not <svg>|longer"),
    "a megabyte of command": (lambda: filled("k", '<path d="M1 1{}"/>'), "unknown path command"),
    # A parser that knows namespaces writes the whole URI in front of every name.
    "a namespace bomb of elements": (
        lambda: svg(distinct(4_900, "<a:b{}/>"), f'xmlns:a="{"u" * 900_000}"'),
        "no visible stroke",
    ),
    "a namespace bomb of attributes": (
        lambda: svg("<g" + distinct(50_000, ' a:b{}=""') + "/>", f'xmlns:a="{"u" * 400_000}"'),
        "longer than|attributes",
    ),
    "a megabyte of attributes": (lambda: svg("<g" + distinct(80_000, ' a{}=""') + "/>"), "attributes"),
    "NaN": (svg('<circle r="nan"/>'), "not a plain number"),
    "NaN in a path": (svg('<path d="M nan nan L 1 1"/>'), "path data|unknown path command"),
    "infinity": (svg('<path d="M 1 1 L 1e999 1"/>'), "not a finite number"),
    "1e308": (svg('<path d="M 1e308 1e308 L -1e308 1"/>'), "not a finite number"),
    "1e308 in a viewBox": (svg(DOT, 'viewBox="0 0 1e308 1e308"'), "not a finite number"),
    "1e308 by transforms": (
        svg(f'<g transform="{"scale(1e6)" * 60}">{DOT}</g>'),
        "beyond 1e[+]06 after its transforms",
    ),
    "a huge exponent": (svg(f'<circle r="1e{"9" * 9_000}"/>'), "not a finite number"),
    "script": (svg("<script>fetch('http://127.0.0.1:9/')</script>"), "<script> is not read"),
    "an event": (svg('<g onload="alert(1)"/>'), "no visible stroke"),
    "a foreign object": (svg("<foreignObject><html/></foreignObject>"), "no visible stroke"),
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
        ('<?xml version="1.0" encoding="utf-8"?>' + svg(DOT).decode()).encode("utf-16"),
        "not well-formed",
    ),
    "UTF-32": (lambda: svg(DOT).decode().encode("utf-32"), "not well-formed|unreadable"),
    "latin-1 that says it is UTF-8": (
        '<?xml version="1.0" encoding="utf-8"?><svg><desc>\xe9</desc></svg>'.encode("latin-1"),
        "not well-formed",
    ),
    "an encoding that is none": (b'<?xml version="1.0" encoding="rot13"?><svg/>', "unreadable encoding|not well"),
    "an encoding that is a module": (b'<?xml version="1.0" encoding="os.path"?><svg/>', "unreadable encoding|not well"),
    "a nul byte": (svg("\0" + DOT), "not well-formed"),
    "a folder's listing": (b"<html><body>404</body></html>", "root element"),
}


def _svg_entity_of_a_file(folder: Path) -> Path:
    secret = folder.parent / "secret.txt"
    secret.write_text("secret")
    text = f'<!DOCTYPE svg [<!ENTITY x SYSTEM "{secret.as_uri()}">]><svg><desc>&x;</desc>{DOT}</svg>'
    return write(READERS["svg"], folder, text.encode())


ATTACKS: dict[str, Attack] = {
    **files("svg", SVG),
    "svg: an entity of a file": Attack("svg", _svg_entity_of_a_file, "entities are refused"),
}
