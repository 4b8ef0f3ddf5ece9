"""Cutting polylines at the edges of clips and masks."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sketchcanvas_env.svg.clip import Region, Window, borders, seen
from sketchcanvas_env.svg.text import Budget, SvgError

SQUARE = np.array([[0.0, 0], [10, 0], [10, 10], [0, 10], [0, 0]])
STAR = np.array([[5.0, 0], [8, 10], [0, 4], [10, 4], [2, 10]])
HOLE = SQUARE * 0.4 + 3


def spend(count: int) -> None:
    assert count >= 0


def window(*rings: NDArray[np.float64], even_odd: bool = False) -> Window:
    return Window(((Region(rings, even_odd), True),))


def test_a_line_inside_is_unchanged() -> None:
    line = np.array([[0.0, 0], [5, 5], [10, 10]])
    [same] = seen(line, [window(SQUARE)], spend)
    assert same is line


def test_pieces_by_hand() -> None:
    line = np.array([[-5.0, 5], [5, 5], [5, 15], [8, 15], [8, 5], [9, 5], [9, -5], [20, -5]])
    for polygon in (SQUARE, SQUARE[::-1], SQUARE[:-1]):
        pieces = seen(line, [window(polygon)], spend)
        assert [piece.tolist() for piece in pieces] == [
            [[0, 5], [5, 5], [5, 10]],
            [[8, 10], [8, 5], [9, 5], [9, 0]],
        ]


def test_a_line_outside_is_removed() -> None:
    assert seen(np.array([[-5.0, 5], [5, 16], [16, 5]]), [window(SQUARE)], spend) == []  # passes by two corners
    assert seen(np.array([[-5.0, 5], [-5, 16]]), [window(SQUARE)], spend) == []
    assert seen(np.array([[1.0, 5], [5, 6]]), [Window(())], spend) == []


def test_fill_rules_of_a_star() -> None:
    line = np.array([[5.0, 0.5], [5.0, 10]])
    [whole] = seen(line, [window(STAR)], spend)
    assert whole[[0, -1], 1].tolist() == pytest.approx([0.5, 7.75])
    arm, *rest = seen(line, [window(STAR, even_odd=True)], spend)
    assert arm[[0, -1], 1].tolist() == [0.5, 4] and not rest


def test_hiding_layers_are_cut_out() -> None:
    line = np.array([[-5.0, 5], [15, 5]])
    holed = Window(((Region((SQUARE,)), True), (Region((HOLE,)), False)))
    assert [part.tolist() for part in seen(line, [holed], spend)] == [[[0, 5], [3, 5]], [[7, 5], [10, 5]]]
    again = Window((*holed.layers, (Region((SQUARE * 0.1 + 4,)), True)))
    assert [part.tolist() for part in seen(line, [again], spend)][1] == [[4, 5], [5, 5]]


def test_a_line_along_an_edge_is_seen() -> None:
    for one in (window(SQUARE), Window(((Region((SQUARE * 9 - 40,)), True), (Region((SQUARE,)), False)))):
        [same] = seen(SQUARE, [one], spend)
        assert same is SQUARE


def test_a_closed_line_is_cut_into_no_more_parts_than_are_seen() -> None:
    [part] = seen(SQUARE, [window(SQUARE - [5, 5])], spend)
    assert part.tolist() == [[0, 5], [0, 0], [5, 0]]


def test_borders_are_where_a_fill_ends() -> None:
    left = Region((np.array([[-9.0, -9], [5, -9], [5, 99], [-9, 99]]),))
    [part] = borders(left, [window(SQUARE)], spend)
    assert part.tolist() == [[5, 10], [0, 10], [0, 0], [5, 0]]
    assert borders(Region((SQUARE,)), [window(SQUARE)], spend) == []  # its own outline is there already
    hole = Window(((Region((SQUARE,)), True), (Region((HOLE,)), False)))
    [part] = borders(Region((SQUARE,)), [hole], spend)
    assert sorted(map(tuple, part.tolist())) == sorted(map(tuple, HOLE.tolist()))


def test_comparisons_are_counted() -> None:
    many = np.random.default_rng(0).random((500, 2)) * 20 - 5
    with pytest.raises(SvgError, match="more than 1000 pairs"):
        seen(many, [window(STAR)], Budget(1_000, "pairs").spend)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(-9, 19), st.integers(-9, 19)), min_size=2, max_size=9),
    st.sampled_from([window(SQUARE), window(STAR), window(STAR, even_odd=True), window(SQUARE, HOLE, even_odd=True)]),
)
def test_the_parts_are_those_inside(points: list[tuple[int, int]], through: Window) -> None:
    line = np.array(points, dtype=float)

    def samples(lines: list[NDArray[np.float64]]) -> NDArray[np.float64]:
        steps = np.linspace(0.01, 0.99, 50)[:, None]
        found = [a + steps * (b - a) for one in lines for a, b in pairwise(one)]
        return np.concatenate(found) if found else np.empty((0, 2))

    kept, wanted = samples(seen(line, [through], spend)), samples([line])
    angles = np.linspace(0, 2 * np.pi, 9)
    around = 0.01 * np.stack([np.cos(angles), np.sin(angles)], axis=1)

    def inside(points: NDArray[np.float64]) -> NDArray[np.bool_]:
        """By the sum of the angles under which the edges are seen."""
        [(region, _)] = through.layers
        turns = np.zeros(len(points))
        for start, end in region.edges:
            a, b = start - points, end - points
            turns += np.arctan2(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0], (a * b).sum(axis=1))
        winding = np.round(turns / (2 * np.pi)).astype(int)
        return winding % 2 == 1 if region.even_odd else winding != 0

    near = np.array([inside(kept + step) for step in around])
    assert near.any(axis=0).all()  # nothing is kept that lies outside
    for point in wanted[np.array([inside(wanted + step) for step in around]).all(axis=0)]:
        assert len(kept) and np.hypot(*(kept - point).T).min() < 0.7  # the steps of a sample
