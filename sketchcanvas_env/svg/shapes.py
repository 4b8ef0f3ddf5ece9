"""The basic shapes of SVG as polylines in their own coordinates. Curves are flattened."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from sketchcanvas_env.sketches.sketch import MAX_POINTS, MAX_STROKES
from sketchcanvas_env.svg.page import Page, attribute
from sketchcanvas_env.svg.text import Budget, SvgError, bounded, numbers, skip, take_number

_CURVE_STEPS = 16
_ARGUMENTS = {"M": 2, "L": 2, "H": 1, "V": 1, "C": 6, "S": 4, "Q": 4, "T": 2, "A": 7, "Z": 0}

Points = list[tuple[float, float]]


class Shared:
    """State shared by all shapes of a document: the limit on their points, visible or not, and the current page."""

    def __init__(self) -> None:
        """Start without points and without a page."""
        self.page: Page | None = None
        self.spend = Budget(MAX_POINTS, "points").spend

    def length(self, element: Element, name: str, default: float = 0.0) -> float:
        """A length attribute in pixels; the default where it is missing or "auto".

        Raises:
            SvgError: not a length.
        """
        return attribute(element, name, self.page, default)


def _line(element: Element, shared: Shared) -> list[Points]:
    shared.spend(2)
    x1, y1, x2, y2 = (shared.length(element, name) for name in ("x1", "y1", "x2", "y2"))
    return [[(x1, y1), (x2, y2)]]


def _polyline(element: Element, shared: Shared) -> list[Points]:
    values = numbers(element.get("points", ""), "points", 2 * MAX_POINTS)
    shared.spend(len(values) // 2)
    if len(values) % 2:
        raise SvgError("points holds an odd number of coordinates")
    return [list(zip(values[::2], values[1::2], strict=True))]


def _polygon(element: Element, shared: Shared) -> list[Points]:
    (points,) = _polyline(element, shared)
    return [points + points[:1]]


def _circle(element: Element, shared: Shared) -> list[Points]:
    radius = shared.length(element, "r")
    return _oval(shared.length(element, "cx"), shared.length(element, "cy"), radius, radius, shared)


def _ellipse(element: Element, shared: Shared) -> list[Points]:
    cx, cy, rx, ry = (shared.length(element, name) for name in ("cx", "cy", "rx", "ry"))
    return _oval(cx, cy, rx, ry, shared)


def _oval(cx: float, cy: float, rx: float, ry: float, shared: Shared) -> list[Points]:
    if rx < 0 or ry < 0:
        raise SvgError("a negative radius")
    if rx == 0 or ry == 0:
        return []
    shared.spend(4 * _CURVE_STEPS + 1)
    angles = np.linspace(0.0, 2.0 * math.pi, 4 * _CURVE_STEPS + 1)
    return [[(cx + rx * math.cos(a), cy + ry * math.sin(a)) for a in angles]]


def _rect(element: Element, shared: Shared) -> list[Points]:
    x, y, width, height = (shared.length(element, name) for name in ("x", "y", "width", "height"))
    if width < 0 or height < 0:
        raise SvgError("a negative width or height")
    if width == 0 or height == 0:
        return []
    rx = shared.length(element, "rx", shared.length(element, "ry"))
    ry = shared.length(element, "ry", rx)
    if rx <= 0 or ry <= 0:  # round corners need both radii
        rx = ry = 0.0
    rx, ry = min(rx, width / 2), min(ry, height / 2)
    steps = _CURVE_STEPS if rx else 1
    shared.spend(4 * (steps + 1) + 1)
    corners = [(x + width - rx, y + ry, -90), (x + width - rx, y + height - ry, 0)]
    corners += [(x + rx, y + height - ry, 90), (x + rx, y + ry, 180)]
    points: Points = []
    for cx, cy, start in corners:
        for step in range(steps + 1 if steps > 1 else 1):
            angle = math.radians(start + 90 * step / steps)
            points.append((cx + rx * math.cos(angle), cy + ry * math.sin(angle)) if steps > 1 else (cx, cy))
    return [points + points[:1]]


def _path(element: Element, shared: Shared) -> list[Points]:
    lines: list[Points] = []
    current: Points = []
    x = y = start_x = start_y = 0.0
    control: tuple[float, float] | None = None  # control point of the last curve, for the smooth commands
    previous = ""
    data = element.get("d", "")
    for letter, values in _commands("" if data.strip() == "none" else data):
        command = letter.upper()
        shared.spend(1)  # commands that draw nothing take time, too
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
                # A short arc has few points but takes as long as a curve.
                shared.spend(max(len(piece), _CURVE_STEPS) - 1)
            current += [(px, py) for px, py in piece]
            x, y = current[-1]
            bounded(x, "a path coordinate")
            bounded(y, "a path coordinate")
        previous = command
        if command not in "CSQT":
            control = None
    if current:
        lines.append(current)
    # A lone move draws nothing; a line of length 0 is a dot.
    return [line for line in lines if len(line) > 1]


def _commands(data: str) -> Iterator[tuple[str, list[float]]]:
    """Letter and arguments of each command of path data."""
    position = skip(data, 0)
    letter = ""
    while position < len(data):
        if data[position].isalpha():
            letter = data[position]
            if letter.upper() not in _ARGUMENTS:
                raise SvgError(f"unknown path command {letter!r}")
            position = skip(data, position + 1)
        elif letter.upper() in ("", "Z"):
            raise SvgError(f"path data needs a command at {data[position : position + 20]!r}")
        values: list[float] = []
        for index in range(_ARGUMENTS[letter.upper()]):
            # An arc's two flags may stand without a separator.
            if letter.upper() == "A" and index in (3, 4):
                if data[position : position + 1] not in ("0", "1"):
                    raise SvgError("an arc flag must be 0 or 1")
                values.append(float(data[position]))
                position = skip(data, position + 1)
            else:
                value, position = take_number(data, position, "path data")
                values.append(value)
        yield letter, values
        if letter in "Mm":  # further pairs after a move are lines
            letter = "L" if letter == "M" else "l"


def _bezier(controls: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points of a quadratic or cubic curve after the first, from control points (3 or 4, 2)."""
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
    """Points of an elliptical arc after the first (SVG 1.1, appendix F.6: endpoint to centre parametrisation)."""
    rx, ry = abs(rx), abs(ry)
    if rx == 0 or ry == 0 or np.array_equal(start, end):
        return end[None]
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turn = np.array([[cos, sin], [-sin, cos]])
    half = turn @ (start - end) / 2
    scale = math.hypot(half[0] / rx, half[1] / ry)
    if scale > 1.0:  # radii that are too small are enlarged
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


SHAPES: dict[str, Callable[[Element, Shared], list[Points]]] = {
    "path": _path,
    "line": _line,
    "polyline": _polyline,
    "polygon": _polygon,
    "circle": _circle,
    "ellipse": _ellipse,
    "rect": _rect,
}
