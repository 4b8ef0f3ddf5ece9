"""Task and distillation losses against slow computations by hand."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from sketchcanvas_env.outcomes.reward import TRIPLET_MARGIN
from students.training import losses


def unit_vectors(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(*shape, generator=generator, dtype=torch.float64), dim=-1)


def huber(difference: float) -> float:
    return 0.5 * difference**2 if abs(difference) <= 1.0 else abs(difference) - 0.5


def euclidean(a: Tensor, b: Tensor) -> float:
    return float(np.linalg.norm(a.numpy() - b.numpy()))


def test_contrastive_by_hand() -> None:
    sketches, photos = unit_vectors(4, 6), unit_vectors(4, 6, seed=1)
    total = 0.0
    for i in range(4):
        row = [math.exp(float(sketches[i] @ photos[j]) / 0.1) for j in range(4)]
        column = [math.exp(float(sketches[j] @ photos[i]) / 0.1) for j in range(4)]
        total -= math.log(row[i] / sum(row)) + math.log(column[i] / sum(column))
    assert float(losses.contrastive(sketches, photos, 0.1)) == pytest.approx(total / 8, rel=1e-5)


def test_matching_pairs_cost_little_and_a_collapse_costs_log_batch() -> None:
    eye = torch.eye(8)
    assert float(losses.contrastive(eye, eye, 0.05)) < 1e-6
    same = torch.ones(8, 8) / math.sqrt(8)
    assert float(losses.contrastive(same, same, 0.05)) == pytest.approx(math.log(8), rel=1e-4)


def test_triplet_by_hand() -> None:
    s, p, n = unit_vectors(3, 5, 4)
    expected = np.mean([max(0.0, TRIPLET_MARGIN + euclidean(s[i], p[i]) - euclidean(s[i], n[i])) for i in range(5)])
    assert float(losses.triplet(s, p, n)) == pytest.approx(expected)
    assert float(losses.triplet(s, s, -s)) == 0.0  # far beyond the margin


def test_relational_triplet_by_hand_and_across_dimensions() -> None:
    ours, theirs = unit_vectors(3, 5, 4), unit_vectors(3, 5, 7, seed=1)
    expected = sum(
        np.mean([huber(euclidean(ours[a][i], ours[b][i]) - euclidean(theirs[a][i], theirs[b][i])) for i in range(5)])
        for a, b in ((0, 1), (0, 2), (1, 2))
    )
    assert float(losses.relational_triplet(*ours, *theirs)) == pytest.approx(expected)


def test_all_pairs_by_hand() -> None:
    (s, p), (ts, tp) = unit_vectors(2, 5, 4), unit_vectors(2, 5, 7, seed=1)
    grid = list(itertools.product(range(5), repeat=2))
    across = np.mean([huber(euclidean(s[i], p[j]) - euclidean(ts[i], tp[j])) for i, j in grid])
    within = np.mean([huber(euclidean(p[i], p[j]) - euclidean(tp[i], tp[j])) for i, j in grid if i != j])
    assert float(losses.all_pairs(s, p, ts, tp)) == pytest.approx(across + within)


def test_rkd_distance_by_hand() -> None:
    (s, p), (ts, tp) = unit_vectors(2, 3, 4), unit_vectors(2, 3, 7, seed=1)
    sides = []
    for x in (torch.cat([s, p]), torch.cat([ts, tp])):
        d = np.array([euclidean(x[i], x[j]) for i in range(6) for j in range(6) if i != j])
        sides.append(d / d.mean())
    expected = np.mean([huber(a - b) for a, b in zip(*sides, strict=True)])
    assert float(losses.rkd_distance(s, p, ts, tp)) == pytest.approx(expected)


def test_rkd_angle_by_hand() -> None:
    (s, p), (ts, tp) = unit_vectors(2, 2, 4), unit_vectors(2, 2, 7, seed=1)

    def cosine(x: Tensor, i: int, j: int, k: int) -> float:
        a, b = (x[i] - x[j]).numpy(), (x[k] - x[j]).numpy()
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    ours, theirs = torch.cat([s, p]), torch.cat([ts, tp])
    triples = itertools.permutations(range(4), 3)
    expected = np.mean([huber(cosine(ours, i, j, k) - cosine(theirs, i, j, k)) for i, j, k in triples])
    assert float(losses.rkd_angle(s, p, ts, tp)) == pytest.approx(expected)


def test_mimic_by_hand_and_its_dimensions() -> None:
    (s, p), (ts, tp) = unit_vectors(2, 5, 4), unit_vectors(2, 5, 4, seed=1)
    expected = np.mean([euclidean(s[i], ts[i]) ** 2 + euclidean(p[i], tp[i]) ** 2 for i in range(5)]) / 2
    assert float(losses.mimic(s, p, ts, tp)) == pytest.approx(expected)
    with pytest.raises(ValueError, match="same heads"):
        losses.mimic(s, p, *unit_vectors(2, 5, 7))


@pytest.mark.parametrize("name", sorted(losses.PAIR_TERMS))
def test_pair_terms_vanish_at_the_teacher_and_have_finite_gradients(name: str) -> None:
    term: Callable[..., Tensor] = losses.PAIR_TERMS[name]
    s, p = unit_vectors(2, 6, 4)
    assert float(term(s, p, s, p)) == pytest.approx(0.0, abs=1e-12)
    # Two equal embeddings are at distance 0, where the square root has no gradient.
    equal_pair = torch.cat([s[:1], s[:1], s[2:]]).requires_grad_()
    term(equal_pair, equal_pair, *unit_vectors(2, 6, 4, seed=2)).backward()
    assert torch.isfinite(equal_pair.grad).all()
    assert equal_pair.grad.abs().sum() > 0


@pytest.mark.parametrize("name", ["all_pairs", "rkd_distance", "rkd_angle"])
def test_relational_terms_are_invariant_to_rotation(name: str) -> None:
    """Relational terms depend on distances and angles only, not on the directions of the embeddings."""
    s, p, ts, tp = unit_vectors(4, 5, 6)
    turn = torch.linalg.qr(unit_vectors(6, 6, seed=3))[0]
    value, turned = losses.PAIR_TERMS[name](s, p, ts, tp), losses.PAIR_TERMS[name](s @ turn, p @ turn, ts, tp)
    assert float(turned) == pytest.approx(float(value))
    assert float(losses.mimic(s, p, ts, tp)) != pytest.approx(float(losses.mimic(s @ turn, p @ turn, ts, tp)))
