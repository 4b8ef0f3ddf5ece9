"""Freehand variants drawn during training, of continuous strength, in about a millisecond each.

`sketchcanvas_env.sketches.freehand` simplifies a drawing for each variant, which takes most of its time. Here the
point weights that simplification needs are computed once per drawing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from sketchcanvas_env.sketches.freehand import LEVELS, Roughness, kept_strokes, roughened
from sketchcanvas_env.sketches.sketch import VectorSketch, douglas_peucker_weights

PointWeights = tuple[NDArray[np.float64], ...]
"""Douglas-Peucker weight of each point of each stroke of a drawing, in canvas units."""


def point_weights(drawing: VectorSketch) -> PointWeights:
    """Douglas-Peucker weights of a drawing's points, in canvas units."""
    return tuple(douglas_peucker_weights(stroke) for stroke in drawing.strokes)


def random_strength(levels: Sequence[float], rng: np.random.RandomState) -> float:
    """A random strength from 0 (the drawing itself) to 3.

    Args:
        levels: relative frequency of each of the four abstraction levels. A level above 0 stands for all strengths
            that round to it.
        rng: source of all random numbers.
    """
    shares = np.asarray(levels, dtype=np.float64)
    level = int(rng.choice(len(shares), p=shares / shares.sum()))
    return float(min(level + rng.uniform(-0.5, 0.5), len(LEVELS) - 1)) if level else 0.0


def roughness_at(strength: float) -> Roughness:
    """The roughness of a strength from 0 to 3, interpolated field by field between the nearest two of `LEVELS`."""
    below = min(int(strength), len(LEVELS) - 2)
    part = strength - below
    one, other = LEVELS[below], LEVELS[below + 1]
    return Roughness(
        **{f.name: (1.0 - part) * getattr(one, f.name) + part * getattr(other, f.name) for f in fields(Roughness)}
    )


def draw_variant(
    drawing: VectorSketch, weights: PointWeights, strength: float, rng: np.random.RandomState
) -> VectorSketch:
    """A freehand variant of a drawing, at the drawing's size and place.

    Args:
        drawing: the original.
        weights: `point_weights(drawing)`.
        strength: from 0 (returns the drawing itself) to 3.
        rng: source of all random numbers.
    """
    if strength <= 0.0:
        return drawing
    roughness = roughness_at(strength)
    kept = kept_strokes(drawing.strokes, roughness.drop, rng)
    simple = [drawing.strokes[i][weights[i] > roughness.simplify] for i in kept]
    return place_variant(roughened(simple, roughness, rng), drawing)


def place_variant(strokes: Sequence[NDArray[np.floating]], drawing: VectorSketch) -> VectorSketch:
    """The strokes of a variant, moved and scaled (aspect kept) into the bounding box of its drawing.

    Fitted to the canvas instead, a variant would lose the size at which people draw.
    """
    points, original = np.concatenate(list(strokes)), np.concatenate(drawing.strokes)
    low, high = original.min(axis=0), original.max(axis=0)
    extent = float(np.ptp(points, axis=0).max())
    scale = float((high - low).max()) / extent if extent > 0.0 else 1.0
    middle, centre = (points.min(axis=0) + points.max(axis=0)) / 2.0, (low + high) / 2.0
    return VectorSketch(tuple(np.clip((s - middle) * scale + centre, 0.0, 1.0).astype(np.float32) for s in strokes))
