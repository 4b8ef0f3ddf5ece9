"""How sure a look is of its nearest photo: the softmax share over the whole gallery, and how well it tells right looks.

The share of photo g after a look is exp(-d_g^2 / T) / sum_h exp(-d_h^2 / T), d the distances of the sketch to the
photos. The temperature T is fitted for each canvas on the split `train`: the one of `TEMPERATURES` at which the true
photos are likeliest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from sketchcanvas_env.outcomes.looks import LookTable
    from sketchcanvas_env.outcomes.table import OutcomeTable

TEMPERATURES = np.round(0.01 * 10 ** (np.arange(41) / 20), 4)
"""(41,) what T is chosen from: 0.01 to 1, in equal ratios of 1.12. Squared distances lie in [0, 4]."""

FloatArray = npt.NDArray[np.float64]


def partition(distances: npt.NDArray[np.floating], temperatures: FloatArray) -> tuple[FloatArray, FloatArray]:
    """What the softmax over a gallery needs, at several temperatures.

    Args:
        distances: (..., G) to all photos of the gallery.
        temperatures: (M,) above zero.

    Returns:
        (..., M) log of the sum of exp(-d^2 / T), and (..., M) mean of d^2 under the softmax.

    Example:
        >>> log_sum, mean = partition(np.array([0.0, 1.0]), np.array([1.0]))
        >>> log_sum.round(4).tolist(), mean.round(4).tolist()
        ([0.3133], [0.2689])
    """
    squares = np.square(np.asarray(distances, dtype=np.float64))
    lowest = squares.min(axis=-1)
    log_sum, mean = np.empty((*lowest.shape, len(temperatures))), np.empty((*lowest.shape, len(temperatures)))
    for place, temperature in enumerate(temperatures):
        weights = np.exp((lowest[..., None] - squares) / temperature)
        total = weights.sum(axis=-1)
        log_sum[..., place] = np.log(total) - lowest / temperature
        mean[..., place] = (weights * squares).sum(axis=-1) / total
    return log_sum, mean


def fitted(true: npt.NDArray[np.floating], log_sum: FloatArray, temperatures: FloatArray) -> int:
    """Index of the temperature at which the true photos of n sketches are likeliest; the first of equals.

    Args:
        true: (n,) distances to the true photos.
        log_sum: (n, M) of `partition`.
        temperatures: (M,).
    """
    squares = np.square(np.asarray(true, dtype=np.float64))[:, None]
    return int((squares / temperatures + log_sum).mean(axis=0).argmin())


def confidence_of(nearest: npt.ArrayLike, log_sum: npt.ArrayLike, temperature: npt.ArrayLike) -> FloatArray:
    """Share of the nearest photo in the softmax over the gallery, in (0, 1]; arguments broadcast."""
    squares = np.square(np.asarray(nearest, dtype=np.float64))
    return np.asarray(np.minimum(np.exp(-squares / np.asarray(temperature) - np.asarray(log_sum)), 1.0))


def entropy_of(
    log_sum: npt.ArrayLike, mean: npt.ArrayLike, temperature: npt.ArrayLike, gallery: npt.ArrayLike
) -> FloatArray:
    """Entropy of the softmax over the gallery as a share of the highest, log(gallery), in [0, 1].

    Args:
        log_sum: of `partition`.
        mean: of `partition`.
        temperature: that they belong to.
        gallery: number of photos; of a single one the entropy is 0.
    """
    most = np.log(np.maximum(np.asarray(gallery, dtype=np.float64), 2.0))
    share = (np.asarray(log_sum) + np.asarray(mean) / np.asarray(temperature)) / most
    return np.asarray(np.clip(share, 0.0, 1.0))


def auc(scores: npt.ArrayLike, right: npt.ArrayLike) -> float:
    """Probability that a right look scores higher than a wrong one, ties counted half; nan where one kind is missing.

    Example:
        >>> auc([0.9, 0.5, 0.5, 0.1], [True, True, False, False])
        0.875
    """
    from scipy.stats import rankdata

    score, good = np.asarray(scores, dtype=np.float64), np.asarray(right, dtype=np.bool_)
    n, m = int(good.sum()), int((~good).sum())
    if not n or not m:
        return float("nan")
    return float((rankdata(score)[good].sum() - n * (n + 1) / 2) / (n * m))


def auc_of_signals(table: OutcomeTable, looks: LookTable, split: str = "val") -> dict[str, dict[int, float]]:
    """How well each number that a look gives tells right (rank 1) from wrong looks, on one split.

    Args:
        table: the whole outcome table.
        looks: its looks.
        split: whose sketches.

    Returns:
        AUC by signal and canvas: "confidence", "entropy" (low is right), "apart" (distance of the two nearest photos),
        "margin" and "distance" (low is right); the first three only where the looks have them.

    Raises:
        ValueError: no such split.
    """
    if split not in table.splits:
        raise ValueError(f"unknown split {split!r}: the table of {table.dataset} has {', '.join(table.splits)}")
    rows = np.flatnonzero(table.split == split)
    near = looks.distances[rows]
    signals: dict[str, npt.NDArray[Any]] = {"margin": near[..., 1] - near[..., 0], "distance": -near[..., 0]}
    if looks.confidence is not None and looks.entropy is not None and looks.apart is not None:
        own = {"confidence": looks.confidence[rows], "entropy": -looks.entropy[rows], "apart": looks.apart[rows]}
        signals = {**own, **signals}
    right = table.ranks[rows] == 1
    return {
        name: {side: auc(each[:, j], right[:, j]) for j, side in enumerate(table.canvases.tolist())}
        for name, each in signals.items()
    }
