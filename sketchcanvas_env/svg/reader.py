"""The strict SVG reader.

Users' files are not given to CairoSVG, whose parser follows references and patterns without limits. This reader
supports shapes, groups, clips, masks and what drawing tools write around them, within fixed limits. Whatever it would
draw wrongly is refused by name.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from sketchcanvas_env.sketches.sketch import MAX_STROKES, VectorSketch
from sketchcanvas_env.storage.files import is_special
from sketchcanvas_env.svg.clip import Line, Region, Window, borders, box_of, merged, seen
from sketchcanvas_env.svg.document import MAX_BYTES, MAX_DEPTH, MAX_ELEMENTS, parse
from sketchcanvas_env.svg.page import Page, Root, attribute, fitted, view_box
from sketchcanvas_env.svg.shapes import SHAPES, Shared
from sketchcanvas_env.svg.style import Style, Styles, drawn, fill_opacity, filled, inherited, stroked
from sketchcanvas_env.svg.text import MAX_NUMBER, Budget, Matrix, SvgError, length, point, transform

__all__ = ["MAX_BYTES", "MAX_DEPTH", "MAX_ELEMENTS", "MAX_TRANSFORMS", "SvgError", "read_strokes", "read_svg"]

MAX_TRANSFORMS = 5_000
MAX_CHARACTERS = 1 << 20
"""Most characters in attributes, counted each time their element is used."""
MAX_COMPARISONS = 6_000_000
"""Most comparisons of segments and points with edges of clips and masks."""

_GROUPS = ("svg", "g", "a", "switch", "symbol")
_SKIPPED = {
    "title", "desc", "metadata", "defs", "style", "text", "foreignObject", "flowRoot", "font", "symbol", "marker",
    "linearGradient", "radialGradient", "pattern", "clipPath", "mask", "filter",
}  # fmt: skip
"""Elements that draw no strokes at their place in the document."""
_URL = re.compile(r"""url\(\s*["']?#([^\s"'()]*)["']?\s*\)""")
_TOLERANCE = 0.01
"""Largest distance of a background or stroke from the page's edge, as a fraction of the page's longer side."""
_MAX_WINDOWS = 16
"""Most nested clips and masks."""
_MAX_NAME = 200
"""Characters of an identifier quoted in a message."""
_DARK = 0.05
"""Luminance up to which a shape in a mask hides."""


def read_svg(source: str | Path | bytes, keep_place: bool = False) -> VectorSketch:
    """Read the shapes of an SVG as strokes, in document order.

    Outlines of filled shapes become closed strokes. Curves are flattened. Colours, line widths and dashes are dropped.
    Strokes are cut at the edges of the page, of clips and of masks; if nothing lies on the page, everything is kept.
    Left out are

    * invisible elements, by `display`, `visibility`, opacity, or for lack of fill and stroke;
    * backgrounds: rectangles without a stroke that cover the whole page (the `viewBox`, or `width` and `height`);
    * text, HTML, markers (arrow heads), effects of filters, elements that SVG does not have, and, with a warning,
      images.

    Style sheets may select elements, classes and identifiers. `use` is followed within the file. Masks may consist of
    plain white and black shapes.

    Args:
        source: a file's path, or the bytes of an SVG.
        keep_place: scale the page to the canvas, so that the drawing keeps its place. By default the strokes are scaled
            by their bounding box (see `VectorSketch.fit`).

    Raises:
        SvgError: not a plain file, not a well-formed SVG, compressed, larger than 16 MiB or 4 MiB without embedded
            fonts and pictures, entities other than a few plain texts, more than 5,000 elements (counted each time they
            are used), 5,000 transforms or 64 levels, unknown transforms, only images, other masks, clips
            and style sheets than above, transforms and sizes in styles, a number that is not finite, too many points or
            too much style, or no visible stroke. The message names the file (when given) and the element.
        FileNotFoundError: the path does not exist.
    """
    name = "SVG" if isinstance(source, bytes) else str(source)
    try:
        if not isinstance(source, bytes):
            if is_special(source):
                raise SvgError("not a plain file")
            with open(source, "rb") as stream:
                source = stream.read(MAX_BYTES + 1)
        drawing = _read(source)
        if drawing.images:
            warnings.warn(f"{name}: {drawing.images} <image> left out; only strokes are read", stacklevel=2)
        if not keep_place:
            return VectorSketch.fit(drawing.strokes)
        page = drawing.page
        if page is None:
            raise SvgError("neither a viewBox nor a width and height, so the drawing has no place on a page to keep")
        if not drawing.on_page:
            raise SvgError("nothing of the drawing lies on its page, so it has no place there to keep")
        side = max(page.width, page.height)
        offset = np.array([page.left - (side - page.width) / 2, page.top - (side - page.height) / 2])
        return VectorSketch.from_strokes([np.clip((s - offset) / side, 0.0, 1.0) for s in drawing.strokes])
    except SvgError as error:
        raise SvgError(f"{name}: {error}") from None
    except ValueError as error:
        raise SvgError(f"{name}: {error}") from error


def read_strokes(data: bytes) -> list[Line]:
    """Strokes of an SVG in its own coordinates, each (P, 2).

    Raises:
        SvgError: as `read_svg`; the message names no file.
    """
    return _read(data).strokes


@dataclass(frozen=True)
class _Drawing:
    """Strokes, the page, whether any stroke lies on it, and the number of images left out."""

    strokes: list[Line]
    page: Page | None
    on_page: bool
    images: int


# Single transforms may overflow; their product is checked.
@np.errstate(over="ignore", invalid="ignore")
def _read(data: bytes) -> _Drawing:
    root = parse(data)
    page = Root.of(root)
    walk = _Walk(root, page)
    strokes: list[Line] = []
    for stroke in walk.strokes():
        strokes.append(stroke)
        if len(strokes) > MAX_STROKES:
            raise SvgError(f"more than {MAX_STROKES} strokes")
    if not strokes:
        left_out = "<image>" if walk.images else walk.unknown
        raise SvgError(
            f"{left_out} is not read, and there is no other visible stroke" if left_out else "no visible stroke"
        )
    on_page = [part for stroke in strokes for part in walk.on_page(stroke)]
    return _Drawing(on_page or strokes, page.visible, bool(on_page), walk.images)


@contextmanager
def _naming(where: str) -> Iterator[None]:
    try:
        yield
    except SvgError as error:
        raise SvgError(f"{where}: {error}") from None


@dataclass(frozen=True)
class _Step:
    """An element and its inherited state: transform, page, style, clips and masks.

    `used` is the <use> that refers to it.
    """

    element: Element
    matrix: Matrix
    page: Page | None
    style: Style
    windows: tuple[Window, ...] = ()
    used: Element | None = None


@dataclass(frozen=True)
class _Shape:
    """Outlines of a shape in the document's coordinates, its style, and its clips and masks."""

    lines: list[Line]
    style: Style
    windows: tuple[Window, ...]


class _Walk:
    """Traversal of a document in drawing order."""

    def __init__(self, root: Element, page: Root) -> None:
        self.images = 0
        self.unknown = ""
        self._root = root
        self._page = page
        self._shared = Shared()
        self._styles = Styles(root)
        self._spend_element = Budget(MAX_ELEMENTS, "elements, as often as they are used").spend
        self._spend_characters = Budget(MAX_CHARACTERS, "characters, as often as they are used").spend
        self._spend_transforms = Budget(MAX_TRANSFORMS, "transforms").spend
        self._compare = Budget(MAX_COMPARISONS, "comparisons of strokes with the edges of clips and masks").spend
        self._windows: dict[tuple[Element, bytes], tuple[Window, ...]] = {}
        self._merged: dict[tuple[Window, ...], tuple[Window, ...]] = {}
        self._open: set[Element] = set()  # clips whose own clips are being resolved
        self._sight: Window | None = None
        self._inner: Region | None = None
        if page.visible is not None:
            shown, slack = page.visible, _TOLERANCE * max(page.visible.width, page.visible.height)
            self._sight = Window(((Region((_grown(shown, slack).outline(),)), True),))
            self._inner = Region((_grown(shown, -slack).outline(),))

    def strokes(self) -> Iterator[Line]:
        """The visible strokes, not yet cut at the page."""
        for shape in self._shapes([_Step(self._root, self._page.matrix, self._page.box, {})]):
            lines, windows, fills = shape.lines, shape.windows, filled(shape.style)
            if not lines or not (stroked(shape.style) or (fills and not self._is_background(shape))):
                continue
            if windows:
                if windows not in self._merged:
                    self._merged[windows] = merged(windows)
                box = box_of(lines)
                windows = tuple(window for window in self._merged[windows] if not window.sees_all(box))
            if not windows:
                yield from lines
                continue
            for line in lines:
                yield from seen(line, windows, self._compare)
            if fills:
                inside = Region(tuple(lines), shape.style.get("fill-rule") == "evenodd")
                for border in borders(inside, windows, self._compare):
                    # An edge of the page is not a line of a drawing that continues beyond it.
                    if self._inner is None or self._inner.contains(border, self._compare).any():
                        yield border

    def on_page(self, stroke: Line) -> list[Line]:
        """Parts of a stroke that lie on the page."""
        return [stroke] if self._sight is None else seen(stroke, (self._sight,), self._compare)

    def _shapes(self, stack: list[_Step], within: str = "") -> Iterator[_Shape]:
        """Visible shapes of some elements; `within` is "clip-path" or "mask" for the content of one."""
        # An explicit stack, so that deep files do not exhaust Python's recursion limit.
        while stack:
            step = stack.pop()
            element, tag = step.element, step.element.tag
            if within and tag in ("text", "image"):
                raise SvgError(f"<{tag}> in a {within} is not read")
            if tag in _SKIPPED and not (step.used is not None and tag == "symbol"):
                continue
            self._spend_element(1)
            self._spend_characters(sum(map(len, element.attrib.values())))
            where = f"<{tag}" + (f" id={element.get('id', '')[:_MAX_NAME]!r}>" if element.get("id") else ">")
            with _naming(where):
                own = self._styles.of(element)
                if not drawn(own):
                    continue
                if tag == "image":
                    self.images += 1
                    continue
                step = replace(
                    step,
                    matrix=step.matrix @ self._transform(element, own, step.page),
                    style={**inherited(step.style), **own},
                )
                windows = self._windows_of(own, step, within)
                step = replace(step, windows=self._all(step.windows, windows))
                if tag == "symbol" or (tag == "svg" and (element is not self._root or step.used is not None)):
                    nested = self._nested(step, own)
                    if nested is None:
                        continue
                    step = nested
            if tag in _GROUPS:
                stack += [replace(step, element=child, used=None) for child in reversed(_children(element))]
            elif tag == "use":
                with _naming(where):
                    target, shift = self._target(element), np.eye(3)
                    shift[:2, 2] = [attribute(element, name, step.page) for name in ("x", "y")]
                stack.append(replace(step, element=target, matrix=step.matrix @ shift, used=element))
            elif tag in SHAPES:
                with _naming(where):
                    self._shared.page = step.page
                    lines = [_moved(line, step.matrix) for line in SHAPES[tag](element, self._shared) if line]
                yield _Shape(lines, step.style, step.windows)
            else:
                self.unknown = self.unknown or where  # draws nothing in a browser either, nor does what is in it

    def _transform(self, element: Element, style: Style, page: Page | None) -> Matrix:
        text = element.get("transform", "none")
        if text.strip() == "none":
            return np.eye(3)
        self._spend_transforms(text.count("("))
        matrix = transform(text)
        origin = style.get("transform-origin")
        if origin is None or np.array_equal(matrix[:2, :2], np.eye(2)):
            return matrix
        if style.get("transform-box", "view-box") != "view-box":
            raise SvgError("'transform-origin' with a 'transform-box' is not read")
        there, back = np.eye(3), np.eye(3)
        whole = None if page is None else (page.width, page.height)
        there[:2, 2] = point(origin, "transform-origin", whole)
        back[:2, 2] = -there[:2, 2]
        return np.asarray(there @ matrix @ back)

    def _nested(self, step: _Step, own: Style) -> _Step | None:
        """The content of an <svg> or <symbol> inside another <svg>; None if its size is 0."""
        element, around = step.element, step.page
        shift = np.eye(3)
        if element.tag == "svg":
            shift[:2, 2] = [attribute(element, name, around) for name in ("x", "y")]
        matrix = step.matrix @ shift
        box = view_box(element)
        width, height = (self._side(step, name) for name in ("width", "height"))
        if width is None or height is None:
            if box is not None:
                raise SvgError("a viewBox in a page of unknown size is not read")
            return replace(step, matrix=matrix)
        if width <= 0 or height <= 0:
            return None
        windows = step.windows
        if own.get("overflow", "hidden") in ("hidden", "scroll", "clip"):
            edge = _moved(Page(0.0, 0.0, width, height).outline(), matrix)
            windows = self._all(windows, (Window(((Region((edge,)), True),)),))
        if box is None:
            return replace(step, matrix=matrix, page=Page(0.0, 0.0, width, height), windows=windows)
        return replace(step, matrix=matrix @ fitted(element, box, width, height), page=box, windows=windows)

    def _side(self, step: _Step, name: str) -> float | None:
        """Width or height of a nested <svg>; None for a percentage of an unknown length."""
        given = [one.get(name, "auto") for one in (step.used, step.element) if one is not None]
        text = next((text for text in given if text != "auto"), "100%")
        if step.page is None and text.endswith("%"):
            return None
        return length(text, name, None if step.page is None else step.page.whole(name))

    @cached_property
    def _named(self) -> dict[str, Element]:
        named: dict[str, Element] = {}
        for element in self._root.iter():
            named.setdefault(element.get("id", ""), element)
        return named

    @cached_property
    def _parents(self) -> dict[Element, Element]:
        return {child: parent for parent in self._root.iter() for child in parent}

    def _target(self, element: Element) -> Element:
        """The element that a <use> refers to."""
        href = element.get("href", "")
        if not href.startswith("#") or href[1:] not in self._named:
            raise SvgError(f"nothing in this file is called {href[:60]!r}")
        return self._named[href[1:]]

    def _all(self, around: tuple[Window, ...], more: tuple[Window, ...]) -> tuple[Window, ...]:
        both = tuple(dict.fromkeys(around + more))  # tools repeat a clip at every level
        if len(both) > _MAX_WINDOWS:
            raise SvgError(f"more than {_MAX_WINDOWS} clips and masks around one another")
        return both

    def _windows_of(self, style: Style, step: _Step, within: str = "") -> tuple[Window, ...]:
        """Clip and mask of an element itself."""
        found: tuple[Window, ...] = ()
        for name, tag in (("clip-path", "clipPath"), ("mask", "mask")):
            text = style.get(name, "none")
            if text == "none":
                continue
            if within:
                raise SvgError(f"a {name} in a {within} is not read")
            named = _URL.fullmatch(text)
            element = self._named.get(named[1]) if named else None
            if element is None or element.tag != tag:
                raise SvgError(f"{name} {text[:60]!r} names no <{tag}> of this file")
            key = element, step.matrix.tobytes()
            if key not in self._windows:
                self._windows[key] = self._clip(element, step) if tag == "clipPath" else self._mask(element, step)
            found += self._windows[key]
        return found

    def _clip(self, clip: Element, step: _Step) -> tuple[Window, ...]:
        """Windows of a <clipPath> and of its own clip, for the element of `step`."""
        if clip.get("clipPathUnits", "userSpaceOnUse") != "userSpaceOnUse":
            raise SvgError("only a clip-path in the user's space is read")
        layers = [
            (Region(tuple(shape.lines), shape.style.get("clip-rule") == "evenodd"), True)
            for shape in self._defined(clip, step, "clip-path")
            if shape.style.get("visibility", "visible") == "visible"
        ]
        own = self._styles.of(clip)
        if clip in self._open or len(self._open) >= _MAX_WINDOWS:
            raise SvgError(f"a clip-path of itself, or more than {_MAX_WINDOWS} around one another")
        self._open.add(clip)
        around = self._windows_of({name: own[name] for name in ("clip-path", "mask") if name in own}, step)
        self._open.discard(clip)
        return Window(tuple(layers)), *around

    def _mask(self, mask: Element, step: _Step) -> tuple[Window, ...]:
        """Windows of a <mask> and of its rectangle, for the element of `step`."""
        own = self._styles.of(mask)
        if mask.get("maskContentUnits", "userSpaceOnUse") != "userSpaceOnUse" or {"mask", "clip-path"} & set(own):
            raise SvgError("only a mask in the user's space that has none itself is read")
        layers: list[tuple[Region, bool]] = []
        for shape in self._defined(mask, step, "mask"):
            style = shape.style
            if stroked(style):
                raise SvgError("a mask of strokes is not read; of filled shapes it may be")
            if not filled(style):
                continue
            light = 1.0 if own.get("mask-type") == "alpha" else self._styles.luminance(style.get("fill", "black"))
            if light is None:
                raise SvgError("a mask of gradients or patterns is not read; of plain colours it may be")
            if light > _DARK or fill_opacity(style) > 1 - _DARK:
                layers.append((Region(tuple(shape.lines), style.get("fill-rule") == "evenodd"), light > _DARK))
        return Window(tuple(layers)), *self._mask_area(mask, step)

    def _mask_area(self, mask: Element, step: _Step) -> tuple[Window, ...]:
        """The rectangle of a mask; empty where the default rectangle is larger than the masked element."""
        sides = ("x", "y", "width", "height")
        if mask.get("maskUnits") == "userSpaceOnUse":
            if not all(name in mask.attrib for name in sides):
                return ()
            edge = Page(*(attribute(mask, name, step.page) for name in sides)).outline()
            return (Window(((Region((_moved(edge, step.matrix),)), True),)),)
        whole = Page(0.0, 0.0, 1.0, 1.0)
        area = Page(*(attribute(mask, name, whole, d) for name, d in zip(sides, (-0.1, -0.1, 1.2, 1.2), strict=True)))
        if area.left > 0 or area.top > 0 or area.left + area.width < 1 or area.top + area.height < 1:
            raise SvgError("a mask that is smaller than what it masks is not read")
        return ()

    def _defined(self, element: Element, step: _Step, within: str) -> Iterator[_Shape]:
        """Shapes of a <clipPath> or <mask>, for the element of `step`."""
        style: Style = {}
        around: Element | None = element
        while around is not None:
            style = {**inherited(self._styles.of(around)), **style}
            around = self._parents.get(around)
        matrix = step.matrix @ self._transform(element, {}, step.page)
        children = [_Step(child, matrix, step.page, style) for child in reversed(element)]
        return self._shapes(children, within)

    def _is_background(self, shape: _Shape) -> bool:
        """Whether a filled shape is a rectangle that covers the page."""
        page = self._page.box
        if page is None or len(shape.lines) != 1:
            return False
        border = _moved(page.outline(), self._page.matrix)
        line, missed = shape.lines[0], _TOLERANCE * np.ptp(border, axis=0).max()
        low, high = line.min(axis=0), line.max(axis=0)
        if (low > border.min(axis=0) + missed).any() or (high < border.max(axis=0) - missed).any():
            return False
        x, y = (line - low).T
        area = abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2
        if area < (1 - _TOLERANCE) * np.prod(high - low):
            return False
        white = (self._styles.luminance(shape.style.get("fill", "black")) or 0.0) == 1.0
        return white or all(window.sees(self._samples, self._compare).all() for window in shape.windows)

    @cached_property
    def _samples(self) -> Line:
        """Test points on the page: corners, middles of the edges, and centre, a little inside."""
        page = self._page.visible
        assert page is not None
        inner = _grown(page, -2 * _TOLERANCE * min(page.width, page.height)).outline()
        return np.concatenate([inner, (inner[:-1] + inner[1:]) / 2, inner[:-1].mean(axis=0, keepdims=True)])


def _grown(page: Page, by: float) -> Page:
    """The page, larger by a margin on every side."""
    return Page(page.left - by, page.top - by, page.width + 2 * by, page.height + 2 * by)


def _children(element: Element) -> list[Element]:
    """Children that are drawn; of a <switch>, the first one without conditions."""
    if element.tag != "switch":
        return list(element)
    asks = ("requiredExtensions", "systemLanguage")
    return [child for child in element if not any(name in child.attrib for name in asks)][:1]


def _moved(line: list[tuple[float, float]] | Line, matrix: Matrix) -> Line:
    """The line after a transform; SvgError for coordinates beyond `MAX_NUMBER`."""
    moved: NDArray[np.float64] = np.asarray(line) @ matrix[:2, :2].T + matrix[:2, 2]
    if not (np.isfinite(moved).all() and np.abs(moved).max() <= MAX_NUMBER):
        raise SvgError(f"a coordinate beyond {MAX_NUMBER:g} after its transforms")
    return moved
