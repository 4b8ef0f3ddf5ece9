"""What the attributes and style sheets of an SVG say of its elements, as far as strokes need to know it.

Style sheets are parsed by tinycss2 and cssselect2, as CairoSVG does, under limits. Only rules for elements, classes and
identifiers are read: whatever else would change what is seen is refused, not overlooked. cssselect2's own matching is
not used, because it runs source code that it makes of a file's selectors.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any
from xml.etree.ElementTree import Element

from sketchcanvas_env.svg_text import SvgError, leading_number

NAMESPACE = "{http://www.w3.org/2000/svg}"
MAX_STYLE = 1 << 16
"""Characters of style sheets and different `style` attributes together."""
MAX_SELECTORS = 200

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
_MOODS = ("hover", "focus", "focus-visible", "focus-within", "active", "visited", "target")
"""Pseudo-classes of what a visitor does. Nobody does it on paper."""
_MAX_VALUE = 200
"""Characters of a value. Nothing that means something here is longer."""
_MAX_COLOUR = 64

Style = dict[str, str]


def is_svg(element: Element) -> bool:
    """Whether an element is SVG's own, not an editor's."""
    return element.tag.startswith(NAMESPACE) or not element.tag.startswith("{")


def drawn(style: Style) -> bool:
    """Whether an element and what it holds may be seen at all."""
    return style.get("display") != "none" and _amount(style.get("opacity"))


def filled(style: Style) -> bool:
    """Whether a shape is seen by its fill."""
    return _shown(style) and _paints(style.get("fill", "black")) and _amount(style.get("fill-opacity"))


def stroked(style: Style) -> bool:
    """Whether a shape is seen by its stroke."""
    paints = _paints(style.get("stroke", "none"))
    return _shown(style) and paints and _amount(style.get("stroke-opacity")) and _amount(style.get("stroke-width"))


def _shown(style: Style) -> bool:
    return style.get("visibility", "visible").lower() not in ("hidden", "collapse")


def _amount(text: str | None) -> bool:
    """Whether an opacity or a width is more than nothing."""
    number = leading_number(text or "")
    return number is None or number > 0


@lru_cache(1024)
def _paints(text: str) -> bool:
    from tinycss2.color4 import parse_color

    if text.lower() == "none":
        return False
    colour = parse_color(text) if len(text) <= _MAX_COLOUR else None
    return bool(getattr(colour, "alpha", 1) != 0)  # "currentColor" and gradients count as colours


class Styles:
    """The style sheets of a document, and its elements' own attributes."""

    def __init__(self, root: Element) -> None:
        """Read the style sheets of a document, given by its root.

        Raises:
            SvgError: more than `MAX_STYLE` characters or `MAX_SELECTORS` selectors, an at-rule that may decide what is
                seen, or a rule about what is seen for other than elements, classes and identifiers.
        """
        self._left = MAX_STYLE
        self._parsed: dict[str, tuple[Style, Style]] = {}
        self._found: dict[tuple[str, str, str], tuple[Style, Style]] = {}
        try:
            rules = list(islice(self._rules(root), MAX_SELECTORS + 1))
        except RecursionError:
            raise SvgError("a style sheet nested too deep") from None
        if len(rules) > MAX_SELECTORS:
            raise SvgError(f"more than {MAX_SELECTORS} selectors in style sheets")
        self._sorted = sorted(rules, key=lambda rule: rule.specificity)  # those alike stay in order

    def of(self, element: Element) -> Style:
        """The properties that are given to one element. `filled` and `stroked` ask for those that children inherit.

        Raises:
            SvgError: more than `MAX_STYLE` characters, or a property that is read as an attribute only.
        """
        found = {name: element.get(name, "") for name in _ATTRIBUTES if name in element.attrib}
        normal, important = self._declared(element.get("style", ""))
        below, above = self._matched(element)
        css = {**below, **normal, **above, **important}
        for name in (*_MOVES, *(_GEOMETRY if element.tag.removeprefix(NAMESPACE) not in ("svg", "g") else ())):
            if css.pop(name, "none").lower() not in ("none", "auto"):
                raise SvgError(f"{name!r} in a style is not read; as an attribute it may be")
        found = {name: text[:_MAX_VALUE].strip() for name, text in {**found, **css}.items() if name in _ATTRIBUTES}
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
            try:
                self._parsed[text] = _declarations(text)
            except RecursionError:
                raise SvgError("a style nested too deep") from None
        return self._parsed[text]

    def _spend(self, text: str) -> None:
        self._left -= len(text)
        if self._left < 0:
            raise SvgError(f"more than {MAX_STYLE} characters of style")

    def _matched(self, element: Element) -> tuple[Style, Style]:
        """What the style sheets say of an element."""
        key = element.tag.removeprefix(NAMESPACE), element.get("id", ""), element.get("class", "")
        if key not in self._found:
            normal: Style = {}
            important: Style = {}
            classes = set(key[2].split())
            for rule in self._sorted:
                if rule.fits(key[0], key[1], classes):
                    normal.update(rule.declared[0])
                    important.update(rule.declared[1])
            self._found[key] = normal, important
        return self._found[key]

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


@dataclass(frozen=True)
class _Rule:
    """For elements that have all of its names, identifiers and classes."""

    names: frozenset[str]
    ids: frozenset[str]
    classes: frozenset[str]
    specificity: tuple[int, int, int]
    declared: tuple[Style, Style]

    def fits(self, name: str, identifier: str, classes: set[str]) -> bool:
        return self.names <= {name} and self.ids <= {identifier} and self.classes <= classes


def _rules_of(prelude: Any, declared: tuple[Style, Style]) -> Iterator[_Rule]:
    """A rule for each selector of a list.

    Raises:
        SvgError: a selector that is not made of elements, classes and identifiers, or none at all.
    """
    from cssselect2 import parser

    try:
        for selector in parser.parse(prelude):
            tree = selector.parsed_tree
            parts = getattr(tree, "simple_selectors", [tree])
            if any(isinstance(part, parser.PseudoClassSelector) and part.name in _MOODS for part in parts):
                continue
            kinds = (parser.LocalNameSelector, parser.IDSelector, parser.ClassSelector)
            known = all(isinstance(part, kinds) for part in parts)
            if not known or selector.pseudo_element is not None or len(parts) > _MAX_PARTS:
                raise parser.SelectorError
            yield _Rule(
                frozenset(part.local_name for part in parts if isinstance(part, kinds[0])),
                frozenset(part.ident for part in parts if isinstance(part, kinds[1])),
                frozenset(part.class_name for part in parts if isinstance(part, kinds[2])),
                selector.specificity,
                declared,
            )
    except parser.SelectorError:
        import tinycss2

        text = " ".join(tinycss2.serialize(prelude).split())
        raise SvgError(
            f"the selector {text[:60]!r} in a style sheet is not read; elements, .classes and #ids are"
        ) from None
