"""VectorSketch: validation, stroke-5, Douglas-Peucker, normalising."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sketchcanvas_env.sketches.sketch import MAX_POINTS, VectorSketch, douglas_peucker_weights, ink_length

COORDINATE = st.floats(0.0, 1.0, width=32)
STROKE = st.lists(st.tuples(COORDINATE, COORDINATE), min_size=1, max_size=12)
SKETCH = st.lists(STROKE, min_size=1, max_size=6).map(VectorSketch.from_strokes)


def zigzag(points: int) -> np.ndarray:
    return np.column_stack([np.linspace(0, 1, points), np.arange(points) % 2 * 0.5])


@pytest.mark.parametrize(
    ("strokes", "message"),
    [
        ([], "at least one stroke"),
        ([[]], "stroke 0 needs shape"),
        ([[(0.1, 0.2, 0.3)]], "stroke 0 needs shape"),
        ([[(0.1, 0.2)], [(0.1, math.nan)]], "stroke 1 holds a coordinate that is not finite"),
        ([[(0.1, math.inf)]], "not finite"),
        ([[(0.1, 1.5)]], "leaves the unit canvas"),
        ([np.zeros((MAX_POINTS + 1, 2))], "at most"),
    ],
)
def test_from_strokes_refuses(strokes: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        VectorSketch.from_strokes(strokes)


def test_strokes_are_read_only_copies() -> None:
    source = np.array([[0.1, 0.2], [0.3, 0.4]], dtype=np.float32)
    sketch = VectorSketch.from_strokes([source])
    source[:] = 0.0
    assert sketch.strokes[0][1, 0] == np.float32(0.3)
    with pytest.raises(ValueError, match="read-only"):
        sketch.strokes[0][0, 0] = 0.5


def test_fit_keeps_aspect_and_centres() -> None:
    sketch = VectorSketch.fit([[(10, 100), (30, 140)]], margin=0.1)
    # 40 high and 20 wide: the height fills 0.8 of the canvas, the width half of that.
    np.testing.assert_allclose(sketch.strokes[0], [[0.3, 0.1], [0.7, 0.9]], atol=1e-6)


def test_fit_puts_a_lone_dot_in_the_middle() -> None:
    np.testing.assert_array_equal(VectorSketch.fit([[(7, 9)]]).strokes[0], [[0.5, 0.5]])


@pytest.mark.parametrize("margin", [-0.1, 0.5, math.nan])
def test_fit_refuses_margins(margin: float) -> None:
    with pytest.raises(ValueError, match="margin"):
        VectorSketch.fit([[(0, 0), (1, 1)]], margin)


def test_stroke5_by_hand() -> None:
    sketch = VectorSketch.from_strokes([[(0.25, 0.5), (0.75, 0.5)], [(0.5, 0.125)]])
    expected = [
        [0.25, 0.5, 1, 0, 0],
        [0.75, 0.5, 0, 1, 0],
        [0.5, 0.125, 0, 1, 0],
        [0, 0, 0, 0, 1],
        [0, 0, 0, 0, 1],
    ]
    rows = sketch.to_stroke5(5)
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, expected)


@given(SKETCH)
@settings(max_examples=60, deadline=None)
def test_stroke5_round_trip(sketch: VectorSketch) -> None:
    again = VectorSketch.from_stroke5(sketch.to_stroke5(max(2, sketch.n_points) + 3))
    assert len(again.strokes) == len(sketch.strokes)
    for one, other in zip(again.strokes, sketch.strokes, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.zeros((3, 4)), "shape"),
        (np.zeros((3, 5)), "one-hot"),
        ([[0, 0, 1, 1, 0]], "one-hot"),
        ([[2.0, 0, 0, 1, 0]], "leaves the unit canvas"),
        ([[0, 0, 0, 0, 1]], "at least one stroke"),
    ],
)
def test_from_stroke5_refuses(rows: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        VectorSketch.from_stroke5(rows)  # type: ignore[arg-type]


def recursive_douglas_peucker(points: np.ndarray, tolerance: float) -> list[int]:
    """The textbook recursion on indices."""

    def keep(first: int, last: int) -> list[int]:
        start, end = points[first], points[last]
        best, where = 0.0, None
        for i in range(first + 1, last):
            along = end - start
            square = along @ along
            t = min(max((points[i] - start) @ along / square, 0.0), 1.0) if square else 0.0
            distance = math.dist(points[i], start + t * along)
            if distance > best:
                best, where = distance, i
        if where is None or best <= tolerance:
            return []
        return [*keep(first, where), where, *keep(where, last)]

    return sorted({0, *keep(0, len(points) - 1), len(points) - 1})


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("tolerance", [0.0, 0.02, 0.1, 0.3])
def test_weights_equal_the_recursion_at_every_tolerance(seed: int, tolerance: float) -> None:
    points = np.random.default_rng(seed).random((40, 2))
    kept = np.flatnonzero(douglas_peucker_weights(points) > tolerance)
    assert kept.tolist() == recursive_douglas_peucker(points, tolerance)


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("n", [2, 3, 50, 500])
def test_weights_are_the_same_in_plain_numbers_and_in_numpy(
    n: int, closed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = np.random.default_rng(n).random((n, 2)).astype(np.float32)
    points[-1] = points[0] if closed else points[-1]
    plain = douglas_peucker_weights(points)
    monkeypatch.setattr("sketchcanvas_env.sketches.sketch._SHORT", 0)
    np.testing.assert_allclose(plain, douglas_peucker_weights(points), rtol=1e-12)


def test_simplified_drops_points_on_a_line() -> None:
    straight = np.column_stack([np.linspace(0, 1, 50), np.full(50, 0.5)])
    assert VectorSketch.from_strokes([straight]).simplified(0.001).n_points == 2


@given(SKETCH, st.integers(2, 30))
@settings(max_examples=60, deadline=None)
def test_bounded_has_at_most_the_given_number_of_points(sketch: VectorSketch, most: int) -> None:
    bounded = sketch.bounded(most)
    assert bounded.n_points <= most
    if sketch.n_points <= most:
        assert bounded is sketch
    # Whatever stays was there before, in the same order.
    originals = {tuple(p) for s in sketch.strokes for p in s.tolist()}
    assert {tuple(p) for s in bounded.strokes for p in s.tolist()} <= originals


def test_bounded_keeps_the_corners_and_the_long_strokes() -> None:
    corner = [(0, 0), (0.5, 0.001), (1, 0), (1, 1)]
    assert VectorSketch.from_strokes([corner]).bounded(3).strokes[0].tolist() == [[0, 0], [1, 0], [1, 1]]
    many = VectorSketch.from_strokes([[(0, 0), (0.1, 0)], [(0, 0), (1, 0)], [(0, 0), (0.2, 0)]])
    assert [ink_length(s) for s in many.bounded(4).strokes] == pytest.approx([1.0, 0.2])


def test_bounded_refuses_one_point() -> None:
    with pytest.raises(ValueError, match="max_points"):
        VectorSketch.from_strokes([zigzag(5)]).bounded(1)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("stroke", "filled"),
    [
        ([[-1e-320, 0.0], [0.0, 0.0]], [[0.08, 0.5], [0.92, 0.5]]),
        ([[1e308, 1e308], [-1e308, -1e308]], [[0.92, 0.92], [0.08, 0.08]]),
        ([[1.7e308, 0.0], [-1.7e308, 5e-324]], [[0.92, 0.5], [0.08, 0.5]]),
    ],
)
def test_the_smallest_and_largest_numbers_are_scaled_without_overflow(
    stroke: list[list[float]], filled: list[list[float]]
) -> None:
    assert np.allclose(VectorSketch.fit([stroke]).strokes[0], filled, atol=1e-7)
