"""What is shown of the sketches of a split, computed once for all of them; a large split's lies on the disk, mapped."""

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
"""Bytes from which what is shown of a split is kept in the user's cache and mapped, instead of in memory."""

KEPT_FROM = 2_000
"""Sketches from which it is kept there, too: to draw and measure so many takes seconds."""

_VERSION = 1  # rises when a sketch is shown otherwise: stroke-5, bounding, statistics
_THUMBNAIL_VERSION = 1  # rises when the rasteriser draws otherwise
_BLOCK = 512
_ROW = 5

FloatRows = npt.NDArray[np.float32]
Observations = tuple[FloatRows, FloatRows]


@dataclass(frozen=True)
class _ByHash:
    """A data set that a cache tells from others by its content."""

    hash: str
    dataset: SketchDataset = field(compare=False)


def split_observations(dataset: SketchDataset, split: str, max_points: int = 200) -> Observations:
    """Points and statistics of every sketch of a split, in the order of `dataset.indices(split)`.

    They are computed once in a process for each content of a data set.

    Args:
        dataset: the data set.
        split: one of its splits.
        max_points: room for points.

    Returns:
        Read-only float32 arrays: points (n, max_points * 5) and stats (n, F).

    Raises:
        ValueError: unknown split, or one without sketches.
    """
    dataset.some_indices(split)
    return _split_observations(_ByHash(dataset.hash, dataset), split, max_points)


def split_thumbnails(dataset: SketchDataset, split: str) -> FloatRows:
    """Thumbnails of every sketch of a split, as `split_observations`; (n, 256) float32, read-only."""
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
    """Stroke-5 points and statistics of every sketch of a split, in the order of `dataset.indices(split)`.

    Computing takes about half a millisecond a sketch. Of a large split it is done once for each content of a data set,
    for all processes.

    Args:
        dataset: the data set.
        split: one of its splits, with n sketches.
        max_points: room for points.

    Returns:
        Read-only float32 arrays: points (n, max_points * 5) and stats (n, F).
    """

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
    """Arrays with a row for each sketch, read-only: computed in memory, or on the disk where the first is large.

    Args:
        dataset: the data set.
        rows: rows of the sketches in it.
        shapes: shape of each array by name; the first is the one that may be large.
        compute: gives the arrays of some of the sketches.
        kind: name of the cache's files.
        version: of how they are computed.
        what: on what else they depend, beside the data set and the sketches.
    """
    large, *small = shapes
    kept = {name: np.empty(shapes[name], dtype=np.float32) for name in small}

    def in_blocks() -> Iterator[FloatRows]:
        """The large array, block by block; it fills the small ones on the way."""
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
