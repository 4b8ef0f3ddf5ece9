"""Observations of all sketches of a split, computed once; those of large splits are cached on the disk and mapped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sketchcanvas_env.data import SketchDataset
from sketchcanvas_env.sketches.features import FEATURE_NAMES, batch_features
from sketchcanvas_env.sketches.sketch import VectorSketch
from sketchcanvas_env.sketches.thumbnail import SIZE, batch_thumbnails
from sketchcanvas_env.storage.cache import cached, key_of
from sketchcanvas_env.storage.names import blocks
from sketchcanvas_env.storage.npz import Rows, read_npz, write_mapped

MAPPED_FROM = 64 << 20
"""Bytes from which the observations of a split are cached on the disk and mapped."""

KEPT_FROM = 2_000
"""Number of sketches from which they are cached, too, because computing them takes seconds."""

_VERSION = 1  # increase when stroke-5 rows, bounding or statistics change
_THUMBNAIL_VERSION = 1  # increase when the rasteriser changes
_BLOCK = 512
_ROW = 5

FloatRows = npt.NDArray[np.float32]
Observations = tuple[FloatRows, FloatRows]


@dataclass(frozen=True)
class _ByHash:
    """A data set as a cache key, compared by its content hash."""

    hash: str
    dataset: SketchDataset = field(compare=False)


def split_observations(dataset: SketchDataset, split: str, max_points: int = 200) -> Observations:
    """Points and statistics of every sketch of a split, in the order of `dataset.indices(split)`.

    Computed once per process for each content of a data set.

    Args:
        dataset: the data set.
        split: one of its splits, with n sketches.
        max_points: number of points in an observation.

    Returns:
        Read-only float32 arrays: points (n, max_points * 5) and statistics (n, F).

    Raises:
        ValueError: unknown split, or one without sketches.
    """
    dataset.some_indices(split)
    return _split_observations(_ByHash(dataset.hash, dataset), split, max_points)


def split_thumbnails(dataset: SketchDataset, split: str) -> FloatRows:
    """Thumbnails of every sketch of a split, (n, 256) float32, read-only; otherwise as `split_observations`."""
    dataset.some_indices(split)
    return _split_thumbnails(_ByHash(dataset.hash, dataset), split)


@lru_cache(maxsize=12)
def _split_observations(source: _ByHash, split: str, max_points: int) -> Observations:
    return stroke_observations(source.dataset, split, max_points)


@lru_cache(maxsize=12)
def _split_thumbnails(source: _ByHash, split: str) -> FloatRows:
    def compute(sketches: list[VectorSketch]) -> dict[str, FloatRows]:
        return {"thumbnails": batch_thumbnails(sketches)}

    rows = source.dataset.indices(split)
    shapes = {"thumbnails": (len(rows), SIZE)}
    return _of_sketches(source.dataset, rows, shapes, compute, "thumbnails", _THUMBNAIL_VERSION, split)["thumbnails"]


def stroke_observations(dataset: SketchDataset, split: str, max_points: int) -> Observations:
    """As `split_observations`, computed anew or read from the disk. Computing takes about 0.5 ms per sketch."""

    def compute(sketches: list[VectorSketch]) -> dict[str, FloatRows]:
        points = np.stack([sketch.to_stroke5(max_points).ravel() for sketch in sketches])
        return {"points": points, "stats": batch_features(sketches)}

    rows = dataset.indices(split)
    shapes = {"points": (len(rows), _ROW * max_points), "stats": (len(rows), len(FEATURE_NAMES))}
    found = _of_sketches(dataset, rows, shapes, compute, "observations", _VERSION, split, max_points)
    return found["points"], found["stats"]


def _of_sketches(
    dataset: SketchDataset,
    rows: npt.NDArray[np.int64],
    shapes: dict[str, tuple[int, int]],
    compute: Callable[[list[VectorSketch]], dict[str, FloatRows]],
    kind: str,
    version: int,
    *what: object,
) -> dict[str, FloatRows]:
    """Read-only arrays with a row for each sketch, in memory, or cached on the disk if the first array is large.

    Args:
        dataset: the data set.
        rows: rows of the sketches in it.
        shapes: shape of each array by name; the first one may be large.
        compute: computes the arrays for some of the sketches.
        kind: kind of content, for the cache key.
        version: version of the computation, for the cache key.
        what: further parts of the cache key.
    """
    large, *small = shapes
    kept = {name: np.empty(shapes[name], dtype=np.float32) for name in small}

    def in_blocks() -> Iterator[FloatRows]:
        """Blocks of the large array; fills the small arrays at the same time."""
        for start in range(0, len(rows), _BLOCK):
            found = compute([dataset.sketch(int(row)) for row in rows[start : start + _BLOCK]])
            for name in small:
                kept[name][start : start + _BLOCK] = found[name]
            yield found[large]

    if len(rows) < KEPT_FROM and 4 * shapes[large][0] * shapes[large][1] < MAPPED_FROM:
        whole, start = np.empty(shapes[large], dtype=np.float32), 0
        for block in in_blocks():
            whole[start : start + len(block)] = block
            start += len(block)
        arrays = {large: whole, **kept}
        for array in arrays.values():
            array.flags.writeable = False
        return arrays

    def write(path: Path) -> None:
        write_mapped(path, {large: Rows(np.dtype(np.float32), shapes[large], in_blocks()), **kept})

    def read(path: Path) -> dict[str, FloatRows]:
        found = read_npz(path, dict.fromkeys(shapes, "f"))
        for name, shape in shapes.items():
            if found[name].shape != shape or found[name].dtype != np.float32:
                raise ValueError(f"{name} must be {shape} of float32")
        return found

    ids = sha256()
    for some in blocks(len(rows)):
        ids.update("\n".join(dataset.sketch_ids[rows[some]].tolist()).encode(errors="surrogatepass"))
    return cached(key_of(kind, version, dataset.hash, *what, ids.hexdigest()), read, write)
