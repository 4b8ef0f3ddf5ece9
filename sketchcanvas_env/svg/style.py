"""Presentation attributes and style sheets of an SVG, as far as they affect strokes.

Selectors of elements, classes and identifiers are supported, which is what drawing tools write. Rules with other
selectors are ignored if they set no property used here, and refused otherwise. tinycss2 parses style sheets; it takes a
microsecond or two for each token, so tokens are counted before.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any
from xml.etree.ElementTree import Element

from sketchcanvas_env.svg.text import Budget, SvgError, leading_number

MAX_STYLE = 1 << 16
"""Most characters in style sheets, distinct `style` attributes and distinct colours together."""
MAX_PIECES = 1 << 14
"""Most tokens in the same (see `pieces`)."""
MAX_SELECTORS = 2_000

_INHERITED = (
    "fill", "stroke", "visibility", "fill-opacity", "stroke-opacity", "stroke-width", "fill-rule", "clip-rule",
)  # fmt: skip
_OWN = ("display", "opacity", "clip-path", "mask", "mask-type", "overflow", "transform-origin", "transform-box")
PROPERTIES = frozenset(_INHERITED + _OWN)
"""Properties read as attributes and as CSS."""
_MOVES = ("transform", "translate", "rotate", "scale", "offset", "offset-path")
_GEOMETRY = ("d", "x", "y", "cx", "cy", "r", "rx", "ry", "width", "height")
"""Properties read as attributes only, because their CSS syntax differs."""
_READ = PROPERTIES | set(_MOVES + _GEOMETRY)
_SETS = re.compile(rf"(?<![\w-])(?:{'|'.join(sorted(_READ))})\s*:", re.IGNORECASE)
_IGNORED_RULES = ("font-face", "charset", "keyframes", "namespace", "page")
_OTHER_MEDIA = ("print", "(prefers-color-scheme:dark)")
"""Media conditions, without blanks, that do not hold on a screen with light colours."""
_FONT = re.compile(r"font|family=", re.IGNORECASE)
"""Matches the address of an `@import` of fonts."""
_INTERACTIVE = re.compile(r":(?:hover|focus|focus-visible|focus-within|active|visited|target)(?![\w-])", re.IGNORECASE)
"""Interactive pseudo-classes; their rules are ignored."""
_SELECTOR = re.compile(r"(\*|[^\W\d][\w-]*)?((?:[.#]-?[^\W\d][\w-]*)*)")
_WORD = re.compile(r"[.#][\w-]+")
_MAX_PARTS = 8
"""Most words in a selector."""
_MAX_TRIES = 1 << 16
"""Most comparisons of rules with distinct elements."""
_MAX_VALUE = 200
"""Most characters of a value that are read; no valid value is longer."""
_MAX_COLOUR = 64
_PLAIN = re.compile(
    r"[a-z]+|#(?:\w{3}|\w{6}|\w*[1-9a-f])|url\(#.*"
    r"|\w+\(\s*[^\s,/()\\]+[\s,]+[^\s,/()\\]+[\s,]+[^\s,/()\\]+(?:\s*[,/]\s*[\d.]*[1-9][\d.]*%?)?\s*\)",
    re.IGNORECASE,
)
"""Colours that are not transparent, so that they need no parsing; "transparent" is tested before."""
_TEXT = 4
"""Fixed cost of parsing a text, in tokens."""
_PIECE = re.compile(r"\w+(?:-[^\W\d]\w*)*|[ \t\r\n\f]+|.", re.DOTALL)

Style = dict[str, str]


def pieces(text: str) -> int:
    """Cost of parsing a CSS text: about the number of its tokens, and a fixed part.

    A hyphen before a digit counts as a token, because it may begin a number.
    """
    return _TEXT + len(_PIECE.findall(text))


def inherited(style: Style) -> Style:
    """The properties that children inherit."""
    return {name: text for name, text in style.items() if name in _INHERITED}


def drawn(style: Style) -> bool:
    """Whether an element and its children may be visible."""
    return style.get("display") != "none" and _amount(style.get("opacity")) > 0


def filled(style: Style) -> bool:
    """Whether a shape has a visible fill."""
    return _shown(style) and style.get("fill") != "none" and _amount(style.get("fill-opacity")) > 0


def stroked(style: Style) -> bool:
    """Whether a shape has a visible stroke."""
    amounts = (_amount(style.get(name)) for name in ("stroke-opacity", "stroke-width"))
    return _shown(style) and style.get("stroke", "none") != "none" and min(amounts) > 0


def fill_opacity(style: Style) -> float:
    """Opacity of an element's fill, 0 to 1, without that of its parents."""
    opacities = [_amount(style.get(name)) for name in ("opacity", "fill-opacity")]
    return min(1.0, opacities[0]) * min(1.0, opacities[1])


def _shown(style: Style) -> bool:
    return style.get("visibility", "visible").lower() not in ("hidden", "collapse")


def _amount(text: str | None) -> float:
    """An opacity or a width; 1 by default."""
    number = leading_number(text or "")
    if number is None:
        return 1.0
    return number / 100 if text is not None and text.rstrip().endswith("%") else number


class Styles:
    """Style sheets of a document, combined with its elements' attributes."""

    def __init__(self, root: Element) -> None:
        """Read the style sheets of the document with this root element.

        Raises:
            SvgError: more than `MAX_STYLE` characters, `MAX_PIECES` tokens or `MAX_SELECTORS` selectors, or a rule that
                sets a property used here and has an unsupported selector.
        """
        self._characters = Budget(MAX_STYLE, "characters of style")
        self._pieces = Budget(MAX_PIECES, "words and signs of style")
        self._tries = 0
        self._parsed: dict[str, tuple[Style, Style]] = {}
        self._found: dict[frozenset[str], tuple[Style, Style]] = {}
        self._colours: dict[str, Any] = {}
        with _parsing("a style sheet"):
            rules = list(islice(self._rules(root), MAX_SELECTORS + 1))
        if len(rules) > MAX_SELECTORS:
            raise SvgError(f"more than {MAX_SELECTORS} selectors in style sheets")
        self._sorted = sorted(rules, key=lambda rule: rule.specificity)  # stable, so that the last of equal rules wins
        self._words = frozenset[str]().union(*(rule.words for rule in rules))
        self._places: dict[str, list[int]] = {}  # of rules, by the last of their words
        for place, rule in enumerate(self._sorted):
            self._places.setdefault(rule.last, []).append(place)

    def of(self, element: Element) -> Style:
        """The properties set on one element, without inherited ones.

        Raises:
            SvgError: more than `MAX_STYLE` characters or `MAX_PIECES` tokens, too many comparisons of rules with
                elements, or a property in CSS that is supported as an attribute only.
        """
        normal, important = self._declared(element.get("style", ""))
        below, above = self._matched(element)
        css = {**below, **normal, **above, **important}
        unread = _MOVES if element.tag in ("svg", "g") else _MOVES + _GEOMETRY
        for name, text in css.items():
            if name in unread and text.lower() not in ("none", "auto"):
                raise SvgError(f"{name!r} in a style is not read; as an attribute it may be")
        given = {**element.attrib, **css}
        found = {name: given[name][:_MAX_VALUE].strip() for name in PROPERTIES if name in given}
        for name in ("fill", "stroke"):
            if name in found and self._is_clear(found[name]):
                found[name] = "none"
        return {name: text for name, text in found.items() if text not in ("", "inherit", "unset")}

    def luminance(self, colour: str) -> float | None:
        """Luminance of a colour, 0 to 1; None for gradients, patterns and invalid colours."""
        parsed = self._colour(colour)
        if parsed is None or isinstance(parsed, str):
            return 0.0 if isinstance(parsed, str) else None  # "currentColor" is black by default
        red, green, blue = parsed.to("srgb").coordinates
        return float(0.2126 * (red or 0) + 0.7152 * (green or 0) + 0.0722 * (blue or 0))

    def _declared(self, text: str) -> tuple[Style, Style]:
        """Normal and `!important` declarations of a `style` attribute."""
        if not text.strip():
            return {}, {}
        if text not in self._parsed:  # drawing tools repeat the same styles
            self._spend(text)
            with _parsing("a style"):
                self._parsed[text] = _declarations(text)
        return self._parsed[text]

    def _spend(self, text: str) -> None:
        self._characters.spend(len(text))
        self._pieces.spend(pieces(text))

    def _is_clear(self, colour: str) -> bool:
        """Whether a fill or stroke is invisible; "currentColor" and gradients count as visible."""
        if colour.lower() in ("none", "transparent"):
            return True
        if len(colour) > _MAX_COLOUR or _PLAIN.fullmatch(colour):
            return False
        return getattr(self._colour(colour), "alpha", 1) == 0

    def _colour(self, text: str) -> Any:
        """The parsed colour, "currentcolor", or None if it is invalid."""
        if text not in self._colours:
            from tinycss2.color4 import parse_color

            self._colours[text] = None
            if len(text) <= _MAX_COLOUR:
                self._spend(text)
                with suppress(ValueError):  # raised for "color()"
                    self._colours[text] = parse_color(text)
        return self._colours[text]

    def _matched(self, element: Element) -> tuple[Style, Style]:
        """Normal and `!important` declarations of the style sheets for an element."""
        if not self._sorted:
            return {}, {}
        classes = [f".{name}" for name in element.get("class", "").split()]
        words = self._words.intersection(["*", element.tag, f"#{element.get('id', '')}", *classes])
        if words not in self._found:
            places = [place for word in words for place in self._places.get(word, ())]
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
        """The rules that set a property used here."""
        import tinycss2

        for sheet in root.iter("style"):
            text = sheet.text or ""
            if sheet.get("type", "text/css") not in ("", "text/css"):
                continue
            self._spend(text)
            media = sheet.get("media", "all").strip()
            if media in _OTHER_MEDIA:
                continue
            if media not in ("", "all", "screen"):
                raise SvgError("a style sheet for some media only is not read")
            for rule in tinycss2.parse_stylesheet(text, skip_comments=True, skip_whitespace=True):
                if rule.type == "at-rule" and not _is_ignored(rule):
                    raise SvgError(f"the rule {'@' + rule.lower_at_keyword[:40]!r} in a style sheet is not read")
                # Invalid rules are ignored, as in CSS.
                if rule.type == "qualified-rule" and any(declared := _declarations(rule.content)):
                    yield from _rules_of(rule.prelude, declared)


def _is_ignored(rule: Any) -> bool:
    """Whether an at-rule sets no property used here."""
    import tinycss2

    if rule.lower_at_keyword in _IGNORED_RULES:
        return True
    prelude = tinycss2.serialize(rule.prelude)
    if rule.lower_at_keyword == "import":
        return _FONT.search(prelude) is not None
    if rule.lower_at_keyword == "media" and "".join(prelude.split()) in _OTHER_MEDIA:
        return True
    return rule.content is not None and _SETS.search(tinycss2.serialize(rule.content)) is None


def _declarations(source: Any) -> tuple[Style, Style]:
    """Normal and `!important` declarations of the properties used here, from a text or tokens."""
    import tinycss2

    found: tuple[Style, Style] = {}, {}
    for one in tinycss2.parse_declaration_list(source, skip_comments=True, skip_whitespace=True):
        if one.type == "declaration" and one.lower_name in _READ:
            found[one.important][one.lower_name] = tinycss2.serialize(one.value).strip()
    return found


@contextmanager
def _parsing(what: str) -> Iterator[None]:
    """Turn the parser's errors into SvgError; the message names `what`."""
    try:
        yield
    except SvgError:
        raise
    except RecursionError:
        raise SvgError(f"{what} nested too deep") from None
    except ValueError:  # Python refuses integers of more than some thousand digits
        raise SvgError(f"{what} with a number of too many digits") from None


@dataclass(frozen=True)
class _Rule:
    """Declarations for elements that match all words ("path", ".class", "#id" or "*"); `last` is the last word."""

    words: frozenset[str]
    last: str
    specificity: tuple[int, int, int]
    declared: tuple[Style, Style]


def _rules_of(prelude: Any, declared: tuple[Style, Style]) -> Iterator[_Rule]:
    """One rule for each selector of a list; rules of interactive pseudo-classes are left out.

    Raises:
        SvgError: an unsupported or empty selector.
    """
    import tinycss2

    for tokens in _selectors(prelude):
        text = tinycss2.serialize(tokens).strip()
        if _INTERACTIVE.search(text):
            continue
        match = _SELECTOR.fullmatch(text)
        words = _WORD.findall(match[2]) if match else []
        if match is None or not text or len(words) + bool(match[1]) > _MAX_PARTS:
            shown = re.sub(r"[\s\x00-\x1f\x7f]+", " ", text)[:60]
            raise SvgError(f"the selector {shown!r} in a style sheet is not read; elements, .classes and #ids are")
        kinds = Counter(word[0] for word in words)
        words = ([match[1]] if match[1] else []) + words
        yield _Rule(frozenset(words), words[-1], (kinds["#"], kinds["."], int(match[1] not in (None, "*"))), declared)


def _selectors(prelude: Any) -> Iterator[list[Any]]:
    """Tokens of each selector of a list, without comments."""
    tokens: list[Any] = []
    for token in prelude:
        if token == ",":
            yield tokens
            tokens = []
        elif token.type != "comment":
            tokens.append(token)
    yield tokens
