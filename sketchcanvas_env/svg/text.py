"""Parsers of SVG's numbers, lengths and transforms, with limits."""

from __future__ import annotations

import math
import re

import numpy as np
from numpy.typing import NDArray

MAX_NUMBER = 1e6
"""Largest absolute value of a number."""

# Every text matches in one way only, so that matching never backtracks.
_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?")
_ITEM = re.compile(rf"({_NUMBER.pattern})[\s,]*")
_SEPARATOR = re.compile(r"[\s,]*")
_LENGTH = re.compile(rf"({_NUMBER.pattern})([a-zA-Z]{{1,4}}|%)?")
_TRANSFORM = re.compile(r"\s*([a-zA-Z]+)\s*\(([^()]*)\)\s*,?")
_UNITS = {"px": 1.0, "in": 96.0, "cm": 96 / 2.54, "mm": 96 / 25.4, "q": 96 / 101.6, "pt": 96 / 72, "pc": 16.0}
"""Pixels in each unit."""

Matrix = NDArray[np.float64]
"""(3, 3) affine transform of column vectors (x, y, 1)."""


class SvgError(ValueError):
    """The SVG cannot be read; the message says where and why."""


class Budget:
    """Limit on the total amount of something in a document."""

    def __init__(self, limit: int, what: str) -> None:
        """Set the limit; the error message names `what`."""
        self._limit, self._what, self._left = limit, what, limit

    def spend(self, amount: int) -> None:
        """Add an amount to the total.

        Raises:
            SvgError: the total exceeds the limit.
        """
        self._left -= amount
        if self._left < 0:
            raise SvgError(f"more than {self._limit} {self._what}")


def length(text: str, what: str, whole: float | None = None) -> float:
    """A length in pixels.

    Args:
        text: a number with an absolute unit, "%" or no unit.
        what: name of the length in the message.
        whole: length of 100 %; None where it is unknown.

    Raises:
        SvgError: not a length, a percentage of an unknown length, or a number beyond `MAX_NUMBER`.
    """
    text = text.strip()
    match = _LENGTH.fullmatch(text)
    if match is None:
        raise SvgError(f"{what} is not a plain number: {text[:40]!r}")
    number, unit = float(match[1]), (match[2] or "px").lower()
    if unit == "%":
        if whole is None:
            raise SvgError(f"{what} is {text[:40]!r} of a page of unknown size")
        return bounded(number * whole / 100, what)
    if unit not in _UNITS:
        raise SvgError(f"{what} is not a plain number: {text[:40]!r}; its unit is none of {', '.join(_UNITS)} and %")
    return bounded(number * _UNITS[unit], what)


def point(text: str, what: str, whole: tuple[float, float] | None) -> tuple[float, float]:
    """A CSS position (x, y) in pixels: one or two lengths, or `left`, `center`, `right`, `top`, `bottom`.

    Args:
        text: the value; a third length, the depth, is ignored.
        what: name of the position in the message.
        whole: length of 100 % in x and in y; None where it is unknown.

    Raises:
        SvgError: not a position.
    """
    words = text.replace(",", " ").lower().split()[:2]
    if not words:
        raise SvgError(f"{what} is empty")
    words += ["center"] * (2 - len(words))
    if words[0] in ("top", "bottom") or words[1] in ("left", "right"):
        words.reverse()
    shares = ({"left": "0%", "center": "50%", "right": "100%"}, {"top": "0%", "center": "50%", "bottom": "100%"})
    x, y = (
        length(names.get(word, word), what, None if whole is None else whole[axis])
        for axis, (names, word) in enumerate(zip(shares, words, strict=True))
    )
    return x, y


def leading_number(text: str) -> float | None:
    """The number at the start of a text (40 characters at most), None if there is none."""
    match = _NUMBER.match(text[:40])
    return None if match is None else float(match[0])


def bounded(value: float, what: str) -> float:
    """The value unchanged.

    Raises:
        SvgError: not finite, or beyond `MAX_NUMBER`.
    """
    if not (math.isfinite(value) and abs(value) <= MAX_NUMBER):
        raise SvgError(f"{what} is not a finite number up to {MAX_NUMBER:g}")
    return value


def numbers(text: str, what: str, limit: int) -> list[float]:
    """All numbers of a text, separated by blanks, commas or nothing.

    Raises:
        SvgError: the text has something else, or more than `limit` numbers.
    """
    values: list[float] = []
    position = skip(text, 0)
    while position < len(text):
        if len(values) >= limit:
            raise SvgError(f"{what} holds more than {limit} numbers")
        value, position = take_number(text, position, what)
        values.append(value)
    return values


def skip(text: str, position: int) -> int:
    """Position of the first character that is neither a blank nor a comma."""
    match = _SEPARATOR.match(text, position)
    return match.end() if match else position


def take_number(text: str, position: int, what: str) -> tuple[float, int]:
    """The number at a position, and the position after it and its separators.

    Raises:
        SvgError: no number there, or one beyond `MAX_NUMBER`.
    """
    match = _ITEM.match(text, position)
    if match is None:
        raise SvgError(f"{what}: expected a number at {text[position : position + 20]!r}")
    return bounded(float(match.group(1)), what), match.end()


def transform(text: str) -> Matrix:
    """Matrix of a `transform` attribute.

    Raises:
        SvgError: not a list of SVG transforms.
    """
    matrix = np.eye(3)
    text = text.rstrip()
    position = 0
    while position < len(text):
        match = _TRANSFORM.match(text, position)
        if match is None:
            raise SvgError(f"unreadable transform {text[:60]!r}")
        name, values = match.group(1), numbers(match.group(2), "transform", 6)
        position = match.end()
        matrix = matrix @ _matrix(name, values)
    return matrix


def _matrix(name: str, v: list[float]) -> Matrix:
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
    raise SvgError(f"unknown transform {name!r} with {len(v)} numbers")
