"""The statistics of a sketch, on drawings whose numbers can be had by hand."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sketchcanvas_env import features
from sketchcanvas_env.features import FEATURE_NAMES, GRID, batch_features, stroke_features
from sketchcanvas_env.raster import LINE_WIDTH
from sketchcanvas_env.sketch import VectorSketch
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


def test_a_dot_and_repeated_points_are_no_trouble() -> None:
    dot = named([[0.5, 0.5]])
    assert all(np.isfinite(list(dot.values())))
    assert dot["ink"] == 0.0
    assert dot["occupied"] == pytest.approx(1 / GRID**2)
    twice = named([[0.25, 0.5], [0.5, 0.5], [0.5, 0.5], [0.75, 0.5]])
    assert twice["turning"] == 0.0


def test_the_turn_between_two_strokes_is_none() -> None:
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


def test_a_batch_is_what_single_sketches_are() -> None:
    sketches = [toy_sketch(row) for row in range(5)]
    assert np.array_equal(batch_features(sketches), [stroke_features(sketch) for sketch in sketches])
    assert batch_features([]).shape == (0, len(FEATURE_NAMES))


def test_drawings_differ_in_every_feature() -> None:
    spread = batch_features([toy_sketch(row) for row in range(200)]).std(axis=0)
    assert (spread > 0.005).all(), dict(zip(FEATURE_NAMES, spread.tolist(), strict=True))


def test_examples_in_the_docstrings() -> None:
    assert doctest.testmod(features).failed == 0
