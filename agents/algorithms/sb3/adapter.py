"""Stable-Baselines3 on the vector environment: the adapter it lacks, and our networks inside its policies.

SB3 takes no Gymnasium `VectorEnv`. Its own road, one Python environment after another in `DummyVecEnv`,
spends nearly all its time outside the learner here; `SketchCanvasVecEnv` hands whole batches over instead.

Any of SB3's algorithms for discrete actions trains a selector this way:

    adapter = SketchCanvasVecEnv(gym.make_vec("SketchCanvas-v0", 256), selector.reads)
    model = DQN("MultiInputPolicy", adapter, policy_kwargs=policy_settings(selector))
    model.learn(10_240)
    trained = selector_of(model)

Those that `agents.algorithms.registry` names are in `agents.algorithms.sb3.on_policy` and
`agents.algorithms.sb3.off_policy`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from copy import deepcopy
from typing import Any, cast

import gymnasium as gym
import numpy as np
import numpy.typing as npt
import torch
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn

from agents.selectors.base import Selector


class SketchCanvasVecEnv(VecEnv):
    """A Gymnasium vector environment in SAME_STEP mode as an SB3 `VecEnv`.

    Every sub-environment lives in one object here, so attributes and methods are those of the vector
    environment: `get_attr` repeats them, `env_method` calls once and hands out a tuple or an array of N results one by
    one, any other result N times.

    `infos` carry what `Monitor` would add (`episode`: r, l, t), so `env_is_wrapped(Monitor)` says True.
    `terminal_observation` is there for truncated episodes only: SB3 looks at it for no other reason than to
    bootstrap from it. What the environment told about the last step as arrays is in `final_info`.
    """

    def __init__(self, env: gym.vector.VectorEnv[Any, Any, Any], reads: Sequence[str] | None = None) -> None:
        """Wrap `env`.

        Args:
            env: the vector environment.
            reads: parts of a Dict observation to hand over (`Selector.reads`): SB3 stores and copies all that it is
                given. None for the whole of it.

        Raises:
            ValueError: an environment in another autoreset mode, or a part that its observations lack.
        """
        mode = env.metadata.get("autoreset_mode")
        if mode != AutoresetMode.SAME_STEP:
            raise ValueError(
                f"SB3 wants finished episodes reset in the same step (AutoresetMode.SAME_STEP), not {mode}"
            )
        space = env.single_observation_space
        if reads is not None:
            if not isinstance(space, gym.spaces.Dict) or not set(reads) <= set(space):
                raise ValueError(f"an observation has no {' or no '.join(reads)}: it is of {space}")
            space = gym.spaces.Dict({name: space[name] for name in reads})
        self.env = env
        self._reads = reads
        # SB3 holds an observation while the next step is taken; an environment that writes over it must be
        # copied from.
        self._copy = not getattr(env.unwrapped, "copy", True)
        self._actions: npt.NDArray[Any] | None = None
        self._start = time.perf_counter()
        self._returns = np.zeros(env.num_envs)
        self._lengths = np.zeros(env.num_envs, dtype=np.int64)
        self.final_info: dict[str, Any] = {}
        super().__init__(env.num_envs, space, env.single_action_space)

    def reset(self) -> VecEnvObs:
        """Reset all; a seed given to `seed` and options given to `set_options` are used once."""
        options = self._options[0]
        if any(other != options for other in self._options):
            raise ValueError("a vector environment takes one set of options for all: pass a dict to set_options")
        # SB3's seed() hands out consecutive seeds, which is what Gymnasium makes of a single one.
        obs, info = self.env.reset(seed=self._seeds[0], options=options or None)
        self._reset_seeds()
        self._reset_options()
        self._returns[:] = 0.0
        self._lengths[:] = 0
        self.reset_infos = [_of_one(info, index) for index in range(self.num_envs)]
        return self.hand_over(obs)

    def step_async(self, actions: npt.NDArray[Any]) -> None:
        """Keep the actions for `step_wait`."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Step all: observations, rewards (N,) float32, dones (N,) bool, and N infos."""
        if self._actions is None:
            raise RuntimeError("call step_async() before step_wait()")
        obs, rewards, terminated, truncated, info = self.env.step(self._actions)
        self._actions = None
        self.final_info = info.get("final_info", {})
        dones = np.logical_or(terminated, truncated)
        self._returns += rewards
        self._lengths += 1
        infos = self._infos(dones, info, truncated & ~terminated)
        self._returns[dones] = 0.0
        self._lengths[dones] = 0
        return self.hand_over(obs), np.asarray(rewards, dtype=np.float32), dones, infos

    def close(self) -> None:
        """Close the environment."""
        self.env.close()

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """An attribute of the vector environment, once for each sub-environment asked for."""
        value = getattr(self.env.unwrapped, attr_name)
        return [value for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute for all: there is one environment.

        Raises:
            ValueError: some sub-environments only.
        """
        if indices is not None and sorted(self._get_indices(indices)) != list(range(self.num_envs)):
            raise ValueError("the sub-environments share one object: an attribute can only be set for all of them")
        setattr(self.env.unwrapped, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Call a method of the vector environment once."""
        result = getattr(self.env.unwrapped, method_name)(*method_args, **method_kwargs)
        apart = isinstance(result, tuple | np.ndarray) and len(result) == self.num_envs
        return [result[index] if apart else result for index in self._get_indices(indices)]

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """True for `Monitor`, whose work the adapter does; no other wrapper is there."""
        return [issubclass(wrapper_class, Monitor) for _ in self._get_indices(indices)]

    def get_images(self) -> Sequence[npt.NDArray[np.uint8] | None]:
        """A picture of each sub-environment."""
        return cast("Sequence[npt.NDArray[np.uint8] | None]", self.env.render())

    def _infos(
        self, dones: npt.NDArray[np.bool_], info: dict[str, Any], truncated: npt.NDArray[np.bool_]
    ) -> list[dict[str, Any]]:
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        elapsed = round(time.perf_counter() - self._start, 6)
        returns, lengths = self._returns.tolist(), self._lengths.tolist()
        for index in np.flatnonzero(dones).tolist():
            infos[index]["episode"] = {"r": returns[index], "l": lengths[index], "t": elapsed}
        for index in np.flatnonzero(truncated).tolist():
            if "final_obs" not in info:
                raise ValueError(
                    "an episode was truncated and the environment does not say what its last observation was"
                )
            infos[index]["TimeLimit.truncated"] = True
            last = info["final_obs"][index]
            infos[index]["terminal_observation"] = last if self._reads is None else {n: last[n] for n in self._reads}
        return infos

    def hand_over(self, obs: Any) -> VecEnvObs:
        """What SB3 gets of the environment's observations: the parts that are read, its own to keep."""
        seen = obs if self._reads is None else {name: obs[name] for name in self._reads}
        return cast("VecEnvObs", deepcopy(seen) if self._copy else seen)


def _of_one(info: dict[str, Any], index: int) -> dict[str, Any]:
    """The part of a vector environment's info that is about one sub-environment."""
    return {
        name: values[index]
        for name, values in info.items()
        if not name.startswith("_") and info.get(f"_{name}", [])[index]
    }


class SelectorFeatures(BaseFeaturesExtractor):
    """A selector's encoder as an SB3 features extractor; the policy's own linear layer is the head."""

    def __init__(self, observation_space: gym.spaces.Dict, selector: Selector) -> None:
        """Take over the encoder of `selector`.

        Args:
            observation_space: of a single environment.
            selector: the network to learn with. It is copied: SB3 copies what it is given only sometimes.
        """
        super().__init__(observation_space, selector.features_dim)
        # The policy brings a head of its own; this one's sits idle until the trained one is copied into it. It gets no
        # gradient, so no optimiser moves it.
        self.selector = deepcopy(selector)

    def forward(self, observations: dict[str, torch.Tensor]) -> torch.Tensor:
        """Features of each sketch, (B, features_dim)."""
        return self.selector.encode(observations)


def policy_settings(selector: Selector) -> dict[str, Any]:
    """`policy_kwargs` that make a selector's encoder the features extractor, with nothing between it and the head.

    The network that decides is then the selector, no more. An actor-critic wants `ortho_init=False` besides, or SB3
    draws the encoder's linear layers anew.
    """
    return {
        "features_extractor_class": SelectorFeatures,
        "features_extractor_kwargs": {"selector": selector},
        "net_arch": [],
    }


def start_from(model: BaseAlgorithm, selector: Selector) -> None:
    """Give a model with `SelectorFeatures` the selector's head, which SB3 had left at random."""
    _, head = _network_of(model)
    copies = head.out_features // selector.n_actions
    with torch.no_grad():
        head.weight.copy_(selector.head.weight.repeat(copies, 1))
        head.bias.copy_(selector.head.bias.repeat(copies))


def selector_of(model: BaseAlgorithm) -> Selector:
    """The network that a model with `SelectorFeatures` decides with, as a selector of its own.

    Logits are those of a policy, values, or means of quantiles: the greedy canvas is the argmax of each.

    Raises:
        ValueError: a model of another make.
    """
    features, head = _network_of(model)
    selector = deepcopy(features.selector)
    # A head of quantiles has one linear layer for each, and chooses by their mean: a linear layer again.
    layers = head.out_features // selector.n_actions
    with torch.no_grad():
        weight = head.weight.reshape(layers, selector.n_actions, -1).double().mean(dim=0)
        selector.head.weight.copy_(weight)
        selector.head.bias.copy_(head.bias.reshape(layers, -1).double().mean(dim=0))
    return selector.eval()


def _network_of(model: BaseAlgorithm) -> tuple[SelectorFeatures, torch.nn.Linear]:
    """Features extractor and head of whatever a model chooses with: actor, Q-network or quantile network."""
    policy = model.policy
    if hasattr(policy, "action_net"):
        features, layers = policy.features_extractor, [policy.action_net]
    else:
        name = "q_net" if hasattr(policy, "q_net") else "quantile_net"
        network = getattr(policy, name)
        features, layers = network.features_extractor, list(getattr(network, name))
    if not isinstance(features, SelectorFeatures) or len(layers) != 1 or not isinstance(layers[0], torch.nn.Linear):
        raise ValueError("this model was not made with SelectorFeatures and an empty net_arch")
    return features, layers[0]
