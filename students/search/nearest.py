"""The nearest photos of a query in a large gallery: exact, from candidates found in single precision.

A search for the nearest few photos measures only some: a pass over the gallery in single precision gives candidates,
and only these are measured with `students.tables.ranking.euclidean`, ties broken as by `nearest`. The answer equals
that of measuring the whole gallery bit for bit.

Why no photo is missed: let s be the smallest inner product among the m candidates. Any other photo has a product of at
most s in single precision, hence of at most s + e by `euclidean`. e bounds two errors: that of a sum of D products of
unit vectors in single precision, added in any order, D u / (1 - D u) with u = 2^-24 (N. Higham, Accuracy and Stability
of Numerical Algorithms, 2002, section 3.1); and that of rounding both vectors' coordinates to multiples of
`ranking.STEP`. So no other photo is nearer than the distance that belongs to s + e. If the k-th candidate is nearer
than that, the first k are known. Otherwise the query is repeated with more candidates, finally with the whole gallery.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from students.tables.ranking import STEP, distance_of, euclidean, nearest

ENGINES = ("auto", "numpy", "faiss")

LARGE = 100
"""Photos below which the whole gallery is measured at once."""
LARGE_FOR_EACH = 8
"""The same for several queries: photos for each of them. Both measured on one thread with 2,304 numbers a photo."""
# These are measured by tests/benchmarks/bench_nearest.py, on one thread and with 576 numbers a photo.
FAISS_FROM = 16_000
"""Photos from which faiss is no slower than NumPy at finding candidates, for one query or `FAISS_QUERIES`."""
FAISS_QUERIES = 256
"""Queries from which it is again: for fewer, but several, faiss goes through the gallery once for each."""

_SPARE = 6  # candidates beside the k that are asked for, at least
_MORE = 8  # times as many candidates when those were too few
_PIECE = 1 << 22  # products or distances in memory at once
_UNIT_SLACK = 1e-3  # how far from 1 the length of an embedding may be
_DOUBLE = 1e-9  # far more than what is neglected above: the product of both vectors' roundings

_Find = Callable[[NDArray[np.float32], NDArray[np.float32], int], Iterable[tuple[float, NDArray[np.int64]]]]
"""From queries, gallery and m to m or more candidates of each query: `_by_numpy`, `_by_faiss`.

For each query: the smallest inner product among its candidates, and their places in the gallery, rising. No other photo
has a larger product.
"""


def nearest_photos(
    queries: NDArray[np.float32], gallery: NDArray[np.float32], k: int, engine: str = "auto"
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The `k` nearest photos of each query: rising distances, the first in the gallery first where they are equal.

    The answer depends neither on the engine nor on what other queries are asked with it.

    Args:
        queries: (n, D) unit vectors.
        gallery: (G, D) unit vectors.
        k: how many, at least 1.
        engine: what finds candidates in a gallery of `LARGE` photos or more: "numpy", "faiss", or "auto" for the one
            that is quicker and installed.

    Returns:
        (n, min(k, G)) places in the gallery, and the Euclidean distances of these photos.

    Raises:
        ValueError: an unknown engine, `k` below 1, an empty gallery, vectors of other shapes, or queries that are not
            unit vectors.
        ModuleNotFoundError: "faiss" where it is not installed; it says how to install it.
    """
    if engine not in ENGINES:
        raise ValueError(f"unknown engine {engine!r}: there are {', '.join(ENGINES)}")
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    if queries.ndim != 2 or gallery.ndim != 2 or queries.shape[1] != gallery.shape[1] or not len(gallery):
        raise ValueError(f"queries (n, D) and a gallery (G, D) are due, not {queries.shape} and {gallery.shape}")
    # False for NaN, too.
    if not all(abs(square**0.5 - 1.0) <= _UNIT_SLACK for square in np.vecdot(queries, queries).tolist()):
        raise ValueError("queries must be finite vectors of length 1")
    pays = len(gallery) >= FAISS_FROM and (len(queries) == 1 or len(queries) >= FAISS_QUERIES)
    # Looking for a package takes as long as a small gallery does: not where no answer depends on it.
    installed = (engine == "faiss" or (engine == "auto" and pays)) and find_spec("faiss") is not None
    if engine == "faiss" and not installed:
        raise ModuleNotFoundError("faiss is not installed: pip install 'sketchcanvas[faiss]'")
    k = min(k, len(gallery))
    if len(gallery) < max(LARGE, LARGE_FOR_EACH * len(queries)):
        return _measured(queries, gallery, k)
    return _narrowed(queries, gallery, k, k + _SPARE, _by_faiss if installed else _by_numpy)


def _narrowed(
    queries: NDArray[np.float32], gallery: NDArray[np.float32], k: int, m: int, find: _Find
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The answer from `m` candidates of each query, or from more where `m` are not enough to be sure."""
    if m >= len(gallery):
        return _measured(queries, gallery, k)
    places, distances = np.empty((len(queries), k), np.int64), np.empty((len(queries), k))
    unsure = []
    for row, (smallest, near) in enumerate(find(queries, gallery, m)):
        between = euclidean(queries[row : row + 1], gallery.take(near, axis=0))
        first = nearest(between, k)[0]  # the first of equals is that of the gallery: candidates stand in its order
        places[row], distances[row] = near[first], between[0, first]
        if not distances[row, -1] < distance_of(smallest + _error(gallery.shape[1])):
            unsure.append(row)
    if unsure:
        places[unsure], distances[unsure] = _narrowed(queries[unsure], gallery, k, _MORE * m, find)
    return places, distances


def _measured(
    queries: NDArray[np.float32], gallery: NDArray[np.float32], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The answer from all distances."""
    places, distances = np.empty((len(queries), k), np.int64), np.empty((len(queries), k))
    step = max(1, _PIECE // len(gallery))
    for start in range(0, len(queries), step):
        rows = slice(start, start + step)
        between = euclidean(queries[rows], gallery)
        places[rows] = nearest(between, k)
        distances[rows] = np.take_along_axis(between, places[rows], axis=1)
    return places, distances


def _by_numpy(
    queries: NDArray[np.float32], gallery: NDArray[np.float32], m: int
) -> Iterator[tuple[float, NDArray[np.int64]]]:
    """The largest inner products of each query in single precision: `m`, and all that equal the last of them."""
    step = max(1, _PIECE // len(gallery))
    for start in range(0, len(queries), step):
        for products in queries[start : start + step] @ gallery.T:
            smallest = np.partition(products, -m)[-m]
            yield float(smallest), (products >= smallest).nonzero()[0]


def _by_faiss(
    queries: NDArray[np.float32], gallery: NDArray[np.float32], m: int
) -> Iterator[tuple[float, NDArray[np.int64]]]:
    """The `m` that faiss's exact index (IndexFlatIP) finds, without a copy of the gallery."""
    import faiss

    products, candidates = faiss.knn(
        np.ascontiguousarray(queries, np.float32),
        np.ascontiguousarray(gallery, np.float32),
        m,
        metric=faiss.METRIC_INNER_PRODUCT,
    )
    yield from zip(products.min(axis=1).tolist(), np.sort(candidates, axis=1), strict=True)


def _error(dim: int) -> float:
    """Bound of the difference of two unit vectors' inner product in single precision from that of `euclidean`."""
    rounding = dim * 2.0**-24
    steps = dim**0.5 * STEP  # each vector moves by at most half of this
    bound: float = (1.0 + _UNIT_SLACK) ** 2 * rounding / (1.0 - rounding) + (1.0 + _UNIT_SLACK) * steps + _DOUBLE
    return bound
