"""Evaluation mode for the length of a context."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Context in which `module` is in evaluation mode; the modes of all its parts are restored afterwards."""
    modes: list[tuple[nn.Module, bool]] = [(m, m.training) for m in module.modules()]
    # Modes are only set where they differ: setting all took 2 of the 8 milliseconds of a query at 32 px.
    if any(mode for _, mode in modes):
        module.eval()
    try:
        yield
    finally:
        for m, mode in modes:
            if m.training != mode:
                m.training = mode
