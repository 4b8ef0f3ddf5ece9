"""The contrastive loss against a slow computation by hand."""

from __future__ import annotations

import math

import pytest
import torch

from students.losses import contrastive


def test_by_hand() -> None:
    torch.manual_seed(0)
    sketches = torch.nn.functional.normalize(torch.randn(4, 6), dim=1)
    photos = torch.nn.functional.normalize(torch.randn(4, 6), dim=1)
    total = 0.0
    for i in range(4):
        row = [math.exp(float(sketches[i] @ photos[j]) / 0.1) for j in range(4)]
        column = [math.exp(float(sketches[j] @ photos[i]) / 0.1) for j in range(4)]
        total -= math.log(row[i] / sum(row)) + math.log(column[i] / sum(column))
    assert float(contrastive(sketches, photos, 0.1)) == pytest.approx(total / 8, rel=1e-5)


def test_matching_pairs_cost_little_and_a_collapse_costs_log_batch() -> None:
    eye = torch.eye(8)
    assert float(contrastive(eye, eye, 0.05)) < 1e-6
    same = torch.ones(8, 8) / math.sqrt(8)
    assert float(contrastive(same, same, 0.05)) == pytest.approx(math.log(8), rel=1e-4)
