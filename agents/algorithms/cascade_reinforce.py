"""REINFORCE on episodes of several steps: the policy gradient of whole episodes, discounted.

    loss = -mean[gamma^t (G_t - b_t) log pi(a_t | s_t)] - entropy_coef * H(pi)

G_t is the discounted sum of the rewards from step t to the episode's end, b_t the mean of G_t over the batch's steps
with the same number t. Episodes are as long as they like and the budget is one of steps, so an episode may be under way
when the weights change: it goes on with the new ones, and its steps are learnt from when it has ended.

    python -c "import agents.algorithms.cascade_reinforce as r; r.train_cascade_reinforce(r.CascadeReinforceConfig())"
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Unpack

import torch
from torch import Tensor

from agents.algorithms.common.gradient import GradientConfig, GradientLearner, entropy_of
from agents.algorithms.common.loop import Batch, train
from agents.algorithms.common.training import Run, RunHooks, check_not_negative, check_positive, refuse_checkpoint
from agents.evaluation.setting import CascadeConfig, EnvConfig
from agents.selectors.base import Selector


@dataclass(frozen=True)
class CascadeReinforceConfig(GradientConfig):
    """Settings of REINFORCE on a cascade."""

    algorithm: ClassVar[str] = "reinforce"
    cascade: ClassVar[bool] = True
    masked: ClassVar[bool] = True
    env: EnvConfig = field(default_factory=CascadeConfig)
    selector: str = "looks"
    lr: float = 5e-3  # Adam's learning rate at the start
    num_envs: int = 64  # episodes that are under way at once
    n_steps: int = 4  # vector steps between two updates
    gamma: float = 1.0  # discount; below 1 later looks are cheaper and later answers worth less
    entropy_coef: float = 0.03  # weight of the entropy bonus, which keeps exploration alive

    def __post_init__(self) -> None:
        """As `TrainConfig`."""
        check_positive(self, "n_steps")
        super().__post_init__()
        check_not_negative(self, "entropy_coef")
        if not 0.0 <= self.gamma <= 1.0:
            raise ValueError(f"gamma must lie in [0, 1], got {self.gamma}")

    @property
    def steps_per_update(self) -> int:
        """Environment steps between two updates."""
        return self.num_envs * self.n_steps


def train_cascade_reinforce(config: CascadeReinforceConfig, **hooks: Unpack[RunHooks]) -> Run:
    """Train a selector with REINFORCE; as `loop.train`, but a checkpoint is refused (ValueError)."""
    refuse_checkpoint(config, hooks)
    return train(config, _Reinforce, **hooks)


@dataclass
class _Step:
    """One vector step. `unused` says of which sub-environments' steps nothing has been learnt yet."""

    obs: Mapping[str, Tensor]
    actions: Tensor
    rewards: Tensor
    ended: Tensor
    age: Tensor  # number of the step in its episode, from 0
    unused: Tensor


class _Reinforce(GradientLearner[CascadeReinforceConfig]):
    def __init__(self, config: CascadeReinforceConfig, selector: Selector) -> None:
        super().__init__(config, selector)
        self._steps: list[_Step] = []
        self._age = torch.zeros(config.num_envs, dtype=torch.int64)

    def learn(self, batch: Batch, steps: int) -> dict[str, float | Tensor]:
        """Act, and learn from what has ended when it is time."""
        obs = {name: batch.obs[name] for name in self.network.reads}
        with torch.no_grad():
            probabilities = torch.softmax(self.network(obs), dim=1)
        actions = torch.multinomial(probabilities, 1, generator=self.generator)[:, 0]
        rewards = batch.choose(actions)
        self._steps.append(_Step(obs, actions, rewards, batch.ended, self._age, torch.ones_like(batch.ended)))
        self._age = torch.where(batch.ended, 0, self._age + 1)
        if (steps // self.config.num_envs + 1) % self.config.n_steps:
            return {}
        found = self._loss()
        return {} if found is None else self.descend(*found, steps)

    def _loss(self) -> tuple[Tensor, dict[str, float | Tensor]] | None:
        """See the module; the steps of finished episodes are used up. None if no episode has finished."""
        gamma = self.config.gamma
        later = torch.zeros(self.config.num_envs)
        over = torch.zeros(self.config.num_envs, dtype=torch.bool)
        parts: list[tuple[dict[str, Tensor], Tensor, Tensor, Tensor]] = []
        for step in reversed(self._steps):
            later = step.rewards + torch.where(step.ended, 0.0, gamma * later)
            over = over | step.ended
            use = step.unused & over
            parts.append(({n: part[use] for n, part in step.obs.items()}, step.actions[use], later[use], step.age[use]))
            step.unused = step.unused & ~over
        self._steps = [step for step in self._steps if step.unused.any()]
        obs = {name: torch.cat([part[0][name] for part in parts]) for name in self.network.reads}
        actions, returns, age = (torch.cat([part[i] for part in parts]) for i in (1, 2, 3))  # type: ignore[misc]
        if not len(actions):
            return None
        log_probs = torch.log_softmax(self.network(obs), dim=1)
        entropy = entropy_of(log_probs)
        totals = torch.zeros(int(age.max()) + 1).index_add(0, age, returns)
        baseline = (totals / torch.bincount(age).clamp(min=1))[age]
        advantages = gamma**age * (returns - baseline)
        loss = -(advantages * log_probs.gather(1, actions[:, None])[:, 0]).mean() - self.config.entropy_coef * entropy
        return loss, {"policy/entropy": entropy.detach(), "policy/return": returns[age == 0].mean()}
