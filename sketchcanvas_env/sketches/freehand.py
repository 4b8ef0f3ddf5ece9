"""Synthetic freehand variants of a clean line drawing, at several levels of abstraction.

Designers' line art is cleaner than anything a hand draws. These variants are synthetic: they imitate what people
leave out and get wrong, by rules of our own choosing, and are no substitute for human sketches. Level 0 is the
drawing itself; the higher the level, the fewer strokes stay and the rougher they get. Between and beside the levels
every kind of roughness can have a strength of its own (`roughness`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from itertools import pairwise
from zlib import crc32

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sketchcanvas_env.sketches.sketch import VectorSketch, ink_length


@dataclass(frozen=True)
class Roughness:
    """How far a freehand variant strays from its drawing. Lengths are shares of the canvas side."""

    drop: float
    """Share of the strokes left out, the least important first."""
    simplify: float
    """Douglas-Peucker tolerance: corners and small curves that get lost."""
    wobble: float
    """Amplitude of a smooth displacement along each stroke."""
    jitter: float
    """Standard deviation of the displacement of a whole stroke."""
    rescale: float
    """Standard deviation of the logarithm of each axis's scale, per stroke and for the whole drawing."""
    rotate: float
    """Standard deviation of the rotation of the whole drawing, radians."""


LEVELS: tuple[Roughness, ...] = (
    Roughness(0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    Roughness(drop=0.0, simplify=0.004, wobble=0.005, jitter=0.004, rescale=0.02, rotate=0.02),
    Roughness(drop=0.25, simplify=0.012, wobble=0.011, jitter=0.010, rescale=0.05, rotate=0.05),
    Roughness(drop=0.50, simplify=0.030, wobble=0.018, jitter=0.018, rescale=0.09, rotate=0.09),
)
"""Abstraction levels 0 (the drawing itself) to 3."""

N_KINDS = len(fields(Roughness))
"""Kinds of roughness."""

_SPACING = 0.04  # canvas units between the points that a wobble can move


def roughness(strengths: ArrayLike) -> Roughness:
    """The roughness with a strength of its own for each kind.

    Args:
        strengths: (N_KINDS,) from 0, nothing of that kind, to 1, as much as level 3 has; more is rougher still. In the
            order of the fields of `Roughness`.

    Raises:
        ValueError: another number of strengths, or one below 0 or not finite.
    """
    each = np.asarray(strengths, dtype=np.float64)
    if each.shape != (N_KINDS,) or not (np.isfinite(each) & (each >= 0.0)).all():
        raise ValueError(f"strengths must be {N_KINDS} finite numbers, none below 0, not {strengths!r}")
    return Roughness(*(each * astuple(LEVELS[-1])).tolist())


def seed_of(sketch_id: str) -> int:
    """The seed of a sketch's freehand variant: fixed by its id alone, so it never depends on order."""
    return crc32(sketch_id.encode())


def freehand(sketch: VectorSketch, roughness: Roughness, rng: np.random.RandomState) -> VectorSketch:
    """Draw a freehand variant.

    Args:
        sketch: the clean drawing.
        roughness: one of `LEVELS`, or one made by `roughness`.
        rng: NumPy's legacy generator, whose stream is frozen for good; `numpy.random.Generator` may change.

    Returns:
        The variant, normalised to the canvas; at least one stroke stays.
    """
    strokes = [stroke.astype(np.float64) for stroke in sketch.strokes]
    strokes = [strokes[i] for i in kept_strokes(strokes, roughness.drop, rng)]
    simple = VectorSketch.fit(strokes).simplified(roughness.simplify).strokes
    # The wobble's support points are dense; most of them carry nothing once the stroke has its shape.
    return VectorSketch.fit(roughened(simple, roughness, rng)).simplified(0.002)


def roughened(
    strokes: Iterable[NDArray[np.floating]], roughness: Roughness, rng: np.random.RandomState
) -> list[NDArray[np.float64]]:
    """The strokes wobbled, shifted and scaled, each on its own and then together; they may leave the canvas."""
    rough = []
    for stroke in strokes:
        points = _wobbled(_resampled(stroke.astype(np.float64)), roughness.wobble, rng)
        middle = points.mean(axis=0)
        scale = np.exp(rng.normal(0.0, roughness.rescale, 2))
        rough.append((points - middle) * scale + middle + rng.normal(0.0, roughness.jitter, 2))
    angle = rng.normal(0.0, roughness.rotate)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turn = turn * np.exp(rng.normal(0.0, roughness.rescale, 2))
    return [points @ turn.T for points in rough]


def kept_strokes(strokes: Sequence[NDArray[np.floating]], drop: float, rng: np.random.RandomState) -> list[int]:
    """Indices of the strokes that stay, in drawing order: ink decides, with some luck."""
    luck = np.exp(rng.normal(0.0, 0.5, len(strokes)))
    importance = np.array([ink_length(stroke) for stroke in strokes]) * luck
    count = max(1, len(strokes) - round(drop * len(strokes)))
    return sorted(np.argsort(-importance, kind="stable")[:count].tolist())


def _resampled(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The polyline with extra points, so that no piece is longer than the spacing."""
    pieces = [points[:1]]
    for start, end in pairwise(points):
        steps = max(1, int(np.ceil(np.hypot(*(end - start)) / _SPACING)))
        pieces.append(start + (end - start) * (np.arange(1, steps + 1) / steps)[:, None])
    return np.concatenate(pieces)


def _wobbled(points: NDArray[np.float64], amplitude: float, rng: np.random.RandomState) -> NDArray[np.float64]:
    """The polyline displaced by three smooth waves per axis along its length."""
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    moved = points.copy()
    for axis in (0, 1):
        for wave in (1.0, 2.0, 4.0):
            frequency = wave * np.exp(rng.normal(0.0, 0.3))  # waves per canvas side
            phase = rng.uniform(0.0, 2.0 * np.pi)
            height = amplitude * rng.normal(0.0, 1.0) / np.sqrt(wave)
            moved[:, axis] += height * np.sin(2.0 * np.pi * frequency * along + phase)
    return moved
