"""Backward induction: a learner that is told everything, as `cost_sensitive` is in episodes of one step.

The outcomes of every sketch of the split `train` are known, so what each action leads to is known, too, from every
state that a sketch can be in: looked at some canvases, one of them last. From the last look backwards, the value of
stopping is what stopping pays; the value of a look is what it costs, and then what the selector itself would reach from
there with its present weights (its choices, not the best ones in hindsight: those would assume that it knew the
outcomes). Logits regress these values, each state's mean left out, since it takes no part in the choice. It is policy
search by dynamic programming (Bagnell, Kakade, Ng and Schneider, NeurIPS 2003) with one network for all rounds.

Every round of looks weighs the same, however many states it has. One environment step is one sketch looked at.

    python -c "from agents.algorithms import backward_induction as b; b.train_backward(b.BackwardConfig())"
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Unpack

import numpy as np
import torch
from torch import Tensor

from agents.algorithms.common.gradient import GradientConfig, GradientLearner
from agents.algorithms.common.loop import Batch, train
from agents.algorithms.common.training import Run, RunHooks, refuse_checkpoint
from agents.evaluation.setting import CascadeConfig, EnvConfig
from agents.selectors.base import Selector, as_tensors
from agents.selectors.policy import cascade_actions
from sketchcanvas_env.tasks.cascade import CascadeTask, Looks


@dataclass(frozen=True)
class BackwardConfig(GradientConfig):
    """Settings of backward induction."""

    algorithm: ClassVar[str] = "backward_induction"
    cascade: ClassVar[bool] = True
    masked: ClassVar[bool] = True
    env: EnvConfig = field(default_factory=CascadeConfig)
    selector: str = "looks"
    lr: float = 3e-3  # Adam's learning rate at the start
    num_envs: int = 64  # sketches per environment step; each stands for all of its states
    gamma: float = 1.0  # discount; below 1 later looks are cheaper and later answers worth less

    def __post_init__(self) -> None:
        """As `TrainConfig`."""
        super().__post_init__()
        if not 0.0 <= self.gamma <= 1.0:
            raise ValueError(f"gamma must lie in [0, 1], got {self.gamma}")


def train_backward(config: BackwardConfig, **hooks: Unpack[RunHooks]) -> Run:
    """Train a selector by backward induction; as `loop.train`, but a checkpoint is refused (ValueError)."""
    refuse_checkpoint(config, hooks)
    return train(config, _Backward, **hooks)


class States:
    """The S states that a sketch can be in while its episode goes on, and what actions lead to; K canvases.

    Attributes:
        seen: (S,) int64, canvases looked at, as bit masks.
        last: (S,) int64, the last of them, -1 for none.
        rounds: states by the number of looks, from 0 to K - 1; with all K looks there is nothing left to choose.
        allowed: (S, K + 1) bool, as the environment's masks.
        after: (S, K) int64, state after a look at each canvas; 0 where it was looked at.
        price: (K,) float32, reward of a look at each canvas.
        stop: (n, S) float32, reward of stopping in each state, for every sketch of the split.
    """

    def __init__(self, cascade: CascadeTask) -> None:
        """List the states of a split."""
        k, n = cascade.n_canvases, len(cascade)
        pairs = [(0, -1)] + [(each, j) for each in range(1, 1 << k) for j in range(k) if each >> j & 1]
        where = {pair: place for place, pair in enumerate(pairs)}
        self.seen, self.last = np.array(pairs, dtype=np.int64).T.copy()
        looks = np.array([each.bit_count() for each, _ in pairs])
        self.rounds = [torch.from_numpy(np.flatnonzero(looks == number)) for number in range(k + 1)]
        self.allowed = torch.from_numpy(cascade.action_mask(Looks(self.seen, self.seen, self.last)) > 0)
        self.after = torch.tensor([[where.get((each | 1 << j, j), 0) for j in range(k)] for each, _ in pairs])
        nothing = np.zeros(k, dtype=np.int64)
        self.price = torch.from_numpy(cascade.advance(cascade.start(nothing), np.arange(k)).reward).float()
        rows, state = np.divmod(np.arange(n * len(pairs)), len(pairs))
        states = Looks(rows, self.seen[state], self.last[state])
        stopped = cascade.advance(states, np.full(len(rows), k, dtype=np.int64))
        self.stop = torch.from_numpy(stopped.reward.reshape(n, -1)).float()

    def values(self, rows: Tensor, choices: Tensor, gamma: float) -> Tensor:
        """What each action leads to if `choices` are made after it, (B, S, K + 1).

        Args:
            rows: (B,) sketches.
            choices: (B, S) action that is taken in each state.
            gamma: discount.
        """
        k = len(self.price)
        values = torch.zeros(*choices.shape, k + 1)
        values[..., k] = self.stop[rows]
        reached = self.stop[rows].clone()  # right with all K looks, where only stopping is left
        for states in reversed(self.rounds[:-1]):
            values[:, states, :k] = self.price + gamma * reached[:, self.after[states]]
            reached[:, states] = values[:, states].gather(2, choices[:, states, None])[..., 0]
        return values


class _Backward(GradientLearner[BackwardConfig]):
    def __init__(self, config: BackwardConfig, selector: Selector) -> None:
        super().__init__(config, selector)
        assert isinstance(config.env, CascadeConfig)  # checked by the settings
        self._cascade = config.env.cascade("train")
        self._states = States(self._cascade)

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, float | Tensor]]:
        """See the module."""
        states, k = self._states, len(self._states.price)
        with torch.no_grad():
            batch.choose(cascade_actions(self.network, batch.obs, torch.as_tensor(batch.started)))
        rows, size = torch.from_numpy(batch.rows), len(states.seen)
        looked, last = np.tile(states.seen, len(rows)), np.tile(states.last, len(rows))
        seen = self._cascade.observe(Looks(batch.rows.repeat(size), looked, last))
        found = self.network(as_tensors({name: seen[name] for name in self.network.reads})).reshape(-1, size, k + 1)
        choices = found.detach().masked_fill(~states.allowed, -torch.inf).argmax(dim=2)
        values = states.values(rows, choices, self.config.gamma)
        means = (values * states.allowed).sum(dim=2, keepdim=True) / states.allowed.sum(dim=1)[:, None]
        errors = torch.where(states.allowed, found - (values - means), 0.0).square()
        error = torch.stack([errors[:, each].sum() / states.allowed[each].sum() for each in states.rounds[:-1]]).mean()
        error = error / len(rows)
        return error, {"train/squared_error": error.detach()}
