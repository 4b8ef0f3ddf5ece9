"""What tests of resumed trainings share."""

from __future__ import annotations

from pathlib import Path

import pytest

from students.training import train as training


def train_until_interrupted(
    config: training.TrainConfig, out: Path, monkeypatch: pytest.MonkeyPatch, at: int = 3
) -> None:
    """Train into `out` until Ctrl-C, which comes before step `at`."""
    real = training._step

    def breaks(*args: object) -> dict[str, float]:
        if args[4] == at:
            raise KeyboardInterrupt
        return real(*args)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(training, "_step", breaks)
        with pytest.raises(KeyboardInterrupt):
            training.train(config, out)
