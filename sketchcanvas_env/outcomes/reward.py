"""Rank, triplet loss and reward.

The reward of choosing canvas j for one sketch (Sain et al., "Sketch Down the FLOPs", CVPR 2025, arXiv
2505.23763)::

    R_acc  = w_rank / rank - w_tri * L_tri
    R_comp = -q_j / (q_max - q_min)
    R      = tradeoff * R_comp + (1 - tradeoff) * R_acc

`q_j` is the student's cost at canvas j, in FLOPs (2 x MAC) as in the paper or in milliseconds (`COSTS`), q_max and
q_min are the highest and the lowest cost of the canvases on offer, `rank` is the rank of the true photo in the gallery
(1 is best) and `L_tri` the triplet loss of the query.

Where the paper leaves something open, or we differ:

* Ties count against the student (`rank_of_true`), so a student that maps everything to one point is ranked last.
  Distances less than `RESOLUTION` apart are ties.
* `L_tri` is the mean over *all* other photos of the gallery, not over one drawn at random, so that an outcome depends
  on (sketch, canvas, gallery) only and can be stored.
* If all canvases on offer cost the same, q_max - q_min is zero and `R_comp` is -1.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

COSTS = {"flops": "FLOPs", "latency": "ms"}
"""Kinds of cost and their units: FLOPs (2 x MAC), or milliseconds on one thread of one machine."""

TRIPLET_MARGIN = 0.3
"""Margin of the triplet loss, in Euclidean distance between L2-normalised embeddings. Our choice."""

MAX_DISTANCE = 2.0
"""The largest Euclidean distance between two L2-normalised embeddings."""

RESOLUTION = 1e-6
"""Distances closer than this count as equal. The same photo in two batches came out up to 6e-7 apart."""

DISTANCE_SLACK = 1e-5
"""Rounding error of single precision: how far a distance or triplet loss may exceed its bound."""


def _split_distances(
    distances: npt.ArrayLike, true_index: npt.ArrayLike
) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Checked distances (..., G), those to the true photo (..., 1), and a mask of the other photos (..., G)."""
    table = np.asarray(distances)
    if table.ndim < 1 or table.shape[-1] < 1:
        raise ValueError(f"distances must have the gallery as last axis, got shape {table.shape}")
    if not np.isfinite(table).all():
        # NaN compares false with everything, so a broken student would get rank 1.
        raise ValueError("distances must be finite: the embeddings hold NaN or infinity")
    index = np.asarray(true_index)
    if index.dtype.kind not in "iu":
        raise ValueError(f"true_index must be of integers, got dtype {index.dtype}")
    gallery = table.shape[-1]
    if index.size and (index.min() < 0 or index.max() >= gallery):
        raise ValueError(f"true_index must lie in [0, {gallery}), the gallery has {gallery} photos")
    index = np.broadcast_to(index, table.shape[:-1])[..., None]
    true = np.take_along_axis(table, index, axis=-1)
    return table, true, np.arange(gallery) != index


def rank_of_true(distances: npt.ArrayLike, true_index: npt.ArrayLike) -> Any:
    """Rank of the true photo: 1 + the number of other photos that are nearer or tied with it.

    Photos less than `RESOLUTION` farther than the true one are tied. Ties count against the student.

    Args:
        distances: (..., G) distance from each query to each gallery photo, finite.
        true_index: int or (...) ints, index of the true photo of each query.

    Returns:
        int for one query, else (...) int64; in [1, G].

    Raises:
        ValueError: a distance that is not finite, an index outside the gallery.

    Example:
        >>> rank_of_true([0.5, 0.2, 0.9], 0)
        2
        >>> rank_of_true([0.5, 0.5, 0.5], 0)
        3
    """
    table, true, other = _split_distances(distances, true_index)
    ranks = 1 + ((table < true.astype(np.float64) + RESOLUTION) & other).sum(axis=-1)
    return int(ranks) if np.ndim(ranks) == 0 else ranks.astype(np.int64)


def triplet_loss(distances: npt.ArrayLike, true_index: npt.ArrayLike, margin: float = TRIPLET_MARGIN) -> Any:
    """Triplet loss: mean over all other gallery photos of max(0, margin + d_true - d_other).

    Args:
        distances: (..., G) distances, G at least 2, finite.
        true_index: int or (...) ints, index of the true photo.
        margin: margin of the loss.

    Returns:
        float for one query, else (...) float64; in [0, margin + 2] for L2-normalised embeddings.

    Raises:
        ValueError: as `rank_of_true`, a gallery of one photo, or a margin that is negative or not finite.

    Example:
        >>> round(triplet_loss([0.5, 0.6, 1.5], 0), 6)  # (0.3 + 0.5 - 0.6) / 2, the last is beyond
        0.1
    """
    if not math.isfinite(margin) or margin < 0:
        raise ValueError(f"margin must be finite and not negative, got {margin}")
    table, true, other = _split_distances(distances, true_index)
    if table.shape[-1] < 2:
        raise ValueError("the triplet loss needs a gallery of at least two photos")
    hinge = np.maximum(0.0, margin + true.astype(np.float64) - table.astype(np.float64))
    losses = np.where(other, hinge, 0.0).sum(axis=-1) / (table.shape[-1] - 1)
    return float(losses) if np.ndim(losses) == 0 else losses


def fused_distance(distances: npt.ArrayLike) -> FloatArray:
    """Root mean square of the distances of several looks at one sketch, (...) float64.

    For unit vectors d^2 = 2 - 2 cos, so this averages cosine similarities. Our choice.

    Args:
        distances: (L, ...) Euclidean distances to each photo at L looks, at least one.

    Example:
        >>> fused_distance([[0.6, 1.0], [0.8, 1.0]]).round(6).tolist()
        [0.707107, 1.0]
    """
    return np.asarray(np.sqrt(np.square(np.asarray(distances, dtype=np.float64)).mean(axis=0)))


def accuracy_reward(
    ranks: npt.ArrayLike, triplet: npt.ArrayLike, rank_weight: float = 1.0, triplet_weight: float = 0.1
) -> FloatArray:
    """R_acc = rank_weight / rank - triplet_weight * L_tri, (...) float64.

    Args:
        ranks: (...) ranks of the true photo, from 1.
        triplet: (...) triplet losses.
        rank_weight: weight of the reciprocal rank.
        triplet_weight: weight of the triplet loss.

    Example:
        >>> float(accuracy_reward(2, 0.5, rank_weight=1.0, triplet_weight=0.1))
        0.45
    """
    check_weights(rank_weight, triplet_weight)
    reciprocal = 1.0 / np.asarray(ranks, dtype=np.float64)
    return np.asarray(rank_weight * reciprocal - triplet_weight * np.asarray(triplet, dtype=np.float64))


def compute_reward(costs: npt.ArrayLike) -> FloatArray:
    """R_comp = -q / (q_max - q_min) of each canvas on offer, (K,) float64; -1 where all cost the same.

    Args:
        costs: (K,) cost of each canvas on offer, finite and above zero, in any unit.

    Raises:
        ValueError: no canvas, or a cost that is not finite and positive.

    Example:
        >>> compute_reward([1.0, 5.0]).tolist()
        [-0.25, -1.25]
        >>> compute_reward([7.0]).tolist()
        [-1.0]
    """
    row = np.asarray(costs, dtype=np.float64)
    if row.ndim != 1 or row.size == 0 or not np.isfinite(row).all() or (row <= 0).any():
        raise ValueError(f"costs must be a row of finite numbers above zero, got {costs!r}")
    spread = row.max() - row.min()
    return -row / spread if spread > 0 else -np.ones_like(row)


def reward(acc: npt.ArrayLike, comp: npt.ArrayLike, tradeoff: float | npt.NDArray[np.floating]) -> FloatArray:
    """R = tradeoff * R_comp + (1 - tradeoff) * R_acc.

    Args:
        acc: (...) R_acc.
        comp: R_comp, of a shape that broadcasts against it.
        tradeoff: lambda_F of the paper, in [0, 1]: 0 counts accuracy only, 1 cost only. A number, or an array that
            broadcasts against the two.

    Returns:
        float64 of the broadcast shape.

    Raises:
        ValueError: a tradeoff outside [0, 1].
    """
    for extreme in (tradeoff.min(), tradeoff.max()) if isinstance(tradeoff, np.ndarray) else (tradeoff,):
        check_tradeoff(extreme)
    weight = np.asarray(tradeoff, dtype=np.float64)
    return np.asarray(weight * np.asarray(comp, dtype=np.float64) + (1.0 - weight) * np.asarray(acc, dtype=np.float64))


def accuracy_range(
    gallery_size: float, rank_weight: float = 1.0, triplet_weight: float = 0.1, margin: float = TRIPLET_MARGIN
) -> tuple[float, float]:
    """Bounds (low, high) of R_acc for any student: rank in [1, gallery_size], L_tri in [0, margin + 2].

    `gallery_size` is infinity where it is unknown.
    """
    check_weights(rank_weight, triplet_weight)
    worst_loss = margin + MAX_DISTANCE + DISTANCE_SLACK
    return rank_weight / gallery_size - triplet_weight * worst_loss, float(rank_weight)


def reward_range(
    costs: npt.ArrayLike,
    gallery_size: float,
    tradeoff: float | npt.NDArray[np.floating],
    rank_weight: float = 1.0,
    triplet_weight: float = 0.1,
    margin: float = TRIPLET_MARGIN,
) -> tuple[float, float]:
    """Bounds (low, high) of the reward for any student and any sketch.

    Args:
        costs: (K,) cost of each canvas on offer.
        gallery_size: number of photos ranked, infinity where it is unknown.
        tradeoff: weight of R_comp, or an array of weights; the bounds then hold for each of them and, the reward being
            linear in the weight, for all in between.
        rank_weight: weight of 1 / rank in R_acc.
        triplet_weight: weight of the triplet loss in R_acc.
        margin: margin of the triplet loss.
    """
    comp = compute_reward(costs)
    low, high = accuracy_range(gallery_size, rank_weight, triplet_weight, margin)
    # A little wider, so that rounding never carries a reward out of the bounds.
    slack = 1e-12 * max(1.0, float(np.abs(comp).max()), abs(low), abs(high))
    return (
        float(reward(low, comp.min(), tradeoff).min()) - slack,
        float(reward(high, comp.max(), tradeoff).max()) + slack,
    )


def check_tradeoff(tradeoff: float) -> None:
    """Raise ValueError unless `tradeoff` is a number in [0, 1]."""
    if not _is_real(tradeoff) or not 0.0 <= tradeoff <= 1.0:
        raise ValueError(f"tradeoff must be a number in [0, 1], got {tradeoff!r}")


def check_cost(cost: str) -> None:
    """Raise ValueError unless `cost` is one of `COSTS`."""
    if not isinstance(cost, str) or cost not in COSTS:
        raise ValueError(f"unknown cost {cost!r}: there are {', '.join(COSTS)}")


def check_weights(rank_weight: float, triplet_weight: float) -> None:
    """Raise ValueError unless both weights are finite and not negative."""
    for name, value in (("rank_weight", rank_weight), ("triplet_weight", triplet_weight)):
        if not _is_real(value) or not math.isfinite(value) or value < 0:
            raise ValueError(f"{name} must be a finite number, not negative, got {value!r}")


def _is_real(value: object) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
