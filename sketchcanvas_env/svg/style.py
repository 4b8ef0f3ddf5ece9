"""What the attributes and style sheets of an SVG say of its elements, as far as strokes need to know it.

Style sheets are parsed by tinycss2 and cssselect2, as CairoSVG does, under limits. Only rules for elements, classes and
identifiers are read: whatever else would change what is seen is refused, not overlooked. cssselect2's own matching is
not used, because it runs source code that it makes of a file's selectors.

Both parsers take a microsecond or two for each word or sign, so those are counted before anything is parsed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any
from xml.etree.ElementTree import Element

from sketchcanvas_env.svg.text import SvgError, leading_number

NAMESPACE = "{http://www.w3.org/2000/svg}"
MAX_STYLE = 1 << 16
"""Characters of style sheets, different `style` attributes, and different colours that need a parser, together."""
MAX_PIECES = 1 << 14
"""Of the same: their words and signs (see `pieces`)."""
MAX_SELECTORS = 2_000

_INHERITED = ("fill", "stroke", "visibility", "fill-opacity", "stroke-opacity", "stroke-width")
_OWN = ("display", "opacity", "clip-path", "mask", "transform-origin")
_MOVES = ("transform", "translate", "rotate", "scale", "offset", "offset-path")
_GEOMETRY = ("d", "x", "y", "cx", "cy", "r", "rx", "ry", "width", "height")
"""Properties that are read as attributes only. As CSS they have a grammar of their own."""
_ATTRIBUTES = _INHERITED + _OWN
_READ = frozenset(_ATTRIBUTES + _MOVES + _GEOMETRY)
_HARMLESS_RULES = ("font-face", "charset", "keyframes", "namespace", "page")
_OTHER_MEDIA = ("print", "(prefers-color-scheme:dark)")
"""Conditions, without blanks, under which nothing here is drawn."""
_MAX_PARTS = 8
"""Of a selector: each is looked for in every element."""
_MAX_TOKENS = 4 * _MAX_PARTS
"""Of a selector with its blanks and comments."""
_MAX_TRIES = 1 << 16
"""How often a rule is held against elements that differ in what rules speak of."""
_MOODS = ("hover", "focus", "focus-visible", "focus-within", "active", "visited", "target")
"""Pseudo-classes of what a visitor does. Nobody does it on paper."""
_MAX_VALUE = 200
"""Characters of a value. Nothing that means something here is longer."""
_MAX_COLOUR = 64
_PLAIN = re.compile(
    r"[a-z]+|#(?:\w{3}|\w{6}|\w*[1-9a-f])|url\(#.*"
    r"|\w+\(\s*[^\s,/()\\]+[\s,]+[^\s,/()\\]+[\s,]+[^\s,/()\\]+(?:\s*[,/]\s*[\d.]*[1-9][\d.]*%?)?\s*\)",
    re.IGNORECASE,
)
"""Most colours: nothing but "transparent" among them is clear, so they need no parser."""
_TEXT = 4
"""Pieces that a text costs as such."""
_PIECE = re.compile(r"\w+(?:-[^\W\d]\w*)*|[ \t\r\n\f]+|.", re.DOTALL)

Style = dict[str, str]
Word = str | tuple[str, str]
"""What a selector asks for: a class, or an element or identifier as ("element", name) or ("id", name)."""


def pieces(text: str) -> int:
    """What it costs to parse a text of CSS: its words, signs and runs of blanks, and a little for itself.

    The parser's tokens are hardly ever more: a hyphen before a digit may begin a number, so it is a piece of its own.
    """
    return _TEXT + len(_PIECE.findall(text))


def is_svg(element: Element) -> bool:
    """Whether an element is SVG's own, not an editor's."""
    return element.tag.startswith(NAMESPACE) or not element.tag.startswith("{")


def drawn(style: Style) -> bool:
    """Whether an element and what it holds may be seen at all."""
    return style.get("display") != "none" and _amount(style.get("opacity"))


def filled(style: Style) -> bool:
    """Whether a shape is seen by its fill."""
    return _shown(style) and style.get("fill") != "none" and _amount(style.get("fill-opacity"))


def stroked(style: Style) -> bool:
    """Whether a shape is seen by its stroke."""
    paints = style.get("stroke", "none") != "none"
    return _shown(style) and paints and _amount(style.get("stroke-opacity")) and _amount(style.get("stroke-width"))


def _shown(style: Style) -> bool:
    return style.get("visibility", "visible").lower() not in ("hidden", "collapse")


def _amount(text: str | None) -> bool:
    """Whether an opacity or a width is more than nothing."""
    number = leading_number(text or "")
    return number is None or number > 0


class Styles:
    """The style sheets of a document, and its elements' own attributes."""

    def __init__(self, root: Element) -> None:
        """Read the style sheets of a document, given by its root.

        Raises:
            SvgError: more than `MAX_STYLE` characters, `MAX_PIECES` pieces or `MAX_SELECTORS` selectors, an at-rule
                that may decide what is seen, or a rule about what is seen for other than elements, classes and
                identifiers.
        """
        self._characters = self._pieces = self._tries = 0
        self._parsed: dict[str, tuple[Style, Style]] = {}
        self._found: dict[frozenset[Word], tuple[Style, Style]] = {}
        self._clear: dict[str, bool] = {}
        with _parsing("a style sheet"):
            rules = list(islice(self._rules(root), MAX_SELECTORS + 1))
        if len(rules) > MAX_SELECTORS:
            raise SvgError(f"more than {MAX_SELECTORS} selectors in style sheets")
        self._sorted = sorted(rules, key=lambda rule: rule.specificity)  # those alike stay in order
        self._words = frozenset[Word]().union(*(rule.words for rule in rules))
        self._places: dict[Word, list[int]] = {}  # of rules, by one of their words
        for place, rule in enumerate(self._sorted):
            self._places.setdefault(rule.last, []).append(place)

    def of(self, element: Element) -> Style:
        """The properties that are given to one element. `filled` and `stroked` ask for those that children inherit.

        Raises:
            SvgError: more than `MAX_STYLE` characters or `MAX_PIECES` pieces, elements too different for the rules that
                there are, or a property that is read as an attribute only.
        """
        normal, important = self._declared(element.get("style", ""))
        below, above = self._matched(element)
        css = {**below, **normal, **above, **important}
        unread = _MOVES if element.tag.removeprefix(NAMESPACE) in ("svg", "g") else _MOVES + _GEOMETRY
        for name, text in css.items():
            if name in unread and text.lower() not in ("none", "auto"):
                raise SvgError(f"{name!r} in a style is not read; as an attribute it may be")
        given = {**element.attrib, **css}
        found = {name: given[name][:_MAX_VALUE].strip() for name in _ATTRIBUTES if name in given}
        for name in ("fill", "stroke"):
            if name in found and self._is_clear(found[name]):
                found[name] = "none"
        origin = found.pop("transform-origin", None)
        if origin is not None and element.get("transform"):
            raise SvgError("'transform-origin' is not read")
        return {name: text for name, text in found.items() if text not in ("", "inherit", "unset")}

    def _declared(self, text: str) -> tuple[Style, Style]:
        """What a `style` attribute says: as usual, and `!important`."""
        if not text.strip():
            return {}, {}
        if text not in self._parsed:  # drawing tools write the same ones over and over
            self._spend(text)
            with _parsing("a style"):
                self._parsed[text] = _declarations(text)
        return self._parsed[text]

    def _spend(self, text: str) -> None:
        self._characters += len(text)
        if self._characters > MAX_STYLE:
            raise SvgError(f"more than {MAX_STYLE} characters of style")
        self._pieces += pieces(text)
        if self._pieces > MAX_PIECES:
            raise SvgError(f"more than {MAX_PIECES} words and signs of style")

    def _is_clear(self, colour: str) -> bool:
        """Whether a fill or stroke is none at all; "currentColor" and gradients count as colours."""
        if colour.lower() in ("none", "transparent"):
            return True
        if len(colour) > _MAX_COLOUR or _PLAIN.fullmatch(colour):
            return False
        if colour not in self._clear:
            from tinycss2.color4 import parse_color

            self._spend(colour)
            self._clear[colour] = False
            with suppress(ValueError):  # of "color()"; what else is no colour is None
                self._clear[colour] = getattr(parse_color(colour), "alpha", 1) == 0
        return self._clear[colour]

    def _matched(self, element: Element) -> tuple[Style, Style]:
        """What the style sheets say of an element."""
        if not self._sorted:
            return {}, {}
        name, identifier = element.tag.removeprefix(NAMESPACE), element.get("id", "")
        words = self._words.intersection([("element", name), ("id", identifier), *element.get("class", "").split()])
        if words not in self._found:
            places = [place for word in (_ALL, *words) for place in self._places.get(word, ())]
            self._tries += len(places)
            if self._tries > _MAX_TRIES:
                raise SvgError(f"style sheets whose rules are to be tried more than {_MAX_TRIES} times")
            normal: Style = {}
            important: Style = {}
            for place in sorted(places):
                if self._sorted[place].words <= words:
                    normal.update(self._sorted[place].declared[0])
                    important.update(self._sorted[place].declared[1])
            self._found[words] = normal, important
        return self._found[words]

    def _rules(self, root: Element) -> Iterator[_Rule]:
        """Those that say something of what is read."""
        import tinycss2

        for sheet in _sheets(root):
            text = sheet.text or ""
            self._spend(text)
            if sheet.get("media", "all").strip() not in ("", "all", "screen"):
                raise SvgError("a style sheet for some media only is not read")
            for rule in tinycss2.parse_stylesheet(text, skip_comments=True, skip_whitespace=True):
                if rule.type == "at-rule" and not _is_harmless(rule):
                    raise SvgError(f"the rule {'@' + rule.lower_at_keyword[:40]!r} in a style sheet is not read")
                # CSS lets mistakes pass.
                if rule.type == "qualified-rule" and any(declared := _declarations(rule.content)):
                    yield from _rules_of(rule.prelude, declared)


def _sheets(root: Element) -> Iterator[Element]:
    for element in root.iter():
        if element.tag.removeprefix(NAMESPACE) == "style" and element.get("type", "text/css") in ("", "text/css"):
            yield element


def _is_harmless(rule: Any) -> bool:
    """Whether an at-rule changes nothing of a drawing on paper."""
    import tinycss2

    if rule.lower_at_keyword == "media":
        return "".join(tinycss2.serialize(rule.prelude).split()) in _OTHER_MEDIA
    return rule.lower_at_keyword in _HARMLESS_RULES


def _declarations(source: Any) -> tuple[Style, Style]:
    """Of a text or parsed tokens: what is read, as usual, and `!important`."""
    import tinycss2

    found: tuple[Style, Style] = {}, {}
    for one in tinycss2.parse_declaration_list(source, skip_comments=True, skip_whitespace=True):
        if one.type == "declaration" and one.lower_name in _READ:
            found[one.important][one.lower_name] = tinycss2.serialize(one.value).strip()
    return found


@contextmanager
def _parsing(what: str) -> Iterator[None]:
    """Say which part of a document its parser cannot take."""
    try:
        yield
    except SvgError:
        raise
    except RecursionError:
        raise SvgError(f"{what} nested too deep") from None
    except ValueError:  # Python reads no whole number of more than some thousand digits
        raise SvgError(f"{what} with a number of too many digits") from None


_ALL = ("element", "*")


@dataclass(frozen=True)
class _Rule:
    """For elements that have all of its words, of which `last` is one; `_ALL` where it has none."""

    words: frozenset[Word]
    last: Word
    specificity: tuple[int, int, int]
    declared: tuple[Style, Style]


def _rules_of(prelude: Any, declared: tuple[Style, Style]) -> Iterator[_Rule]:
    """A rule for each selector of a list.

    Raises:
        SvgError: a selector that is not made of elements, classes and identifiers, or none at all.
    """
    from cssselect2 import parser

    for tokens in _selectors(prelude):
        if any(one == ":" and two.type == "ident" and two.lower_value in _MOODS for one, two in pairwise(tokens)):
            continue
        try:
            # Nothing with brackets is read, and a parser would take long for what they may hold.
            if len(tokens) > _MAX_TOKENS or any(token.type.endswith(("block", "function")) for token in tokens):
                raise parser.SelectorError
            [selector] = parser.parse(tokens)
            tree = selector.parsed_tree
            words = [_word(part) for part in getattr(tree, "simple_selectors", [tree])]
            if selector.pseudo_element is not None or len(words) > _MAX_PARTS:
                raise parser.SelectorError
        except parser.SelectorError:
            import tinycss2

            text = " ".join(tinycss2.serialize(tokens).split())
            raise SvgError(
                f"the selector {text[:60]!r} in a style sheet is not read; elements, .classes and #ids are"
            ) from None
        yield _Rule(frozenset(words), words[-1] if words else _ALL, selector.specificity, declared)


def _selectors(prelude: Any) -> Iterator[list[Any]]:
    """The tokens of each selector of a list."""
    tokens: list[Any] = []
    for token in prelude:
        if token == ",":
            yield tokens
            tokens = []
        else:
            tokens.append(token)
    yield tokens


def _word(part: Any) -> Word:
    """What one part of a selector asks for.

    Raises:
        SelectorError: something else than an element, a class or an identifier.
    """
    from cssselect2 import parser

    if isinstance(part, parser.ClassSelector):
        return str(part.class_name)
    if isinstance(part, parser.IDSelector):
        return "id", str(part.ident)
    if isinstance(part, parser.LocalNameSelector):
        return "element", str(part.local_name)
    raise parser.SelectorError
