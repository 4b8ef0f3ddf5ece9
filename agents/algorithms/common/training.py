"""What every training algorithm shares: the common settings, the result, pinned threads, seeded networks."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypedDict

import gymnasium as gym
import numpy as np
import torch

from agents.evaluation.setting import EnvConfig
from agents.selectors import networks as selectors
from agents.selectors.base import MAX_SIZE, Selector
from sketchcanvas_env.sketches.features import FEATURE_NAMES

if TYPE_CHECKING:
    from agents.algorithms.common.curves import Curve


class RunHooks(TypedDict, total=False):
    """Progress, logging, checkpoints and learning curves of a run; they never change its result.

    Attributes:
        on_progress: called with the environment steps done so far, after every update.
        logdir: TensorBoard folder, None for none.
        checkpoint: file to save the state of the run to, None for none; not for `dqn`, `qrdqn` and cascades.
        checkpoint_every: environment steps between two checkpoints.
        resume: go on from `checkpoint`; the result is bit for bit that of a run that was never interrupted.
        curve: records the evaluation on `val` in the course of training, None for none.
    """

    on_progress: Callable[[int], None] | None
    logdir: Path | None
    checkpoint: Path | None
    checkpoint_every: int
    resume: bool
    curve: Curve | None


_NO_HOOKS: RunHooks = {
    "on_progress": None,
    "logdir": None,
    "checkpoint": None,
    "checkpoint_every": 10_240,
    "resume": False,
    "curve": None,
}


@dataclass(frozen=True)
class TrainConfig:
    """Settings of every algorithm. Two runs with equal settings give bit-identical weights on one machine."""

    algorithm: ClassVar[str]
    cascade: ClassVar[bool] = False  # whether it learns from episodes of several steps, or from those of one
    masked: ClassVar[bool] = False  # whether its networks never choose what a cascade's masks forbid
    env: EnvConfig = field(default_factory=EnvConfig)  # where to learn; always on its split `train`
    seed: int = 0  # of the weights, the sketches drawn and the actions sampled
    total_steps: int = 102_400  # environment steps, exactly; one step is one sketch looked at and one canvas chosen
    num_envs: int = 256  # sketches per environment step
    selector: str = "thumb"  # which network decides, a key of `selectors.SELECTORS`; cascades have one more
    hidden: int | None = None  # width of that network, None for its own default
    threads: int = 1  # torch threads, pinned: another number may give other weights
    log_every: int = 10  # updates between two TensorBoard rows

    def __post_init__(self) -> None:
        """Refuse what cannot be trained with, before any work starts.

        Raises:
            ValueError: a field out of its range; the message says what to do.
        """
        if self.env.looks_again != self.cascade:
            kind = "a cascade's episodes" if self.cascade else "episodes of one step"
            raise ValueError(f"{type(self).__name__} learns from {kind}: that is not what {self.env} has")
        for name in ("total_steps", "num_envs", "threads", "log_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.hidden is not None and not 1 <= self.hidden <= MAX_SIZE:
            raise ValueError(f"hidden must lie in [1, {MAX_SIZE}] or be None, got {self.hidden}")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, got {self.seed}")
        self._check_network()
        batch = self.steps_per_update
        if self.total_steps % batch:
            lower = self.total_steps // batch * batch
            near = f"{lower} or {lower + batch}" if lower else f"{batch}"
            raise ValueError(
                f"{self.algorithm}: total_steps must be a multiple of the {batch} steps of one update, so that the "
                f"budget is spent exactly: take {near} instead of {self.total_steps}"
            )

    def _check_network(self) -> None:
        """Refuse an unknown network, a width that it cannot have, or what it reads and is not shown."""
        # Made without memory and without chance, in about a millisecond: what `make_selector` would refuse later,
        # perhaps after hours of other runs, is found here.
        with torch.device("meta"):
            made = selectors.create(
                self.selector,
                len(self.env.canvases) + self.cascade,
                len(FEATURE_NAMES),
                self.hidden,
                self.env.preferences is not None,
                self.masked,
            )
        selectors.check_reads(made, self.cascade)
        if "thumbnail" in made.reads and not self.env.thumbnail:
            object.__setattr__(self, "env", replace(self.env, thumbnail=True))

    @property
    def steps_per_update(self) -> int:
        """Environment steps between two updates of the weights."""
        return self.num_envs

    def to_json(self) -> dict[str, Any]:
        """The settings, with the algorithm's name, as JSON-able values."""
        return {"algorithm": self.algorithm, **asdict(self), "env": self.env.to_json()}


@dataclass(frozen=True)
class Run:
    """One training run.

    Attributes:
        config: what was asked for.
        selector: the trained network, in eval mode.
        steps: environment steps taken, equal to `config.total_steps`.
        seconds: wall-clock time of the training (of the last part only, when it was resumed), evaluations for a
            curve left out.
    """

    config: TrainConfig
    selector: Selector
    steps: int
    seconds: float


def first_selector(config: TrainConfig, env: gym.vector.VectorEnv[Any, Any, Any]) -> Selector:
    """The network that a run starts with, as `make_selector`, with the scale of its inputs taken from the split."""
    n_actions = int(env.single_action_space.n)  # type: ignore[attr-defined]
    selector = make_selector(config, env.single_observation_space, n_actions)
    selector.fit_inputs(env.unwrapped.task.task.pictures)  # type: ignore[attr-defined]
    return selector


def make_selector(config: TrainConfig, observation_space: gym.Space[Any], n_actions: int) -> Selector:
    """A run's network; its weights depend on the seed alone.

    Torch's global generator is left as it was.

    Args:
        config: names the network, its width and the seed.
        observation_space: of a single environment, with "points" and "stats"; with "tradeoff" the network is told it.
        n_actions: number of canvases, in a cascade one more.

    Raises:
        ValueError: another space.
    """
    if not isinstance(observation_space, gym.spaces.Dict):
        raise ValueError(f"a selector needs an observation space of points and stats, got {observation_space}")
    shape = observation_space["stats"].shape
    n_stats = int(np.prod(shape)) if shape is not None else None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        conditioned = "tradeoff" in observation_space.spaces
        return selectors.create(config.selector, n_actions, n_stats, config.hidden, conditioned, config.masked, True)


def env_seed(seed: int) -> int:
    """The seed that a run gives its vector environment.

    Sub-environment i is seeded with that plus i. Runs with seeds 0 and 1 would otherwise share all their
    streams of sketches but one, and runs that are to be averaged would not be independent.
    """
    return int(np.random.SeedSequence(seed).generate_state(1)[0])


def replay(env: gym.vector.VectorEnv[Any, Any, Any], seed: int, steps: int) -> tuple[Any, dict[str, Any]]:
    """Reset a vector environment and bring it to where a run with `seed` finds it after `steps` vector steps.

    Which sketch an episode shows does not depend on the actions, so any will do. A million episodes take
    about a second.

    Returns:
        The observations there, and which sketches they show (`info["sketch_index"]`).
    """
    obs, info = env.reset(seed=env_seed(seed))
    idle = np.zeros(env.num_envs, dtype=np.int64)
    for _ in range(steps):
        obs, _, _, _, info = env.step(idle)
    return obs, info


@contextmanager
def pinned_threads(count: int) -> Iterator[None]:
    """Let torch use that many threads inside the block, and what it used before after it."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def preserved_generators() -> Iterator[None]:
    """Put Python's, NumPy's and torch's global generators back after the block: SB3 seeds all three."""
    python, legacy, pytorch = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)
        torch.set_rng_state(pytorch)


def checked_hooks(hooks: RunHooks) -> RunHooks:
    """All hooks of a run, with defaults for those that are not given.

    Raises:
        TypeError: an unknown hook.
        ValueError: resume without a checkpoint, or checkpoint_every below 1.
        FileNotFoundError: resume, and there is no checkpoint.
    """
    if unknown := sorted(set(hooks) - set(_NO_HOOKS)):
        raise TypeError(f"unknown hooks {', '.join(unknown)}; there are {', '.join(_NO_HOOKS)}")
    given: RunHooks = {**_NO_HOOKS, **hooks}
    checkpoint = given["checkpoint"]
    if given["checkpoint_every"] < 1:
        raise ValueError(f"checkpoint_every must be at least 1 step, got {given['checkpoint_every']}")
    if given["resume"] and checkpoint is None:
        raise ValueError("to resume, say which checkpoint")
    if given["resume"] and checkpoint is not None and not checkpoint.exists():
        raise FileNotFoundError(f"nothing to resume: there is no checkpoint at {checkpoint}")
    return given


def refuse_checkpoint(config: TrainConfig, hooks: RunHooks) -> None:
    """Raise ValueError where checkpoints are asked of an algorithm that has none."""
    if hooks.get("checkpoint") is not None or hooks.get("resume"):
        kind = (
            " in a cascade, whose episodes may be under way" if config.cascade else ": its replay buffer is not saved"
        )
        raise ValueError(f"{config.algorithm} cannot go on from a checkpoint{kind}; leave checkpoint and resume out")


def check_positive(config: TrainConfig, *names: str) -> None:
    """Raise ValueError unless these settings are above zero; NaN is not."""
    for name in names:
        if not getattr(config, name) > 0:
            raise ValueError(f"{name} must be above zero, got {getattr(config, name)}")


def check_not_negative(config: TrainConfig, *names: str) -> None:
    """Raise ValueError if one of these settings is below zero or NaN."""
    for name in names:
        if not getattr(config, name) >= 0:
            raise ValueError(f"{name} must not be negative, got {getattr(config, name)}")
