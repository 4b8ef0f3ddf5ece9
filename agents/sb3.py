"""Stable-Baselines3 on the vector environment: the adapter it lacks, and PPO with our network inside.

SB3 takes no Gymnasium `VectorEnv`. Its own road, one Python environment after another in `DummyVecEnv`,
spends nearly all its time outside the learner here; `SketchCanvasVecEnv` hands whole batches over instead.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

import gymnasium as gym
import numpy as np
import numpy.typing as npt
import torch
from gymnasium.vector import AutoresetMode
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger, TensorBoardOutputFormat
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn

from agents.selectors import Selector
from agents.tensorboard import batch_scalars
from agents.training import (
    Progress,
    Run,
    TrainConfig,
    check_files,
    env_seed,
    make_selector,
    pinned_threads,
    preserved_generators,
    replay,
)
from students import checkpoint as checkpoints


class SketchCanvasVecEnv(VecEnv):
    """A Gymnasium vector environment in SAME_STEP mode as an SB3 `VecEnv`.

    Every sub-environment lives in one object here, so attributes and methods are those of the vector
    environment: `get_attr` repeats them, `env_method` calls once and hands out a tuple of N results one by
    one, any other result N times.

    `infos` carry what `Monitor` would add (`episode`: r, l, t), so `env_is_wrapped(Monitor)` says True.
    `terminal_observation` is there for truncated episodes only: SB3 looks at it for no other reason than to
    bootstrap from it. What the environment told about the last step as arrays is in `final_info`.
    """

    def __init__(self, env: gym.vector.VectorEnv[Any, Any, Any]) -> None:
        """Wrap `env`.

        Raises:
            ValueError: an environment in another autoreset mode.
        """
        mode = env.metadata.get("autoreset_mode")
        if mode != AutoresetMode.SAME_STEP:
            raise ValueError(
                f"SB3 wants finished episodes reset in the same step (AutoresetMode.SAME_STEP), not {mode}"
            )
        self.env = env
        # SB3 holds an observation while the next step is taken; an environment that writes over it must be
        # copied from.
        self._copy = not getattr(env.unwrapped, "copy", True)
        self._actions: npt.NDArray[Any] | None = None
        self._start = time.perf_counter()
        self._returns = np.zeros(env.num_envs)
        self._lengths = np.zeros(env.num_envs, dtype=np.int64)
        self.final_info: dict[str, Any] = {}
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)

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
        return self._owned(obs)

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
        return self._owned(obs), np.asarray(rewards, dtype=np.float32), dones, infos

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
        apart = isinstance(result, tuple) and len(result) == self.num_envs
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
            infos[index]["terminal_observation"] = info["final_obs"][index]
        return infos

    def _owned(self, obs: VecEnvObs) -> VecEnvObs:
        return deepcopy(obs) if self._copy else obs


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
        self.selector = deepcopy(selector)
        # The policy brings a head of its own; this one sits idle until the trained one is copied into it.
        self.selector.head.requires_grad_(False)

    def forward(self, observations: dict[str, torch.Tensor]) -> torch.Tensor:
        """Features of each sketch, (B, features_dim)."""
        return self.selector.encode(observations)


@dataclass(frozen=True)
class PPOConfig(TrainConfig):
    """Settings of SB3's PPO; every update uses num_envs * n_steps episodes."""

    algorithm: ClassVar[str] = "ppo"
    lr: float = 2e-3  # Adam's learning rate at the start
    anneal: bool = True  # let the learning rate fall linearly to zero over the run
    n_steps: int = 1  # vector steps of one rollout; an episode is one step, so a rollout is just a batch
    batch_size: int = 128  # mini-batch of the updates
    n_epochs: int = 3  # passes over each rollout
    clip_range: float = 0.2  # how far the policy may move from the one that acted
    entropy_coef: float = 0.01  # weight of the entropy bonus
    value_coef: float = 0.5  # weight of the value loss
    max_grad_norm: float = 1.0  # gradients are scaled down to this norm
    gamma: float = 0.99  # discount; every episode ends with its first step, so it changes nothing
    log_every: int = 10  # updates between two TensorBoard rows

    def __post_init__(self) -> None:
        """As `TrainConfig`; mini-batches must divide the rollout, or the last one would be small and noisy."""
        for name in ("n_steps", "batch_size", "n_epochs", "lr", "max_grad_norm", "clip_range", "log_every"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above zero, got {getattr(self, name)}")
        for name in ("entropy_coef", "value_coef"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if not 0.0 <= self.gamma <= 1.0:
            raise ValueError(f"gamma must lie in [0, 1], got {self.gamma}")
        super().__post_init__()
        if self.steps_per_update < 2:
            raise ValueError("num_envs * n_steps must be at least 2: PPO normalises advantages over them")
        if self.steps_per_update % self.batch_size:
            raise ValueError(f"batch_size {self.batch_size} must divide num_envs * n_steps = {self.steps_per_update}")

    @property
    def steps_per_update(self) -> int:
        """Environment steps between two updates."""
        return self.num_envs * self.n_steps


def train_ppo(
    config: PPOConfig,
    *,
    on_progress: Progress | None = None,
    logdir: Path | None = None,
    checkpoint: Path | None = None,
    checkpoint_every: int = 10_240,
    resume: bool = False,
) -> Run:
    """Train a selector with SB3's PPO; arguments, result, errors as in `reinforce.train_reinforce`."""
    check_files(checkpoint, checkpoint_every, resume)
    start = time.perf_counter()
    env = config.env.make_vec(config.num_envs)
    with pinned_threads(config.threads), preserved_generators():
        n_actions = int(env.single_action_space.n)  # type: ignore[attr-defined]
        selector = make_selector(config, env.single_observation_space, n_actions)
        model = _make_model(config, env, selector)
        model.set_logger(_logger(logdir))
        if resume and checkpoint is not None:
            _restore(checkpoint, config, model, env)
        watcher = _Watcher(config, on_progress, checkpoint, checkpoint_every)
        left = config.total_steps - model.num_timesteps
        model.learn(
            left,
            callback=watcher,
            log_interval=config.log_every,
            reset_num_timesteps=model.num_timesteps == 0,
        )
        model.logger.close()
    env.close()
    return Run(config, selector_of(model), model.num_timesteps, time.perf_counter() - start)


def selector_of(model: PPO) -> Selector:
    """The network that a PPO model with `SelectorFeatures` decides with, as a selector of its own."""
    features = model.policy.features_extractor
    if not isinstance(features, SelectorFeatures) or not isinstance(model.policy.action_net, torch.nn.Linear):
        raise ValueError("this model was not made with SelectorFeatures and an empty net_arch")
    selector = deepcopy(features.selector)
    selector.head.load_state_dict(model.policy.action_net.state_dict())
    return selector.requires_grad_(True).eval()


def _make_model(config: PPOConfig, env: gym.vector.VectorEnv[Any, Any, Any], selector: Selector) -> PPO:
    adapter = SketchCanvasVecEnv(env)
    model = PPO(
        "MultiInputPolicy",
        adapter,
        learning_rate=(lambda left: config.lr * left) if config.anneal else config.lr,
        n_steps=config.n_steps,
        batch_size=config.batch_size,
        n_epochs=config.n_epochs,
        gamma=config.gamma,
        clip_range=config.clip_range,
        ent_coef=config.entropy_coef,
        vf_coef=config.value_coef,
        max_grad_norm=config.max_grad_norm,
        policy_kwargs={
            "features_extractor_class": SelectorFeatures,
            "features_extractor_kwargs": {"selector": selector},
            # Nothing between features and logits: the network that decides is the selector, no more.
            "net_arch": {"pi": [], "vf": []},
            # SB3 would draw the encoder's linear layers anew; it starts as in every other algorithm.
            "ortho_init": False,
        },
        seed=config.seed,
        device="cpu",
    )
    # SB3 left them at random; the idle head of the features extractor has the start that other algorithms
    # have.
    model.policy.action_net.load_state_dict(selector.head.state_dict())
    adapter.seed(env_seed(config.seed))
    return model


def _logger(logdir: Path | None) -> Logger:
    # SB3's own configure() would make a folder for its logs even where none are wanted.
    return Logger(str(logdir), [TensorBoardOutputFormat(str(logdir))]) if logdir is not None else Logger(None, [])


class _Watcher(BaseCallback):
    """Reports progress, logs what the episodes told, and saves checkpoints between updates."""

    def __init__(
        self, config: PPOConfig, on_progress: Progress | None, checkpoint: Path | None, checkpoint_every: int
    ) -> None:
        super().__init__()
        self._config = config
        self._report = on_progress
        self._path = checkpoint
        self._every = checkpoint_every
        self._saved = 0

    def _on_training_start(self) -> None:
        self._saved = self.num_timesteps

    def _on_rollout_start(self) -> None:
        # The update on the last rollout is over by now, and the next one has not begun.
        if self._path is not None and self.num_timesteps - self._saved >= self._every:
            _save(self._path, self._config, cast("PPO", self.model))
            self._saved = self.num_timesteps

    def _on_step(self) -> bool:
        if self._report is not None:
            self._report(self.num_timesteps)
        return True

    def _on_rollout_end(self) -> None:
        adapter = cast("SketchCanvasVecEnv", self.training_env)
        for name, value in batch_scalars(adapter.final_info, self.locals["rewards"]).items():
            self.logger.record(name, value)


def _save(path: Path, config: PPOConfig, model: PPO) -> None:
    words, rest = _numpy_state()
    tensors = {
        **checkpoints.module_tensors(model.policy),
        **checkpoints.optimiser_tensors(model.policy.optimizer),
        "generator": torch.get_rng_state(),
        "numpy": words,
    }
    checkpoints.save(path, tensors, {"config": config.to_json(), "steps": model.num_timesteps, "numpy": rest})


def _restore(path: Path, config: PPOConfig, model: PPO, env: gym.vector.VectorEnv[Any, Any, Any]) -> None:
    tensors, state = checkpoints.load(path, config.to_json())
    checkpoints.restore_module(model.policy, tensors)
    checkpoints.restore_optimiser(model.policy.optimizer, tensors)
    model.num_timesteps = int(state["steps"])
    # As after SB3's own reset, but further on in the stream of sketches.
    model._last_obs = replay(env, config.seed, model.num_timesteps // config.num_envs)
    model._last_episode_starts = np.ones(config.num_envs, dtype=bool)
    model._update_current_progress_remaining(model.num_timesteps, config.total_steps)
    # Last, because making the model has drawn from the generators.
    torch.set_rng_state(tensors["generator"])
    _restore_numpy(tensors["numpy"], state["numpy"])


def _numpy_state() -> tuple[torch.Tensor, dict[str, Any]]:
    """NumPy's global generator, with which SB3 shuffles mini-batches, as a tensor and JSON-able numbers."""
    kind, words, position, has_gauss, gauss = np.random.get_state(legacy=True)
    rest = {"kind": kind, "position": int(position), "has_gauss": int(has_gauss), "gauss": float(gauss)}
    return torch.from_numpy(np.asarray(words, dtype=np.int64)), rest


def _restore_numpy(words: torch.Tensor, rest: Mapping[str, Any]) -> None:
    """Put what `numpy_state` gave back into NumPy's global generator."""
    state = words.numpy().astype(np.uint32)
    np.random.set_state((rest["kind"], state, rest["position"], rest["has_gauss"], rest["gauss"]))
