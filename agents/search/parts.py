"""Interfaces of the student and the selectors that a search uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from agents.search.answers import Look
from sketchcanvas_env.sketches.sketch import VectorSketch


class QueryStudent(Protocol):
    """A student for searching, such as `students.network.embedder.Student`."""

    @property
    def weights_hash(self) -> str:
        """SHA-256 (hex) of the weights."""

    @property
    def canvases(self) -> tuple[int, ...]:
        """Canvas sides it can embed, rising."""

    def flops(self, canvas: int) -> float:
        """FLOPs (2 x MAC) of one sketch at that canvas."""

    def embed_rasters(self, rasters: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(n, D) float32 unit vectors of sketches drawn at one canvas, (n, S, S) uint8."""


class OneShotSelector(Protocol):
    """Chooses a canvas from the strokes alone, such as `agents.store.saved.SavedSelector`."""

    def __call__(self, sketch: VectorSketch) -> int:
        """The side, in pixels."""

    def gflops(self, sketch: VectorSketch) -> float:
        """GFLOPs (2 x MAC) of deciding."""


class PreferenceSelector(Protocol):
    """Chooses a canvas for a given tradeoff."""

    def __call__(self, sketch: VectorSketch, tradeoff: float | None = None) -> int:
        """The side, in pixels."""

    def gflops(self, sketch: VectorSketch, tradeoff: float | None = None) -> float:
        """GFLOPs (2 x MAC) of deciding."""


@runtime_checkable
class CascadeSelector(Protocol):
    """Chooses the next canvas from the looks so far."""

    def next(self, sketch: VectorSketch, looks: Sequence[Look]) -> int | None:
        """The side, in pixels, or None to stop."""

    def gflops(self, sketch: VectorSketch) -> float:
        """GFLOPs (2 x MAC) of one decision."""


@dataclass(frozen=True)
class FixedCanvas:
    """One canvas for every sketch."""

    canvas: int

    def __call__(self, sketch: VectorSketch) -> int:
        """The canvas."""
        return self.canvas

    def gflops(self, sketch: VectorSketch) -> float:
        """Zero: there is nothing to decide."""
        return 0.0


def fixed_canvas(selector: str | Path, canvases: Sequence[int]) -> FixedCanvas | None:
    """The selector named by "fixed:SIDE"; None for another text.

    Raises:
        ValueError: the student has no canvas of that side.
    """
    kind, colon, side = str(selector).partition(":")
    if kind != "fixed" or not colon:
        return None
    if not side.isdecimal() or int(side) not in canvases:
        raise ValueError(f"the student has no canvas {side}; it has {', '.join(map(str, canvases))}")
    return FixedCanvas(int(side))
