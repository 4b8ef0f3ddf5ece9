"""Style sheets and style attributes that mean harm."""

from __future__ import annotations

from sketchcanvas_env.svg.style import MAX_PIECES, MAX_STYLE, pieces
from tests.hostile.attacks.attack import Content, files
from tests.hostile.attacks.svg import DOT, distinct, filled
from tests.hostile.readers import svg


def _sheet(text: str, body: str = DOT) -> bytes:
    return svg(f"<style>{text}</style>{body}")


def _full(piece: str, before: str = "") -> str:
    """As much style as is read, full of one piece."""
    count = (MAX_PIECES - pieces(before)) * 1_000 // (pieces(1_000 * piece) - pieces(""))
    return before + piece * min(count, (MAX_STYLE - len(before)) // len(piece))


def _full_sheet(piece: str, body: str = DOT, before: str = "") -> bytes:
    """A style sheet as large as is read, full of one piece."""
    return _sheet(_full(piece, before), body)


STYLES: dict[str, tuple[Content, str | None]] = {
    "a megabyte of style": (lambda: filled(";", '<circle r="3" style="{}fill:none"/>'), "characters of style"),
    "much style": (lambda: svg(f'<circle r="3" style="{_full(";", "fill:none")}"/>'), "no visible stroke"),
    "more style than is read": (
        lambda: svg(f'<circle r="3" style="{";" * MAX_PIECES}fill:none"/>'),
        "more than 16384 words and signs of style",
    ),
    "deep style": (lambda: svg(f'<circle r="3" style="{_full("(", "fill:")}"/>'), "nested too deep"),
    "many different styles": (
        lambda: svg(distinct(4_900, '<g style="a:{}; fill: none"/>') + DOT),
        "more than 16384 words and signs of style",
    ),
    "many different empty styles": (lambda: svg(distinct(4_900, '<g style=";{}"/>') + DOT), "more than 16384"),
    "a number of many digits in a style": (
        svg(f'<g style="fill:{"1" * 5_000}"/>'),
        "a style with a number of too many",
    ),
    "a number of many digits in a style sheet": (_sheet(f"a{{fill:{'1' * 5_000}}}"), "a style sheet with a number of"),
    "many style sheets": (lambda: svg("<style>a:hover{r:1}</style>" * 4_900 + DOT), "more than 16384 words"),
    "a megabyte of style sheet": (lambda: filled("a{}", "<style>{}</style>" + DOT), "characters of style"),
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
        lambda: _sheet("*{fill:red}" * 2_000, distinct(4_900, '<g id="{}"/>')),
        "no vis",
    ),
    "rules of many classes": (
        lambda: _sheet(
            "".join(f".a{'.b' * 6}.c{i}{{fill:red}}" for i in range(700)),
            distinct(4_900, '<g class="a b c0 {}' + " d" * 90 + '"/>'),
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
            distinct(4_900, '<g id="{}" class="a1 a2 a3" style="fill:red" fill="rgb(1,1,1,0)"/>') + DOT,
        ),
        None,
    ),
    "rules of eight classes": (
        lambda: _sheet(
            ",".join(f".a.b.c.d.e.f.g.h{i:x}" for i in range(840)) + "{fill:red;stroke:red}",
            "".join(f'<g id="{i}" class="a b c d e f g h{i % 840:x}"/>' for i in range(4_900)) + DOT,
        ),
        None,
    ),
    "many identifiers": (
        lambda: _sheet(
            "".join(f"#a{i:x},.b{i:x}{{fill:red}}" for i in range(480)),
            distinct(4_900, '<g id="a{}" class="' + " ".join(f"b{i:x}" for i in range(40)) + '"/>') + DOT,
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
    "a control sequence in a rule": (_sheet(r"@\1b x{a{fill:none}}"), "not read"),
    "quotes without end": (lambda: _full_sheet('"'), None),
    "comments without end": (lambda: _full_sheet("/*"), None),
    "many addresses": (lambda: _full_sheet("url("), None),
    "an imported style sheet": (_sheet("@import 'http://127.0.0.1:9/a.css';"), "'@import' in a style sheet"),
    "a font from elsewhere": (_sheet("@font-face{font-family:a;src:url(http://127.0.0.1:9/a.ttf)}"), None),
    "brackets as a colour": (lambda: svg(distinct(4_900, '<g fill="' + "(" * 50 + '{}"/>') + DOT), "more than 16384"),
    "signs as colours": (
        lambda: svg(distinct(4_900, '<g fill="rgba({0}' + "!" * 50 + '" stroke="hsl({0}' + "/" * 50 + '"/>') + DOT),
        "more than 16384 words",
    ),
}


ATTACKS = files("svg", STYLES, seconds=0.5)
