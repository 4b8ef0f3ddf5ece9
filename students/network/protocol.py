"""What ranking and searching ask of a student, whoever runs its network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sketchcanvas_env.sketches.sketch import VectorSketch

UNSAVED = "unsaved"
"""`weights_hash` of a student that was not read from a file."""


class Embedder(Protocol):
    """A frozen student: `Student`, `HogRetriever` and `students.onnx.runtime.OnnxStudent` fulfil this."""

    @property
    def name(self) -> str:
        """Short name, used in file names."""

    @property
    def weights_hash(self) -> str:
        """SHA-256 (hex) of the weights."""

    @property
    def canvases(self) -> tuple[int, ...]:
        """Canvas sides (pixels) that it can embed, rising."""

    def flops(self, canvas: int) -> float:
        """FLOPs (2 x MAC) of one sketch at that canvas."""

    def embed(
        self, sketches: Sequence[VectorSketch], canvas: int, batch_size: int = 64, progress: bool = False
    ) -> NDArray[np.float32]:
        """(n, D) float32 unit vectors of n sketches drawn at that canvas."""

    def embed_photos(self, images: NDArray[np.uint8], batch_size: int = 64) -> NDArray[np.float32]:
        """(n, D) float32 unit vectors of photos (n, H, W, 3) uint8."""
