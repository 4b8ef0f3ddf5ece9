"""Bring an algorithm of your own: here an evolution strategy, made, trained and evaluated by name like the others.

python examples/own_algorithm.py
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch.nn.utils import parameters_to_vector, vector_to_parameters

import agents
from agents.algorithms.common import loop
from agents.algorithms.common.training import TrainConfig
from agents.algorithms.registry import ALGORITHMS, Algorithm
from agents.evaluation.evaluate import evaluate_options


@dataclass(frozen=True)
class MyConfig(TrainConfig):
    """Salimans et al. (2017), "Evolution strategies as a scalable alternative to reinforcement learning"."""

    algorithm: ClassVar[str] = "mine"
    lr: float = 0.3  # length of a step
    noise: float = 0.3  # standard deviation of what the weights are disturbed by


class MyLearner(loop.Learner[MyConfig]):
    """Disturbs the weights, lets each disturbed selector choose for a part of the batch, follows those that earn."""

    @torch.no_grad()
    def learn(self, batch, steps):
        """One update; `batch.choose` is the environment step."""
        weights = parameters_to_vector(self.network.parameters())
        noise = torch.randn(8, len(weights), generator=self.generator)
        noise = torch.cat([noise, -noise])
        tried = torch.arange(len(batch.rows)) % len(noise)
        actions = torch.empty(len(batch.rows), dtype=torch.int64)
        for i, direction in enumerate(noise):
            vector_to_parameters(weights + self.config.noise * direction, self.network.parameters())
            actions[tried == i] = self.network({name: x[tried == i] for name, x in batch.obs.items()}).argmax(dim=1)
        rewards = batch.choose(actions)
        step = ((rewards - rewards.mean())[:, None] * noise[tried]).mean(dim=0) / (rewards.std() + 1e-8)
        vector_to_parameters(weights + self.config.lr * step, self.network.parameters())
        return {"train/step": step.norm()}


def train_mine(config, **hooks):
    """From a config to a run; the loop brings exact budgets, logs, curves, checkpoints and pinned threads."""
    return loop.train(config, MyLearner, **hooks)


def load_mine():
    """What the registry calls when the algorithm is first used."""
    return MyConfig, train_mine


ALGORITHMS["mine"] = Algorithm(load_mine)

if __name__ == "__main__":
    env = agents.EnvConfig(tradeoff=0.2)
    for name in ("mine", "reinforce", "exact_pg"):
        run = agents.train_run(agents.make_config(name, env=env, total_steps=10_240))
        chosen, cost = run.config.env.decide(run.selector, "val")
        result = evaluate_options(env.options("val"), chosen, selector_flops=cost, resamples=100)
        print(f"{name:>10}: reward {result.reward:.3f}, acc@1 {result.acc1:.3f} at {result.gflops:.3f} GFLOPs on val")
    print(f"{'':>10}  after {run.steps} environment steps each")
