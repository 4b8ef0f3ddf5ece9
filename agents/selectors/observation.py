"""What a selector sees of one sketch, as the environment would show it; without torch."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from sketchcanvas_env.outcomes import reward as rules
from sketchcanvas_env.sketches.features import stroke_features
from sketchcanvas_env.sketches.sketch import VectorSketch
from sketchcanvas_env.sketches.thumbnail import thumbnail


def observe(
    reads: Collection[str], sketch: VectorSketch, max_points: int, tradeoff: float | None = None
) -> dict[str, NDArray[np.float32]]:
    """A batch of one, without the parts nobody reads.

    Args:
        reads: the parts of an observation that are looked at, of "points", "stats", "thumbnail" and "tradeoff".
        sketch: the drawing.
        max_points: points that it is bounded to, P.
        tradeoff: at which to choose, in [0, 1]; None where it is not read.

    Returns:
        "points" (1, P * 5), "stats" (1, F), "thumbnail" (1, 256) and "tradeoff" (1, 1), float32.

    Raises:
        ValueError: a tradeoff that is missing, not wanted or out of range.
    """
    check_told("tradeoff" in reads, tradeoff)
    seen = {}
    if "points" in reads:
        seen["points"] = sketch.to_stroke5(max_points).reshape(1, -1)
    if "stats" in reads:
        seen["stats"] = stroke_features(sketch).reshape(1, -1)
    if "thumbnail" in reads:
        seen["thumbnail"] = thumbnail(sketch).reshape(1, -1)
    if tradeoff is not None:
        seen["tradeoff"] = np.array([[tradeoff]], dtype=np.float32)
    return seen


def counted_points(reads: Collection[str], sketch: VectorSketch, max_points: int) -> int:
    """Points of a sketch on which the work of deciding about it depends; 1 where nobody reads them.

    Args:
        reads: as in `observe`.
        sketch: the drawing.
        max_points: points that it is bounded to.
    """
    # Bounding takes longer than deciding does: only for networks whose work depends on it.
    return sketch.bounded(max_points).n_points if "points" in reads else 1


def check_told(conditioned: bool, tradeoff: float | None) -> None:
    """Raise ValueError unless a conditioned selector is given a tradeoff in [0, 1], and another one None."""
    if not conditioned and tradeoff is not None:
        raise ValueError(
            f"this selector was trained for one tradeoff and cannot choose at {tradeoff}: leave the tradeoff out, "
            "or train one with preferences"
        )
    if conditioned and tradeoff is None:
        raise ValueError(
            "this selector chooses for many tradeoffs: say at which one, for example selector(sketch, tradeoff=0.2)"
        )
    if tradeoff is not None:
        rules.check_tradeoff(tradeoff)
