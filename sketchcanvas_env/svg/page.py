"""Viewports of <svg> and <symbol>, and the transforms that fit them into place (SVG 2, chapter 8)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from sketchcanvas_env.svg.text import Matrix, SvgError, length, numbers


@dataclass(frozen=True)
class Page:
    """A rectangle in user units, y down."""

    left: float
    top: float
    width: float
    height: float

    def whole(self, name: str) -> float:
        """Length of 100 % for an attribute."""
        if name == "r":
            return math.hypot(self.width, self.height) / math.sqrt(2)
        return self.width if name in ("x", "x1", "x2", "cx", "rx", "width") else self.height

    def outline(self) -> NDArray[np.float64]:
        """The border as a closed line, (5, 2)."""
        right, bottom = self.left + self.width, self.top + self.height
        corners = [
            (self.left, self.top),
            (right, self.top),
            (right, bottom),
            (self.left, bottom),
            (self.left, self.top),
        ]
        return np.array(corners)


def attribute(element: Element, name: str, page: Page | None, default: float = 0.0) -> float:
    """A length attribute in pixels; the default where it is missing or "auto".

    Raises:
        SvgError: not a length, or a percentage without a page.
    """
    text = element.get(name, "auto")
    return default if text == "auto" else length(text, name, None if page is None else page.whole(name))


def view_box(element: Element) -> Page | None:
    """The `viewBox` of an element, None if it has none.

    Raises:
        SvgError: not four numbers, or a width or height that is not positive.
    """
    text = element.get("viewBox")
    if text is None:
        return None
    values = numbers(text, "viewBox", 4)
    if len(values) != 4 or values[2] <= 0 or values[3] <= 0:
        raise SvgError(f"viewBox needs four numbers with a positive width and height, not {text[:60]!r}")
    return Page(*values)


def fitted(element: Element, box: Page, width: float, height: float) -> Matrix:
    """Matrix that fits a box into a rectangle at the origin, by the element's `preserveAspectRatio`.

    Raises:
        SvgError: an unknown `preserveAspectRatio`.
    """
    align, how = [*element.get("preserveAspectRatio", "xMidYMid").split(), "xMidYMid", "meet"][:2]
    scales = np.array([width / box.width, height / box.height])
    shares = np.zeros(2)
    if align != "none":
        places = {"Min": 0.0, "Mid": 0.5, "Max": 1.0}
        if len(align) != 8 or align[0] != "x" or align[4] != "Y" or not {align[1:4], align[5:]} <= set(places):
            raise SvgError(f"unknown preserveAspectRatio {align[:40]!r}")
        shares[:] = places[align[1:4]], places[align[5:]]
        scales[:] = scales.max() if how == "slice" else scales.min()
    free = np.array([width, height]) - scales * [box.width, box.height]
    matrix = np.diag([*scales, 1.0])
    matrix[:2, 2] = shares * free - scales * [box.left, box.top]
    return matrix


@dataclass(frozen=True)
class Root:
    """Page of a document.

    Attributes:
        box: the `viewBox`, else `width` and `height`; percentages refer to it. None if all are missing.
        matrix: transform from the document's coordinates to coordinates without stretching.
        visible: the visible rectangle in the latter; None if `box` is.
    """

    box: Page | None
    matrix: Matrix
    visible: Page | None

    @classmethod
    def of(cls, root: Element) -> Root:
        """Page of the document with this root element.

        Raises:
            SvgError: an invalid `viewBox` or `preserveAspectRatio`.
        """
        box = view_box(root)
        try:
            width, height = (length(root.get(name, ""), name) for name in ("width", "height"))
        except SvgError:  # missing, or a percentage
            width = height = 0.0
        if width <= 0 or height <= 0:
            return cls(box, np.eye(3), box)
        if box is None:
            box = Page(0.0, 0.0, width, height)
        matrix = fitted(root, box, width, height)
        across, down = matrix[0, 0], matrix[1, 1]
        with np.errstate(all="ignore"):
            visible = np.array([*-matrix[:2, 2], width, height]) / across
            stretched = down / across
        if not (np.isfinite(visible).all() and np.isfinite(stretched)):  # a width or height near 0
            return cls(box, np.eye(3), box)
        return cls(box, np.diag([1.0, stretched, 1.0]), Page(*visible.tolist()))
