"""A strict SVG reader: shapes in, strokes out, everything else refused.

A user's SVG never reaches CairoSVG, whose own parser follows references and patterns without limits. This reader
knows the basic shapes, `g`, transforms and nothing more, works under fixed limits, and names what is wrong.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError
from xml.parsers import expat

import numpy as np
from numpy.typing import NDArray

from sketchcanvas_env.files import is_special
from sketchcanvas_env.sketch import DEFAULT_MARGIN, MAX_POINTS, MAX_STROKES, VectorSketch

MAX_BYTES = 1 << 20
MAX_ELEMENTS = 5_000
MAX_DEPTH = 32
MAX_TRANSFORMS = 5_000
MAX_NUMBER = 1e6

_NAMESPACE = "{http://www.w3.org/2000/svg}"
_SKIPPED = {"title", "desc", "metadata", "defs"}
_CURVE_STEPS = 16
# No run of digits fits this in two ways: one that did would be tried in all of them.
_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?")
_ITEM = re.compile(rf"({_NUMBER.pattern})[\s,]*")
_SEPARATOR = re.compile(r"[\s,]*")
_ARGUMENTS = {"M": 2, "L": 2, "H": 1, "V": 1, "C": 6, "S": 4, "Q": 4, "T": 2, "A": 7, "Z": 0}
_DECLARATION = re.compile(r"(?:^|;)\s*(fill|stroke|display|visibility)\s*:([^;]*)")
_PIECE = 1 << 16
"""Bytes parsed at a time: a refusal inside one stops the parser at its end, not at once."""
_MAX_NAME = 200
"""Characters of a tag, a namespace, or of what a message quotes."""
_MAX_ATTRIBUTES = 200
_TRANSFORM = re.compile(r"\s*([a-zA-Z]+)\s*\(([^()]*)\)\s*,?")

Matrix = NDArray[np.float64]
Points = list[tuple[float, float]]


class SvgError(ValueError):
    """An SVG that this reader refuses; the message says where and why."""


def read_svg(source: str | Path | bytes, margin: float | None = DEFAULT_MARGIN) -> VectorSketch:
    """Read the shapes of an SVG as strokes, in document order.

    Outlines of filled shapes become closed strokes; invisible shapes (`display="none"`, neither fill nor stroke)
    are left out. Curves are flattened. Colours and line widths are not kept: a sketch is its strokes.

    Args:
        source: a file's path, or the bytes of an SVG.
        margin: the strokes are scaled by their bounding box (see `VectorSketch.fit`); None scales by the
            `viewBox` instead, which keeps the place of the drawing on its page; nothing may leave the page then.

    Raises:
        SvgError: not a plain file, not a well-formed SVG, compressed, larger than 1 MiB, a document type or entity,
            more than 5,000 elements, 5,000 transforms or 32 levels, an element or transform that is not known, a number
            that is not finite, too many points, or no visible stroke. The message names the file (when given) and the
            element.
        FileNotFoundError: the path does not exist.
    """
    name = "SVG" if isinstance(source, bytes) else str(source)
    try:
        if not isinstance(source, bytes):
            if is_special(source):
                raise SvgError("not a plain file")
            with open(source, "rb") as stream:
                source = stream.read(MAX_BYTES + 1)
        strokes, box = _read(source)
        if margin is not None:
            return VectorSketch.fit(strokes, margin)
        if box is None:
            raise SvgError("no viewBox to scale by")
        left, top, width, height = box
        side = max(width, height)
        offset = np.array([left - (side - width) / 2, top - (side - height) / 2])
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


def _read(data: bytes) -> tuple[list[NDArray[np.float64]], tuple[float, float, float, float] | None]:
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
        root = fromstring(data, forbid_dtd=True, forbid_entities=True, forbid_external=True)
    except SvgError:
        raise
    except (ParseError, expat.ExpatError) as error:
        raise SvgError(f"not well-formed XML ({error})") from None
    except DefusedXmlException as error:
        raise SvgError(f"document types and entities are refused ({type(error).__name__})") from None
    except (ValueError, LookupError) as error:
        raise SvgError(f"unreadable encoding ({error})") from None
    if root.tag not in (f"{_NAMESPACE}svg", "svg"):
        raise SvgError(f"the root element is <{root.tag}>, not <svg>")
    return _strokes(root), _view_box(root)


def _check_size(data: bytes) -> None:
    """Refuse a document whose tree would be too large, before there is one.

    The parser that makes the tree knows namespaces and writes a namespace's whole name in front of every name in it, so
    a megabyte of XML could become gigabytes. This one does not know them.

    Raises:
        SvgError: a document type, too many or too deep elements, a name that is too long, too many attributes.
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

    def doctype(*_: object) -> None:
        raise SvgError("document types and entities are refused")

    parser = expat.ParserCreate()
    parser.ordered_attributes = True
    parser.StartElementHandler, parser.EndElementHandler, parser.StartDoctypeDeclHandler = start, end, doctype
    for place in range(0, len(data), _PIECE):
        parser.Parse(data[place : place + _PIECE], place + _PIECE >= len(data))


def _view_box(root: Element) -> tuple[float, float, float, float] | None:
    text = root.get("viewBox")
    if text is None:
        return None
    values = _numbers(text, "viewBox", 4)
    if len(values) != 4 or values[2] <= 0 or values[3] <= 0:
        raise SvgError(f"viewBox needs four numbers with a positive width and height, not {text[:60]!r}")
    return values[0], values[1], values[2], values[3]


class _Budget:
    """What all shapes of a document may cost together, seen or not."""

    def __init__(self) -> None:
        self._left = MAX_POINTS

    def spend(self, points: int) -> None:
        if points > self._left:
            raise SvgError(f"more than {MAX_POINTS} points")
        self._left -= points


# Transforms may overflow one by one; what comes of all of them is looked at.
@np.errstate(over="ignore", invalid="ignore")
def _strokes(root: Element) -> list[NDArray[np.float64]]:
    strokes: list[NDArray[np.float64]] = []
    budget = _Budget()
    transforms = 0
    # An explicit stack: a deep file must not exhaust Python's own.
    stack: list[tuple[Element, Matrix, dict[str, str]]] = [(root, np.eye(3), {})]
    while stack:
        element, matrix, inherited = stack.pop()
        tag = element.tag.removeprefix(_NAMESPACE)
        if tag.startswith("{") or tag in _SKIPPED:
            continue  # an editor's own elements, and elements that draw nothing
        where = f"<{tag}" + (f" id={element.get('id', '')[:_MAX_NAME]!r}>" if element.get("id") else ">")
        style = {**inherited, **_style(element)}
        if style.pop("display", None) == "none":
            continue
        if text := element.get("transform"):
            transforms += text.count("(")
            if transforms > MAX_TRANSFORMS:
                raise SvgError(f"more than {MAX_TRANSFORMS} transforms")
            matrix = matrix @ _transform(text, where)
        if tag in ("svg", "g"):
            if tag == "svg" and element is not root:
                raise SvgError("a nested <svg> is not read")
            stack += [(child, matrix, style) for child in reversed(element)]
        elif tag in _SHAPES:
            try:
                shape = [s for s in _SHAPES[tag](element, budget) if s]
            except SvgError as error:
                raise SvgError(f"{where}: {error}") from None
            if _visible(style):
                for line in shape:
                    moved = np.asarray(line) @ matrix[:2, :2].T + matrix[:2, 2]
                    if not (np.isfinite(moved).all() and np.abs(moved).max() <= MAX_NUMBER):
                        raise SvgError(f"{where}: a coordinate beyond {MAX_NUMBER:g} after its transforms")
                    strokes.append(moved)
                if len(strokes) > MAX_STROKES:
                    raise SvgError(f"more than {MAX_STROKES} strokes")
        else:
            raise SvgError(f"element {where} is not read; only paths and basic shapes are")
    if not strokes:
        raise SvgError("no visible stroke")
    return strokes


def _style(element: Element) -> dict[str, str]:
    names = ("fill", "stroke", "display", "visibility")
    style = {name: element.get(name, "").strip() for name in names if element.get(name) is not None}
    style.update((name, value.strip()) for name, value in _DECLARATION.findall(element.get("style", "")))
    return style


def _visible(style: dict[str, str]) -> bool:
    if style.get("visibility") in ("hidden", "collapse"):
        return False
    return style.get("fill", "black") != "none" or style.get("stroke", "none") != "none"


def _number(text: str, what: str) -> float:
    text = text.strip()
    if text.endswith("px"):
        text = text[:-2]
    if not _NUMBER.fullmatch(text):
        raise SvgError(f"{what} is not a plain number: {text[:40]!r}")
    return _bounded(float(text), what)


def _bounded(value: float, what: str) -> float:
    if not (math.isfinite(value) and abs(value) <= MAX_NUMBER):
        raise SvgError(f"{what} is not a finite number up to {MAX_NUMBER:g}")
    return value


def _numbers(text: str, what: str, limit: int) -> list[float]:
    values: list[float] = []
    position = _skip(text, 0)
    while position < len(text):
        if len(values) >= limit:
            raise SvgError(f"{what} holds more than {limit} numbers")
        value, position = _take_number(text, position, what)
        values.append(value)
    return values


def _skip(text: str, position: int) -> int:
    match = _SEPARATOR.match(text, position)
    return match.end() if match else position


def _take_number(text: str, position: int, what: str) -> tuple[float, int]:
    match = _ITEM.match(text, position)
    if match is None:
        raise SvgError(f"{what}: expected a number at {text[position : position + 20]!r}")
    return _bounded(float(match.group(1)), what), match.end()


def _transform(text: str, where: str) -> Matrix:
    matrix = np.eye(3)
    text = text.rstrip()
    position = 0
    while position < len(text):
        match = _TRANSFORM.match(text, position)
        if match is None:
            raise SvgError(f"{where}: unreadable transform {text[:60]!r}")
        name, values = match.group(1), _numbers(match.group(2), f"{where} transform", 6)
        position = match.end()
        matrix = matrix @ _transform_matrix(name, values, where)
    return matrix


def _transform_matrix(name: str, v: list[float], where: str) -> Matrix:
    if name == "matrix" and len(v) == 6:
        return np.array([[v[0], v[2], v[4]], [v[1], v[3], v[5]], [0, 0, 1.0]])
    if name == "translate" and len(v) in (1, 2):
        return np.array([[1, 0, v[0]], [0, 1, v[1] if len(v) == 2 else 0.0], [0, 0, 1.0]])
    if name == "scale" and len(v) in (1, 2):
        return np.diag([v[0], v[-1], 1.0])
    if name == "rotate" and len(v) in (1, 3):
        cos, sin = math.cos(math.radians(v[0])), math.sin(math.radians(v[0]))
        turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1.0]])
        if len(v) == 1:
            return turn
        there, back = np.eye(3), np.eye(3)
        there[:2, 2], back[:2, 2] = v[1:], [-v[1], -v[2]]
        return np.asarray(there @ turn @ back)
    if name in ("skewX", "skewY") and len(v) == 1:
        skew = np.eye(3)
        skew[(0, 1) if name == "skewX" else (1, 0)] = math.tan(math.radians(v[0]))
        return skew
    raise SvgError(f"{where}: unknown transform {name!r} with {len(v)} numbers")


# --- shapes, each to a list of polylines -----------------------------------------------------------------------


def _attribute(element: Element, name: str, default: float = 0.0) -> float:
    text = element.get(name)
    return default if text is None else _number(text, name)


def _line(element: Element, budget: _Budget) -> list[Points]:
    get = _attribute
    budget.spend(2)
    return [[(get(element, "x1"), get(element, "y1")), (get(element, "x2"), get(element, "y2"))]]


def _polyline(element: Element, budget: _Budget) -> list[Points]:
    values = _numbers(element.get("points", ""), "points", 2 * MAX_POINTS)
    budget.spend(len(values) // 2)
    if len(values) % 2:
        raise SvgError("points holds an odd number of coordinates")
    return [list(zip(values[::2], values[1::2], strict=True))]


def _polygon(element: Element, budget: _Budget) -> list[Points]:
    (points,) = _polyline(element, budget)
    return [points + points[:1]]


def _circle(element: Element, budget: _Budget) -> list[Points]:
    radius = _attribute(element, "r")
    return _oval(_attribute(element, "cx"), _attribute(element, "cy"), radius, radius, budget)


def _ellipse(element: Element, budget: _Budget) -> list[Points]:
    cx, cy, rx, ry = (_attribute(element, name) for name in ("cx", "cy", "rx", "ry"))
    return _oval(cx, cy, rx, ry, budget)


def _oval(cx: float, cy: float, rx: float, ry: float, budget: _Budget) -> list[Points]:
    if rx < 0 or ry < 0:
        raise SvgError("a negative radius")
    if rx == 0 or ry == 0:
        return []
    budget.spend(4 * _CURVE_STEPS + 1)
    angles = np.linspace(0.0, 2.0 * math.pi, 4 * _CURVE_STEPS + 1)
    return [[(cx + rx * math.cos(a), cy + ry * math.sin(a)) for a in angles]]


def _rect(element: Element, budget: _Budget) -> list[Points]:
    budget.spend(4 * (_CURVE_STEPS + 1) + 1)
    x, y, width, height = (_attribute(element, name) for name in ("x", "y", "width", "height"))
    if width < 0 or height < 0:
        raise SvgError("a negative width or height")
    if width == 0 or height == 0:
        return []
    rx = _attribute(element, "rx", _attribute(element, "ry"))
    ry = _attribute(element, "ry", rx)
    rx, ry = min(max(rx, 0.0), width / 2), min(max(ry, 0.0), height / 2)
    corners = [(x + width - rx, y + ry, -90), (x + width - rx, y + height - ry, 0)]
    corners += [(x + rx, y + height - ry, 90), (x + rx, y + ry, 180)]
    points: Points = []
    for cx, cy, start in corners:
        steps = _CURVE_STEPS if rx and ry else 1
        for step in range(steps + 1 if steps > 1 else 1):
            angle = math.radians(start + 90 * step / steps)
            points.append((cx + rx * math.cos(angle), cy + ry * math.sin(angle)) if steps > 1 else (cx, cy))
    return [points + points[:1]]


def _path(element: Element, budget: _Budget) -> list[Points]:
    lines: list[Points] = []
    current: Points = []
    x = y = start_x = start_y = 0.0
    control: tuple[float, float] | None = None  # of the last curve, for the smooth commands
    previous = ""
    for letter, values in _commands(element.get("d", "")):
        command = letter.upper()
        budget.spend(1)  # a command that draws nothing takes time, too
        if not previous and command != "M":
            raise SvgError(f"path data must begin with a move, not {letter!r}")
        if letter.islower() and command not in "HVAZ":
            values = [value + (x, y)[i % 2] for i, value in enumerate(values)]
        if command == "M":
            if current:
                lines.append(current)
            if len(lines) > MAX_STROKES:
                raise SvgError(f"more than {MAX_STROKES} moves")
            x, y = values
            start_x, start_y = x, y
            current = [(x, y)]
        elif command == "Z":
            if current:
                current.append((start_x, start_y))
                lines.append(current)
            x, y, current = start_x, start_y, []
        else:
            if not current:  # drawing on after a close starts a new subpath at its start
                current = [(x, y)]
            piece: list[list[float]]
            if command == "L":
                piece = [values]
            elif command == "H":
                piece = [[values[0] + (x if letter.islower() else 0.0), y]]
            elif command == "V":
                piece = [[x, values[0] + (y if letter.islower() else 0.0)]]
            elif command == "A":
                origin = np.array([x, y])
                end = np.array(values[5:]) + (origin if letter.islower() else 0.0)
                piece = _arc(origin, end, values[0], values[1], values[2], bool(values[3]), bool(values[4])).tolist()
            else:
                origin = np.array([x, y])
                smooth = previous in ("CS" if command == "S" else "QT") and control is not None
                mirrored = 2 * origin - np.array(control) if smooth and control else origin
                ends = np.array(values).reshape(-1, 2)
                if command in "ST":
                    ends = np.concatenate([mirrored[None], ends])
                piece = _bezier(np.concatenate([origin[None], ends])).tolist()
                control = (float(ends[-2, 0]), float(ends[-2, 1]))
            if command not in "LHV":
                # Short arcs have few points, and each takes as long as a curve.
                budget.spend(max(len(piece), _CURVE_STEPS) - 1)
            current += [(px, py) for px, py in piece]
            x, y = current[-1]
            _bounded(x, "a path coordinate")
            _bounded(y, "a path coordinate")
        previous = command
        if command not in "CSQT":
            control = None
    if current:
        lines.append(current)
    # A lone move draws nothing; a line of no length is a dot.
    return [line for line in lines if len(line) > 1]


def _commands(data: str) -> Iterator[tuple[str, list[float]]]:
    position = _skip(data, 0)
    letter = ""
    while position < len(data):
        if data[position].isalpha():
            letter = data[position]
            if letter.upper() not in _ARGUMENTS:
                raise SvgError(f"unknown path command {letter!r}")
            position = _skip(data, position + 1)
        elif letter.upper() in ("", "Z"):
            raise SvgError(f"path data needs a command at {data[position : position + 20]!r}")
        values: list[float] = []
        for index in range(_ARGUMENTS[letter.upper()]):
            # An arc's two flags may stand without a separator.
            if letter.upper() == "A" and index in (3, 4):
                if data[position : position + 1] not in ("0", "1"):
                    raise SvgError("an arc flag must be 0 or 1")
                values.append(float(data[position]))
                position = _skip(data, position + 1)
            else:
                value, position = _take_number(data, position, "path data")
                values.append(value)
        yield letter, values
        if letter in "Mm":  # further pairs after a move are lines
            letter = "L" if letter == "M" else "l"


def _bezier(controls: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points after the first on a quadratic or cubic curve with control points (3 or 4, 2)."""
    t = np.linspace(0.0, 1.0, _CURVE_STEPS + 1)[1:, None]
    points = controls[None] + 0.0 * t[..., None]
    while points.shape[1] > 1:  # de Casteljau
        points = points[:, :-1] * (1.0 - t[..., None]) + points[:, 1:] * t[..., None]
    return points[:, 0]


def _arc(
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    rx: float,
    ry: float,
    degrees: float,
    large: bool,
    sweep: bool,
) -> NDArray[np.float64]:
    """Points after the first on an elliptical arc (SVG 1.1, appendix F.6: endpoint to centre form)."""
    rx, ry = abs(rx), abs(ry)
    if rx == 0 or ry == 0 or np.array_equal(start, end):
        return end[None]
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turn = np.array([[cos, sin], [-sin, cos]])
    half = turn @ (start - end) / 2
    scale = math.hypot(half[0] / rx, half[1] / ry)
    if scale > 1.0:  # radii too small to reach: grown until they do
        rx, ry = rx * scale, ry * scale
    ratio = (half[0] / rx) ** 2 + (half[1] / ry) ** 2
    factor = math.sqrt(max(0.0, (1.0 - ratio) / ratio)) * (-1.0 if large == sweep else 1.0)
    centre = factor * np.array([rx * half[1] / ry, -ry * half[0] / rx])
    first = math.atan2((half[1] - centre[1]) / ry, (half[0] - centre[0]) / rx)
    last = math.atan2((-half[1] - centre[1]) / ry, (-half[0] - centre[0]) / rx)
    delta = (last - first) % (2 * math.pi)
    if not sweep:
        delta -= 2 * math.pi
    steps = max(2, math.ceil(abs(delta) / (2 * math.pi) * 4 * _CURVE_STEPS))
    angles = first + delta * np.linspace(0.0, 1.0, steps + 1)[1:]
    points = np.stack([rx * np.cos(angles), ry * np.sin(angles)], axis=1) + centre
    points = np.asarray(points @ turn + (start + end) / 2)
    points[-1] = end
    return points


_SHAPES: dict[str, Callable[[Element, _Budget], list[Points]]] = {
    "path": _path,
    "line": _line,
    "polyline": _polyline,
    "polygon": _polygon,
    "circle": _circle,
    "ellipse": _ellipse,
    "rect": _rect,
}
