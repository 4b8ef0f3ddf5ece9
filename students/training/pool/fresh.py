"""Freehand variants drawn afresh at every training step, of continuous strength.

`sketchcanvas_env.sketches.freehand` simplifies a drawing for each variant, which takes most of its time. Here the
weights of the points are worked out once for each drawing, so that a variant takes about a millisecond.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from sketchcanvas_env.sketches.freehand import LEVELS, Roughness, kept_strokes, roughened
from sketchcanvas_env.sketches.sketch import VectorSketch, douglas_peucker_weights

Weights = tuple[NDArray[np.float64], ...]
"""Douglas-Peucker weight of each point of each stroke of a drawing."""


def weights_of(drawing: VectorSketch) -> Weights:
    """Douglas-Peucker weights of a drawing's points, in canvas units."""
    return tuple(douglas_peucker_weights(stroke) for stroke in drawing.strokes)


def strength(levels: Sequence[float], rng: np.random.RandomState) -> float:
    """A strength between 0 (the drawing itself) and 3.

    Args:
        levels: how often each of the four abstraction levels is drawn. A level above 0 stands for the strengths that
            round to it.
        rng: where the luck comes from.
    """
    shares = np.asarray(levels, dtype=np.float64)
    level = int(rng.choice(len(shares), p=shares / shares.sum()))
    return float(min(level + rng.uniform(-0.5, 0.5), len(LEVELS) - 1)) if level else 0.0


def roughness_at(strength: float) -> Roughness:
    """The roughness between the two nearest of `LEVELS`, field by field."""
    below = min(int(strength), len(LEVELS) - 2)
    part = strength - below
    one, other = LEVELS[below], LEVELS[below + 1]
    return Roughness(
        **{f.name: (1.0 - part) * getattr(one, f.name) + part * getattr(other, f.name) for f in fields(Roughness)}
    )


def fresh(drawing: VectorSketch, weights: Weights, strength: float, rng: np.random.RandomState) -> VectorSketch:
    """A freehand variant in the place of its drawing.

    Args:
        drawing: what to draw.
        weights: `weights_of(drawing)`.
        strength: 0 gives the drawing itself.
        rng: where the luck comes from.
    """
    if strength <= 0.0:
        return drawing
    roughness = roughness_at(strength)
    kept = kept_strokes(drawing.strokes, roughness.drop, rng)
    simple = [drawing.strokes[i][weights[i] > roughness.simplify] for i in kept]
    return placed(roughened(simple, roughness, rng), drawing)


def placed(strokes: Sequence[NDArray[np.floating]], drawing: VectorSketch) -> VectorSketch:
    """The strokes moved and scaled (aspect kept) into the bounding box of the drawing that they are a variant of.

    A variant fitted to the canvas would fill it whatever its drawing does; people who draw small would be met at the
    wrong size.
    """
    points, theirs = np.concatenate(list(strokes)), np.concatenate(drawing.strokes)
    low, high = theirs.min(axis=0), theirs.max(axis=0)
    extent = float(np.ptp(points, axis=0).max())
    scale = float((high - low).max()) / extent if extent > 0.0 else 1.0
    middle, centre = (points.min(axis=0) + points.max(axis=0)) / 2.0, (low + high) / 2.0
    return VectorSketch(tuple(np.clip((s - middle) * scale + centre, 0.0, 1.0).astype(np.float32) for s in strokes))
