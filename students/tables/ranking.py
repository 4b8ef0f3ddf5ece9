"""Distances between embeddings, the nearest photos, and the rank of the true one. NumPy only.

Distances are the same bits on every processor. Rounded to multiples of 2^-26, the products of two coordinates are
multiples of 2^-52, and every partial sum of them, in whatever order, is one of at most 1 in size (Cauchy-Schwarz): so
float64 holds each sum exactly, however a BLAS tiles and whether it fuses multiplications and additions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sketchcanvas_env.outcomes import reward as rules
from sketchcanvas_env.outcomes.columns import TOP
from sketchcanvas_env.sketches.sketch import VectorSketch
from students.network.protocol import Embedder

STEP = 2.0**-26
"""Coordinates of embeddings are rounded to multiples of this before they are compared; float32 itself resolves 2^-25
at 0.5 and more."""

_CHUNK = 256  # photos widened to float64 at once: few enough to stay in the processor's cache
_PIECE = 1 << 22  # distances ranked at once, 32 MiB
_SORTED = 64  # distances in a row that are sorted sooner than searched for the first few


@dataclass(frozen=True)
class Gallery:
    """The photos, or classes, that the queries of a split are ranked among.

    Attributes:
        embeddings: (G, D) float32.
        places: (G,) int64, where each stands among all that were embedded.
    """

    embeddings: NDArray[np.float32]
    places: NDArray[np.int64]


def euclidean(queries: NDArray[np.float32], gallery: NDArray[np.float32]) -> NDArray[np.float64]:
    """Euclidean distances (n, G) float64 between unit vectors (n, D) and (G, D), in [0, 2].

    A distance depends on the two vectors alone, bit by bit, on every processor: equal photos are at equal distances
    wherever they stand.
    """
    wide = _on_steps(queries)
    between = np.empty((len(queries), len(gallery)))
    for start in range(0, len(gallery), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        between[:, chunk] = distance_of(wide @ _on_steps(gallery[chunk]).T)
    return between


def distance_of(cosine: NDArray[np.float64] | float) -> Any:
    """Euclidean distance of two unit vectors by their inner product: it never rises with it, rounding included."""
    return np.sqrt(np.minimum(np.maximum(2.0 - 2.0 * cosine, 0.0), 4.0))


def _on_steps(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """The vectors (n, D) in float64, rounded to multiples of `STEP`."""
    wide = vectors.astype(np.float64)
    wide /= STEP
    np.rint(wide, out=wide)
    wide *= STEP
    return wide


def nearest(distances: NDArray[np.float64], k: int) -> NDArray[np.int64]:
    """Columns (n, min(k, G)) of the `k` smallest of each row of (n, G) distances: rising, the first of equals first."""
    k = min(k, distances.shape[1])
    if distances.shape[1] <= _SORTED:
        return distances.argsort(axis=1, kind="stable")[:, :k]
    limits = np.partition(distances, k - 1, axis=1)[:, k - 1]
    columns = np.empty((len(distances), k), np.int64)
    for row, (line, limit) in enumerate(zip(distances, limits, strict=True)):
        near = np.flatnonzero(line <= limit)
        columns[row] = near[np.argsort(line[near], kind="stable")[:k]]
    return columns


def ranked(between: NDArray[np.float64], true: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """Rank, distance, triplet loss and top 5 of each of n queries at one canvas.

    The triplet loss is a mean over the whole gallery and a rank counts ties, so every distance is needed: an index that
    finds only the nearest photos (faiss, `students.search.nearest`) would save nothing here.

    Args:
        between: (n, G) float64 distances to the photos of the gallery.
        true: (n,) column of the true photo.

    Returns:
        (n,) "ranks", "distances" and "triplet"; (n, 5) "top", columns of the gallery, -1 where it has too few; and
        (n, 5) "nearest", their distances, 2 there.
    """
    n, size = between.shape
    found: dict[str, NDArray[Any]] = {
        "ranks": np.empty(n, np.int32),
        "distances": between[np.arange(n), true],
        "triplet": np.empty(n, np.float64),
        "top": np.full((n, TOP), -1),
        "nearest": np.full((n, TOP), rules.MAX_DISTANCE),
    }
    step = max(1, _PIECE // size)
    for start in range(0, n, step):
        piece = slice(start, start + step)
        found["ranks"][piece] = rules.rank_of_true(between[piece], true[piece])
        found["triplet"][piece] = rules.triplet_loss(between[piece], true[piece])
        first = nearest(between[piece], TOP)
        found["top"][piece, : first.shape[1]] = first
        found["nearest"][piece, : first.shape[1]] = np.take_along_axis(between[piece], first, axis=1)
    return found


def ranked_at_canvases(
    student: Embedder,
    sketches: Sequence[VectorSketch],
    canvases: Sequence[int],
    gallery: Gallery,
    true: NDArray[np.int64],
) -> dict[str, NDArray[Any]]:
    """`ranked` at K canvases: (n, K) and (n, K, 5) arrays; "top" holds places among all photos that were embedded."""
    each = [ranked(euclidean(student.embed(sketches, side), gallery.embeddings), true) for side in canvases]
    found = {name: np.stack([one[name] for one in each], axis=1) for name in each[0]}
    found["top"] = np.where(found["top"] < 0, -1, gallery.places[found["top"]])
    return found
