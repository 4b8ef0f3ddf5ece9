"""A strict SVG reader: shapes in, strokes out, everything else refused.

A user's SVG never reaches CairoSVG, whose own parser follows references and patterns without limits. This reader
knows shapes, groups and what drawing tools put around them, works under fixed limits, and names what is wrong. What it
does not know and would draw wrongly is refused, not passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError
from xml.parsers import expat

import numpy as np
from numpy.typing import NDArray

from sketchcanvas_env.sketches.sketch import MAX_STROKES, VectorSketch
from sketchcanvas_env.storage.files import is_special
from sketchcanvas_env.svg.clip import EVERYWHERE, Inside, cut, inside_of
from sketchcanvas_env.svg.shapes import SHAPES, Page, Shared
from sketchcanvas_env.svg.style import NAMESPACE, Style, Styles, drawn, filled, is_svg, stroked
from sketchcanvas_env.svg.text import MAX_NUMBER, Matrix, SvgError, length, numbers, transform

__all__ = ["MAX_BYTES", "MAX_DEPTH", "MAX_ELEMENTS", "MAX_TRANSFORMS", "SvgError", "read_strokes", "read_svg"]

MAX_BYTES = 1 << 20
MAX_ELEMENTS = 5_000
MAX_DEPTH = 32
MAX_TRANSFORMS = 5_000

_GROUPS = ("svg", "g", "a", "switch", "symbol")
_SKIPPED = {
    "title", "desc", "metadata", "defs", "style", "text", "symbol", "marker",
    "linearGradient", "radialGradient", "pattern", "clipPath", "mask", "filter",
}  # fmt: skip
"""Elements that draw nothing, or nothing where they stand, or no strokes."""
_HREFS = ("href", "{http://www.w3.org/1999/xlink}href")
_URL = re.compile(r"""url\(\s*["']?#([^\s"'()]*)["']?\s*\)""")
_MISSES = 0.01
"""A background may miss the page's edge, and its own corners, by that share."""
_MAX_EDGES = 32
"""Of clips around one another."""
_PIECE = 1 << 16
"""Bytes parsed at a time: a refusal inside one stops the parser at its end, not at once."""
_MAX_NAME = 200
"""Characters of a tag, a namespace, or of what a message quotes."""
_MAX_ATTRIBUTES = 200


def read_svg(source: str | Path | bytes, keep_place: bool = False) -> VectorSketch:
    """Read the shapes of an SVG as strokes, in document order.

    Outlines of filled shapes become closed strokes. Curves are flattened. Colours, line widths and dashes are not kept:
    a sketch is its strokes. Left out are

    * what cannot be seen: `display`, `visibility`, no opacity, neither fill nor stroke;
    * backgrounds: rectangles without a stroke that cover the whole page (the `viewBox`, or `width` and `height`);
    * what is no stroke: text, markers (arrow heads), and the effects of filters.

    Style sheets count as far as they are rules for elements, classes and identifiers. `use` is followed within the
    file; `clip-path` cuts where it is one convex polygon.

    Args:
        source: a file's path, or the bytes of an SVG.
        keep_place: scale by the page (the `viewBox`, or `width` and `height`), so that the drawing keeps its place on
            it; nothing may leave the page then. By default the strokes are scaled by their bounding box (see
            `VectorSketch.fit`).

    Raises:
        SvgError: not a plain file, not a well-formed SVG, compressed, larger than 1 MiB, a document type with
            declarations of its own, an entity, more than 5,000 elements (as often as they are used), 5,000 transforms
            or 32 levels, an element or transform that is not known, images, masks, other clips and style sheets than
            those above, transforms and sizes in styles, a number that is not finite, too many points or too much style,
            or no visible stroke. The message names the file (when given) and the element.
        FileNotFoundError: the path does not exist.
    """
    name = "SVG" if isinstance(source, bytes) else str(source)
    try:
        if not isinstance(source, bytes):
            if is_special(source):
                raise SvgError("not a plain file")
            with open(source, "rb") as stream:
                source = stream.read(MAX_BYTES + 1)
        strokes, page = _read(source)
        if not keep_place:
            return VectorSketch.fit(strokes)
        if page is None:
            raise SvgError("neither a viewBox nor a width and height, so the drawing has no place on a page to keep")
        side = max(page.width, page.height)
        offset = np.array([page.left - (side - page.width) / 2, page.top - (side - page.height) / 2])
        return VectorSketch.from_strokes([(stroke - offset) / side for stroke in strokes])
    except SvgError as error:
        raise SvgError(f"{name}: {error}") from None
    except ValueError as error:
        raise SvgError(f"{name}: {error}") from error


def read_strokes(data: bytes) -> list[NDArray[np.float64]]:
    """The strokes of an SVG in its own coordinates, each (P, 2), for a caller who knows which canvas they lie on.

    Raises:
        SvgError: as `read_svg`; the message names no file.
    """
    return _read(data)[0]


def _read(data: bytes) -> tuple[list[NDArray[np.float64]], Page | None]:
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    if not data.strip():
        raise SvgError("the file is empty")
    if len(data) > MAX_BYTES:
        raise SvgError(f"larger than {MAX_BYTES} bytes")
    if data[:2] == b"\x1f\x8b":
        raise SvgError("compressed SVG is not read; decompress it first")
    try:
        _check_size(data)
        # A document type that names an external one is let pass; nobody reads that.
        root = fromstring(data, forbid_dtd=False, forbid_entities=True, forbid_external=True)
    except SvgError:
        raise
    except (ParseError, expat.ExpatError) as error:
        raise SvgError(f"not well-formed XML ({str(error)[:_MAX_NAME]})") from None
    except DefusedXmlException as error:
        raise SvgError(f"entities are refused ({type(error).__name__})") from None
    except (ValueError, LookupError) as error:
        raise SvgError(f"unreadable encoding ({error})") from None
    if root.tag not in (f"{NAMESPACE}svg", "svg"):
        raise SvgError(f"the root element is <{root.tag}>, not <svg>")
    page = _page(root)
    strokes = _Walk(root, page).strokes()
    if not strokes:
        raise SvgError("no visible stroke")
    return strokes, page


def _check_size(data: bytes) -> None:
    """Refuse a document whose tree would be too large, before there is one.

    The parser that makes the tree knows namespaces and writes a namespace's whole name in front of every name in it, so
    a megabyte of XML could become gigabytes. This one does not know them.

    Raises:
        SvgError: a document type that declares something, too many or too deep elements, a name that is too long, too
            many attributes.
        ExpatError: not well-formed XML; it is the ParseError of a tree, too.
    """
    depth = count = 0

    def start(tag: str, attributes: list[str]) -> None:
        nonlocal depth, count
        depth, count = depth + 1, count + 1
        if count > MAX_ELEMENTS:
            raise SvgError(f"more than {MAX_ELEMENTS} elements")
        if depth > MAX_DEPTH:
            raise SvgError(f"elements nested deeper than {MAX_DEPTH}")
        namespaces = [v for n, v in zip(attributes[::2], attributes[1::2], strict=True) if n.startswith("xmlns")]
        if max(map(len, [tag, *namespaces])) > _MAX_NAME:
            raise SvgError(f"a name longer than {_MAX_NAME} characters: {tag[:20]}")
        if len(attributes) > 2 * _MAX_ATTRIBUTES:
            raise SvgError(f"an element with more than {_MAX_ATTRIBUTES} attributes: <{tag}>")

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1

    def doctype(name: str, system: str | None, public: str | None, declares: bool) -> None:
        if declares:
            raise SvgError("document types with declarations of their own and entities are refused")

    parser = expat.ParserCreate()
    parser.ordered_attributes = True
    parser.StartElementHandler, parser.EndElementHandler, parser.StartDoctypeDeclHandler = start, end, doctype
    for place in range(0, len(data), _PIECE):
        parser.Parse(data[place : place + _PIECE], place + _PIECE >= len(data))


def _page(root: Element) -> Page | None:
    """The `viewBox`; without one, `width` and `height`; None where neither tells."""
    if (text := root.get("viewBox")) is not None:
        values = numbers(text, "viewBox", 4)
        if len(values) != 4 or values[2] <= 0 or values[3] <= 0:
            raise SvgError(f"viewBox needs four numbers with a positive width and height, not {text[:60]!r}")
        return Page(*values)
    try:
        width, height = (length(root.get(name, ""), name) for name in ("width", "height"))
    except SvgError:  # missing, or a share of wherever it will be shown
        return None
    return Page(0.0, 0.0, width, height) if width > 0 and height > 0 else None


@contextmanager
def _naming(where: str) -> Iterator[None]:
    try:
        yield
    except SvgError as error:
        raise SvgError(f"{where}: {error}") from None


@dataclass(frozen=True)
class _Step:
    """An element, and what it has from those around it."""

    element: Element
    matrix: Matrix
    style: Style
    inside: Inside  # of all clips, in the page's coordinates
    used: bool = False  # named by a <use>


class _Walk:
    """One walk over a document, in drawing order."""

    def __init__(self, root: Element, page: Page | None) -> None:
        self._root = root
        self._page = page
        self._shared = Shared(page)
        self._styles = Styles(root)
        self._elements = self._characters = 0
        self._transforms = 0
        self._clips: dict[tuple[str, bytes], Inside] = {}

    # Transforms may overflow one by one; what comes of all of them is looked at.
    @np.errstate(over="ignore", invalid="ignore")
    def strokes(self) -> list[NDArray[np.float64]]:
        strokes: list[NDArray[np.float64]] = []
        for stroke in self._lines([_Step(self._root, np.eye(3), {}, EVERYWHERE)]):
            strokes.append(stroke)
            if len(strokes) > MAX_STROKES:
                raise SvgError(f"more than {MAX_STROKES} strokes")
        return strokes

    def _lines(self, stack: list[_Step], clipping: bool = False) -> Iterator[NDArray[np.float64]]:
        """What is seen of some elements, or, for a clip, their outlines."""
        # An explicit stack: a deep file must not exhaust Python's own.
        while stack:
            step = stack.pop()
            element = step.element
            tag = element.tag.removeprefix(NAMESPACE)
            if not is_svg(element) or (tag in _SKIPPED and not (step.used and tag == "symbol")):
                continue
            self._elements += 1
            self._characters += sum(map(len, element.attrib.values()))
            if self._elements > MAX_ELEMENTS:
                raise SvgError(f"more than {MAX_ELEMENTS} elements, as often as they are used")
            if self._characters > MAX_BYTES:
                raise SvgError(f"more than {MAX_BYTES} characters, as often as they are used")
            where = f"<{tag}" + (f" id={element.get('id', '')[:_MAX_NAME]!r}>" if element.get("id") else ">")
            with _naming(where):
                own = self._styles.of(element)
                if not drawn(own):
                    continue
                matrix = step.matrix @ self._transform(element)
                inside = self._inside(step.inside, own, matrix, clipping)
            style = {**step.style, **own}
            if tag in _GROUPS:
                if tag == "svg" and (element is not self._root or step.used):
                    raise SvgError("a nested <svg> is not read")
                if tag == "symbol" and element.get("viewBox"):
                    raise SvgError(f"{where} with a viewBox is not read")
                stack += [_Step(child, matrix, style, inside) for child in reversed(_children(element, tag))]
            elif tag == "use":
                with _naming(where):
                    target, shift = self._target(element), np.eye(3)
                    shift[:2, 2] = [self._shared.length(element, name) for name in ("x", "y")]
                stack.append(_Step(target, matrix @ shift, style, inside, used=True))
            elif tag in SHAPES:
                with _naming(where):
                    lines = [_moved(line, matrix) for line in SHAPES[tag](element, self._shared) if line]
                if clipping:
                    yield from lines
                elif stroked(style) or (filled(style) and not self._is_background(lines)):
                    for line in lines:
                        yield from cut(line, inside) if len(inside) else [line]
            else:
                raise SvgError(f"element {where} is not read; only paths and basic shapes are")

    def _transform(self, element: Element) -> Matrix:
        text = element.get("transform", "none")
        if text.strip() == "none":
            return np.eye(3)
        self._transforms += text.count("(")
        if self._transforms > MAX_TRANSFORMS:
            raise SvgError(f"more than {MAX_TRANSFORMS} transforms")
        return transform(text)

    @cached_property
    def _named(self) -> dict[str, Element]:
        named: dict[str, Element] = {}
        for element in self._root.iter():
            named.setdefault(element.get("id", ""), element)
        return named

    def _target(self, element: Element) -> Element:
        """What a <use> names."""
        href = next((element.get(name, "") for name in _HREFS if name in element.attrib), "")
        if not href.startswith("#") or href[1:] not in self._named:
            raise SvgError(f"nothing in this file is called {href[:60]!r}")
        return self._named[href[1:]]

    def _inside(self, around: Inside, style: Style, matrix: Matrix, clipping: bool) -> Inside:
        """Where an element can be seen: inside the clips around it and its own."""
        if style.get("mask", "none") != "none":
            raise SvgError("a mask is not read")
        text = style.get("clip-path", "none")
        if text == "none":
            return around
        if clipping:
            raise SvgError("a clip-path in a clip-path is not read")
        found = _URL.fullmatch(text)
        clip = self._named.get(found[1]) if found else None
        if clip is None or clip.tag.removeprefix(NAMESPACE) != "clipPath":
            raise SvgError(f"clip-path {text[:60]!r} names no <clipPath> of this file")
        key = clip.get("id", ""), matrix.tobytes()
        if key not in self._clips:
            self._clips[key] = self._polygon(clip, matrix)
        both = np.unique(np.concatenate([around, self._clips[key]]), axis=0)  # tools repeat a clip on every level
        if len(both) > _MAX_EDGES:
            raise SvgError(f"clip-paths around one another with more than {_MAX_EDGES} edges")
        return both

    def _polygon(self, clip: Element, matrix: Matrix) -> Inside:
        """The inside of a <clipPath> for an element with that matrix."""
        if clip.get("clipPathUnits", "userSpaceOnUse") != "userSpaceOnUse" or "clip-path" in self._styles.of(clip):
            raise SvgError("only a clip-path in the user's space that has none itself is read")
        matrix = matrix @ self._transform(clip)
        lines = list(self._lines([_Step(child, matrix, {}, EVERYWHERE) for child in reversed(clip)], clipping=True))
        inside = inside_of(lines[0]) if len(lines) == 1 else None
        if inside is None:
            raise SvgError("a clip-path that is not one convex polygon of a few corners is not read")
        return inside

    def _is_background(self, lines: list[NDArray[np.float64]]) -> bool:
        """Whether a filled shape is a rectangle that covers the page."""
        if self._page is None or len(lines) != 1:
            return False
        low, high = lines[0].min(axis=0), lines[0].max(axis=0)
        corner, size = np.array([self._page.left, self._page.top]), np.array([self._page.width, self._page.height])
        missed = _MISSES * size.max()
        if (low > corner + missed).any() or (high < corner + size - missed).any():
            return False
        x, y = (lines[0] - low).T
        area = abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2
        return bool(area >= (1 - _MISSES) * np.prod(high - low))


def _children(element: Element, tag: str) -> list[Element]:
    """Those that are drawn; of a <switch>, the first that asks for nothing."""
    children = list(element)
    if tag == "switch":
        asks = ("requiredExtensions", "systemLanguage")
        passed = {f"{NAMESPACE}foreignObject", "foreignObject"}
        children = [
            c for c in children if c.tag not in passed and is_svg(c) and not any(name in c.attrib for name in asks)
        ]
        del children[1:]
    return children


def _moved(line: list[tuple[float, float]], matrix: Matrix) -> NDArray[np.float64]:
    moved = np.asarray(line) @ matrix[:2, :2].T + matrix[:2, 2]
    if not (np.isfinite(moved).all() and np.abs(moved).max() <= MAX_NUMBER):
        raise SvgError(f"a coordinate beyond {MAX_NUMBER:g} after its transforms")
    return moved
