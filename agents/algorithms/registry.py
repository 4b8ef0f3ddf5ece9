"""The training algorithms by name. Adding one takes a file with a config and a train function, and a line.

The line may come from anywhere: `ALGORITHMS["mine"] = Algorithm("my_module", "MyConfig", "train_mine")` makes an
algorithm of your own known to everything that takes a name (`examples/own_algorithm.py`).

| name | what it is | told of each sketch |
|---|---|---|
| `reinforce` | policy gradient, the paper's | one reward (two with the baseline `self_critical`) |
| `ppo`, `a2c`, `trpo` | actor-critics of SB3 and sb3-contrib | one reward |
| `dqn`, `qrdqn` | values from a replay buffer, SB3 and sb3-contrib | one reward |
| `linucb`, `linear_ts`, `epsilon_greedy` | linear bandits; selector `linear` only | one reward |
| `exact_pg` | gradient of the expected reward, nothing sampled | all K rewards |
| `cost_sensitive` | supervised: regression of the rewards | all K rewards |

In a cascade, where an episode has several steps, these are known (`CASCADE_ALGORITHMS`, chosen by the environment):

| name | what it is | told of each sketch |
|---|---|---|
| `reinforce` | policy gradient over whole episodes | what its looks cost and its answer earned |
| `ppo`, `dqn` | as above, but that a step is no episode | likewise |
| `maskable_ppo` | sb3-contrib's PPO that is told which actions make sense | likewise |
| `backward_induction` | supervised: regression of what actions lead to, from the last look backwards | everything |
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.algorithms.common.training import Progress, Run, TrainConfig
from agents.evaluation.setting import CascadeConfig, EnvConfig

if TYPE_CHECKING:
    from agents.algorithms.common.curves import Curve


@dataclass(frozen=True)
class Algorithm:
    """Where an algorithm lives; its module is imported when first used, so SB3 loads only for those who want it.

    Attributes:
        module: name of the module.
        config: name of its `TrainConfig` there.
        train: name of its train function there: from such a config and the keyword arguments of `loop.Watching`, to
            a `training.Run`.
        resumable: whether a run can go on from a checkpoint.
    """

    module: str
    config: str
    train: str
    resumable: bool = True


ALGORITHMS: dict[str, Algorithm] = {
    "reinforce": Algorithm("agents.algorithms.reinforce", "ReinforceConfig", "train_reinforce"),
    "exact_pg": Algorithm("agents.algorithms.exact", "ExactPGConfig", "train_exact_pg"),
    "cost_sensitive": Algorithm("agents.algorithms.exact", "CostSensitiveConfig", "train_cost_sensitive"),
    "ppo": Algorithm("agents.algorithms.sb3.on_policy", "PPOConfig", "train_ppo"),
    "a2c": Algorithm("agents.algorithms.sb3.on_policy", "A2CConfig", "train_a2c"),
    "trpo": Algorithm("agents.algorithms.sb3.on_policy", "TRPOConfig", "train_trpo"),
    "dqn": Algorithm("agents.algorithms.sb3.off_policy", "DQNConfig", "train_dqn", resumable=False),
    "qrdqn": Algorithm("agents.algorithms.sb3.off_policy", "QRDQNConfig", "train_qrdqn", resumable=False),
    "linucb": Algorithm("agents.algorithms.bandits", "LinUCBConfig", "train_linucb"),
    "linear_ts": Algorithm("agents.algorithms.bandits", "LinearTSConfig", "train_linear_ts"),
    "epsilon_greedy": Algorithm("agents.algorithms.bandits", "EpsilonGreedyConfig", "train_epsilon_greedy"),
}

CASCADE_ALGORITHMS: dict[str, Algorithm] = {
    "reinforce": Algorithm(
        "agents.algorithms.cascade_reinforce", "ReinforceConfig", "train_reinforce", resumable=False
    ),
    "backward_induction": Algorithm(
        "agents.algorithms.cascade_backward", "BackwardConfig", "train_backward", resumable=False
    ),
    "ppo": Algorithm("agents.algorithms.sb3.cascade", "PPOConfig", "train_ppo", resumable=False),
    "maskable_ppo": Algorithm(
        "agents.algorithms.sb3.cascade", "MaskablePPOConfig", "train_maskable_ppo", resumable=False
    ),
    "dqn": Algorithm("agents.algorithms.sb3.cascade", "DQNConfig", "train_dqn", resumable=False),
}
"""The algorithms for cascades, by name."""


def make_config(algorithm: str, **settings: Any) -> TrainConfig:
    """An algorithm's settings: its defaults, except where given. In a cascade it is that of `CASCADE_ALGORITHMS`.

    Raises:
        ValueError: unknown algorithm (the message lists what exists), or settings out of range.
    """
    entry = find(algorithm, settings.get("env"))
    config: Callable[..., TrainConfig] = getattr(import_module(entry.module), entry.config)
    return config(**settings)


def network_of(
    algorithm: str, selector: str, hidden: int | None = None, env: EnvConfig | None = None
) -> dict[str, Any]:
    """The settings that give an algorithm a network, unless it brings one of its own, as the bandits do.

    Args:
        algorithm: its name.
        selector: the network.
        hidden: its width, None for the network's default.
        env: where it learns, None for episodes of one step.
    """
    if isinstance(env, CascadeConfig):
        return {"selector": selector, "hidden": hidden}
    own: str = make_config(algorithm).selector
    return {"selector": selector, "hidden": hidden} if own == TrainConfig.selector else {}


def train_run(
    config: TrainConfig,
    *,
    on_progress: Progress | None = None,
    logdir: Path | None = None,
    checkpoint: Path | None = None,
    checkpoint_every: int = 10_240,
    resume: bool = False,
    curve: Curve | None = None,
) -> Run:
    """Train one selector. The result depends on `config` alone, so runs can go to any process or machine.

    Args:
        config: made by `make_config`.
        on_progress: called with the environment steps done so far.
        logdir: TensorBoard folder, None for none.
        checkpoint: file to save the state of the run to, None for none; not for `dqn`, `qrdqn` and cascades.
        checkpoint_every: environment steps between two checkpoints.
        resume: go on from `checkpoint`; the result is bit for bit that of a run that was never interrupted.
        curve: records what the selector earns on `val` meanwhile; None for nothing.

    Returns:
        The run, with the selector in eval mode.

    Raises:
        ValueError: unknown algorithm, settings of the environment that are out of range, a checkpoint of other
            settings, or one for an algorithm that has none.
        FileNotFoundError: nothing to resume from.
    """
    entry = find(config.algorithm, config.env)
    train: Callable[..., Run] = getattr(import_module(entry.module), entry.train)
    return train(
        config,
        on_progress=on_progress,
        logdir=logdir,
        checkpoint=checkpoint,
        checkpoint_every=checkpoint_every,
        resume=resume,
        curve=curve,
    )


def known(env: EnvConfig | None = None) -> dict[str, Algorithm]:
    """The algorithms that learn in an environment, by name; None stands for episodes of one step."""
    return CASCADE_ALGORITHMS if isinstance(env, CascadeConfig) else ALGORITHMS


def find(name: str, env: EnvConfig | None = None) -> Algorithm:
    """Where the algorithm of that name lives.

    Raises:
        ValueError: there is none for such an environment; the message lists what exists.
    """
    names = known(env)
    if name not in names:
        where = " for a cascade" if names is CASCADE_ALGORITHMS else ""
        raise ValueError(f"unknown algorithm {name!r}{where}; there are {', '.join(sorted(names))}")
    return names[name]
