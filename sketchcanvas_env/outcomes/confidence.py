"""Confidence of a look: softmax over the whole gallery, and its AUC for telling correct from wrong looks.

The softmax share of photo g after a look is exp(-d_g^2 / T) / sum_h exp(-d_h^2 / T), with the distances d of the sketch
to the photos. The temperature T of each canvas is the one of `TEMPERATURES` at which the true photos of the split
`train` have the highest likelihood.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from sketchcanvas_env.outcomes.looks import LookTable
    from sketchcanvas_env.outcomes.table import OutcomeTable

TEMPERATURES = np.round(0.01 * 10 ** (np.arange(41) / 20), 4)
"""(41,) candidates for T, 0.01 to 1 in equal ratios of 1.12. Squared distances lie in [0, 4]."""

FloatArray = npt.NDArray[np.float64]


def partition(distances: npt.NDArray[np.floating], temperatures: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Log-partition and mean energy of the softmax over a gallery, at several temperatures.

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
    """Index of the temperature with the highest likelihood of the true photos of n sketches; ties go to the first.

    Args:
        true: (n,) distances to the true photos.
        log_sum: (n, M), from `partition`.
        temperatures: (M,).
    """
    squares = np.square(np.asarray(true, dtype=np.float64))[:, None]
    return int((squares / temperatures + log_sum).mean(axis=0).argmin())


def confidence_of(nearest: npt.ArrayLike, log_sum: npt.ArrayLike, temperature: npt.ArrayLike) -> FloatArray:
    """Softmax share of the nearest photo over the gallery, in (0, 1]. Arguments broadcast.

    Args:
        nearest: distance to the nearest photo.
        log_sum: from `partition`.
        temperature: the temperature of `log_sum`.
    """
    squares = np.square(np.asarray(nearest, dtype=np.float64))
    return np.asarray(np.minimum(np.exp(-squares / np.asarray(temperature) - np.asarray(log_sum)), 1.0))


def entropy_of(
    log_sum: npt.ArrayLike, mean: npt.ArrayLike, temperature: npt.ArrayLike, gallery: npt.ArrayLike
) -> FloatArray:
    """Entropy of the softmax over the gallery divided by log(gallery), in [0, 1]. Arguments broadcast.

    Args:
        log_sum: from `partition`.
        mean: from `partition`.
        temperature: the temperature of both.
        gallery: number of photos; with one photo the entropy is 0.
    """
    most = np.log(np.maximum(np.asarray(gallery, dtype=np.float64), 2.0))
    share = (np.asarray(log_sum) + np.asarray(mean) / np.asarray(temperature)) / most
    return np.asarray(np.clip(share, 0.0, 1.0))


def auc(scores: npt.ArrayLike, right: npt.ArrayLike) -> float:
    """Area under the ROC curve: probability that a correct look scores higher than a wrong one, ties counting half.

    Args:
        scores: (n,) scores.
        right: (n,) bool, correct looks. Without a correct or a wrong look the result is nan.

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
    """AUC of each signal of a look for telling correct looks (rank 1) from wrong ones, on one split.

    Args:
        table: the whole outcome table.
        looks: its looks.
        split: name of the split.

    Returns:
        AUC by signal and canvas: "confidence", negative "entropy", "apart" (distance of the two nearest photos),
        "margin" and negative "distance"; the first three only where the looks have them.

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
