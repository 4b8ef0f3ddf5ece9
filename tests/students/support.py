"""Shared by the tests that need a student whose batch norms differ by domain."""

from __future__ import annotations

import torch
from torch import Tensor

from students.backbones.switch_norm import switch_layers
from students.network.embedder import Student


def fit_norms(student: Student, domain: str, inputs: Tensor) -> None:
    """Set the statistics of a domain's norms to those of one batch of network inputs (B, 3, S, S)."""
    layers, training = switch_layers(student), student.training
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 1.0
    with torch.no_grad():
        student.train()(inputs, domain)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    student.train(training)
