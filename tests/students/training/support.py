"""Shared by the tests of resumed training runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from students.training import train as training
from students.training.config import TrainConfig


def train_until_interrupted(config: TrainConfig, out: Path, monkeypatch: pytest.MonkeyPatch, at: int = 3) -> None:
    """Train into `out` and interrupt the run, as by Ctrl-C, before step `at`."""
    real = training._step

    def interrupted_step(*args: object) -> dict[str, float]:
        if args[4] == at:
            raise KeyboardInterrupt
        return real(*args)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(training, "_step", interrupted_step)
        with pytest.raises(KeyboardInterrupt):
            training.train(config, out)
