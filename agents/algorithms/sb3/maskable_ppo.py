"""sb3-contrib's PPO with masks (Huang and Ontanon, FLAIRS 2022, arXiv 2006.14171), for cascades.

The masks say which actions make sense: no canvas twice, no stopping before the first look.

    python -c "from agents.algorithms.sb3 import maskable_ppo as m; m.train_maskable_ppo(m.MaskablePPOConfig())"
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Unpack

from stable_baselines3.common.base_class import BaseAlgorithm

from agents.algorithms.common.training import Run, RunHooks, refuse_checkpoint
from agents.algorithms.sb3.adapter import SketchCanvasVecEnv
from agents.algorithms.sb3.ppo import CascadePPOConfig, ppo_settings
from agents.algorithms.sb3.training import contrib, train_model
from agents.selectors.base import Selector


@dataclass(frozen=True)
class MaskablePPOConfig(CascadePPOConfig):
    """Settings of PPO with masks."""

    algorithm: ClassVar[str] = "maskable_ppo"
    masked: ClassVar[bool] = True


def train_maskable_ppo(config: MaskablePPOConfig, **hooks: Unpack[RunHooks]) -> Run:
    """Train a selector with sb3-contrib's PPO with masks; as `loop.train`, but a checkpoint is refused (ValueError)."""
    contrib()
    refuse_checkpoint(config, hooks)
    return train_model(config, _maskable_ppo, log_interval=config.log_every, **hooks)


def _maskable_ppo(config: MaskablePPOConfig, adapter: SketchCanvasVecEnv, selector: Selector) -> BaseAlgorithm:
    model: BaseAlgorithm = contrib().MaskablePPO("MultiInputPolicy", adapter, **ppo_settings(config, selector))
    return model
