"""Losses over a batch of sketch and photo embeddings: two for the task, five for distillation.

All embeddings are unit vectors, so that Euclidean distances lie in [0, 2]. Unless stated otherwise, row i of the
sketches and row i of the photos are a pair. No gradient flows into the teacher's embeddings.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from sketchcanvas_env.outcomes.reward import TRIPLET_MARGIN


def contrastive(sketches: Tensor, photos: Tensor, temperature: float, true: NDArray[np.int64] | None = None) -> Tensor:
    """Symmetric in-batch contrastive loss (InfoNCE; Radford et al., ICML 2021, section 2.3).

    Args:
        sketches: (b, D) unit vectors.
        photos: (B, D) unit vectors; all but a sketch's true photo are its negatives.
        temperature: divisor of the similarities before the softmax, above 0.
        true: (b,) row of each sketch's true photo; by default sketch i has photo i. Photos without a sketch are
            negatives only.

    Returns:
        Scalar mean of the two cross-entropies, in nats.
    """
    logits = sketches @ photos.T / temperature
    rows = np.arange(len(logits)) if true is None else true
    target = torch.from_numpy(rows).to(logits.device)
    own = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits[:, target].T, own)) / 2


def triplet(sketches: Tensor, photos: Tensor, negatives: Tensor, margin: float = TRIPLET_MARGIN) -> Tensor:
    """Triplet loss of the three-branch Siamese network (Yu et al., "Sketch Me That Shoe", CVPR 2016, equation 1).

    Args:
        sketches: (B, D) anchors.
        photos: (B, D) their true photos.
        negatives: (B, D) one other photo each.
        margin: Euclidean distance by which the true photo must be nearer for a loss of 0.

    Returns:
        Scalar mean of max(0, margin + d(s, p) - d(s, n)).
    """
    return F.relu(margin + distance(sketches, photos) - distance(sketches, negatives)).mean()


def distance(one: Tensor, other: Tensor) -> Tensor:
    """Euclidean distances (B,) of the rows of two (B, D) tensors; its gradient is finite at distance 0."""
    return (one - other).square().sum(1).clamp_min(1e-12).sqrt()


def distances(one: Tensor, other: Tensor) -> Tensor:
    """Euclidean distances (B, C) between unit vectors (B, D) and (C, D); its gradient is zero at distance 0."""
    return (2.0 - 2.0 * one @ other.T).clamp_min(1e-8).sqrt()


def relational_triplet(sketches: Tensor, photos: Tensor, negatives: Tensor, *teacher: Tensor) -> Tensor:
    """Cross-modal relational distillation over triplets (Sain et al., "Sketch Down the FLOPs", CVPR 2025).

    Args:
        sketches: (B, D) anchors, the student's embeddings.
        photos: (B, D) true photos, the student's.
        negatives: (B, D) negative photos, the student's.
        teacher: the teacher's embeddings of the same three, (B, T) each; T may differ from D.

    Returns:
        Scalar: the Huber losses (delta 1) of d(s, p), d(s, n) and d(p, n) against the teacher's, each a mean over the
        batch, summed with equal weights.
    """
    student = (sketches, photos, negatives)
    terms = [
        F.huber_loss(distance(student[i], student[j]), distance(teacher[i], teacher[j]))
        for i, j in ((0, 1), (0, 2), (1, 2))
    ]
    return torch.stack(terms).sum()


def all_pairs(sketches: Tensor, photos: Tensor, teacher_sketches: Tensor, teacher_photos: Tensor) -> Tensor:
    """Relational distillation over all pairs of a batch: every d(s_i, p_j), and every d(p_i, p_j) with i != j.

    Args:
        sketches: (B, D), the student's.
        photos: (B, D), the student's.
        teacher_sketches: (B, T).
        teacher_photos: (B, T).

    Returns:
        Scalar: the sum of the two mean Huber losses (delta 1).
    """
    across = F.huber_loss(distances(sketches, photos), distances(teacher_sketches, teacher_photos))
    other = ~torch.eye(len(photos), dtype=torch.bool, device=photos.device)
    within = F.huber_loss(distances(photos, photos)[other], distances(teacher_photos, teacher_photos)[other])
    return across + within


def rkd_distance(sketches: Tensor, photos: Tensor, teacher_sketches: Tensor, teacher_photos: Tensor) -> Tensor:
    """Distance-wise relational distillation (Park et al., "Relational Knowledge Distillation", CVPR 2019, 3.2.1).

    Over all pairs of the 2B embeddings. The student's distances are divided by their mean, and so are the teacher's, so
    that only proportions count. Shapes as for `all_pairs`.

    Returns:
        Scalar mean Huber loss (delta 1).
    """
    student, teacher = torch.cat([sketches, photos]), torch.cat([teacher_sketches, teacher_photos])
    other = ~torch.eye(len(student), dtype=torch.bool, device=student.device)
    d, t = distances(student, student)[other], distances(teacher, teacher)[other]
    return F.huber_loss(d / d.mean(), t / t.mean())


def rkd_angle(sketches: Tensor, photos: Tensor, teacher_sketches: Tensor, teacher_photos: Tensor) -> Tensor:
    """Angle-wise relational distillation (Park et al., CVPR 2019, section 3.2.2).

    Over the cosines of the angles at j between i and k, for all triples of distinct embeddings out of the 2B. Shapes as
    for `all_pairs`.

    Returns:
        Scalar mean Huber loss (delta 1).
    """
    student, teacher = torch.cat([sketches, photos]), torch.cat([teacher_sketches, teacher_photos])
    n = len(student)
    index = torch.arange(n, device=student.device)
    i, j, k = index[:, None, None], index[None, :, None], index[None, None, :]
    distinct = (i != j) & (j != k) & (i != k)
    return F.huber_loss(_angles(student)[distinct], _angles(teacher)[distinct])


def _angles(x: Tensor) -> Tensor:
    """Cosines (N, N, N) of the angle at the second of three points, by inner products; no (N, N, D) array is made."""
    g = x @ x.T
    norm = distances(x, x)
    # <x_i - x_j, x_k - x_j> = g_ik - g_ij - g_jk + g_jj, with axes (i, j, k)
    inner = g[:, None, :] - g[:, :, None] - g[None, :, :] + torch.diagonal(g)[None, :, None]
    return inner / (norm[:, :, None] * norm[None, :, :])


def mimic(sketches: Tensor, photos: Tensor, teacher_sketches: Tensor, teacher_photos: Tensor) -> Tensor:
    """Mean squared Euclidean distance to the teacher's embeddings, over sketches and photos; not relational.

    Shapes as for `all_pairs`, with T equal to D.

    Raises:
        ValueError: the dimensions differ.
    """
    if sketches.shape != teacher_sketches.shape:
        raise ValueError(
            f"'mimic' needs a teacher with the student's dimensions, {sketches.shape[1]}, not "
            f"{teacher_sketches.shape[1]}; give both the same heads"
        )
    return ((sketches - teacher_sketches).square().sum(1) + (photos - teacher_photos).square().sum(1)).mean() / 2


PAIR_TERMS: dict[str, Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]] = {
    "all_pairs": all_pairs,
    "rkd_distance": rkd_distance,
    "rkd_angle": rkd_angle,
    "mimic": mimic,
}
"""Distillation terms over (sketches, photos, teacher's sketches, teacher's photos), by name."""

TERMS = ("relational_triplet", *PAIR_TERMS)
"""Names of all distillation terms."""
