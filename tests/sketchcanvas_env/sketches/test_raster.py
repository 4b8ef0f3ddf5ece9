"""The rasteriser: equal to CairoSVG, deterministic, with a documented line width, and as it was (golden images)."""

from __future__ import annotations

import io
from pathlib import Path

import cairosvg
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sketchcanvas_env.sketches.pen import line_width
from sketchcanvas_env.sketches.raster import rasterise, rasterise_batch
from sketchcanvas_env.sketches.sketch import VectorSketch

GOLDEN = Path(__file__).parent / "golden"


def scribble(seed: int, strokes: int = 6) -> VectorSketch:
    rng = np.random.RandomState(seed)
    return VectorSketch.from_strokes(
        [
            np.clip(rng.rand(2) + np.cumsum(rng.normal(0, 0.05, (rng.randint(1, 30), 2)), 0), 0, 1)
            for _ in range(strokes)
        ]
    )


def by_cairosvg(sketch: VectorSketch, side: int) -> np.ndarray:
    png = cairosvg.svg2png(sketch.to_svg(side).encode(), background_color="white")
    return np.asarray(Image.open(io.BytesIO(png)).convert("L"))


@pytest.mark.parametrize("side", [8, 32, 48, 64, 100, 128, 256, 512])
@pytest.mark.parametrize("seed", range(4))
def test_equal_to_cairosvg(side: int, seed: int) -> None:
    np.testing.assert_array_equal(rasterise(scribble(seed), side), by_cairosvg(scribble(seed), side))


# Few places, so that points repeat, lines lie upon each other and edges are touched.
_AXIS = st.sampled_from([0.0, 0.3, 0.5, 1.0])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.tuples(_AXIS, _AXIS), min_size=1, max_size=5), min_size=1, max_size=5))
def test_dots_and_repeated_points_equal_cairosvg(strokes: list[list[tuple[float, float]]]) -> None:
    sketch = VectorSketch.from_strokes(strokes)
    np.testing.assert_array_equal(rasterise(sketch, 32), by_cairosvg(sketch, 32))


def test_a_dot_is_ink() -> None:
    page = rasterise(VectorSketch.from_strokes([[(0.5, 0.5)]]), 64)
    assert page[32, 32] < 255
    assert page[:24].min() == 255


def test_line_width_rule() -> None:
    assert line_width(256) == pytest.approx(3.2)
    assert line_width(64) == line_width(8) == 1.0
    line = VectorSketch.from_strokes([[(0.1, 0.5), (0.9, 0.5)]])
    for side in (32, 64, 128, 256, 512):
        # Ink over a column in the middle of a horizontal line is its width.
        ink = (255 - rasterise(line, side)[:, side // 2].astype(float)).sum() / 255
        assert ink == pytest.approx(line_width(side), abs=0.05)


def test_dtype_shape_and_colours() -> None:
    page = rasterise(scribble(1), 33)
    assert page.dtype == np.uint8
    assert page.shape == (33, 33)
    assert page.max() == 255
    assert page.min() < 60
    assert page.flags.owndata


def test_batch_equals_one_by_one() -> None:
    sketches = [scribble(seed) for seed in range(5)]
    batch = rasterise_batch(iter(sketches), 48)
    assert rasterise_batch([], 48).shape == (0, 48, 48)
    for page, sketch in zip(batch, sketches, strict=True):
        np.testing.assert_array_equal(page, rasterise(sketch, 48))


@pytest.mark.parametrize("side", [7, 513, 0, -1, 64.0, "64", True, None])
def test_side_out_of_range(side: object) -> None:
    with pytest.raises(ValueError, match="from 8 to 512"):
        rasterise(scribble(0), side)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="from 8 to 512"):
        rasterise_batch([scribble(0)], side)  # type: ignore[arg-type]


@pytest.mark.parametrize("side", [32, 128])
def test_golden(side: int) -> None:
    """Made once by `rasterise(scribble(3), side)`; another cairo may round a grey level differently."""
    golden = np.asarray(Image.open(GOLDEN / f"scribble-{side}.png")).astype(int)
    assert np.abs(rasterise(scribble(3), side) - golden).max() <= 2
