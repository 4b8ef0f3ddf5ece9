"""What is shown of the sketches of a split, for all of them at once; a large split's lies on the disk and is mapped."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sketchcanvas_env.data import SketchDataset
from sketchcanvas_env.sketches.features import FEATURE_NAMES, batch_features
from sketchcanvas_env.storage.cache import cached, key_of
from sketchcanvas_env.storage.names import blocks
from sketchcanvas_env.storage.npz import Rows, read_npz, write_mapped

MAPPED_FROM = 64 << 20
"""Bytes from which the points of a split are kept in the user's cache and mapped, instead of in memory."""

_VERSION = 1  # rises when a sketch is shown otherwise: stroke-5, bounding, statistics
_BLOCK = 512
_ROW = 5

Observations = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]


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
    rows = dataset.indices(split)
    shape = (len(rows), _ROW * max_points)
    stats = np.empty((len(rows), len(FEATURE_NAMES)), dtype=np.float32)

    def compute() -> Iterator[npt.NDArray[np.float32]]:
        """The points, block by block; it fills `stats` on the way."""
        for start in range(0, len(rows), _BLOCK):
            sketches = [dataset.sketch(int(row)) for row in rows[start : start + _BLOCK]]
            stats[start : start + _BLOCK] = batch_features(sketches)
            yield np.stack([sketch.to_stroke5(max_points).ravel() for sketch in sketches])

    if 4 * shape[0] * shape[1] < MAPPED_FROM:
        points, start = np.empty(shape, dtype=np.float32), 0
        for block in compute():
            points[start : start + len(block)] = block
            start += len(block)
        points.flags.writeable = stats.flags.writeable = False
        return points, stats

    def write(path: Path) -> None:
        write_mapped(path, {"points": Rows(np.dtype(np.float32), shape, compute()), "stats": stats})

    def read(path: Path) -> Observations:
        found = read_npz(path, {"points": "f", "stats": "f"})
        for name, wanted in (("points", shape), ("stats", stats.shape)):
            if found[name].shape != wanted or found[name].dtype != np.float32:
                raise ValueError(f"{name} must be {wanted} of float32")
        return found["points"], found["stats"]

    ids = sha256()
    for some in blocks(len(rows)):
        ids.update("\n".join(dataset.sketch_ids[rows[some]].tolist()).encode(errors="surrogatepass"))
    return cached(key_of("observations", _VERSION, dataset.hash, split, max_points, ids.hexdigest()), read, write)
