"""The statistics of a sketch, on drawings that can be computed by hand."""

from __future__ import annotations

import doctest
from functools import reduce
from itertools import pairwise
from operator import add

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sketchcanvas_env.sketches import features
from sketchcanvas_env.sketches.features import FEATURE_NAMES, GRID, batch_features, stroke_features
from sketchcanvas_env.sketches.pen import LINE_WIDTH
from sketchcanvas_env.sketches.sketch import VectorSketch
from tests.helpers import toy_sketch

HORIZONTAL = [[0.25, 0.5], [0.75, 0.5]]
SQUARE = [[0.25, 0.25], [0.75, 0.25], [0.75, 0.75], [0.25, 0.75], [0.25, 0.25]]


def named(*strokes: object) -> dict[str, float]:
    values = stroke_features(VectorSketch.from_strokes(strokes))
    return dict(zip(FEATURE_NAMES, values.tolist(), strict=True))


def test_a_line() -> None:
    line = named(HORIZONTAL)
    assert line["strokes"] == pytest.approx(1 / 9)
    assert line["points"] == pytest.approx(2 / 102)
    assert line["ink"] == pytest.approx(0.5 / 5.5)
    assert (line["box_width"], line["box_height"]) == (0.5, 0.0)
    # The box is as high as the pen, and the line fills it.
    assert line["density"] == 1.0
    assert (line["turning"], line["corners"], line["closed_strokes"], line["short_strokes"]) == (0, 0, 0, 0)
    assert line["stroke_length"] == pytest.approx(0.5 / 1.0)
    assert line["longest_stroke"] == 1.0
    assert line["spacing"] == pytest.approx(0.5 / 0.55)
    # 0.25 to 0.75 in 32nds: cells 8 to 24 of one row.
    assert line["occupied"] == pytest.approx(17 / GRID**2)
    assert line["crowded"] == 0.0


def test_a_square() -> None:
    square = named(SQUARE)
    assert square["turning"] == pytest.approx(0.5)
    assert square["corners"] == 1.0
    assert square["closed_strokes"] == 1.0
    assert square["density"] == pytest.approx(2.0 * LINE_WIDTH / 0.25)
    # A ring of 17 x 17 cells.
    assert square["occupied"] == pytest.approx(64 / GRID**2)


def test_strokes_of_several_lengths() -> None:
    both = named(HORIZONTAL, [[0.5, 0.1], [0.55, 0.1]])
    lengths = [0.5, 0.05]
    mean, spread = float(np.mean(lengths)), float(np.std(lengths))
    assert both["short_strokes"] == 0.5
    assert both["stroke_length"] == pytest.approx(mean / (mean + 0.5), abs=1e-6)
    assert both["length_spread"] == pytest.approx(spread / (spread + mean), abs=1e-6)
    assert both["longest_stroke"] == pytest.approx(0.5 / 0.55, abs=1e-6)


def test_crossing_strokes_crowd_a_cell() -> None:
    crossed = named(HORIZONTAL, [[0.5, 0.25], [0.5, 0.75]])
    assert crossed["crowded"] == pytest.approx(1 / 33)
    # One stroke that crosses itself does not count: it is one line to follow.
    assert named([[0.25, 0.5], [0.75, 0.5], [0.5, 0.25], [0.5, 0.75]])["crowded"] == 0.0


def test_dots_and_repeated_points_have_finite_features() -> None:
    dot = named([[0.5, 0.5]])
    assert all(np.isfinite(list(dot.values())))
    assert dot["ink"] == 0.0
    assert dot["occupied"] == pytest.approx(1 / GRID**2)
    twice = named([[0.25, 0.5], [0.5, 0.5], [0.5, 0.5], [0.75, 0.5]])
    assert twice["turning"] == 0.0


def test_angles_between_strokes_do_not_count() -> None:
    # A pen lifted at the corner makes no corner.
    assert named([[0.25, 0.25], [0.75, 0.25]], [[0.75, 0.25], [0.75, 0.75]])["turning"] == 0.0
    assert named([[0.25, 0.25], [0.75, 0.25]], [[0.5, 0.5], [0.5, 0.75]])["turning"] == 0.0


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000))
def test_every_feature_is_finite_and_within_its_bounds(row: int) -> None:
    values = stroke_features(toy_sketch(row))
    assert values.shape == (len(FEATURE_NAMES),)
    assert values.dtype == np.float32
    assert np.isfinite(values).all()
    assert (values >= 0).all()
    assert (values <= 1).all()


def plainly(sketch: VectorSketch) -> np.ndarray:
    """The statistics computed stroke by stroke from their definitions."""
    lengths, spacings, turns, gaps = [], [], [], []
    cells: dict[tuple[int, int], set[int]] = {}
    for number, stroke in enumerate(sketch.strokes):
        points = stroke.astype(np.float64)
        steps = np.diff(points, axis=0)
        spacings.append(np.hypot(steps[:, 0], steps[:, 1]))
        lengths.append(reduce(add, spacings[-1].tolist(), 0.0))
        gaps.append(np.hypot(*(points[-1] - points[0])))
        moves = steps[spacings[-1] > 0]
        turns += [(a[0] * b[1] - a[1] * b[0], a[0] * b[0] + a[1] * b[1]) for a, b in pairwise(moves)]
        walk = [points]
        for start, step, length in zip(points, steps, spacings[-1], strict=False):
            count = int(np.ceil(length * 2 * GRID))
            walk += [start + step * (np.arange(count) / max(count, 1))[:, None]]
        for x, y in np.minimum((np.concatenate(walk) * GRID).astype(int), GRID - 1).tolist():
            cells.setdefault((x, y), set()).add(number)
    drawn, angles = np.array(lengths), np.abs(np.arctan2(*np.array(turns).reshape(-1, 2).T))
    ink, n_steps = drawn.sum(), sketch.n_points - sketch.n_strokes
    width, height = np.ptp(np.concatenate(sketch.strokes).astype(np.float64), axis=0)
    closed = [
        len(stroke) > 2 and length > 0 and gap <= 0.1 * length
        for stroke, length, gap in zip(sketch.strokes, lengths, gaps, strict=True)
    ]
    crowded = [len(owners) > 1 for owners in cells.values()]
    values = {
        "strokes": sketch.n_strokes / (sketch.n_strokes + 8.0),
        "points": sketch.n_points / (sketch.n_points + 100.0),
        "ink": ink / (ink + 5.0),
        "density": min(1.0, ink * LINE_WIDTH / (max(width, LINE_WIDTH) * max(height, LINE_WIDTH))),
        "box_width": width,
        "box_height": height,
        "turning": angles.mean() / np.pi if len(turns) else 0.0,
        "corners": (angles > np.pi / 4).mean() if len(turns) else 0.0,
        "short_strokes": (drawn < 0.1).mean(),
        "closed_strokes": np.mean(closed),
        "stroke_length": drawn.mean() / (drawn.mean() + 0.5),
        "length_spread": drawn.std() / (drawn.std() + drawn.mean()) if drawn.std() > 0 else 0.0,
        "longest_stroke": drawn.max() / ink if ink > 0 else 1.0,
        "spacing": ink / n_steps / (ink / n_steps + 0.05) if n_steps else 0.0,
        "occupied": len(cells) / GRID**2,
        "crowded": np.mean(crowded),
    }
    return np.array([values[name] for name in FEATURE_NAMES], dtype=np.float32)


# Few places, so that points repeat, strokes close and lie upon each other, and edges are touched; and any place.
_AXIS = st.sampled_from([0.0, 0.25, 0.5, 0.53125, 1.0]) | st.floats(0.0, 1.0, width=32)
_STROKE = st.lists(st.tuples(_AXIS, _AXIS), min_size=1, max_size=12)


@settings(max_examples=300, deadline=None)
@given(st.lists(_STROKE, min_size=1, max_size=12))
def test_features_equal_the_plain_definition_bit_for_bit(strokes: list[list[tuple[float, float]]]) -> None:
    sketch = VectorSketch.from_strokes(strokes)
    np.testing.assert_array_equal(stroke_features(sketch), plainly(sketch))


def test_features_of_drawings_equal_the_plain_definition_bit_for_bit() -> None:
    for sketch in map(toy_sketch, range(200)):
        np.testing.assert_array_equal(stroke_features(sketch), plainly(sketch))


def test_a_batch_equals_single_sketches() -> None:
    sketches = [toy_sketch(row) for row in range(5)]
    assert np.array_equal(batch_features(sketches), [stroke_features(sketch) for sketch in sketches])
    assert batch_features([]).shape == (0, len(FEATURE_NAMES))


def test_drawings_differ_in_every_feature() -> None:
    spread = batch_features([toy_sketch(row) for row in range(200)]).std(axis=0)
    assert (spread > 0.005).all(), dict(zip(FEATURE_NAMES, spread.tolist(), strict=True))


def test_examples_in_the_docstrings() -> None:
    assert doctest.testmod(features).failed == 0
