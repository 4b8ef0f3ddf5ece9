"""Losses over a batch of matching sketch and photo embeddings."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def contrastive(sketches: Tensor, photos: Tensor, temperature: float) -> Tensor:
    """Symmetric in-batch contrastive loss (InfoNCE; Radford et al., ICML 2021, section 2.3).

    Args:
        sketches: (B, D) unit vectors.
        photos: (B, D) unit vectors; row i is the true photo of sketch i, the other rows are its negatives.
        temperature: similarities are divided by it before the softmax, > 0.

    Returns:
        Scalar mean of the two cross-entropies, in nats.
    """
    logits = sketches @ photos.T / temperature
    target = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
