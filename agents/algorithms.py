"""The training algorithms by name. Adding one takes a file with a config and a train function, and a line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from agents.training import Progress, Run, TrainConfig


@dataclass(frozen=True)
class Algorithm:
    """Where an algorithm lives; its module is imported when first used, so SB3 loads only for those who want it.

    Attributes:
        module: name of the module.
        config: name of its `TrainConfig` there.
        train: name of its train function there, with the signature of `reinforce.train_reinforce`.
    """

    module: str
    config: str
    train: str


ALGORITHMS: dict[str, Algorithm] = {
    "reinforce": Algorithm("agents.reinforce", "ReinforceConfig", "train_reinforce"),
    "ppo": Algorithm("agents.sb3", "PPOConfig", "train_ppo"),
}


def make_config(algorithm: str, **settings: Any) -> TrainConfig:
    """An algorithm's settings: its defaults, except where given.

    Raises:
        ValueError: unknown algorithm (the message lists what exists), or settings out of range.
    """
    config: Callable[..., TrainConfig] = getattr(import_module(_find(algorithm).module), _find(algorithm).config)
    return config(**settings)


def train_run(
    config: TrainConfig,
    *,
    on_progress: Progress | None = None,
    logdir: Path | None = None,
    checkpoint: Path | None = None,
    checkpoint_every: int = 10_240,
    resume: bool = False,
) -> Run:
    """Train one selector. The result depends on `config` alone, so runs can go to any process or machine.

    The arguments are those of `reinforce.train_reinforce`.
    """
    entry = _find(config.algorithm)
    train: Callable[..., Run] = getattr(import_module(entry.module), entry.train)
    return train(
        config,
        on_progress=on_progress,
        logdir=logdir,
        checkpoint=checkpoint,
        checkpoint_every=checkpoint_every,
        resume=resume,
    )


def _find(name: str) -> Algorithm:
    if name not in ALGORITHMS:
        raise ValueError(f"unknown algorithm {name!r}; there are {', '.join(sorted(ALGORITHMS))}")
    return ALGORITHMS[name]
