"""A tiny training run, and one that is interrupted."""

from __future__ import annotations

from pathlib import Path

import pytest

from students.network.config import Head, StudentConfig
from students.training import train as training
from students.training.config import TrainConfig
from students.training.pool.pairs import PoolConfig

TINY = TrainConfig(
    dataset="toy",
    student=StudentConfig(canvases=(16, 32), photo_side=24, heads=(Head(8, 2, 8, 0.5), Head(16, 1, 8, 0.5))),
    pretrained=None,
    steps=4,
    batch=3,
    small={16: 1.0},
    large={32: 1.0},
    pool=PoolConfig(variants=1),
    warmup=1,
    threads=1,
    checkpoint_every=2,
    evaluate_every=4,
)


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
