"""Synthetic freehand variants of a clean line drawing, at several levels of abstraction.

The variants leave out strokes and distort the others by rules of our own choosing. They imitate human sketches and are
no substitute for them. Level 0 is the drawing itself; higher levels have fewer and rougher strokes. `roughness` sets
the strength of each kind of distortion separately.
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
    """Strength of each kind of distortion. Lengths are fractions of the canvas side."""

    drop: float
    """Fraction of the strokes that is left out, the least important first."""
    simplify: float
    """Douglas-Peucker tolerance."""
    wobble: float
    """Amplitude of a smooth displacement along each stroke."""
    jitter: float
    """Standard deviation of the shift of each stroke."""
    rescale: float
    """Standard deviation of the logarithm of the scale of each axis, for each stroke and for the whole drawing."""
    rotate: float
    """Standard deviation of the rotation of the whole drawing in radians."""


LEVELS: tuple[Roughness, ...] = (
    Roughness(0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    Roughness(drop=0.0, simplify=0.004, wobble=0.005, jitter=0.004, rescale=0.02, rotate=0.02),
    Roughness(drop=0.25, simplify=0.012, wobble=0.011, jitter=0.010, rescale=0.05, rotate=0.05),
    Roughness(drop=0.50, simplify=0.030, wobble=0.018, jitter=0.018, rescale=0.09, rotate=0.09),
)
"""Abstraction levels 0 (the drawing itself) to 3."""

N_KINDS = len(fields(Roughness))
"""Number of kinds of distortion."""

_SPACING = 0.04  # canvas units between points displaced by the wobble


def roughness(strengths: ArrayLike) -> Roughness:
    """Roughness from relative strengths.

    Args:
        strengths: (N_KINDS,) in the order of the fields of `Roughness`; 0 is none, 1 is that of level 3.

    Raises:
        ValueError: a wrong number of strengths, or one below 0 or not finite.
    """
    each = np.asarray(strengths, dtype=np.float64)
    if each.shape != (N_KINDS,) or not (np.isfinite(each) & (each >= 0.0)).all():
        raise ValueError(f"strengths must be {N_KINDS} finite numbers, none below 0, not {strengths!r}")
    return Roughness(*(each * astuple(LEVELS[-1])).tolist())


def seed_of(sketch_id: str) -> int:
    """Seed of a sketch's freehand variant, which depends on its id only."""
    return crc32(sketch_id.encode())


def freehand(sketch: VectorSketch, roughness: Roughness, rng: np.random.RandomState) -> VectorSketch:
    """A freehand variant with at least one stroke, normalised to the canvas.

    Args:
        sketch: the clean drawing.
        roughness: one of `LEVELS`, or made by `roughness`.
        rng: NumPy's legacy generator, because its stream never changes between versions.
    """
    strokes = [stroke.astype(np.float64) for stroke in sketch.strokes]
    strokes = [strokes[i] for i in kept_strokes(strokes, roughness.drop, rng)]
    simple = VectorSketch.fit(strokes).simplified(roughness.simplify).strokes
    # The points added for the wobble are dense, and most are redundant afterwards.
    return VectorSketch.fit(roughened(simple, roughness, rng)).simplified(0.002)


def roughened(
    strokes: Iterable[NDArray[np.floating]], roughness: Roughness, rng: np.random.RandomState
) -> list[NDArray[np.float64]]:
    """The strokes wobbled, shifted and scaled, then rotated and scaled together; they may leave the canvas."""
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
    """Indices of the strokes that stay, ascending: those with the most ink, times a random factor."""
    luck = np.exp(rng.normal(0.0, 0.5, len(strokes)))
    importance = np.array([ink_length(stroke) for stroke in strokes]) * luck
    count = max(1, len(strokes) - round(drop * len(strokes)))
    return sorted(np.argsort(-importance, kind="stable")[:count].tolist())


def _resampled(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The polyline with added points, so that no segment is longer than `_SPACING`."""
    pieces = [points[:1]]
    for start, end in pairwise(points):
        steps = max(1, int(np.ceil(np.hypot(*(end - start)) / _SPACING)))
        pieces.append(start + (end - start) * (np.arange(1, steps + 1) / steps)[:, None])
    return np.concatenate(pieces)


def _wobbled(points: NDArray[np.float64], amplitude: float, rng: np.random.RandomState) -> NDArray[np.float64]:
    """The polyline displaced along its length by three sine waves per axis."""
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    moved = points.copy()
    for axis in (0, 1):
        for wave in (1.0, 2.0, 4.0):
            frequency = wave * np.exp(rng.normal(0.0, 0.3))  # waves per canvas side
            phase = rng.uniform(0.0, 2.0 * np.pi)
            height = amplitude * rng.normal(0.0, 1.0) / np.sqrt(wave)
            moved[:, axis] += height * np.sin(2.0 * np.pi * frequency * along + phase)
    return moved
