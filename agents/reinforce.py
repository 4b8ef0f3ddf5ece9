"""REINFORCE on one-step episodes, batched, in one file.

The paper trains its canvas selector with REINFORCE (Williams, 1992) and reports no baseline:

    loss = -mean[(R - b) log pi(a | sketch)] - entropy_coef * H(pi)

`baseline="none"` is that bare form, b = 0. The default b is the mean reward of the batch, which leaves the
expected gradient as it is (up to a factor 1 - 1/batch) and takes most of its noise away.

    python -c "from agents import reinforce as r; r.train_reinforce(r.ReinforceConfig())"
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from agents.selectors import Selector
from agents.tensorboard import Log, batch_scalars
from agents.training import (
    Progress,
    Run,
    TrainConfig,
    as_tensors,
    check_files,
    make_selector,
    pinned_threads,
    replay,
)
from students import checkpoint as checkpoints

BASELINES = ("none", "mean")


@dataclass(frozen=True)
class ReinforceConfig(TrainConfig):
    """Settings of REINFORCE; every update uses one vector step, so the batch is `num_envs`."""

    algorithm: ClassVar[str] = "reinforce"
    lr: float = 2e-3  # Adam's learning rate at the start
    anneal: bool = True  # let the learning rate fall linearly to zero over the run
    baseline: str = "mean"  # what is subtracted from the reward: "none" (the paper's bare form) or "mean" of the batch
    entropy_coef: float = 0.01  # weight of the entropy bonus, which keeps exploration alive
    max_grad_norm: float = 1.0  # gradients are scaled down to this norm
    log_every: int = 10  # updates between two TensorBoard rows

    def __post_init__(self) -> None:
        """As `TrainConfig`."""
        super().__post_init__()
        if self.baseline not in BASELINES:
            raise ValueError(f"unknown baseline {self.baseline!r}; there are {', '.join(BASELINES)}")
        for name in ("lr", "max_grad_norm", "log_every"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above zero, got {getattr(self, name)}")
        if not self.entropy_coef >= 0:
            raise ValueError(f"entropy_coef must not be negative, got {self.entropy_coef}")


def train_reinforce(
    config: ReinforceConfig,
    *,
    on_progress: Progress | None = None,
    logdir: Path | None = None,
    checkpoint: Path | None = None,
    checkpoint_every: int = 10_240,
    resume: bool = False,
) -> Run:
    """Train a selector. A function of `config` alone: everything else watches, or saves and restores.

    Args:
        config: what to train, where, for how long.
        on_progress: called after every update.
        logdir: TensorBoard folder, None for none.
        checkpoint: file to save the state of the run to, None for none.
        checkpoint_every: environment steps between two checkpoints.
        resume: go on from `checkpoint`; the result is bit for bit that of a run that was never interrupted.

    Returns:
        The run, with the selector in eval mode.

    Raises:
        ValueError: settings of the environment that are out of range, or a checkpoint of other settings.
        FileNotFoundError: nothing to resume from.
    """
    check_files(checkpoint, checkpoint_every, resume)
    start = time.perf_counter()
    env = config.env.make_vec(config.num_envs)
    with pinned_threads(config.threads):
        n_actions = int(env.single_action_space.n)  # type: ignore[attr-defined]
        selector = make_selector(config, env.single_observation_space, n_actions)
        optimiser = torch.optim.Adam(selector.parameters(), lr=config.lr)
        generator = torch.Generator().manual_seed(config.seed)
        steps = 0
        if resume and checkpoint is not None:
            steps = _restore(checkpoint, config, selector, optimiser, generator)
        # The environment's place in its stream of sketches is found again by replaying it: no state of it is
        # saved.
        obs = replay(env, config.seed, steps // config.num_envs)
        saved = steps
        with Log(logdir, from_step=steps) as log:
            while steps < config.total_steps:
                _set_lr(optimiser, config, steps)
                log_probs = torch.log_softmax(selector(as_tensors(obs)), dim=1)
                probs = log_probs.exp()
                actions = torch.multinomial(probs.detach(), 1, generator=generator)
                obs, rewards, _, _, info = env.step(actions[:, 0].numpy())
                returns = torch.as_tensor(rewards, dtype=torch.float32)
                advantages = returns - _baseline(config, returns)
                entropy = -(probs * log_probs).sum(dim=1).mean()
                loss = -(advantages * log_probs.gather(1, actions)[:, 0]).mean() - config.entropy_coef * entropy
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                norm = torch.nn.utils.clip_grad_norm_(selector.parameters(), config.max_grad_norm)
                optimiser.step()
                steps += config.num_envs
                if log.on and steps // config.num_envs % config.log_every == 0:
                    policy = {"policy/entropy": float(entropy.detach()), "policy/gradient_norm": float(norm)}
                    log.scalars({**policy, **batch_scalars(info["final_info"], rewards)}, steps)
                if checkpoint is not None and steps - saved >= checkpoint_every and steps < config.total_steps:
                    _save(checkpoint, config, selector, optimiser, generator, steps)
                    saved = steps
                if on_progress is not None:
                    on_progress(steps)
    env.close()
    return Run(config, selector.eval(), steps, time.perf_counter() - start)


def _baseline(config: ReinforceConfig, returns: Tensor) -> Tensor | float:
    return returns.mean() if config.baseline == "mean" else 0.0


def _set_lr(optimiser: torch.optim.Optimizer, config: ReinforceConfig, steps: int) -> None:
    left = 1.0 - steps / config.total_steps if config.anneal else 1.0
    for group in optimiser.param_groups:
        group["lr"] = config.lr * left


def _save(
    path: Path,
    config: ReinforceConfig,
    selector: Selector,
    optimiser: torch.optim.Optimizer,
    generator: torch.Generator,
    steps: int,
) -> None:
    tensors = {
        **checkpoints.module_tensors(selector),
        **checkpoints.optimiser_tensors(optimiser),
        "generator": generator.get_state(),
    }
    state: dict[str, Any] = {"config": config.to_json(), "steps": steps}
    checkpoints.save(path, tensors, state)


def _restore(
    path: Path,
    config: ReinforceConfig,
    selector: Selector,
    optimiser: torch.optim.Optimizer,
    generator: torch.Generator,
) -> int:
    tensors, state = checkpoints.load(path, config.to_json())
    checkpoints.restore_module(selector, tensors)
    checkpoints.restore_optimiser(optimiser, tensors)
    generator.set_state(tensors["generator"])
    return int(state["steps"])
