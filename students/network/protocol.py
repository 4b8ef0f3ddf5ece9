"""The interface of a frozen student, for ranking and search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sketchcanvas_env.sketches.sketch import VectorSketch

UNSAVED = "unsaved"
"""`weights_hash` of a student that was not loaded from a file."""

MAX_BATCH = 64
BATCH_PIXELS = 8 * 128**2
"""Pixels of the pictures embedded at once: 32 pictures of 64 px, 8 of 128 px, 2 of 256 px. The first layers' maps then
stay in the processor's caches: larger batches take more memory and, above 64 px, more time."""


def batch_of(side: int) -> int:
    """Default number of pictures of `side` pixels embedded at once."""
    return max(1, min(MAX_BATCH, BATCH_PIXELS // side**2))


class Embedder(Protocol):
    """A frozen student, such as `Student`, `HogRetriever` and `students.onnx.runtime.OnnxStudent`."""

    @property
    def name(self) -> str:
        """Short name for file names."""

    @property
    def weights_hash(self) -> str:
        """SHA-256 (hex) of the weights."""

    @property
    def canvases(self) -> tuple[int, ...]:
        """Canvas sides (pixels) that it can embed, rising."""

    def flops(self, canvas: int) -> float:
        """FLOPs (2 x MAC) of one sketch at `canvas` pixels."""

    def embed(
        self, sketches: Sequence[VectorSketch], canvas: int, batch_size: int | None = None, progress: bool = False
    ) -> NDArray[np.float32]:
        """Unit vectors (n, D) float32 of n sketches drawn at `canvas`, `batch_size` at once (None: `batch_of`)."""

    def embed_photos(self, images: NDArray[np.uint8], batch_size: int | None = None) -> NDArray[np.float32]:
        """Unit vectors (n, D) float32 of photos (n, H, W, 3) uint8."""
