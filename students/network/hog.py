"""The baseline without training: histograms of oriented gradients on edges, which every student must beat.

Needs scikit-image (extra `train`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sketchcanvas_env.sketches.raster import rasterise
from sketchcanvas_env.sketches.sketch import VectorSketch

_CELLS = 8
_PHOTO_SIDE = 128
_OPERATIONS_PER_PIXEL = 20.0


class HogRetriever:
    """Embeds sketches and the edges of photos by HOG (Dalal and Triggs, CVPR 2005) on a grid of 8 x 8 cells.

    An `Embedder`, as students are. Sketches are blurred slightly, in proportion to the canvas; photos pass through
    Canny's edge detector first. The settings were chosen on val.
    """

    name = "hog"
    weights_hash = "none: it learns nothing"
    canvases = (32, 48, 64, 96, 128, 160, 192, 256)

    def flops(self, canvas: int) -> float:
        """FLOPs of one sketch, estimated as 20 operations per pixel (gradient, magnitude, angle, vote)."""
        return _OPERATIONS_PER_PIXEL * canvas * canvas

    def embed(
        self, sketches: Sequence[VectorSketch], canvas: int, batch_size: int | None = None, progress: bool = False
    ) -> NDArray[np.float32]:
        """Unit vectors (n, D) float32 of sketches drawn at `canvas` pixels."""
        filters = require_skimage().filters
        ink = ((255 - rasterise(sketch, canvas)) / 255.0 for sketch in sketches)
        return np.stack([_hog(filters.gaussian(page, canvas / _PHOTO_SIDE)) for page in ink])

    def embed_photos(self, images: NDArray[np.uint8], batch_size: int | None = None) -> NDArray[np.float32]:
        """Unit vectors (n, D) float32 of photos (n, H, W, 3) uint8."""
        return np.stack([_hog(_edges(image)) for image in images])


def _edges(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    skimage = require_skimage()
    grey = image.astype(np.float64) @ np.array([0.299, 0.587, 0.114]) / 255.0
    scale = image.shape[0] / _PHOTO_SIDE
    edges = skimage.filters.gaussian(skimage.feature.canny(grey, sigma=1.5 * scale).astype(float), scale)
    return np.asarray(skimage.transform.resize(edges, (_PHOTO_SIDE, _PHOTO_SIDE), anti_aliasing=True))


def _hog(page: NDArray[np.float64]) -> NDArray[np.float32]:
    cell = page.shape[0] // _CELLS
    vector = require_skimage().feature.hog(page, 9, (cell, cell), (2, 2), block_norm="L2-Hys")
    length = np.linalg.norm(vector)
    # A picture without edges gets a fixed unit vector.
    unit = vector / length if length > 0 else np.full_like(vector, len(vector) ** -0.5)
    return np.asarray(unit, dtype=np.float32)


def require_skimage() -> Any:
    """The scikit-image package. Raises ImportError saying how to install it."""
    try:
        import skimage.feature
        import skimage.filters
        import skimage.transform
    except ImportError:
        raise ImportError("edges and HOG need scikit-image: pip install 'sketchcanvas[train]'") from None
    return skimage
