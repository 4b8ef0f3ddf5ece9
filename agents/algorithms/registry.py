"""The training algorithms by name. Adding one takes a file with a config and a train function, and an entry here.

The entry may come from anywhere: `ALGORITHMS["mine"] = Algorithm(load_mine)` makes an algorithm of your own known to
everything that takes a name (`examples/own_algorithm.py`).

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
from typing import Any, Unpack

from agents.algorithms.common.training import Run, RunHooks, TrainConfig
from agents.evaluation.setting import EnvConfig

Loaded = tuple[type[TrainConfig], Callable[..., Run]]
"""An algorithm's config, and its train function: from such a config, with `RunHooks` as keyword arguments, to a run."""


@dataclass(frozen=True)
class Algorithm:
    """An algorithm that is imported when it is first used, so that SB3 loads only for those who want it.

    Attributes:
        load: imports the algorithm.
        resumable: whether a run can go on from a checkpoint.
    """

    load: Callable[[], Loaded]
    resumable: bool = True


def _reinforce() -> Loaded:
    from agents.algorithms.reinforce import ReinforceConfig, train_reinforce

    return ReinforceConfig, train_reinforce


def _exact_pg() -> Loaded:
    from agents.algorithms.exact_pg import ExactPGConfig, train_exact_pg

    return ExactPGConfig, train_exact_pg


def _cost_sensitive() -> Loaded:
    from agents.algorithms.cost_sensitive import CostSensitiveConfig, train_cost_sensitive

    return CostSensitiveConfig, train_cost_sensitive


def _ppo() -> Loaded:
    from agents.algorithms.sb3.ppo import PPOConfig, train_ppo

    return PPOConfig, train_ppo


def _a2c() -> Loaded:
    from agents.algorithms.sb3.a2c import A2CConfig, train_a2c

    return A2CConfig, train_a2c


def _trpo() -> Loaded:
    from agents.algorithms.sb3.trpo import TRPOConfig, train_trpo

    return TRPOConfig, train_trpo


def _dqn() -> Loaded:
    from agents.algorithms.sb3.dqn import DQNConfig, train_dqn

    return DQNConfig, train_dqn


def _qrdqn() -> Loaded:
    from agents.algorithms.sb3.qrdqn import QRDQNConfig, train_qrdqn

    return QRDQNConfig, train_qrdqn


def _linucb() -> Loaded:
    from agents.algorithms.linucb import LinUCBConfig, train_linucb

    return LinUCBConfig, train_linucb


def _linear_ts() -> Loaded:
    from agents.algorithms.linear_ts import LinearTSConfig, train_linear_ts

    return LinearTSConfig, train_linear_ts


def _epsilon_greedy() -> Loaded:
    from agents.algorithms.epsilon_greedy import EpsilonGreedyConfig, train_epsilon_greedy

    return EpsilonGreedyConfig, train_epsilon_greedy


def _cascade_reinforce() -> Loaded:
    from agents.algorithms.cascade_reinforce import CascadeReinforceConfig, train_cascade_reinforce

    return CascadeReinforceConfig, train_cascade_reinforce


def _cascade_backward_induction() -> Loaded:
    from agents.algorithms.backward_induction import BackwardConfig, train_backward

    return BackwardConfig, train_backward


def _cascade_ppo() -> Loaded:
    from agents.algorithms.sb3.ppo import CascadePPOConfig, train_cascade_ppo

    return CascadePPOConfig, train_cascade_ppo


def _cascade_maskable_ppo() -> Loaded:
    from agents.algorithms.sb3.ppo import MaskablePPOConfig, train_maskable_ppo

    return MaskablePPOConfig, train_maskable_ppo


def _cascade_dqn() -> Loaded:
    from agents.algorithms.sb3.dqn import CascadeDQNConfig, train_dqn

    return CascadeDQNConfig, train_dqn


ALGORITHMS: dict[str, Algorithm] = {
    "reinforce": Algorithm(_reinforce),
    "exact_pg": Algorithm(_exact_pg),
    "cost_sensitive": Algorithm(_cost_sensitive),
    "ppo": Algorithm(_ppo),
    "a2c": Algorithm(_a2c),
    "trpo": Algorithm(_trpo),
    "dqn": Algorithm(_dqn, resumable=False),
    "qrdqn": Algorithm(_qrdqn, resumable=False),
    "linucb": Algorithm(_linucb),
    "linear_ts": Algorithm(_linear_ts),
    "epsilon_greedy": Algorithm(_epsilon_greedy),
}
"""The algorithms for episodes of one step, by name."""

CASCADE_ALGORITHMS: dict[str, Algorithm] = {
    "reinforce": Algorithm(_cascade_reinforce, resumable=False),
    "backward_induction": Algorithm(_cascade_backward_induction, resumable=False),
    "ppo": Algorithm(_cascade_ppo, resumable=False),
    "maskable_ppo": Algorithm(_cascade_maskable_ppo, resumable=False),
    "dqn": Algorithm(_cascade_dqn, resumable=False),
}
"""The algorithms for cascades, by name."""


def make_config(algorithm: str, **settings: Any) -> TrainConfig:
    """An algorithm's settings: its defaults, except where given. In a cascade it is that of `CASCADE_ALGORITHMS`.

    Raises:
        ValueError: unknown algorithm (the message lists what exists), or settings out of range.
    """
    config, _ = find(algorithm, settings.get("env")).load()
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
    if env is not None and env.looks_again:
        return {"selector": selector, "hidden": hidden}
    own: str = make_config(algorithm).selector
    return {"selector": selector, "hidden": hidden} if own == TrainConfig.selector else {}


def train_run(config: TrainConfig, **hooks: Unpack[RunHooks]) -> Run:
    """Train one selector. The result depends on `config` alone, so runs can go to any process or machine.

    Args:
        config: made by `make_config`.
        hooks: see `RunHooks`.

    Returns:
        The run, with the selector in eval mode.

    Raises:
        ValueError: unknown algorithm, settings of the environment that are out of range, a checkpoint of other
            settings, or one for an algorithm that has none.
        FileNotFoundError: nothing to resume from.
    """
    _, train = find(config.algorithm, config.env).load()
    return train(config, **hooks)


def known(env: EnvConfig | None = None) -> dict[str, Algorithm]:
    """The algorithms that learn in an environment, by name; None stands for episodes of one step."""
    return CASCADE_ALGORITHMS if env is not None and env.looks_again else ALGORITHMS


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
