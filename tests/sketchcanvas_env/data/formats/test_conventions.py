"""Drawings as people write them: told apart where that can be done, otherwise refused by name; `format` decides."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

from sketchcanvas_env.data.formats.conventions import read_json_drawing, read_npy_drawing
from sketchcanvas_env.data.formats.folder import read_drawing
from sketchcanvas_env.data.formats.quickdraw import load_quickdraw
from sketchcanvas_env.sketches.sketch import VectorSketch
from tests.helpers import toy_sketch

TRIANGLE = [[[0, 0], [10, 0], [10, 10], [0, 0]], [[3, 3], [6, 6]]]
"""A closed triangle and a line."""
WANTED = VectorSketch.fit(TRIANGLE)


def _npy(rows: object) -> bytes:
    file = io.BytesIO()
    np.save(file, np.asarray(rows))
    return file.getvalue()


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def _same(found: VectorSketch, wanted: VectorSketch = WANTED) -> None:
    assert found.n_strokes == wanted.n_strokes
    for one, other in zip(found.strokes, wanted.strokes, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def _rows(strokes: list[list[list[float]]], offsets: bool, columns: int) -> np.ndarray:
    points = np.concatenate([np.array(stroke, float) for stroke in strokes])
    last = np.zeros(len(points))
    last[np.cumsum([len(stroke) for stroke in strokes]) - 1] = 1
    if offsets:
        points = np.diff(points, axis=0, prepend=np.zeros((1, 2)))
    if columns == 3:
        return np.column_stack([points, last])
    return np.vstack([np.column_stack([points, 1 - last, last, 0 * last]), [[0, 0, 0, 0, 1]] * 2])


@pytest.mark.parametrize("columns", [3, 5])
@pytest.mark.parametrize("offsets", [True, False])
def test_offsets_and_positions_are_told_apart(offsets: bool, columns: int) -> None:
    rows = _rows(TRIANGLE, offsets, columns)
    _same(read_npy_drawing(_npy(rows)))
    _same(read_npy_drawing(_npy(rows.astype(np.int16))))
    _same(read_npy_drawing(_npy(rows), "offsets" if offsets else "absolute"))


def test_stroke_5_of_sketch_rnn_with_its_start_row_is_read() -> None:
    rows = np.vstack([[[0, 0, 1, 0, 0]], _rows(TRIANGLE, True, 5)])
    found = read_npy_drawing(_npy(rows))
    _same(VectorSketch((found.strokes[0][1:], found.strokes[1])))  # the start row is a point where the first one is


def test_positions_on_the_unit_canvas_stay_where_they_are() -> None:
    sketch = VectorSketch.from_strokes([[[0.1, 0.2], [0.3, 0.1], [0.2, 0.2]]])
    _same(read_npy_drawing(_npy(sketch.to_stroke5(8))), sketch)
    _same(read_npy_drawing(_npy([[0.1, 0.2, 0], [0.3, 0.1, 0], [0.2, 0.2, 1]])), sketch)


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        ([[0, 0, 0], [1, 2, 0], [3, 3, 1]], "may be stroke-3 .offsets. or absolute x, y: give the format"),
        ([[0, 0, 1, 0, 0], [5, 5, 0, 1, 0]], "may be sketch-rnn's stroke-5 .offsets. or absolute stroke-5"),
        (_rows([[[np.cos(t), np.sin(t)] for t in np.linspace(0, 6, 60)]], False, 3), "may be stroke-3"),
    ],
)
def test_what_cannot_be_told_apart_is_refused_by_name_and_read_by_format(rows: object, named: str) -> None:
    with pytest.raises(ValueError, match=rf"{named}.* \(--format on the command line, format= in Python\)$"):
        read_npy_drawing(_npy(rows))
    absolute, offsets = (read_npy_drawing(_npy(rows), form).strokes[0] for form in ("absolute", "offsets"))
    points = np.array(rows, dtype=float)[:, :2]
    assert np.allclose(absolute, VectorSketch.fit([points]).strokes[0], atol=1e-6)
    assert np.allclose(offsets, VectorSketch.fit([np.cumsum(points, axis=0)]).strokes[0], atol=1e-6)


def test_a_pen_that_is_down_at_every_point_is_refused() -> None:
    with pytest.raises(ValueError, match="third column ends a stroke at most points"):
        read_npy_drawing(_npy([[5, 5, 1], [1, 9, 1], [3, 2, 1], [7, 7, 1]]))


def test_offsets_that_overflow_are_refused() -> None:
    with pytest.raises(ValueError, match="offsets whose sum is not finite"):
        read_npy_drawing(_npy([[-1e308, 0.5, 0.0], [-1e308, 0.25, 1.0]]), "offsets")


@pytest.mark.parametrize("raw", [False, True])
def test_quick_draw_is_recognised_in_json(raw: bool) -> None:
    strokes = [np.array(stroke).T.tolist() + ([[0, *range(5, 4 + len(stroke))]] if raw else []) for stroke in TRIANGLE]
    _same(read_json_drawing(_json(strokes)))
    _same(read_json_drawing(_json(strokes), "quickdraw"))
    _same(read_json_drawing(_json({"key_id": "1", "word": "cat", "drawing": strokes})))
    _same(read_json_drawing(_json(TRIANGLE)))


def test_lines_of_two_points_fit_both_and_are_refused_unless_the_format_is_given() -> None:
    lines = [[[0, 50], [10, 60]], [[3, 4], [90, 8]]]
    with pytest.raises(ValueError, match=r"2 points \[x, y\] or Quick, Draw!'s .*: give the format, points or quick"):
        read_json_drawing(_json(lines))
    _same(read_json_drawing(_json(lines), "points"), VectorSketch.fit(lines))
    _same(read_json_drawing(_json(lines), "quickdraw"), VectorSketch.fit([np.array(line).T for line in lines]))
    _same(read_json_drawing(_json({"drawing": lines})), VectorSketch.fit([np.array(line).T for line in lines]))


def test_lines_of_two_points_on_the_unit_canvas_are_points() -> None:
    lines = [[[0.0, 0.5], [1.0, 0.25]]]
    _same(read_json_drawing(_json(lines)), VectorSketch.from_strokes(lines))


def test_three_points_are_no_times_where_these_would_go_back() -> None:
    triangle = [[[0, 0], [9, 3], [7, 2]]]
    _same(read_json_drawing(_json(triangle)), VectorSketch.fit(triangle))
    with pytest.raises(ValueError, match=r"3 points \[x, y\] or Quick, Draw!'s"):
        read_json_drawing(_json([[[0, 0], [9, 3], [2, 7]]]))


@pytest.mark.parametrize(
    "text", ["[[[1e308, -1e308], [-1e308, 1e308], [0, 0], [5, 5]]]", "[[[-1e-320, 0], [0, 0], [0, 1e-320], [0, 0]]]"]
)
@pytest.mark.filterwarnings("error")
def test_the_largest_and_the_smallest_numbers_are_scaled(text: str) -> None:
    found = np.concatenate(read_json_drawing(text.encode()).strokes)
    assert np.isfinite(found).all() and np.ptp(found, axis=0).max() == pytest.approx(0.84)


def test_a_quick_draw_file_with_the_smallest_numbers_is_read(tmp_path: Path) -> None:
    lines = [
        '{"key_id":"2","word":"cat","drawing":[[[1e-320,0],[0,0]]]}',
        '{"key_id":"1","word":"dog","drawing":[[[0,1,2],[0,5,3]]]}',
    ]
    for name, line in zip(("cat", "dog"), lines, strict=True):
        (tmp_path / f"{name}.ndjson").write_text(line)
    dataset = load_quickdraw(tmp_path, strict=True)
    assert len(dataset) == 2 and dataset.sketch(0).strokes[0][:, 0] == pytest.approx([0.92, 0.08])


def test_unknown_formats_are_listed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown format 'svg'; there are points, quickdraw, offsets, absolute"):
        read_drawing(tmp_path / "a.json", format="svg")


def test_drawings_of_this_library_are_read_as_they_are() -> None:
    for row in range(20):
        sketch = toy_sketch(row)
        _same(read_npy_drawing(_npy(sketch.to_stroke5(max(2, sketch.n_points)))), sketch)
        found = read_json_drawing(_json([stroke.astype(float).tolist() for stroke in sketch.strokes]))
        _same(found, sketch)
