"""Settings of the whole test run."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Small networks wait for a second thread longer than it helps, many times longer on a busy machine."""
    torch.set_num_threads(1)
