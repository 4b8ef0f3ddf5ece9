"""Train Tianshou 2's DQN on `SketchCanvasCascade-v0` (`pip install "sketchcanvas[interop]"`)."""

import gymnasium as gym
import numpy as np
import torch
from gymnasium.wrappers import FlattenObservation
from tianshou.algorithm import DQN
from tianshou.algorithm.modelfree.dqn import DiscreteQLearningPolicy
from tianshou.algorithm.optim import AdamOptimizerFactory
from tianshou.data import Collector, VectorReplayBuffer
from tianshou.env import DummyVectorEnv
from tianshou.utils.net.common import Net
from tianshou.utils.torch_utils import policy_within_training_step

import sketchcanvas_env  # noqa: F401  (registers the environments)


def make():
    """One environment; Tianshou's networks read vectors."""
    return FlattenObservation(gym.make("SketchCanvasCascade-v0", tradeoff=0.2, max_points=16))


torch.manual_seed(0)
np.random.seed(0)
envs, one = DummyVectorEnv([make for _ in range(8)]), make()
network = Net(state_shape=one.observation_space.shape, action_shape=one.action_space.n, hidden_sizes=[64])
policy = DiscreteQLearningPolicy(model=network, action_space=one.action_space, eps_training=0.3)
# An episode has at most five steps, so nothing needs a discount.
learner = DQN(policy=policy, optim=AdamOptimizerFactory(lr=1e-3), gamma=1.0)
buffer = VectorReplayBuffer(total_size=8_000, buffer_num=8)
collector = Collector(learner, envs, buffer, exploration_noise=True)
collector.reset()
for number in range(4):
    with policy_within_training_step(policy):
        found = collector.collect(n_step=256)
        for _ in range(32):
            learner.update(buffer, sample_size=64)
    print(f"batch {number}: {found.n_collected_episodes} episodes, mean return {found.returns.mean():+.3f}")
