"""Cutting polylines at convex polygons."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sketchcanvas_env.svg.clip import cut, inside_of

SQUARE = np.array([[0.0, 0], [10, 0], [10, 10], [0, 10], [0, 0]])


def test_what_lies_inside_stays_as_it_is() -> None:
    line = np.array([[0.0, 0], [5, 5], [10, 10]])
    inside = inside_of(SQUARE)
    assert inside is not None
    [same] = cut(line, inside)
    assert same is line


def test_pieces_by_hand() -> None:
    line = np.array([[-5.0, 5], [5, 5], [5, 15], [8, 15], [8, 5], [9, 5], [9, -5], [20, -5]])
    for polygon in (SQUARE, SQUARE[::-1], SQUARE[:-1]):
        inside = inside_of(polygon)
        assert inside is not None
        pieces = cut(line, inside)
        assert [piece.tolist() for piece in pieces] == [
            [[0, 5], [5, 5], [5, 10]],
            [[8, 10], [8, 5], [9, 5], [9, 0]],
        ]


def test_nothing_of_a_line_elsewhere() -> None:
    inside = inside_of(SQUARE)
    assert inside is not None
    assert cut(np.array([[-5.0, 5], [5, 16], [16, 5]]), inside) == []  # passes by two corners


def test_only_convex_polygons_have_an_inside() -> None:
    angles = np.arange(5) * 2 * np.pi / 5
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert inside_of(circle) is not None
    assert inside_of(circle[[0, 2, 4, 1, 3]]) is None  # a star: turns one way, twice around
    assert inside_of(np.array([[0.0, 0], [10, 0], [3, 3], [0, 10]])) is None  # a dart
    assert inside_of(np.array([[0.0, 0], [10, 0], [5, 0]])) is None  # flat
    assert inside_of(np.array([[0.0, 0], [10, 0]])) is None


@given(st.lists(st.tuples(st.integers(-9, 19), st.integers(-9, 19)), min_size=2, max_size=12))
def test_what_is_left_is_what_was_inside(points: list[tuple[int, int]]) -> None:
    line = np.array(points, dtype=float)
    inside = inside_of(SQUARE)
    assert inside is not None

    def samples(lines: list[np.ndarray]) -> np.ndarray:
        steps = np.linspace(0, 1, 50)[:, None]
        found = [a + steps * (b - a) for one in lines for a, b in pairwise(one)]
        return np.concatenate(found) if found else np.empty((0, 2))

    pieces = cut(line, inside)
    kept, wanted = samples(pieces), samples([line])
    assert ((kept > -1e-6) & (kept < 10 + 1e-6)).all()
    wanted = wanted[((wanted > 0.01) & (wanted < 9.99)).all(axis=1)]
    for point in wanted:
        assert np.hypot(*(kept - point).T).min() < 0.7  # the steps of a sample
